"""Which session has which client, and what becomes of sessions that nobody ends."""

import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from .clock import NEVER
from .item import Item
from .returns import Rest
from .tiers import ItemState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Sessions"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")

LOOKS = 100
"""Lookups are marked, not timed; the marks are read so many times in one session age, so that an age is 1 % exact."""


class Sessions(Generic[T]):
    """The sessions of one pool.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock

    def lookup(self, session: Hashable) -> Item[T] | None:
        """The client the session holds, also from its grace; one of no use any more, or drained, is closed."""
        stock = self._stock
        item = stock.sessions.get(session)
        if item is None and stock.expired:
            item = stock.expired.get(session)
        if item is None:
            return None
        if item.dead or not item.hooks.is_usable_in_session(item.resource):
            self._replace(item)
            return None
        if item.hooks.generation != stock.generation and not item.leases and item.flight is None:
            item.ending = "generation"
            self.end(item, discard=False)
            return None
        if session in stock.expired:
            stock.revive(session, self._engine.clock.now())
        return item

    def touch(self, session: Hashable, now: float) -> bool:
        """Count a session as used now; whether there is such a session."""
        item = self._stock.sessions.get(session) or self._stock.revive(session, now)
        if item is None:
            return False
        item.used_at = now
        return True

    def release(self, session: Hashable, resource: T | None, *, discard: bool) -> tuple[bool, list[Rest]]:
        """End a session, and take back a client that is not the session's; whether it was found, and what is left."""
        engine = self._engine
        item = self._stock.sessions.get(session) or self._stock.expired.get(session)
        rests: list[Rest] = []
        found = item is not None
        if item is not None:
            rests.append(self.end(item, discard=discard))
            if engine.stock.observed:
                logger.debug("[%s] Released session resource for %s...", engine.name, str(session)[:8])
        elif engine.queue.release_flight(session):
            found = True
            engine.drive(engine.clock.now())
        if resource is not None and (item is None or resource is not item.resource):
            rests.append(engine.returns.release(resource, discard=discard))
        return found, rests

    def end(self, item: Item[T], *, discard: bool) -> Rest:
        """End the session that holds this client."""
        recycle = self._engine.settings.recycle_sessions
        if item.flight is not None:
            item.flight.released = True
            item.flight = None
        self._count_lookups(item)
        leases = item.leases
        self._stock.disown(item, ItemState.LEASED if leases else ItemState.RESETTING)
        if leases:
            # Whoever is in the middle of using it is not cut off; the last lease turns it in.
            item.ending = "discard" if discard else item.ending
            item.orphaned = True
            return None
        return self._engine.returns.turn_in(item, keep=recycle, discard=discard)

    def end_lease(self, item: Item[T], *, discard: bool) -> Rest:
        """End one lease of a session; the last one ends a session that a lease began, or that ended meanwhile."""
        item.leases -= 1
        item.used_at = self._engine.clock.now()
        item.set_swift(observed=self._stock.observed)
        if item.orphaned:
            if item.leases:
                return None
            self._stock.passing[item] = ItemState.RESETTING
            keep = self._engine.settings.recycle_sessions
            return self._engine.returns.turn_in(item, keep=keep, discard=discard or item.ending == "discard")
        if self._stock.sessions.get(item.session) is not item:
            self._engine.returns.release_again()
            return None
        if discard or (item.begun_by_lease and not item.leases):
            return self.end(item, discard=discard)
        return None

    def restock(self, session: Hashable, resource: T | None) -> bool:
        """End a session whose client needs nothing done and goes straight to the idle ones; False if more is to do."""
        engine, stock = self._engine, self._stock
        item = stock.sessions.get(session)
        if item is None or not item.swift or not engine.settings.recycle_sessions:
            return False
        if item.flight is not None or (resource is not None and resource is not item.resource):
            return False
        now = engine.clock.now()
        if len(stock.idle) >= engine.idle_limit or now >= item.brisk_until:
            return False
        if now >= item.plain_until and not engine.returns.is_clean(item):
            return False  # `turn_in` goes on with what was begun
        del stock.sessions[session]
        item.session = None
        item.idle_since = now
        if item.lookups:
            self._count_lookups(item)
        stock.idle.append(item)
        return True

    def forget(self) -> None:
        """Make every session's client an anonymous one, as session awareness is off now."""
        stock = self._stock
        for item in [item for item in (*stock.sessions.values(), *stock.expired.values()) if not item.leases]:
            self._count_lookups(item)
            stock.disown(item, ItemState.LEASED)
            stock.own(item, None, self._engine.clock.now())

    def sweep(self, now: float) -> float:
        """Set stale sessions apart and end those whose grace is over; when to sweep again."""
        when = min(self._expire_stale(now), self._end_expired(now))
        age = self._engine.settings.session_max_age_sec
        return max(when, now + age / 1000)

    def _expire_stale(self, now: float) -> float:
        stock, age = self._stock, self._engine.settings.session_max_age_sec
        oldest, stale = now, []
        for session, item in stock.sessions.items():
            if item.lookups != item.lookups_seen or item.leases:
                item.lookups_seen, item.used_at = item.lookups, now
            if now >= item.used_at + age:
                stale.append(session)
            else:
                oldest = min(oldest, item.used_at)
        for session in stale:
            stock.expire(session, now)
        if stale:
            self._told_stale(len(stale))
        return min(oldest + age, now + age / LOOKS) if stock.sessions else NEVER

    def _end_expired(self, now: float) -> float:
        stock, grace = self._stock, self._engine.settings.grace_sec
        for item in [item for item in stock.expired.values() if now >= item.used_at + grace]:
            item.ending = "stale"  # never stocked: whoever forgot the session may still use it
            self.end(item, discard=False)
        return min((item.used_at + grace for item in stock.expired.values()), default=NEVER)

    def _told_stale(self, count: int) -> None:
        engine = self._engine
        engine.stats.counts["sessions_expired"] += count
        engine.tell("sessions_expired", count=count)
        logger.debug("[%s] Cleaned up %d stale sessions", engine.name, count)

    def _replace(self, item: Item[T]) -> None:
        self._engine.stats.counts["checks_failed"] += 1
        self._engine.tell("check_failed")
        item.ending = "invalid" if item.dead else "check"
        self.end(item, discard=False)

    def _count_lookups(self, item: Item[T]) -> None:
        self._engine.stats.dedicated_ended += item.lookups
        item.uses += item.lookups
        item.lookups = item.lookups_seen = 0
