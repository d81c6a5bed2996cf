"""Calls as they arrive: Poisson streams, bursts on top, and a day whose rate varies. Times are whole microseconds."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Traffic", "cold_by_formula", "varying_day"]

CALL_SECONDS_MEAN = 180.0
CALL_SECONDS_SIGMA = 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """A stream of calls.

    Args:
        name: As the table shows it.
        rate: Mean calls per second, Poisson.
        burst: Calls that arrive at one instant.
        burst_every: Seconds between bursts; 0 for none.
    """

    name: str
    rate: float
    burst: int = 0
    burst_every: float = 0.0

    def arrivals(self, count: int, seed: int = 1) -> list[float]:
        """The first `count` arrival times in seconds, sorted."""
        dice = random.Random(seed)
        times: list[float] = []
        now = 0.0
        while len(times) < count:
            now += dice.expovariate(self.rate)
            times.append(now)
        if self.burst_every:
            instants = range(1, int(now / self.burst_every) + 1)
            times += [self.burst_every * instant for instant in instants for _ in range(self.burst)]
        return sorted(round(moment, 6) for moment in times)[:count]


def call_seconds(seed: int = 2) -> Iterator[float]:
    """How long calls last: log-normal with a mean of three minutes."""
    dice = random.Random(seed)
    mu = math.log(CALL_SECONDS_MEAN) - CALL_SECONDS_SIGMA**2 / 2
    while True:
        yield round(dice.lognormvariate(mu, CALL_SECONDS_SIGMA), 6)


def varying_day(seed: int = 3, *, hours: int = 24) -> list[float]:
    """A day between 0.02 calls/s at night and 0.35 at noon, with a busy quarter of up to 3/s every third hour."""
    dice = random.Random(seed)
    times: list[float] = []
    now = 0.0
    while now < hours * 3600:
        now += dice.expovariate(3.0)
        if dice.random() * 3.0 < _rate_at(now):
            times.append(round(now, 6))
    return times


def _rate_at(moment: float) -> float:
    hour = moment / 3600
    day = 0.02 + 0.33 * max(0.0, math.sin(math.pi * (hour % 24 - 6) / 12))
    busy = 3.0 if int(hour) % 3 == 1 and moment % 3600 < 300 else 0.0
    return max(day, busy)


def cold_by_formula(arrivals: list[float], warm: int, creation_seconds: float) -> float:
    """The exact share of cold calls with event-driven refill: at least `warm` calls came within one creation before."""
    cold = 0
    first = 0
    for index, moment in enumerate(arrivals):
        while arrivals[first] <= moment - creation_seconds:
            first += 1
        cold += index - first >= warm
    return cold / len(arrivals)
