"""When to connect again. Pure: chance is passed in."""

import random
from collections.abc import Callable

__all__ = ["MAX_RETRY_AFTER_SECONDS", "Backoff"]

FIRST_SECONDS = 0.5
MOST_SECONDS = 30.0

STABLE_SECONDS = 60.0
"""A connection that lasted so long was a good one. Without this bound an operator that accepts and closes at once is
asked in a tight loop (dapr/dapr#7609)."""

MAX_RETRY_AFTER_SECONDS = 300.0
"""The longest pause that an operator may ask for: a mistake of its must not keep sidecars away for ever."""


class Backoff:
    """The pauses between connections: full jitter, its bound doubled each time from half a second to half a minute.

    Args:
        uniform: A random number between two bounds.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._attempts = 0

    def pause_seconds(self, *, lasted_seconds: float, retry_after_seconds: float = 0.0) -> float:
        """How long to wait now.

        Args:
            lasted_seconds: How long the connection lasted that is over; 0 where there was none.
            retry_after_seconds: What the operator asked for; the jitter comes on top, so that not all come at once.
        """
        if lasted_seconds >= STABLE_SECONDS:
            self._attempts = 0
        most = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS) + self._uniform(0.0, most)
