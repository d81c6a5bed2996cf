"""One call at a time, however many ask for its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the answer of a call among all who ask while it is under way.

    Args:
        call: Makes the call.
        limit_seconds: How long one who asks waits; the call itself goes on, and the next who ask wait for it again.
        name: Of the task.
    """

    def __init__(self, call: Callable[[], Awaitable[T]], *, limit_seconds: float, name: str) -> None:
        self._call = call
        self._limit_seconds = limit_seconds
        self._name = name
        self._task: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """The answer.

        Raises:
            TimeoutError: It did not come within the limit, or before `close()`.
            Exception: What the call raised.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)
            self._task.add_done_callback(_look_at_error)
        task = self._task
        done, _ = await asyncio.wait({task}, timeout=self._limit_seconds)
        if not done or task.cancelled():
            raise TimeoutError
        return task.result()

    async def close(self) -> None:
        """Wait for no answer any more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> T:
        return await self._call()


def _look_at_error(task: "asyncio.Task[T]") -> None:
    """So that an error that nobody waits for any more is not reported as forgotten."""
    if not task.cancelled():
        task.exception()
