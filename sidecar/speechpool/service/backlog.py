"""When it is worth telling that audio waits for the engine."""

import asyncio
from collections.abc import Callable

__all__ = ["Backlog"]

BEHIND_SECONDS = 2.0
"""From how much waiting audio on the consumer is told, and again with every further second."""

CAUGHT_UP_SECONDS = 0.5
"""Below how much waiting audio a stream that was behind is so no longer."""

BURST_SECONDS = 1.0
"""How long much audio must wait before that is worth telling: a burst that is heard at once is not."""


class Backlog:
    """Tells how much audio waits: once it has lasted, again with every further second, and 0 when it is over.

    A timer tells the first, because neither writer nor engine may ever come back: one waits for room, the other stands
    still.

    Args:
        tell: Called with the seconds that wait; must not block.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._waiting_seconds = 0.0
        self._told_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_lasting = False

    def note(self, waiting_seconds: float) -> None:
        """Take note of how much audio waits now.

        Args:
            waiting_seconds: Audio that the engine did not take yet, in seconds.
        """
        self._waiting_seconds = waiting_seconds
        if waiting_seconds < BEHIND_SECONDS:
            self.close()
            if self._told_seconds > 0 and waiting_seconds < CAUGHT_UP_SECONDS:
                self._say(0.0)
        elif self._is_lasting:
            if waiting_seconds >= self._told_seconds + 1:
                self._say(waiting_seconds)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BURST_SECONDS, self._last)

    def close(self) -> None:
        """Tell no more of what waits now."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._is_lasting = False

    def _last(self) -> None:
        self._is_lasting = True
        self.note(self._waiting_seconds)

    def _say(self, seconds: float) -> None:
        self._told_seconds = seconds
        self._tell(seconds)
