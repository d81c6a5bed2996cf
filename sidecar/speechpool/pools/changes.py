"""Waiting until a condition of the pool holds."""

import asyncio
from collections.abc import Callable

__all__ = ["Changes"]


class Changes:
    """Wakes those who wait for a condition, whenever something may have changed."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def awaited(self) -> bool:
        """Whether anyone waits."""
        return bool(self._waiting)

    def notify(self) -> None:
        """Have every condition looked at again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until a condition holds; False if it does not within so many seconds.

        Raises:
            Exception: What the condition raises.
        """
        try:
            async with asyncio.timeout(timeout) as limit:
                while not condition():
                    future = asyncio.get_running_loop().create_future()
                    self._waiting.add(future)
                    try:
                        await future
                    finally:
                        self._waiting.discard(future)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True
