"""An event loop in a thread of its own, for programs that have none, and the Azure engines that its clients share."""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from speechpool.errors import EngineTimeout
from speechpool.speech.azure.engine import AzureEngine
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.threads import SdkThreads

__all__ = ["Background", "background"]

T = TypeVar("T")

_CLOSE_SECONDS = 5.0
"""How long the end of the process waits for engines; a second more than an engine waits for the SDK."""


class Background:
    """The loop, its thread, and what lives there. Made at the first use; in a forked child another one is made."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._engines: dict[frozenset[tuple[str, str]], asyncio.Task[AzureEngine]] = {}
        self._callbacks = SdkThreads(limit=64)
        threading.Thread(target=self._loop.run_forever, name="speechpool-azure", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T], limit_seconds: float | None = None) -> T:
        """The result of a coroutine, run on the loop; blocks the calling thread.

        Raises:
            EngineTimeout: It took longer than `limit_seconds`; it is cancelled.
        """
        running = asyncio.run_coroutine_threadsafe(_limited(work, limit_seconds), self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()  # of effect where the caller was interrupted
            raise

    def post(self, function: Callable[[], object]) -> None:
        """Call `function()` on the loop, soon; from any thread."""
        self._loop.call_soon_threadsafe(function)

    async def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function of the program's in a thread, where it may block.

        Raises:
            Exception: What it raised.
        """
        await self._callbacks.run(function, *args)

    async def engine(self, options: Mapping[str, str]) -> AzureEngine:
        """The engine with these options, open; one for all clients that have the same.

        Args:
            options: As `AzureOptions.parse` takes them.

        Raises:
            SettingsError: An option is wrong or missing.
            EngineUnavailable: The SDK cannot be loaded.
        """
        key = frozenset(options.items())
        if key not in self._engines:
            self._engines[key] = asyncio.create_task(_open(options))
            self._engines[key].add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(self._engines[key])

    def close(self) -> None:
        """End what runs and close the engines, within a bound."""
        with suppress(EngineTimeout):  # daemon threads: the process ends all the same
            self.run(self._close(), _CLOSE_SECONDS)

    async def _close(self) -> None:
        engines, self._engines = [task.result() for task in self._engines.values() if task.done()], {}
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(engine.close() for engine in engines))

    def _forget(self, key: frozenset[tuple[str, str]], task: asyncio.Task[AzureEngine]) -> None:
        if task.cancelled() or task.exception():
            self._engines.pop(key, None)


async def _open(options: Mapping[str, str]) -> AzureEngine:
    engine = AzureEngine(AzureOptions.parse(options))
    await engine.open()
    return engine


async def _limited(work: Coroutine[Any, Any, T], limit_seconds: float | None) -> T:
    limit = asyncio.timeout(limit_seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise EngineTimeout(f"Azure did not finish within {limit_seconds:g} s") from None


_lock = threading.Lock()
_current: Background | None = None


def background() -> Background:
    """The process's own."""
    global _current  # noqa: PLW0603 - one for the process, as its loop has one thread
    with _lock:
        if _current is None:
            _current = Background()
            atexit.register(_current.close)
        return _current


def _after_fork() -> None:
    """A child has no thread of its parent's, and must not use the SDK's objects of it."""
    global _current, _lock
    if _current is not None:
        atexit.unregister(_current.close)
    _current, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
