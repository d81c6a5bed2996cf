"""Events are written in their turn: counted up, bounded, and never waited for."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from tests.virtual import VIRTUAL, settle

from speechpool_operator.events import (
    OBJECT_BURST,
    QUEUE,
    SAME_SECONDS,
    WRITE_BURST,
    WRITES_PER_SECOND,
    About,
    Note,
    Recorder,
    Weight,
)
from speechpool_operator.kube import KubeError, KubeUnavailable

pytestmark = VIRTUAL


def note(message="why", name="voice", reason="Invalid"):
    about = About(
        api_version="speechpool.dev/v1alpha1", kind="SpeechPool", namespace="calls", name=name, uid=f"uid-{name}"
    )
    return Note(about=about, weight=Weight.WARNING, reason=reason, message=message)


class Events:
    """The API server's events; it may refuse, forget, or not answer."""

    def __init__(self):
        self.kept = {}
        self.error = None
        self.open = asyncio.Event()
        self.open.set()

    async def create(self, path, body):
        await self.open.wait()
        if self.error:
            raise self.error
        self.kept[f"{path}/{body['metadata']['name']}"] = dict(body)
        return body

    async def merge_patch(self, path, body):
        await self.open.wait()
        if path not in self.kept:
            raise KubeError(404, "NotFound", "")
        self.kept[path] |= body
        return self.kept[path]

    @property
    def counts(self):
        return [one["count"] for one in self.kept.values()]


@contextlib.asynccontextmanager
async def recording():
    clock = asyncio.get_running_loop().time
    events = Events()
    wall = lambda: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=clock())  # noqa: E731 -- one expression
    recorder = Recorder(events, instance="operator-0", wall=wall)
    running = asyncio.ensure_future(recorder.run())
    try:
        yield recorder, events
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_an_event_says_of_what_it_is_why_and_since_when():
    async with recording() as (recorder, events):
        recorder.record(note())
        await settle()
        [(path, body)] = events.kept.items()
    assert path.startswith("/api/v1/namespaces/calls/events/voice.")
    assert body["involvedObject"] == {
        "apiVersion": "speechpool.dev/v1alpha1",
        "kind": "SpeechPool",
        "namespace": "calls",
        "name": "voice",
        "uid": "uid-voice",
    }
    assert (body["type"], body["reason"], body["message"], body["count"]) == ("Warning", "Invalid", "why", 1)
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-11-01T00:16:40Z"


async def test_the_same_told_again_is_counted_up():
    async with recording() as (recorder, events):
        for _ in range(3):
            recorder.record(note())
            await asyncio.sleep(60)
        [body] = events.kept.values()
    assert (body["count"], body["lastTimestamp"]) == (3, "2026-11-01T00:18:40Z")


async def test_what_was_told_long_ago_is_a_new_event():
    async with recording() as (recorder, events):
        recorder.record(note())
        await asyncio.sleep(SAME_SECONDS + 1)
        recorder.record(note())
        await settle()
        assert events.counts == [1, 1]


async def test_what_waits_is_told_once_with_its_count():
    async with recording() as (recorder, events):
        for _ in range(100):
            recorder.record(note())
        await settle()
        assert events.counts == [100]
        assert recorder.written == 1


async def test_an_event_that_the_api_server_forgot_is_made_again():
    async with recording() as (recorder, events):
        recorder.record(note())
        await settle()
        events.kept.clear()
        recorder.record(note())
        await settle()
        assert events.counts == [2]


async def test_one_object_cannot_fill_the_log():
    async with recording() as (recorder, events):
        for number in range(100):
            recorder.record(note(f"message {number}"))
        recorder.record(note(name="other"))
        await asyncio.sleep(60)
        assert len(events.kept) == OBJECT_BURST + 1
        assert recorder.dropped == {"TooManyOfAnObject": 100 - OBJECT_BURST}
        await asyncio.sleep(300)
        recorder.record(note("later"))
        await asyncio.sleep(1)
        assert len(events.kept) == OBJECT_BURST + 2


async def test_all_objects_together_have_a_rate():
    async with recording() as (recorder, events):
        for number in range(200):
            recorder.record(note(name=f"pool-{number}"))
        await settle()
        assert len(events.kept) == WRITE_BURST
        await asyncio.sleep(5)
        assert len(events.kept) == pytest.approx(WRITE_BURST + 5 * WRITES_PER_SECOND, abs=2)


async def test_while_nothing_is_taken_the_queue_is_bounded_and_nobody_waits():
    async with recording() as (recorder, events):
        events.open.clear()
        for number in range(2 * QUEUE):
            recorder.record(note(name=f"pool-{number}"))
        assert recorder.dropped == {"QueueFull": QUEUE}
        events.open.set()
        await asyncio.sleep(600)
        assert len(events.kept) == QUEUE


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KubeError(403, "Forbidden", "no"), "Forbidden"), (KubeUnavailable("no answer"), "Unavailable")],
)
async def test_what_cannot_be_written_is_counted_and_the_next_is_tried(error, reason, caplog):
    async with recording() as (recorder, events):
        events.error = error
        recorder.record(note())
        await settle()
        assert recorder.failed == {reason: 1}
        events.error = None
        recorder.record(note("next"))
        await settle()
        assert [one["message"] for one in events.kept.values()] == ["next"]
    assert caplog.messages == ["event not written"]


async def test_an_answer_that_was_lost_makes_no_second_event():
    async with recording() as (recorder, events):
        events.error = KubeError(409, "AlreadyExists", "")
        recorder.record(note())
        await settle()
        assert (recorder.written, recorder.failed) == (1, {})


async def test_texts_are_cut_to_what_the_api_takes():
    async with recording() as (recorder, events):
        recorder.record(note("ü" * 5000, name="x" * 253))
        await settle()
        [body] = events.kept.values()
    assert len(body["message"]) == 1024
    assert body["message"].endswith("…")
    assert len(body["metadata"]["name"]) <= 253
