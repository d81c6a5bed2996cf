"""What a pool counts. Only events are stored; everything that can be computed from the stock is computed."""

from bisect import bisect_left
from collections import Counter, deque

from .tiers import AllocationTier

__all__ = ["Peak", "Stats"]

WAIT_BOUNDS_SEC = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

FAILURES = ("timeout", "error", "cancelled", "rejected")
"""Every way an allocation can fail; each is counted under exactly one."""


class Stats:
    """Counters since the pool was constructed."""

    __slots__ = (
        "closed",
        "cold",
        "counts",
        "dedicated_ended",
        "failures",
        "made",
        "wait_seconds",
        "waits",
        "warm",
        "warmup_cycles",
    )

    def __init__(self) -> None:
        self.warm = 0
        self.cold = 0
        self.dedicated_ended = 0  # lookups of sessions that are over; each live one counts its own
        self.failures: Counter[str] = Counter()
        self.made = 0
        self.closed: Counter[str] = Counter()
        self.warmup_cycles = 0
        self.counts: Counter[str] = Counter()
        self.wait_seconds = 0.0
        self.waits = [0] * (len(WAIT_BOUNDS_SEC) + 1)

    def allocated(self, tier: AllocationTier) -> None:
        """Count a caller who was served."""
        if tier is AllocationTier.WARM:
            self.warm += 1
        elif tier is AllocationTier.COLD:
            self.cold += 1
        else:
            self.dedicated_ended += 1

    def waited(self, seconds: float) -> None:
        """Note how long a caller waited; those who did not wait are known by the totals."""
        self.wait_seconds += seconds
        self.waits[bisect_left(WAIT_BOUNDS_SEC, seconds)] += 1

    def wait_buckets(self, served: int) -> dict[str, int]:
        """Served callers by longest wait in seconds, cumulative; `"0"` are those who did not wait."""
        running = served - sum(self.waits)
        buckets = {"0": running}
        for bound, count in zip((*WAIT_BOUNDS_SEC, "+Inf"), self.waits, strict=True):
            running += count
            buckets[str(bound)] = running
        return buckets


class Peak:
    """The largest value seen in a sliding window, kept in eight parts."""

    __slots__ = ("_parts", "_until", "highest")

    PARTS = 8

    def __init__(self) -> None:
        self._parts: deque[int] = deque([0], maxlen=self.PARTS + 1)
        self._until = 0.0
        self.highest = 0

    def note(self, value: int) -> None:
        """Take a value into the present part."""
        self._parts[-1] = max(self._parts[-1], value)
        self.highest = max(self.highest, value)

    def roll(self, value: int, window_sec: float, now: float) -> float:
        """Begin a new part if the present one is over; when to call again."""
        step = window_sec / self.PARTS
        if now >= self._until:
            skipped = min(int((now - self._until) / step), self.PARTS)
            self._parts.extend([value] * (skipped + 1))
            self._until = now + step
        self.note(value)
        self.highest = max(self._parts)
        return self._until
