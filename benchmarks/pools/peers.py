"""Peers from PyPI, opened on dummy connections, all with the same two coroutines: acquire and release."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import aiomisc
import asyncpg
import psycopg
import psycopg_pool
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import await_only

__all__ = ["PEERS", "AiomiscPeer", "AsyncpgPeer", "Peer", "PsycopgPeer", "QueuePeer", "SqlalchemyPeer"]


class Peer(ABC):
    """A pool under measurement.

    Args:
        size: How many items it may hold.
        creation_seconds: How long its connect takes.
        warm: Whether it is filled before `open` returns.
        bounded: Whether it may not make more, where it has the choice.
    """

    name = ""
    package = ""

    def __init__(self, size: int, *, creation_seconds: float = 0.0, warm: bool = True, bounded: bool = True) -> None:
        self.size = size
        self.creation_seconds = creation_seconds
        self.warm = warm
        self.bounded = bounded
        self.acquire: Callable[[], Awaitable[Any]]
        self.release: Callable[[Any], Awaitable[Any]]

    @abstractmethod
    async def open(self) -> None:
        """Fill it, where it is to be warm, and set `acquire` and `release`."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of every item."""

    async def turns(self, key: str, count: int) -> None:  # noqa: ARG002 # the key is for peers with sessions
        """Acquire and release `count` times."""
        acquire, release = self.acquire, self.release
        for _ in range(count):
            await release(await acquire())

    async def turns_holding(self, key: str, count: int) -> None:  # noqa: ARG002 # as above
        """The same, each item held for one pass of the loop, so that tasks meet."""
        acquire, release = self.acquire, self.release
        for _ in range(count):
            item = await acquire()
            await asyncio.sleep(0)
            await release(item)

    async def _connect(self) -> None:
        if self.creation_seconds:
            await asyncio.sleep(self.creation_seconds)


class QueuePeer(Peer):
    """asyncio.Queue with the items in it: what many applications use for a pool."""

    name = "asyncio.Queue"

    async def open(self) -> None:
        queue: asyncio.Queue[object] = asyncio.Queue()
        for _ in range(self.size):
            queue.put_nowait(object())
        self.acquire, self.release = queue.get, queue.put

    async def close(self) -> None:
        pass


class _PgConn:
    transaction_status = psycopg.pq.TransactionStatus.IDLE


class _PsycopgConnection:
    """What psycopg_pool touches of a connection."""

    creation_seconds: ClassVar[float] = 0.0
    autocommit = True

    def __init__(self) -> None:
        self.pgconn = _PgConn()
        self._pool: Any = None

    @classmethod
    async def connect(cls, _conninfo: str, **_: object) -> "_PsycopgConnection":
        if cls.creation_seconds:
            await asyncio.sleep(cls.creation_seconds)
        return cls()

    async def close(self) -> None:
        pass


class PsycopgPeer(Peer):
    name = "psycopg_pool"
    package = "psycopg_pool"

    async def open(self) -> None:
        kind = type("Connection", (_PsycopgConnection,), {"creation_seconds": self.creation_seconds})
        floor = self.size if self.warm else 0
        self.pool: Any = psycopg_pool.AsyncConnectionPool(
            "", connection_class=kind, min_size=floor, max_size=self.size, open=False, timeout=3600
        )
        await self.pool.open(wait=self.warm)
        self.acquire, self.release = self.pool.getconn, self.pool.putconn

    async def close(self) -> None:
        await self.pool.close()


class _DbapiConnection:
    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


class SqlalchemyPeer(Peer):
    """The pool of SQLAlchemy's async engine, called as the engine calls it: each call in a greenlet."""

    name = "SQLAlchemy AsyncAdaptedQueuePool"
    package = "sqlalchemy"

    async def open(self) -> None:
        self.pool = AsyncAdaptedQueuePool(self._create, pool_size=self.size, max_overflow=0, timeout=3600)
        self.acquire, self.release = self._acquire, self._release
        if self.warm:
            held = [await self.acquire() for _ in range(self.size)]
            for connection in held:
                await self.release(connection)

    def _create(self) -> _DbapiConnection:
        await_only(self._connect())
        return _DbapiConnection()

    async def _acquire(self) -> PoolProxiedConnection:
        return await greenlet_spawn(self.pool.connect)

    async def _release(self, connection: PoolProxiedConnection) -> None:
        await greenlet_spawn(connection.close)

    async def close(self) -> None:
        await greenlet_spawn(self.pool.dispose)


class _AsyncpgProtocol:
    queries_count = 0

    def _is_cancelling(self) -> bool:
        return False


class _AsyncpgConnection(asyncpg.Connection):  # type: ignore[misc] # published without types
    """What asyncpg's pool touches of a connection."""

    def __init__(self) -> None:
        self._protocol = _AsyncpgProtocol()
        self._proxy = None
        self._pool_release_ctr = 0
        self._aborted = False

    def is_closed(self) -> bool:
        return self._aborted

    async def reset(self, **_: object) -> None:
        pass

    def _on_release(self, **_: object) -> None:
        self._pool_release_ctr += 1

    def terminate(self) -> None:
        self._end()

    async def close(self, **_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._aborted = True
        holder = self._pool_holder and self._pool_holder()
        if holder is not None:
            holder._release_on_close()  # noqa: SLF001 # asyncpg's own connection does so at its close

    def __del__(self) -> None:
        pass


class AsyncpgPeer(Peer):
    name = "asyncpg"
    package = "asyncpg"

    async def open(self) -> None:
        self.pool = asyncpg.create_pool(
            connect=self._make,
            connection_class=_AsyncpgConnection,
            min_size=self.size if self.warm else 0,
            max_size=self.size,
            max_queries=10**9,
            max_inactive_connection_lifetime=0,
        )
        await self.pool
        self.acquire, self.release = self.pool.acquire, self.pool.release

    async def _make(self, *_: object, **__: object) -> _AsyncpgConnection:
        await self._connect()
        return _AsyncpgConnection()

    async def close(self) -> None:
        self.pool.terminate()


class _AiomiscPool(aiomisc.PoolBase[object]):
    def __init__(self, peer: Peer) -> None:
        super().__init__(maxsize=peer.size)
        self._peer = peer

    async def _create_instance(self) -> object:
        await self._peer._connect()  # noqa: SLF001 # the same file
        return object()

    async def _destroy_instance(self, instance: object) -> None:
        del instance

    async def _check_instance(self, instance: object) -> bool:
        return instance is not None


class AiomiscPeer(Peer):
    name = "aiomisc PoolBase"
    package = "aiomisc"

    async def open(self) -> None:
        self.pool = _AiomiscPool(self)
        self.acquire, self.release = self._acquire, self._release
        if self.warm:
            held = [await self.acquire() for _ in range(self.size)]
            for context in held:
                await self.release(context)

    async def _acquire(self) -> AbstractAsyncContextManager[object]:
        context = self.pool.acquire()
        await context.__aenter__()
        return context

    async def _release(self, context: AbstractAsyncContextManager[object]) -> None:
        await context.__aexit__(None, None, None)

    async def close(self) -> None:
        await self.pool.close()


PEERS: tuple[type[Peer], ...] = (QueuePeer, PsycopgPeer, SqlalchemyPeer, AsyncpgPeer, AiomiscPeer)
