"""The limit: the least a pool with waiters can do. No accounting, no ages, not safe under cancellation."""

import asyncio
from collections import deque
from collections.abc import Iterable


class BarePool:
    """A deque of items and a deque of futures."""

    def __init__(self, items: Iterable[object]) -> None:
        self._idle: deque[object] = deque(items)
        self._waiters: deque[asyncio.Future[object]] = deque()

    async def acquire(self) -> object:
        if self._idle:
            return self._idle.pop()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return await waiter

    async def release(self, item: object) -> None:
        if self._waiters:
            self._waiters.popleft().set_result(item)
        else:
            self._idle.append(item)
