"""The pool's time, and its one timer."""

import asyncio
import contextlib
import time
from collections.abc import Callable

__all__ = ["NEVER", "SLACK_SEC", "Clock"]

NEVER = float("inf")

SLACK_SEC = 0.001
"""A timer this early counts as on time; the coarsest clock of a supported loop has milliseconds (uvloop)."""


class Clock:
    """Seconds that never go back, and one wake-up at the earliest time asked for.

    Args:
        source: The time; by default the running loop's.
        on_due: Called with the time when `due` has come.
    """

    __slots__ = ("_loop", "_on_due", "_source", "_timer", "due", "now")

    def __init__(self, source: Callable[[], float] | None, on_due: Callable[[float], None]) -> None:
        self._source = source
        self._on_due = on_due
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.now: Callable[[], float] = source or self._first_now
        self.due = -NEVER  # the first call looks what is due when

    @property
    def has_loop(self) -> bool:
        """Whether the pool was used in a loop yet."""
        return self._loop is not None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, whose time is the pool's own unless one was given."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            if self._source is None:
                # The clock under these two, without the first one's detour (30 ns of each acquire) and the second
                # one's rounding to milliseconds. Any other loop may have a time of its own.
                standard = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
                known = standard or type(loop).__module__.partition(".")[0] == "uvloop"
                self.now = time.monotonic if known else loop.time
        return loop

    def wake_at(self, when: float) -> None:
        """Have `on_due` called at this time at the latest."""
        if when < self.due:
            self.stop()
            self.due = when
            self._timer = self.loop().call_later(max(0.0, when - self.now()), self._on_timer)

    def restart(self) -> None:
        """Forget what was asked for, and have the next call look at once."""
        self.stop()
        self.due = -NEVER

    def stop(self) -> None:
        """Forget what was asked for."""
        self.due = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now = self.now()
        # A loop may be early by its clock's resolution; what is due by then is due.
        self._on_due(self.due if now < self.due < now + SLACK_SEC else now)

    def _first_now(self) -> float:
        with contextlib.suppress(RuntimeError):  # a snapshot before there is a loop
            return self.loop().time()
        return 0.0
