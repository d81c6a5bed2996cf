"""Asynchronous contexts for tests without an event loop: kept open on a loop in a thread of their own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from tests.cluster.apiserver import PATIENCE_SECONDS

__all__ = ["beside"]

T = TypeVar("T")


@contextlib.contextmanager
def beside(context: AbstractAsyncContextManager[T], name: str) -> Iterator[T]:
    """What the context gives, for as long as this one is open.

    Args:
        context: Entered and left on the loop of the thread.
        name: Of the thread.
    """
    given: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def keep_open() -> None:
        async with context as opened:
            stop = asyncio.Event()
            given.set_result((opened, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(keep_open())
        except BaseException as error:
            if given.done():
                raise  # pytest tells of it
            given.set_exception(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    opened, loop, stop = given.result(PATIENCE_SECONDS)
    try:
        yield opened
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), f"{name} does not end"
