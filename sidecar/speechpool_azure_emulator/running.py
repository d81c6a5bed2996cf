"""The emulator in a thread of its own, with a loop of its own: nothing that a test's loop does can make it late."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from speechpool_azure_emulator.emulator import AzureEmulator, EmulatorFailed

__all__ = ["RunningEmulator", "running_emulator"]

T = TypeVar("T")

_START_SECONDS, _STEP_SECONDS = 60.0, 30.0  # bounds against a hang; each takes milliseconds


class RunningEmulator:
    """An emulator that another thread runs; its methods may be called from any thread.

    What it saw and how it behaves is as in `AzureEmulator`, and found by the same names; what is a coroutine there is
    a plain method here.

    Args:
        emulator: Open.
        loop: The loop that runs it.
    """

    def __init__(self, emulator: AzureEmulator, loop: asyncio.AbstractEventLoop) -> None:
        self.emulator = emulator
        self._loop = loop

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the emulator has
        return getattr(self.emulator, name)

    def lose_network(self, *, silently: bool = False) -> None:
        """As `AzureEmulator.lose_network`."""
        self._run(self.emulator.lose_network(silently=silently))

    def restore_network(self) -> None:
        """As `AzureEmulator.restore_network`."""
        self._run(self.emulator.restore_network())

    def restart(self) -> None:
        """As `AzureEmulator.restart`."""
        self._run(self.emulator.restart())

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Block until a condition on what it saw holds; it is looked at on the emulator's loop.

        Raises:
            EmulatorFailed: It did not within `seconds`.
        """
        self._run(self.emulator.wait_for(condition, seconds=seconds), seconds + _STEP_SECONDS)

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """The same for a coroutine on the caller's own loop, which goes on meanwhile."""
        work = self.emulator.wait_for(condition, seconds=seconds)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _run(self, work: Coroutine[Any, Any, T], seconds: float = _STEP_SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)


@contextmanager
def running_emulator(**arguments: Any) -> Iterator[RunningEmulator]:  # noqa: ANN401 - the emulator checks them
    """Run an emulator in a thread of its own.

    Args:
        arguments: As for `AzureEmulator`.

    Raises:
        SettingsError: An option is wrong.
        EmulatorFailed: It cannot start.
    """
    emulator = AzureEmulator(**arguments)
    life = _Life(emulator)
    thread = threading.Thread(target=life.run, name="azure-emulator", daemon=True)
    thread.start()
    loop = life.wait_open()
    try:
        yield RunningEmulator(emulator, loop)
    finally:
        life.end()
        thread.join(_STEP_SECONDS)


class _Life:
    """What happens in the thread, from its start to its end."""

    def __init__(self, emulator: AzureEmulator) -> None:
        self._emulator = emulator
        self._is_open = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._failure: Exception | None = None

    def run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._emulator:
                self._is_open.set()
                await self._over.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that waits for the start shall raise it
            self._failure = error
        finally:
            self._is_open.set()

    def wait_open(self) -> asyncio.AbstractEventLoop:
        if not self._is_open.wait(_START_SECONDS):
            raise EmulatorFailed(f"the emulator did not start within {_START_SECONDS:g} s")
        if self._failure:
            raise self._failure
        assert self._loop
        return self._loop

    def end(self) -> None:
        assert self._loop
        assert self._over
        self._loop.call_soon_threadsafe(self._over.set)
