"""The sidecar's log handler: one trouble is one line, and what fails again and again is told ever more seldom.

An engine that is away is tried for as long as it takes; each attempt is counted in the metrics.
"""

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from speechpool.settings.logs import LineHandler

__all__ = ["SparingHandler"]

FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0
"""Between two lines about the same: doubled from the first to the longest."""

FORGET_SECONDS: Final = 300.0
"""What has not come for so long is news when it comes again; far above the pause between two attempts at anything."""

MAX_KNOWN: Final = 256
"""Different troubles at once; a guess far above what one sidecar has."""

_REASON_CHARACTERS: Final = 120
"""As far as two reasons are compared: behind that some have an id or a time of their own."""

_DIGITS: Final = re.compile(r"\d+(\.\d+)?")

_WHOSE: Final = ("pool", "endpoint", "work", "engine", "step", "pid")
"""Fields that tell the troubles of one from those of another."""

_POOLS: Final = "speechpool.pools"
_TOLD_WITH_REASON: Final = frozenset({"[%s] creation failed: %s", "[%s] warm-up failed: %s"})
"""What the pools say by themselves, for programs that use them alone: here the service tells it, with the reason."""


@dataclass(slots=True)
class _Trouble:
    """What has come before.

    Args:
        came_at: The last time, monotonic.
        told_at: When it was last written.
        pause_seconds: How long it is not written again.
        untold: How often it has come since.
    """

    came_at: float
    told_at: float
    pause_seconds: float = FIRST_PAUSE_SECONDS
    untold: int = 0


class SparingHandler(LineHandler):
    """Writes records as its base does, but a warning with a `reason` that came before only now and then.

    Such a line has a field `times`: how often it has come since the line before it. A level of debug shows all.

    Args:
        stream: Where to.
        clock: Monotonic seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._known: OrderedDict[tuple[object, ...], _Trouble] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if not super().filter(record):
            return False
        if record.levelno != logging.WARNING or logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        if record.name == _POOLS and record.msg in _TOLD_WITH_REASON:
            return False
        return not hasattr(record, "reason") or self._is_due(record)

    def _is_due(self, record: logging.LogRecord) -> bool:
        now, key = self._clock(), _key(record)
        known = self._known.pop(key, None)
        if known is None or now - known.came_at > FORGET_SECONDS:
            known = _Trouble(came_at=now, told_at=now)
            is_due = True
        else:
            known.came_at = now
            known.untold += 1
            is_due = now - known.told_at >= known.pause_seconds
        self._known[key] = known
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        if is_due and known.untold:
            record.times = known.untold
            known.told_at, known.untold = now, 0
            known.pause_seconds = min(known.pause_seconds * 2, MAX_PAUSE_SECONDS)
        return is_due


def _key(record: logging.LogRecord) -> tuple[object, ...]:
    """The same for the same trouble: the message, whose it is, and the reason but for its numbers."""
    fields = vars(record)
    reason = _DIGITS.sub("", str(fields["reason"]))[:_REASON_CHARACTERS]
    return record.name, record.msg, reason, *(fields.get(name) for name in _WHOSE)
