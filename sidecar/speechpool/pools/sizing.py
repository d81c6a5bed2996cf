"""How many warm clients the traffic of the last quarter of an hour needed.

With refill on every event, idle + in creation - waiting is constant, so a call is cold exactly when at least as many
calls as there are warm clients came within the creation time before it. Counting those calls at each arrival
therefore gives the cold rate of every size at once, with no model of the traffic.
"""

from collections import Counter, deque

__all__ = ["Sizer"]

WINDOW_SEC = 900.0
"""How much traffic is remembered."""

BUCKET_SEC = 60.0

MOST_ARRIVALS = 8192
"""Arrivals kept between two counts; above it the older ones are dropped, which leaves a sample. A guess."""

MOST_CREATIONS = 64
"""Creations whose mean is the creation time. A guess."""


class Sizer:
    """Recommends a number of warm clients.

    `arrivals` is filled by the pool's fast path, one time per call, and counted in bulk here.
    """

    __slots__ = ("_buckets", "_recent", "_seconds", "arrivals")

    def __init__(self) -> None:
        self.arrivals: deque[float] = deque(maxlen=MOST_ARRIVALS)
        self._recent: deque[float] = deque()
        self._buckets: deque[tuple[float, Counter[int]]] = deque()
        self._seconds: deque[float] = deque(maxlen=MOST_CREATIONS)

    def created(self, seconds: float) -> None:
        """Note how long a creation with its warm-up took."""
        self._seconds.append(seconds)

    @property
    def creation_sec(self) -> float | None:
        """The mean creation time in seconds; None before the first creation."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else None

    def recommend(self, cold_target: float, now: float) -> int | None:
        """The smallest size with at most this share of cold calls; None without traffic or creations to judge by."""
        self.count(now)
        calls: Counter[int] = Counter()
        for _, bucket in self._buckets:
            calls.update(bucket)
        total = sum(calls.values())
        if not total:
            return None
        cold = total
        size = 0
        while cold > cold_target * total:
            cold -= calls[size]
            size += 1
        return size

    def count(self, now: float) -> None:
        """Take the arrivals since the last count into the histogram."""
        span = self.creation_sec
        if span is None:
            return
        recent, arrivals = self._recent, self.arrivals
        while arrivals:
            arrival = arrivals.popleft()
            while recent and recent[0] <= arrival - span:
                recent.popleft()
            self._bucket(arrival)[len(recent)] += 1
            recent.append(arrival)
        while self._buckets and self._buckets[0][0] <= now - WINDOW_SEC:
            self._buckets.popleft()

    def _bucket(self, arrival: float) -> Counter[int]:
        if not self._buckets or arrival - self._buckets[-1][0] >= BUCKET_SEC:
            self._buckets.append((arrival, Counter()))
        return self._buckets[-1][1]
