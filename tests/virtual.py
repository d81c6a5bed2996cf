"""Virtual time: event loops whose clock moves only when nothing else can run, built on looptime.

A day of timers passes in milliseconds, every run is the same, and a test that would wait for ever fails at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import looptime
import pytest
import uvloop

__all__ = [
    "TICK",
    "VIRTUAL",
    "SteppingUvloop",
    "SteppingVirtualLoop",
    "elapsed",
    "new_virtual_loop",
    "run",
    "settle",
    "tasks_left",
]

T = TypeVar("T")

TICK = 1e-6
"""The clock's resolution in seconds: the shortest time that lets everything runnable run first."""

# idle_timeout=0: nothing can run, no timer is set and nobody outside can help, so a wait for ever is an error at once.
# noop_cycles=0: looptime's extra empty passes before each step of the clock would cost most of the run time.
_OPTIONS = {"start": 1000.0, "noop_cycles": 0, "idle_timeout": 0}

VIRTUAL = pytest.mark.looptime(**_OPTIONS)
"""The mark of a test module whose tests run in virtual time; the clock starts at 1000 s, so that no age is 0."""


def new_virtual_loop() -> asyncio.AbstractEventLoop:
    """A new loop on virtual time; the caller closes it."""
    return looptime.new_event_loop(**_OPTIONS)


async def settle() -> None:
    """Let everything that can run at this instant run."""
    await asyncio.sleep(TICK)


def elapsed(since: float) -> float:
    """Seconds of loop time since `since`, rounded to a millisecond (ticks of `settle` vanish)."""
    return round(asyncio.get_running_loop().time() - since, 3)


def tasks_left() -> set[asyncio.Task[Any]]:
    """The tasks that still run, the caller's own left out."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type] # inside a task it is not None


def run(main: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop | None = None) -> T:
    """Run `main` on a loop of its own.

    Args:
        main: What to run.
        loop: A new loop, closed afterwards; a virtual one by default.

    Raises:
        AssertionError: `main` left a task behind, or a callback or a task failed with nobody to notice.
    """
    loop = loop or new_virtual_loop()
    unnoticed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unnoticed.append(context))
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left behind: {left}"
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert not unnoticed, f"failures nobody noticed: {unnoticed}"
    return result


class _Stepping:
    """A mixin for loops: counts the callbacks it runs, and can act between any two of them.

    Between two callbacks is where everything else happens as seen from a coroutine: every suspension point of every
    task, each in its states "waits", "was woken but did not run yet" and "runs next".
    """

    steps = 0
    before_step: Callable[[int], None] | None = None  # called with the number of each callback, before it runs

    def _counted(self, callback: Callable[..., object]) -> Callable[..., None]:
        def step(*args: Any) -> None:
            self.steps += 1
            if self.before_step:
                self.before_step(self.steps)
            callback(*args)

        return step

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return super().call_soon(self._counted(callback), *args, context=context)  # type: ignore[misc] # the loop's


class SteppingVirtualLoop(_Stepping, looptime.make_event_loop_class(asyncio.SelectorEventLoop)):  # type: ignore[misc] # made at run time
    """A virtual loop that counts its steps."""

    def __init__(self) -> None:
        super().__init__(**_OPTIONS)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return super().call_at(when, self._counted(callback), *args, context=context)


class SteppingUvloop(_Stepping, uvloop.Loop):
    """A uvloop that counts its steps; on real time."""

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return super().call_later(delay, self._counted(callback), *args, context=context)
