"""A warm pool refilled by a timer, as the document that SpeechPool starts from describes one.

A queue of warm clients, a cache of session clients under a lock, and one background task that each interval fills
the queue one client after the other and forgets stale sessions. The yardstick for what event-driven refill gains.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from speechpool.pools import AllocationTier

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Cached:
    resource: object
    last_used: float


class TimerPool:
    """Warm queue, session cache, refill every `warmup_interval_sec`."""

    def __init__(
        self,
        *,
        factory: Callable[[], Awaitable[object]],
        name: str,
        warm_pool_size: int = 0,
        enable_background_warmup: bool = False,
        warmup_interval_sec: float = 30.0,
        session_awareness: bool = False,
        session_max_age_sec: float = 1800.0,
        warm_fn: Callable[[object], Awaitable[bool]] | None = None,
    ) -> None:
        self._factory = factory
        self._name = name
        self._target = warm_pool_size
        self._background = enable_background_warmup
        self._interval = warmup_interval_sec
        self._session_awareness = session_awareness
        self._session_max_age = session_max_age_sec
        self._warm_fn = warm_fn
        self._queue: asyncio.Queue[object] = asyncio.Queue(maxsize=max(1, warm_pool_size))
        self._sessions: dict[str, _Cached] = {}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.metrics = dict.fromkeys(("total", "dedicated", "warm", "cold", "warmup_failures"), 0)

    @property
    def idle(self) -> int:
        """Clients in the warm queue."""
        return self._queue.qsize()

    async def prepare(self) -> None:
        """Fill the queue, one client after the other, then start the timer."""
        await self._fill()
        if self._background and self._target:
            self._task = asyncio.create_task(self._refill_for_ever())

    async def shutdown(self) -> None:
        """Stop the timer and forget the clients."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._sessions.clear()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def acquire(self, timeout: float | None = None) -> object:  # noqa: ARG002 # accepted and unused, as described
        """Take a warm client, or make one."""
        return (await self._take())[0]

    async def acquire_for_session(self, session_id: str, timeout: float | None = None) -> tuple[object, AllocationTier]:  # noqa: ARG002 # as above
        """The session's client; else a warm one, else a new one, cached for the session."""
        async with self._lock:
            cached = self._sessions.get(session_id)
            if cached:
                cached.last_used = time.time()
                self.metrics["total"] += 1
                self.metrics["dedicated"] += 1
                logger.debug("[%s] Acquired DEDICATED resource for session %s...", self._name, session_id[:8])
                return cached.resource, AllocationTier.DEDICATED
        resource, tier = await self._take()
        async with self._lock:
            self._sessions[session_id] = _Cached(resource, time.time())
        return resource, tier

    async def release(self, resource: object) -> None:
        """Clear the client's state; keep it if the queue has room."""
        self._clear(resource)
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(resource)

    async def release_for_session(self, session_id: str, resource: object = None) -> bool:  # noqa: ARG002 # as above
        """Clear and forget the session's client."""
        async with self._lock:
            cached = self._sessions.pop(session_id, None)
        if cached:
            self._clear(cached.resource)
            logger.debug("[%s] Released session resource for %s...", self._name, session_id[:8])
        return cached is not None

    async def _take(self) -> tuple[object, AllocationTier]:
        metrics = self.metrics
        metrics["total"] += 1
        if not self._queue.empty():
            metrics["warm"] += 1
            logger.debug("[%s] Acquired WARM resource", self._name)
            return self._queue.get_nowait(), AllocationTier.WARM
        resource = await self._make()
        metrics["cold"] += 1
        logger.debug("[%s] Acquired COLD resource", self._name)
        return resource, AllocationTier.COLD

    async def _make(self) -> object:
        resource = await self._factory()
        if self._warm_fn and not await self._warm_fn(resource):
            self.metrics["warmup_failures"] += 1
        return resource

    async def _fill(self) -> None:
        for _ in range(self._target - self._queue.qsize()):
            try:
                self._queue.put_nowait(await self._make())
            except asyncio.QueueFull:
                return
            except OSError:
                self.metrics["warmup_failures"] += 1

    async def _refill_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._fill()
            await self._forget_stale_sessions()

    async def _forget_stale_sessions(self) -> None:
        oldest = time.time() - self._session_max_age
        async with self._lock:
            for session_id in [key for key, cached in self._sessions.items() if cached.last_used < oldest]:
                del self._sessions[session_id]

    def _clear(self, resource: object) -> None:
        if hasattr(resource, "clear_session_state"):
            resource.clear_session_state()
