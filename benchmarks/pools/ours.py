"""The contenders of our own: the pools, each way of using them, and the two yardsticks."""

import asyncio
from typing import Any

from pools.limit import BarePool
from pools.peers import Peer
from pools.timer_pool import TimerPool

from speechpool.pools import OnDemandResourcePool, WarmableResourcePool

__all__ = [
    "LimitPeer",
    "OnDemandPeer",
    "OnDemandSessionPeer",
    "TimerBarePeer",
    "TimerLookupPeer",
    "TimerPeer",
    "TimerSessionPeer",
    "WarmBareLookupPeer",
    "WarmBarePeer",
    "WarmBareSessionPeer",
    "WarmBareTimeoutPeer",
    "WarmLeasePeer",
    "WarmLookupPeer",
    "WarmPeer",
    "WarmSessionPeer",
    "WarmTimeoutPeer",
]


class Bare:
    """Nothing to reset and nothing to look at, as the dummy connections of the peers."""

    __slots__ = ("__weakref__",)


class Client:
    """What a speech client shows a pool: whether it is ready, and how to clear its state."""

    def __init__(self) -> None:
        self.is_ready = True
        self.call_connection_id: str | None = None

    def clear_session_state(self) -> None:
        self.call_connection_id = None


class LimitPeer(Peer):
    name = "deque + future (the limit, not safe)"

    async def open(self) -> None:
        pool = BarePool(Bare() for _ in range(self.size))
        self.acquire, self.release = pool.acquire, pool.release

    async def close(self) -> None:
        pass


class _OwnPeer(Peer):
    """What our pools have in common."""

    pool: Any
    client: type[Bare] | type[Client] = Client

    async def _create(self) -> Bare | Client:
        await self._connect()
        return self.client()

    async def close(self) -> None:
        await self.pool.shutdown()


class _SessionTurns:
    """Use by session: each task is a call, and each turn the whole of it."""

    pool: Any

    async def turns(self, key: str, count: int) -> None:
        acquire, release = self.pool.acquire_for_session, self.pool.release_for_session
        for _ in range(count):
            await acquire(key)
            await release(key)

    async def turns_holding(self, key: str, count: int) -> None:
        acquire, release = self.pool.acquire_for_session, self.pool.release_for_session
        for _ in range(count):
            await acquire(key)
            await asyncio.sleep(0)
            await release(key)


class WarmPeer(_OwnPeer):
    name = "**SpeechPool** acquire, release"

    async def open(self) -> None:
        self.pool = WarmableResourcePool(
            factory=self._create,
            name="bench",
            warm_pool_size=self.size if self.warm else 0,
            max_size=self.size if self.bounded else None,
            enable_background_warmup=True,
            session_awareness=True,
            recycle_sessions=True,
        )
        await self.pool.prepare()
        self.acquire, self.release = self.pool.acquire, self.pool.release


class WarmTimeoutPeer(WarmPeer):
    name = "**SpeechPool** acquire(timeout=5), release"

    async def turns(self, key: str, count: int) -> None:  # noqa: ARG002 # the key is for peers with sessions
        acquire, release = self.acquire, self.release
        for _ in range(count):
            await release(await acquire(5.0))

    async def turns_holding(self, key: str, count: int) -> None:  # noqa: ARG002 # as above
        acquire, release = self.acquire, self.release
        for _ in range(count):
            client = await acquire(5.0)
            await asyncio.sleep(0)
            await release(client)


class WarmSessionPeer(_SessionTurns, WarmPeer):
    name = "**SpeechPool** `*_for_session`"


class WarmBarePeer(WarmPeer):
    name = "**SpeechPool** acquire, release, bare items"
    client = Bare


class WarmBareTimeoutPeer(WarmTimeoutPeer):
    name = "**SpeechPool** acquire(timeout=5), release, bare items"
    client = Bare


class WarmBareSessionPeer(WarmSessionPeer):
    name = "**SpeechPool** `*_for_session`, bare items"
    client = Bare


class WarmLeasePeer(WarmPeer):
    name = "**SpeechPool** `async with lease()`"

    async def turns(self, key: str, count: int) -> None:  # noqa: ARG002 # the key is for peers with sessions
        for _ in range(count):
            async with self.pool.lease():
                pass

    async def turns_holding(self, key: str, count: int) -> None:  # noqa: ARG002 # as above
        for _ in range(count):
            async with self.pool.lease():
                await asyncio.sleep(0)


class WarmLookupPeer(WarmPeer):
    name = "**SpeechPool** DEDICATED lookup"

    async def turns(self, key: str, count: int) -> None:
        acquire = self.pool.acquire_for_session
        for _ in range(count):
            await acquire(key)


class WarmBareLookupPeer(WarmLookupPeer):
    name = "**SpeechPool** DEDICATED lookup, bare items"
    client = Bare


class OnDemandPeer(_OwnPeer):
    name = "**SpeechPool** on demand"

    async def open(self) -> None:
        self.pool = OnDemandResourcePool(factory=self._create, name="bench", max_size=self.size, session_awareness=True)
        await self.pool.prepare()
        self.acquire, self.release = self.pool.acquire, self.pool.release


class OnDemandSessionPeer(_SessionTurns, OnDemandPeer):
    name = "**SpeechPool** on demand, a new client each time"


class TimerPeer(_OwnPeer):
    name = "timer-refilled pool"

    async def open(self) -> None:
        self.pool = TimerPool(
            factory=self._create,
            name="bench",
            warm_pool_size=self.size if self.warm else 0,
            enable_background_warmup=True,
            session_awareness=True,
        )
        await self.pool.prepare()
        self.acquire, self.release = self.pool.acquire, self.pool.release


class TimerBarePeer(TimerPeer):
    name = "timer-refilled pool, bare items"
    client = Bare


class TimerSessionPeer(_SessionTurns, TimerPeer):
    name = "timer-refilled pool `*_for_session`"


class TimerLookupPeer(TimerPeer):
    name = "timer-refilled pool DEDICATED lookup"

    async def turns(self, key: str, count: int) -> None:
        acquire = self.pool.acquire_for_session
        for _ in range(count):
            await acquire(key)
