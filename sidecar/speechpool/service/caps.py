"""Caps on what a pool may do in a minute: token buckets on a monotonic clock."""

from collections.abc import Callable

from speechpool.errors import QuotaExceeded

__all__ = ["Cap", "MinuteBucket", "PoolCaps"]

Clock = Callable[[], float]
_MINUTE_SECONDS = 60.0


class MinuteBucket:
    """Holds as much as a minute allows and refills evenly; may be overdrawn by a cost that is known only afterwards.

    Args:
        per_minute: What a minute allows, > 0.
        clock: Monotonic seconds.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = per_minute
        self._at = clock()

    @property
    def level(self) -> float:
        """What may be taken now; below 0 while overdrawn."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / _MINUTE_SECONDS)
        self._at = now
        return self._level

    def seconds_until(self, amount: float) -> float:
        """How long until `amount` is there; 0 when it is. More than a minute's worth waits for a full bucket."""
        missing = min(amount, self.per_minute) - self.level
        return max(0.0, missing * _MINUTE_SECONDS / self.per_minute)

    def take(self, amount: float) -> None:
        """Take `amount`, overdrawing where it is not there; negative to give back."""
        self._level = min(self.per_minute, self.level - amount)

    def resize(self, per_minute: float) -> None:
        """Allow another amount from now on; what was taken stays taken."""
        taken = self.per_minute - self.level
        self.per_minute = per_minute
        self._level = per_minute - taken


class Cap:
    """One cap of one pool; off while its limit is None.

    Args:
        setting: Name of the setting, for the error.
        unit: What is counted, for the error.
        clock: Monotonic seconds.
        limit: What a minute allows; None for no cap.
    """

    def __init__(self, setting: str, unit: str, clock: Clock, limit: float | None) -> None:
        self._setting = setting
        self._unit = unit
        self._clock = clock
        self._bucket = None if limit is None else MinuteBucket(limit, clock)

    @property
    def limit(self) -> float | None:
        """What a minute allows; None for no cap."""
        return None if self._bucket is None else self._bucket.per_minute

    @limit.setter
    def limit(self, limit: float | None) -> None:
        if limit is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = MinuteBucket(limit, self._clock)
        else:
            self._bucket.resize(limit)

    def check(self, amount: float, pool: str) -> None:
        """Refuse `amount` while it is not there.

        Raises:
            QuotaExceeded: With the time after which it will be.
        """
        wait = self._bucket.seconds_until(amount) if self._bucket else 0.0
        if wait > 0:
            raise QuotaExceeded(
                f"pool {pool!r} has reached {self._setting} = {self.limit:g} {self._unit}; try again in {wait:.1f} s",
                retry_after_seconds=wait,
                code="cap_reached",
            )

    def take(self, amount: float) -> None:
        """Count `amount`; negative to give back."""
        if self._bucket:
            self._bucket.take(amount)


class PoolCaps:
    """The caps of one pool. Characters are known before the work; audio seconds only after it, so they may overdraw.

    Args:
        pool: Name of the pool.
        clock: Monotonic seconds.
        characters: Characters a minute; None for no cap.
        audio_seconds: Seconds of audio a minute; None for no cap.
    """

    def __init__(self, pool: str, clock: Clock, *, characters: float | None, audio_seconds: float | None) -> None:
        self._pool = pool
        self._characters = Cap("max_characters_per_minute", "characters a minute", clock, characters)
        self._audio = Cap("max_audio_seconds_per_minute", "seconds of audio a minute", clock, audio_seconds)

    def resize(self, *, characters: float | None, audio_seconds: float | None) -> None:
        """Set both limits; None for no cap."""
        self._characters.limit = characters
        self._audio.limit = audio_seconds

    def admit(self, characters: int = 0) -> None:
        """Let work of `characters` in, and count them.

        Raises:
            QuotaExceeded: A cap is reached; nothing was counted.
        """
        self._audio.check(min(1.0, self._audio.limit or 1.0), self._pool)
        self._characters.check(characters, self._pool)
        self._characters.take(characters)

    def give_back(self, characters: int) -> None:
        """Uncount characters that were never spoken."""
        self._characters.take(-characters)

    def count_audio(self, seconds: float) -> None:
        """Count audio that was made or heard."""
        self._audio.take(seconds)
