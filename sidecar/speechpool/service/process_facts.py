"""What the operating system and the event loop say of this process."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["LoopLag", "thread_count"]

LAG_PERIOD_SECONDS = 0.25
"""How often the loop's lateness is measured: four wake-ups a second cost less than 0.1 % of a core."""


def thread_count() -> int:
    """Threads of this process, native ones included where the system tells."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return threading.active_count()


class LoopLag:
    """Measures how late the event loop runs timers.

    Args:
        observe: Called with each lateness, in seconds.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure until `stop()`."""
        loop = asyncio.get_running_loop()
        self._set(loop, loop.time() + LAG_PERIOD_SECONDS)

    def stop(self) -> None:
        """Measure no more; safe to repeat."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        self._timer = loop.call_at(due_at, self._measure, loop, due_at)

    def _measure(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        now = loop.time()
        self._observe(max(0.0, now - due_at))
        self._set(loop, now + LAG_PERIOD_SECONDS)
