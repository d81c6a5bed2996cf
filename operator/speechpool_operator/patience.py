"""Waiting for many, each within the same span of time, without a timer each."""

from collections import OrderedDict
from collections.abc import Iterator

__all__ = ["Patience"]


class Patience:
    """Who has to be heard of within one span of time; the times given never go back.

    Args:
        seconds: The span; > 0.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: OrderedDict[str, float] = OrderedDict()

    def restart(self, uid: str, now: float) -> None:
        """Begin the span anew."""
        self._since[uid] = now
        self._since.move_to_end(uid)

    def stop(self, uid: str) -> None:
        """Wait no longer."""
        self._since.pop(uid, None)

    def begin_anew(self, now: float) -> None:
        """Begin every span anew: nobody could be heard of meanwhile."""
        for uid in self._since:
            self._since[uid] = now

    @property
    def due_at(self) -> float | None:
        """When the next span ends."""
        return next(iter(self._since.values())) + self.seconds if self._since else None

    def due(self, now: float) -> Iterator[str]:
        """Those whose span is over; each once."""
        while self._since and now >= next(iter(self._since.values())) + self.seconds:
            yield self._since.popitem(last=False)[0]
