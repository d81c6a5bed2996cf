"""A bounded queue of events between one producer and one consumer."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["BufferClosed", "EventBuffer"]

E = TypeVar("E")


class BufferClosed(Exception):
    """No event follows: the producer ended, or the consumer is gone."""


class EventBuffer(Generic[E]):
    """Holds events up to a weight; the producer waits while it is full, the consumer while it is empty.

    One task may put and one other may get at a time. An event heavier than the bound goes in alone.

    Args:
        max_weight: Bound of the sum of weights, > 0.
    """

    def __init__(self, max_weight: int) -> None:
        self._max_weight = max_weight
        self._events: deque[tuple[E, int]] = deque()
        self._weight = 0
        self._closed = False
        self._error: BaseException | None = None
        self._putter: asyncio.Future[None] | None = None
        self._getter: asyncio.Future[None] | None = None

    @property
    def weight(self) -> int:
        """Sum of the weights of what is held."""
        return self._weight

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be put."""
        return self._closed

    async def put(self, event: E, weight: int = 1) -> None:
        """Add an event, waiting while there is no room for it.

        Raises:
            BufferClosed: It was closed.
        """
        while not self._closed and self._events and self._weight + weight > self._max_weight:
            self._putter = asyncio.get_running_loop().create_future()
            try:
                await self._putter
            finally:
                self._putter = None
        self.put_now(event, weight)

    def put_now(self, event: E, weight: int = 1) -> None:
        """Add an event whatever the weight; for the few that must not wait.

        Raises:
            BufferClosed: It was closed.
        """
        if self._closed:
            raise BufferClosed
        self._events.append((event, weight))
        self._weight += weight
        _wake(self._getter)

    async def get(self) -> E:
        """The next event, waiting for it.

        Raises:
            BufferClosed: It was closed without an error, and all events were taken.
            BaseException: The error it was closed with, once all events were taken.
        """
        while not self._events:
            if self._closed:
                raise self._error or BufferClosed
            self._getter = asyncio.get_running_loop().create_future()
            try:
                await self._getter
            finally:
                self._getter = None
        event, weight = self._events.popleft()
        self._weight -= weight
        _wake(self._putter)
        return event

    def close(self, error: BaseException | None = None) -> None:
        """Let nothing more in; what is held can still be taken, then `error` is raised. Only the first call counts."""
        if not self._closed:
            self._closed = True
            self._error = error
            _wake(self._putter)
            _wake(self._getter)

    def clear(self) -> None:
        """Drop what is held."""
        self._events.clear()
        self._weight = 0
        _wake(self._putter)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)
