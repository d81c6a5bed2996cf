"""How clients go: back to the stock after a reset, or closed, each exactly once."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from .hooks import limited
from .item import NOT_BEGUN, Item
from .remembered import Remembered
from .tiers import AllocationTier, ItemState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Returns"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")

FAILURES = (Exception, asyncio.CancelledError)

Rest = asyncio.Task[None] | None
"""What is left of a return or a close: a task to await, or nothing when it is done."""


class Returns(Generic[T]):
    """Resets, restocks and closes.

    Every method changes the state before it returns, and returns what is left to await; a caller that is cancelled
    while it awaits that loses nothing.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock
        self.remembered = Remembered()

    def release(self, resource: T | None, *, discard: bool) -> Rest:
        """Take back whatever a caller gives: a client it holds, one it gave before, a stranger, or None."""
        if resource is None:
            return None
        item = self._stock.out.get(id(resource))
        if item is not None and not discard and self._at_once(item):
            return None
        item = self._stock.holds(resource)
        if item is None and resource not in self.remembered:
            return self._foreign(resource)
        if item is None:
            self.release_again()
            return None
        if item.session is not None:
            return self._engine.sessions.end(item, discard=discard)
        if not self._stock.disown(item, ItemState.RESETTING):
            self.release_again()
            return None
        return self.turn_in(item, keep=True, discard=discard)

    def is_clean(self, item: Item[T]) -> bool:
        """Reset a client by the default way; True if that is done and it can go to anyone else at once.

        If not, what was begun is noted on the client for `turn_in`: a reset runs once.
        """
        try:
            rest = item.resource.clear_session_state() if item.wipes else None  # type: ignore[attr-defined]  # surveyed
        except FAILURES as error:
            item.begun = error
            return False
        if rest is not None and inspect.isawaitable(rest):
            item.begun = limited(rest, self._engine.settings.reset_timeout, "reset_fn")
            return False
        if item.looks and not item.hooks.is_usable(item.resource):
            item.begun = None
            return False
        return True

    def _at_once(self, item: Item[T]) -> bool:
        """Give a client to who waits longest, or lay it down; False if more is to be done than a reset without waiting.

        Creations under way, and a bound that was lowered, need the whole way.
        """
        engine, stock, now = self._engine, self._stock, self._engine.clock.now()
        if item.begun is not NOT_BEGUN:
            return False  # the pool's own short way came as far as a reset that is not over
        room = len(stock.idle) < engine.idle_limit
        if not (room or (stock.waiters and not stock.creating and not stock.excess)) or now >= item.brisk_until:
            return False
        if now >= item.plain_until and not self.is_clean(item):
            return False
        if room:
            del stock.out[item.key]
            item.idle_since = now
            stock.idle.append(item)
            return True
        if stock.pass_on(item, now):
            if not stock.waiters:
                engine.note_levels(now)
            return True
        item.begun = None
        return False

    def turn_in(self, item: Item[T], *, keep: bool, discard: bool = False) -> Rest:
        """Take in a client that was just disowned.

        Args:
            item: The client, in no place.
            keep: Stock it if there is room; else close it.
            discard: Close it without a reset.
        """
        if discard or item.dead:
            rest = self.close(item, "discard" if discard else "invalid")
        else:
            begun = self._begin_reset(item)
            if isinstance(begun, BaseException):
                rest = self._reset_failed(item, begun)
            elif begun is not None:
                return self._engine.spawn(self._finish_reset(item, begun, keep=keep), "reset")
            else:
                rest = self._settle(item, keep=keep)
        self._engine.drive(self._engine.clock.now())
        return rest

    def unused(self, item: Item[T]) -> None:
        """Put back a client whose caller was cancelled before it could use it."""
        if self._stock.disown(item, ItemState.RESETTING):
            item.uses -= 1
            self._engine.place(item, AllocationTier.COLD, None, self._engine.clock.now())

    def invalidate(self, item: Item[T]) -> None:
        """Close a client that died by itself; at once if it idles, else when it comes back."""
        item.dead = True
        item.spoil()
        if self._stock.remove_idle(item, ItemState.CLOSING):
            self.close(item, "invalid")
        self._engine.drive(self._engine.clock.now())

    def close(self, item: Item[T], reason: str) -> Rest:
        """Close a client that is in no place, for the one time in its life."""
        self._stock.passing[item] = ItemState.CLOSING
        try:
            rest = item.hooks.close(item.resource)
        except FAILURES as error:
            self._close_failed(error)
            rest = None
        if rest is not None:
            return self._engine.spawn(self._finish_close(item, rest, reason), "close")
        self._closed(item, reason)
        return None

    def _begin_reset(self, item: Item[T]) -> Awaitable[object] | BaseException | None:
        begun, item.begun = item.begun, NOT_BEGUN
        if begun is not NOT_BEGUN:
            return cast("Awaitable[object] | BaseException | None", begun)
        try:
            return item.hooks.reset(item.resource)
        except FAILURES as error:
            return error

    async def _finish_reset(self, item: Item[T], reset: Awaitable[object], *, keep: bool) -> None:
        try:
            await reset
        except FAILURES as error:
            rest = self._reset_failed(item, error)
        else:
            rest = self._settle(item, keep=keep)
        self._engine.drive(self._engine.clock.now())
        if rest is not None:
            await asyncio.shield(rest)

    def _settle(self, item: Item[T], *, keep: bool) -> Rest:
        if item.ending is not None or not keep:
            return self.close(item, item.ending or "session")
        if item.hooks.check is None and not item.hooks.is_usable(item.resource):
            self._engine.stats.counts["checks_failed"] += 1
            self._engine.tell("check_failed")
            return self.close(item, "check")
        return self._engine.place(item, AllocationTier.COLD, None, self._engine.clock.now())

    async def _finish_close(self, item: Item[T], rest: Awaitable[object], reason: str) -> None:
        try:
            await rest
        except FAILURES as error:
            self._close_failed(error)
        self._closed(item, reason)
        self._engine.drive(self._engine.clock.now())

    def _closed(self, item: Item[T], reason: str) -> None:
        self._stock.forget(item)
        self._engine.stats.closed[reason] += 1
        self.remembered.add(item.resource)
        self._engine.tell("item_closed", reason=reason)

    def release_again(self) -> None:
        """Count a release of what the caller does not hold any more."""
        self._engine.stats.counts["releases_second"] += 1
        self._engine.tell("release_second")

    def _foreign(self, resource: T) -> Rest:
        self.remembered.add(resource)
        self._engine.stats.counts["releases_foreign"] += 1
        logger.warning(
            "[%s] released an object that is not of this pool: a %s", self._engine.name, type(resource).__name__
        )
        self._engine.tell("release_foreign")
        return self._engine.spawn(self._end_foreign(resource), "foreign")

    async def _end_foreign(self, resource: T) -> None:
        hooks = self._engine.hooks
        for step in (hooks.reset, hooks.close):
            try:
                rest = step(resource)
                if rest is not None:
                    await rest
            except FAILURES as error:
                logger.debug("[%s] ending a foreign object failed: %s", self._engine.name, type(error).__name__)

    def _reset_failed(self, item: Item[T], error: BaseException) -> Rest:
        self._engine.stats.counts["resets_failed"] += 1
        logger.warning("[%s] reset failed, client discarded: %s", self._engine.name, type(error).__name__)
        self._engine.tell("reset_failed", error=error)
        return self.close(item, "reset")

    def _close_failed(self, error: BaseException) -> None:
        self._engine.stats.counts["closes_failed"] += 1
        logger.warning("[%s] close failed: %s", self._engine.name, type(error).__name__)
        self._engine.tell("close_failed", error=error)
