"""The local engine's clients: made when needed, kept for the next, never more than a bound."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from speechpool.speech.engine import Client

__all__ = ["Stock"]

C = TypeVar("C", bound=Client)


class Stock(Generic[C]):
    """Clients of one kind.

    Args:
        make: Makes one.
        limit: Most at once; who comes later waits.
    """

    def __init__(self, make: Callable[[], Awaitable[C]], limit: int) -> None:
        self._make = make
        self._free = asyncio.Semaphore(limit)
        self._idle: list[C] = []

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[C]:
        """A client for one use; kept afterwards if it can serve again."""
        async with self._free:
            client = self._idle.pop() if self._idle else await self._make()
            try:
                yield client
                await client.clear_session_state()
                is_reusable = client.is_reusable
            except BaseException:
                await client.close()
                raise
            if is_reusable:
                self._idle.append(client)
            else:
                await client.close()

    async def prepare(self) -> None:
        """Have one ready."""
        async with self.lend() as client:
            await client.warm()

    async def close(self) -> None:
        """Close the idle ones."""
        while self._idle:
            await self._idle.pop().close()
