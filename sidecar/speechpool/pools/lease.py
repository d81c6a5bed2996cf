"""What a caller holds inside `async with`: one client, given back at the end whatever happens."""

import asyncio
import contextlib
from collections.abc import Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from .item import Item
from .tiers import AllocationTier

if TYPE_CHECKING:
    from .engine import Engine
    from .warmable_pool import WarmableResourcePool

__all__ = ["Lease"]

T = TypeVar("T")


class Lease(Generic[T]):
    """One client for the length of an `async with` block; made by `lease()` and `session()` of a pool.

    Attributes:
        session_id: The session it belongs to, or None.
        tier: Where the client came from.
        wait_seconds: How long this caller waited for it.
    """

    __slots__ = (
        "_discard",
        "_engine",
        "_item",
        "_keep",
        "_leak_after",
        "_loop",
        "_pool",
        "_timeout",
        "_use",
        "session_id",
        "tier",
        "wait_seconds",
    )

    def __init__(
        self,
        pool: "WarmableResourcePool[T]",
        engine: "Engine[T]",
        session_id: Hashable,
        timeout: float | None,
        leak_after: float | None,
        *,
        keep: bool = False,
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._timeout = timeout
        self._leak_after = leak_after
        self._keep = keep
        self._item: Item[T] | None = None
        self._use = 0
        self._discard = False
        self.session_id = session_id
        self.tier = AllocationTier.COLD
        self.wait_seconds = 0.0

    @property
    def resource(self) -> T:
        """The client.

        Raises:
            RuntimeError: The block has not begun or is over.
        """
        if self._item is None:
            raise RuntimeError("a lease has a client only inside its `async with` block")
        return self._item.resource

    def discard(self) -> None:
        """Have the client closed at the end of the block instead of used again: it is broken."""
        self._discard = True

    def touch(self) -> None:
        """Count the session as used now."""
        if self.session_id is not None:
            self._pool.touch(self.session_id)

    async def __aenter__(self) -> "Lease[T]":
        if self._item is not None:
            raise RuntimeError("a lease cannot be entered twice at once")
        began = self._engine.clock.now()
        # No suspension after the client has its owner: nothing can come between it and the lease.
        queue = self._engine.queue
        item, self.tier = queue.at_once(self.session_id) or await queue.wait(self.session_id, self._timeout)
        self.wait_seconds = self._engine.clock.now() - began
        self._item, self._use, self._discard = item, item.uses, False
        self._loop = asyncio.get_running_loop()
        if self._leak_after is not None:
            item.leak_after, item.granted_at = self._leak_after, self._engine.clock.now()
            self._engine.clock.wake_at(item.granted_at + self._leak_after)
        if self.session_id is not None:
            is_begun_here = item.begun_by_lease or self.tier is not AllocationTier.DEDICATED
            item.begun_by_lease = is_begun_here and not self._keep
            item.leases += 1
            item.set_swift(observed=self._engine.stock.observed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        item, self._item = self._item, None
        if item is None:
            return
        rest = self._end(item)
        if rest is not None:
            await asyncio.shield(rest)

    def __del__(self) -> None:
        # Never exited: its block was abandoned with its frame. What the client is in the middle of is unknown.
        item = getattr(self, "_item", None)
        if item is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it everything else
                self._loop.call_soon_threadsafe(_reclaim, self._engine, item, self.session_id, self._use)

    def _end(self, item: Item[T]) -> "asyncio.Task[None] | None":
        return _end(self._engine, item, self.session_id, self._use, discard=self._discard)


def _end(
    engine: "Engine[T]", item: Item[T], session: Hashable, use: int, *, discard: bool
) -> "asyncio.Task[None] | None":
    item.leak_after = None
    if session is not None:
        return engine.sessions.end_lease(item, discard=discard)
    if item.uses != use:
        engine.returns.release_again()  # released by hand inside the block, and perhaps someone else's by now
        return None
    return engine.returns.release(item.resource, discard=discard)


def _reclaim(engine: "Engine[T]", item: Item[T], session: Hashable, use: int) -> None:
    engine.leaks.suspect(item, engine.clock.now())
    _end(engine, item, session, use, discard=True)
