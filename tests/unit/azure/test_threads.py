"""The threads in which the SDK is called; real ones, held and let go by events."""

import asyncio
import logging
import threading

import pytest
import uvloop

from speechpool.errors import EngineFailed
from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.threads import SdkThreads

LIMIT_SECONDS = 30


class Gate:
    """A call that lasts until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.passed = threading.Event()

    def __call__(self, value: object = None) -> object:
        self.entered.set()
        assert self.opened.wait(LIMIT_SECONDS)
        self.passed.set()
        return value


async def until(event: threading.Event) -> None:
    """Without blocking the loop, and without a thread of the default executor."""
    threads = SdkThreads(limit=1)
    assert await threads.run(event.wait, LIMIT_SECONDS)
    await threads.close(LIMIT_SECONDS)


async def test_a_call_runs_in_a_thread_of_ours() -> None:
    threads = SdkThreads()
    thread = await threads.run(threading.current_thread)
    assert thread.daemon
    assert thread.name == "speechpool-sdk-call"
    assert await threads.close(LIMIT_SECONDS)


def test_it_works_on_uvloop() -> None:
    async def main() -> int:
        threads = SdkThreads()
        try:
            return await threads.run(lambda: 7)
        finally:
            await threads.close(LIMIT_SECONDS)

    assert uvloop.run(main()) == 7


async def test_what_a_call_raises_comes_without_its_frames() -> None:
    threads = SdkThreads()

    def fail() -> None:
        raise RuntimeError("0x1e")

    with pytest.raises(RuntimeError, match="0x1e") as raised:
        await threads.run(fail)
    assert fail.__code__ not in [entry.frame.code.raw for entry in raised.traceback]
    await threads.close(LIMIT_SECONDS)


async def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    threads = SdkThreads(limit=1)
    gate = Gate()
    first = asyncio.ensure_future(threads.run(gate, "first"))
    await until(gate.entered)
    second = asyncio.ensure_future(threads.run(lambda: "second"))
    await asyncio.sleep(0)
    assert threads.busy == 2
    gate.opened.set()
    assert await asyncio.gather(first, second) == ["first", "second"]
    assert await threads.close(LIMIT_SECONDS)
    assert threads.busy == 0


async def test_a_long_call_leaves_room_for_a_short_one() -> None:
    threads = SdkThreads(limit=1)
    gate = Gate()
    threads.start(gate)
    await until(gate.entered)
    assert await threads.run(lambda: "short") == "short"
    gate.opened.set()
    assert await threads.close(LIMIT_SECONDS)


async def test_a_result_that_nobody_waits_for_any_more_is_disposed_of() -> None:
    threads = SdkThreads()
    gate = Gate()
    discarded: list[object] = []
    call = asyncio.ensure_future(threads.run(gate, "client", discard=discarded.append))
    await until(gate.entered)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.opened.set()
    assert await threads.close(LIMIT_SECONDS)
    assert discarded == ["client"]


async def test_a_disposal_that_takes_too_long_counts_as_stuck_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    threads = SdkThreads(dispose_limit_seconds=-1.0)
    gate = Gate()
    with caplog.at_level(logging.WARNING):
        threads.dispose(gate, name="recogniser")
        await until(gate.entered)
        assert (threads.disposing, threads.stuck) == (1, 1)
        gate.opened.set()
        assert await threads.close(LIMIT_SECONDS)
    assert (threads.disposing, threads.stuck) == (0, 0)
    assert [record.message for record in caplog.records] == ["disposal was stuck"]


async def test_a_disposal_that_fails_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    threads = SdkThreads()

    def fail() -> None:
        raise RuntimeError("secret")

    with caplog.at_level(logging.WARNING):
        threads.dispose(fail, name="synthesizer")
        await threads.close(LIMIT_SECONDS)
    assert [record.message for record in caplog.records] == ["disposal failed"]
    assert "secret" not in caplog.text


async def test_a_stuck_disposal_does_not_hold_up_another() -> None:
    threads = SdkThreads()
    gate, done = Gate(), threading.Event()
    threads.dispose(gate, name="stuck")
    await until(gate.entered)
    threads.dispose(done.set, name="quick")
    await until(done)
    gate.opened.set()
    assert await threads.close(LIMIT_SECONDS)


async def test_closing_waits_no_longer_than_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    threads = SdkThreads()
    gate = Gate()
    threads.start(gate)
    await until(gate.entered)
    assert not await threads.close(0.01)
    assert "left calls of the SDK behind" in caplog.text
    gate.opened.set()
    assert await threads.close(LIMIT_SECONDS)


async def test_after_closing_there_are_no_calls_but_disposals() -> None:
    threads = SdkThreads()
    await threads.close(LIMIT_SECONDS)
    with pytest.raises(EngineFailed, match="closed"):
        await threads.run(int)
    with pytest.raises(EngineFailed, match="closed"):
        threads.start(lambda: None)
    done = threading.Event()
    threads.dispose(done.set, name="late")
    await until(done)


async def test_threads_end_with_the_work() -> None:
    threads = SdkThreads()
    await asyncio.gather(*(threads.run(lambda: None) for _ in range(20)))
    thread = await threads.run(threading.current_thread)
    await threads.close(LIMIT_SECONDS)
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()


def test_a_loop_that_is_closed_is_told_nothing() -> None:
    async def make() -> Bridge:
        return Bridge()

    heard: list[int] = []
    assert not asyncio.run(make()).post(heard.append, 1)
    assert heard == []


async def test_an_event_that_cannot_be_read_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Signal:
        def connect(self, callback):
            self.callback = callback

    def read(event: str) -> str:
        raise ValueError(event)

    signal = Signal()
    Bridge().connect(signal, read, print)
    signal.callback("swordfish")
    assert "could not be read" in caplog.text
    assert "swordfish" not in caplog.text


async def test_an_event_is_read_in_its_thread_and_heard_on_the_loop() -> None:
    class Signal:
        def connect(self, callback):
            self.callback = callback

    signal, where = Signal(), []
    heard = asyncio.Event()

    def hear(thread: threading.Thread) -> None:
        where.extend([thread, threading.current_thread()])
        heard.set()

    Bridge().connect(signal, lambda _: threading.current_thread(), hear)
    threads = SdkThreads()
    await threads.run(signal.callback, "event")
    await heard.wait()
    assert where[0] is not threading.main_thread()
    assert where[1] is threading.main_thread()
    await threads.close(LIMIT_SECONDS)
