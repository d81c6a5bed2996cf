"""A cancellation at every moment of every kind of use: the client is back, nothing is left behind, nothing is mixed.

Each scenario runs once to count the callbacks that the loop runs while the victim is alive, then once more for each of
them, with the victim cancelled just before that callback.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.fakes import FakeEngine, sound
from tests.unit.service.world import ask, collect, listening, recording, said, serving, speaking
from tests.virtual import SteppingVirtualLoop, run

from speechpool.errors import EngineFailed
from speechpool.service.requests import RecognizeRequest, SpeakOptions, TranscribeRequest
from speechpool.service.service import SpeechService

TEXT = "One two. Three four."


async def speak_once(service: SpeechService) -> None:
    await said(service, ask(TEXT, response_format="wav"))


async def speak_in_a_session(service: SpeechService) -> None:
    await said(service, ask(TEXT, session_id="call-1"))


async def barge_in(service: SpeechService) -> None:
    async with service.speak(ask(TEXT)) as stream:
        await anext(stream)
        await stream.cancel()
        await collect(stream)


async def stream_text(service: SpeechService) -> None:
    async with service.speak_text(SpeakOptions(response_format="pcm")) as stream:
        await stream.add("One two. Thr")
        await stream.add("ee four.")
        await stream.finish()
        await collect(stream)


async def recognize(service: SpeechService) -> None:
    async with service.recognize(RecognizeRequest()) as stream:
        await stream.write(sound(0.6))
        await stream.commit()
        await stream.write(sound(0.6))
        await stream.finish()
        await collect(stream)


async def transcribe(service: SpeechService) -> None:
    await service.transcribe(TranscribeRequest(upload=recording(1.2))).result()


async def put_and_delete(service: SpeechService) -> None:
    await service.sessions.put("call-2")
    await service.sessions.delete("call-2")


def failing(engine: FakeEngine) -> None:
    engine.fail(EngineFailed("broke off"))


SCENARIOS: dict[str, tuple[Callable[[SpeechService], Awaitable[Any]], Callable[[FakeEngine], None] | None, int]] = {
    "speak warm": (speak_once, None, 1),
    "speak cold": (speak_once, None, 0),
    "speak with a retry": (speak_once, failing, 1),
    "speak in a session": (speak_in_a_session, None, 1),
    "barge in": (barge_in, None, 1),
    "stream text": (stream_text, None, 1),
    "stream text with a retry": (stream_text, failing, 1),
    "recognize": (recognize, None, 1),
    "transcribe": (transcribe, None, 1),
    "put and delete a session": (put_and_delete, None, 1),
}


async def world(scenario: str, hold: Callable[[asyncio.Task[Any]], None]) -> None:
    """One run: the victim is handed to `hold` when it begins; afterwards everything must be as if it had never been."""
    victim, prepare, warm = SCENARIOS[scenario]
    engine = FakeEngine(create_seconds=0.01, first_chunk_seconds=0.005, reset_seconds=0.001, close_seconds=0.001)
    async with serving(engine, speaking(warm_pool_size=warm), listening(warm_pool_size=warm)) as service:
        if prepare:
            prepare(engine)
        task = asyncio.create_task(victim(service))  # type: ignore[arg-type] # a coroutine, as all victims are
        hold(task)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await check_after(service, engine)


async def check_after(service: SpeechService, engine: FakeEngine) -> None:
    assert service.active == 0
    engine.faults.clear()
    await asyncio.sleep(1.0)
    assert not engine.busy_clients
    for pool in service.pools().values():
        assert pool["items"]["out"] == 0
        assert pool["waiting"] == 0
    for session in list(service.sessions.list()):
        assert session.state == "idle"
        await service.sessions.delete(session.id)
    assert all(not pool["active_sessions"] for pool in service.pools().values())
    assert await said(service, ask(TEXT, session_id="call-1"))
    await asyncio.sleep(0.1)


def count_steps(scenario: str) -> tuple[int, int]:
    """The loop's step numbers at which the victim begins and ends."""
    loop = SteppingVirtualLoop()
    span: list[int] = []

    def hold(task: asyncio.Task[Any]) -> None:
        span.append(loop.steps)
        task.add_done_callback(lambda _: span.append(loop.steps))

    run(world(scenario, hold), loop)
    return span[0], span[1]


def run_with_cancellation(scenario: str, step: int) -> bool:
    """Whether the victim was still there to be cancelled before that step."""
    loop = SteppingVirtualLoop()
    hits: list[bool] = []

    def hold(task: asyncio.Task[Any]) -> None:
        def before(number: int) -> None:
            if number == step:
                hits.append(task.cancel())

        loop.before_step = before

    run(world(scenario, hold), loop)
    return bool(hits and hits[0])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_cancellation_at_any_moment_leaves_nothing_behind(scenario) -> None:
    begin, end = count_steps(scenario)
    hits = sum(run_with_cancellation(scenario, step) for step in range(begin + 1, end + 1))
    assert hits >= (end - begin) * 0.9
