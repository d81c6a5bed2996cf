"""What a recogniser was fed before it told anything, so that another one can be fed the same."""

from typing import Generic, TypeVar

__all__ = ["MAX_REPLAY_SECONDS", "Replay"]

T = TypeVar("T")

MAX_REPLAY_SECONDS = 10.0
"""Audio that is kept for another client: as much as may wait for the engine. Beyond it a failure is the caller's."""


class Replay(Generic[T]):
    """Keeps items in order until the first event, or until they are too many."""

    def __init__(self) -> None:
        self._items: list[T] | None = []
        self._seconds = 0.0

    @property
    def items(self) -> tuple[T, ...]:
        """All that was fed."""
        return tuple(self._items or ())

    @property
    def is_whole(self) -> bool:
        """Whether nothing of what was fed is missing."""
        return self._items is not None

    def add(self, item: T, seconds: float) -> None:
        """Keep an item that plays for `seconds`."""
        self._seconds += seconds
        if self._seconds > MAX_REPLAY_SECONDS:
            self.forget()
        if self._items is not None:
            self._items.append(item)

    def forget(self) -> None:
        """Keep nothing from now on: something was told, or something got lost."""
        self._items = None
