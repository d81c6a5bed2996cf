"""When the next creation may begin: back-off, circuit breaker, pauses that were asked for, creations a minute."""

import math
import random
from collections import deque

from .settings import PoolSettings

__all__ = ["Circuit", "Pace", "asked_pause"]


def asked_pause(error: BaseException) -> float:
    """For how many seconds an error asks to be spared, by its attribute `retry_after_seconds`; 0 where it does not."""
    asked = getattr(error, "retry_after_seconds", None)
    return float(asked) if isinstance(asked, int | float) and math.isfinite(asked) and asked > 0 else 0.0


class Circuit:
    """Slows refill down while creations fail, and stops all of it but a probe after too many in a row.

    Where an error asks for a pause (`asked_pause`) no refill begins for so long, then one at a time until one goes
    well. Callers who wait are not held back: each may try once.

    Args:
        rng: Source of the jitter.
    """

    __slots__ = ("_rng", "failures", "held_until", "is_held", "last_error", "retry_at")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.failures = 0
        self.retry_at = 0.0
        self.held_until = 0.0
        self.is_held = False
        self.last_error: BaseException | None = None

    def failed(self, error: BaseException, settings: PoolSettings, now: float) -> bool:
        """Note a failed creation; whether this one opened the circuit."""
        self.failures += 1
        self.last_error = error
        self.retry_at = now + (
            settings.circuit_probe_sec if self.is_open(settings) else self.pause(settings, self.failures)
        )
        self.hold(error, now)
        return self.failures == settings.circuit_failures

    def hold(self, error: BaseException, now: float) -> None:
        """Begin nothing for as long as the error asks."""
        if seconds := asked_pause(error):
            self.is_held = True
            self.held_until = max(self.held_until, now + seconds)

    def release(self, now: float) -> bool:
        """Note something that went well: end the care after a pause that is over; whether there was one."""
        if not self.is_held or now < self.held_until:
            return False
        self.is_held = False
        return True

    def succeeded(self, settings: PoolSettings) -> bool:
        """Note a creation that went well, or that what failed is of the past; whether this closed the circuit."""
        was_open = self.is_open(settings)
        self.failures = 0
        self.retry_at = 0.0
        return was_open

    def reset(self) -> None:
        """Forget what went wrong."""
        self.failures = 0
        self.retry_at = self.held_until = 0.0
        self.is_held = False

    def is_open(self, settings: PoolSettings) -> bool:
        """Whether so many creations failed in a row that only probes are left."""
        return self.failures >= settings.circuit_failures

    def state(self, settings: PoolSettings, now: float) -> str:
        """`closed`, `open`, or `half_open` when a probe is due or under way."""
        if not self.is_open(settings):
            return "closed"
        return "open" if now < self.retry_at else "half_open"

    @property
    def is_slow(self) -> bool:
        """Whether one refill at a time may begin, and not before `next_at`."""
        return self.failures > 0 or self.is_held

    @property
    def next_at(self) -> float:
        """When the next refill may begin."""
        return max(self.retry_at, self.held_until)

    def refills(self, settings: PoolSettings, under_way: int, now: float) -> int:
        """How many more refills may begin now, with so many under way."""
        if self.is_slow:
            # One at a time until one succeeds: a service that fails is not met with a volley.
            return int(under_way == 0 and now >= self.next_at)
        return max(0, settings.max_refilling - under_way)

    def pause(self, settings: PoolSettings, failures: int) -> float:
        """Seconds to wait after so many failures in a row: doubled each time, with full jitter."""
        # The exponent is bounded, or it would overflow where circuit_failures is large.
        ceiling = settings.backoff_initial_sec * 2.0 ** min(failures - 1, 60)
        return self._rng.uniform(0.0, min(settings.backoff_max_sec, ceiling))


class Pace:
    """At most so many creations begin in any minute."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: deque[float] = deque()

    def begin(self, now: float) -> None:
        """Note that a creation begins."""
        self._begun.append(now)

    def room(self, per_minute: int | None, now: float) -> bool:
        """Whether one more creation may begin now."""
        while self._begun and self._begun[0] + 60.0 <= now:  # the sum that `next_at` tells: they round alike
            self._begun.popleft()
        return per_minute is None or len(self._begun) < per_minute

    def next_at(self, per_minute: int) -> float:
        """When the next creation may begin, if none may now."""
        return self._begun[len(self._begun) - per_minute] + 60.0
