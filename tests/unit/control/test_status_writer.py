"""The writer of statuses, in virtual time, before an API server that the test plays."""

import asyncio
import contextlib
import itertools

import pytest
from tests.unit.control.fleets import pool_manifest
from tests.virtual import VIRTUAL

from speechpool_operator import status_writer
from speechpool_operator.kube import KubeError, KubeUnavailable
from speechpool_operator.objects import read_speech_pool
from speechpool_operator.status_writer import StatusWriter

pytestmark = VIRTUAL

KEY = ("calls", "voice")
NOT_FOUND = KubeError(404, "NotFound", "")
BUSY = KubeError(429, "TooManyRequests", "", 7.0)


class PlayedApi:
    """Notes what is written and when, and answers as it is told."""

    def __init__(self) -> None:
        self.writes = []
        self.errors = []
        self.at_once = self.most_at_once = 0
        self.seconds = 0.0
        self.waiting = asyncio.Event()

    async def json_patch(self, path, operations):
        self.writes.append((asyncio.get_running_loop().time() - 1000, path, operations[1]["value"]["n"]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.errors:
            raise self.errors.pop(0)
        name = path.split("/")[-2]
        return pool_manifest(name, status=operations[1]["value"])

    @property
    def numbers(self):
        return [n for _, _, n in self.writes]


@contextlib.asynccontextmanager
async def writing(*errors, may_write=lambda: True):
    api, answers = PlayedApi(), []
    api.errors = list(errors)
    writer = StatusWriter(api, answered=answers.append, may_write=may_write)
    task = asyncio.create_task(writer.run())
    try:
        yield api, writer, answers
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_status_is_written_at_once_and_the_answer_handed_on():
    async with writing() as (api, writer, answers):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(0.5)
        assert api.writes == [(0.0, "/apis/speechpool.dev/v1alpha1/namespaces/calls/speechpools/voice/status", 1)]
        assert [one.status for one in answers] == [{"n": 1}]
        assert (writer.written, writer.waiting) == (1, 0)


async def test_of_many_in_a_second_the_first_and_the_last_are_written():
    async with writing() as (api, writer, _):
        for n in range(10):
            writer.put(KEY, "uid", {"n": n})
            await asyncio.sleep(0.01)
        assert api.numbers == [0]
        await asyncio.sleep(5)
        assert [(round(at, 3), n) for at, _, n in api.writes] == [(0.0, 0), (1.0, 9)]


async def test_objects_do_not_wait_for_each_others_rest():
    async with writing() as (api, writer, _):
        for name in "abc":
            writer.put(("calls", name), "uid", {"n": 1})
        await asyncio.sleep(0.5)
        assert [at for at, _, _ in api.writes] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "error", [BUSY, KubeError(503, "Unavailable", ""), KubeError(409, "Conflict", ""), KubeUnavailable("no answer")]
)
async def test_a_write_that_failed_is_tried_again(error):
    async with writing(error) as (api, writer, _):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(30)
        assert api.numbers == [1, 1]
        assert (writer.written, writer.failed.total()) == (1, 1)


async def test_not_before_the_api_server_wants_to_be_asked():
    async with writing(BUSY) as (api, writer, _):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(30)
        assert api.writes[1][0] >= 7


async def test_pauses_grow_and_what_is_newer_takes_the_place_of_what_failed():
    async with writing(*[KubeUnavailable("no answer")] * 8) as (api, writer, _):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(60)
        times = [at for at, _, _ in api.writes]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses[-1] > pauses[0]
        assert max(pauses) <= status_writer.MAX_BACKOFF_SECONDS
        writer.put(KEY, "uid", {"n": 2})
        await asyncio.sleep(300)
        assert api.numbers[-1] == 2
        assert writer.waiting == 0


@pytest.mark.parametrize("error", [NOT_FOUND, KubeError(422, "Invalid", "")])
async def test_an_object_that_is_gone_is_forgotten(error):
    async with writing(error) as (api, writer, _):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(60)
        assert (api.numbers, writer.waiting) == ([1], 0)
        writer.put(KEY, "another uid", {"n": 2})
        await asyncio.sleep(1)
        assert api.numbers == [1, 2]


async def test_a_namesake_is_spared():
    tested = []

    class Api(PlayedApi):
        async def json_patch(self, path, operations):
            tested.append(operations[0])
            return await super().json_patch(path, operations)

    writer = StatusWriter(Api(), answered=lambda _: None, may_write=lambda: True)
    writer.put(KEY, "uid-1", {"n": 1})
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(1)
    task.cancel()
    assert tested == [{"op": "test", "path": "/metadata/uid", "value": "uid-1"}]


async def test_ten_thousand_objects_are_written_at_a_bounded_rate():
    async with writing() as (api, writer, _):
        api.seconds = 0.02
        for n in range(10_000):
            writer.put(("calls", f"pool-{n}"), "uid", {"n": n})
        await asyncio.sleep(10)
        bound = status_writer.BURST_WRITES + 10 * status_writer.WRITES_PER_SECOND
        assert 0.9 * bound <= len(api.writes) <= bound + status_writer.WRITES_AT_ONCE
        assert api.most_at_once <= status_writer.WRITES_AT_ONCE
        await asyncio.sleep(120)
        assert (sorted(api.numbers), writer.waiting) == (list(range(10_000)), 0)


async def test_an_operator_that_leads_no_more_writes_nothing():
    async with writing(may_write=lambda: False) as (api, writer, _):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(60)
        assert api.writes == []
        assert writer.waiting == 1


async def test_what_is_answered_can_be_read():
    async with writing() as (_, writer, answers):
        writer.put(KEY, "uid", {"n": 1})
        await asyncio.sleep(1)
        assert answers[0].key == read_speech_pool(pool_manifest()).key
