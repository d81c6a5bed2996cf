"""How a caller waits: in order, with a creation of its own, until one deadline."""

import asyncio
import logging
import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from speechpool.errors import PoolClosed, PoolError, PoolFull, PoolTimeout, SessionReleased

from .clock import NEVER
from .item import Item, Waiter
from .tiers import AllocationTier
from .waiting import Flight, Ticket, tickets

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Queue"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")


class Queue(Generic[T]):
    """Callers who could not be served at once, and the flights of sessions among them.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock
        self._clock = engine.clock
        self._stats = engine.stats
        self.flights: dict[Hashable, Flight[T]] = {}

    def at_once(self, session: Hashable) -> tuple[Item[T], AllocationTier] | None:
        """The session's client, or an idle one that needs no more than a look; None if the caller has to wait."""
        engine, stock, idle = self._engine, self._stock, self._stock.idle
        if session is not None and (session in stock.sessions or stock.expired):
            held = engine.sessions.lookup(session)
            if held is not None:
                held.lookups += 1
                if stock.observed:
                    logger.debug("[%s] Acquired DEDICATED resource for session %s...", engine.name, str(session)[:8])
                return held, AllocationTier.DEDICATED
        now = self._clock.now()
        if now >= self._clock.due:
            engine.tend(now)
        engine.sizer.arrivals.append(now)
        if not idle or stock.waiters or (idle[-1].looks and not engine.maker.is_sound(idle[-1], now)):
            return None
        item = idle.pop()
        stock.own(item, session, now)
        self._stats.warm += 1
        if len(idle) < engine.mark:
            engine.follow_up(item, now)
        return item, AllocationTier.WARM

    async def wait(
        self, session: Hashable, timeout: float | None, began: float | None = None
    ) -> tuple[Item[T], AllocationTier]:
        """Wait for a client; its owner is registered when this returns.

        Args:
            session: The session it is for, or None.
            timeout: Seconds; None for `acquire_timeout`; 0 or less takes what is idle or nothing.
            began: When the caller came, if not now.

        Raises:
            PoolTimeout: No client in time.
            PoolFull: `max_waiting` callers wait already.
            PoolClosed: The pool is shut down, or was while waiting.
            SessionReleased: The session was released while waiting.
            Exception: The factory's, if this caller's own creation failed.
        """
        stats = self._stats
        if began is None:
            began = self._clock.now()
        try:
            ticket = self._enqueue(session, timeout, began)
        except PoolTimeout:
            stats.failures["timeout"] += 1
            raise
        except PoolError:
            stats.failures["rejected"] += 1
            raise
        waits = not ticket.future.done()
        try:
            # The only suspension: until here the caller is not registered, after it the client has its owner.
            item, tier = await ticket.future
        except asyncio.CancelledError:
            stats.failures["cancelled"] += 1
            self._abandon(ticket)
            raise
        except Exception:
            stats.failures[ticket.outcome] += 1
            if ticket.flight is not None:
                ticket.flight.aboard.remove(ticket)
            raise
        if ticket.flight is not None:
            self._land(ticket, ticket.flight, item)
        if waits:
            stats.waited(self._clock.now() - began)
        stats.allocated(tier)
        if self._engine.noted:
            self._engine.note(item, tier, self._clock.now())
        return item, tier

    def end_waits(self, now: float) -> float:
        """End the waits whose time is over; when to look again."""
        when = NEVER
        for waiter in tuple(self._stock.waiters):
            for ticket in tickets(waiter):
                if ticket.deadline > now:
                    when = min(when, ticket.deadline)
                elif ticket.wanted:
                    ticket.fail(self._timeout(ticket.seconds), "timeout")
            if not waiter.wanted:
                self._leave(waiter)
        return when

    def release_flight(self, session: Hashable) -> bool:
        """End a session's flight, because the session was released; whether there was one."""
        flight = self.flights.get(session)
        if flight is None:
            return False
        self._leave(flight)
        flight.fail(_released(session), "rejected")
        return True

    @property
    def waiting(self) -> int:
        """Callers who wait; those aboard one flight are counted each."""
        return sum(ticket.wanted for waiter in self._stock.waiters for ticket in tickets(waiter))

    def close(self) -> None:
        """End every wait, because the pool closes."""
        for waiter in tuple(self._stock.waiters):
            self._leave(waiter)
            waiter.fail(PoolClosed(f"[{self._engine.name}] the pool was shut down while waiting"), "rejected")

    def _enqueue(self, session: Hashable, timeout: float | None, now: float) -> Ticket[T]:
        seconds = self._engine.settings.acquire_timeout if timeout is None else timeout
        if seconds is not None and math.isnan(seconds):
            raise ValueError(f"timeout must be a number of seconds or None, got {seconds!r}")
        self._admit(session, seconds)
        deadline = NEVER if seconds is None else now + seconds
        ticket: Ticket[T] = Ticket(self._clock.loop().create_future(), deadline, seconds)
        self._join(session, ticket)
        self._engine.idle_limit = 0
        if not self._stock.stuck:
            self._engine.resize(now)
            self._engine.drive(now)
        if deadline < self._engine.clock.due and ticket.wanted:
            self._engine.clock.wake_at(deadline)
        return ticket

    def _admit(self, session: Hashable, seconds: float | None) -> None:
        engine, stock = self._engine, self._stock
        if engine.health.is_closed:
            raise PoolClosed(f"[{engine.name}] the pool is shut down; call prepare() to open it again")
        if stock.idle or stock.retiring or stock.unwarmed:
            return
        if seconds is not None and seconds <= 0:
            raise self._timeout(seconds)
        limit = engine.settings.max_waiting
        if limit is not None and session not in self.flights and len(stock.waiters) >= limit:
            engine.tell("pool_full")
            raise PoolFull(f"[{engine.name}] {limit} callers wait already (max_waiting); try again later")

    def _join(self, session: Hashable, ticket: Ticket[T]) -> None:
        if session is None:
            self._stock.join(ticket)
            return
        flight = self.flights.get(session)
        if flight is None:
            flight = self.flights[session] = Flight(session, self.flights)
            self._stock.join(flight)
        ticket.flight = flight
        flight.aboard.append(ticket)

    def _leave(self, waiter: Waiter[T]) -> None:
        self._stock.leave(waiter)
        if isinstance(waiter, Flight):
            waiter.land()

    def _abandon(self, ticket: Ticket[T]) -> None:
        """Undo a cancelled caller's wait: what it was given already goes back, what was begun goes on."""
        engine = self._engine
        served = ticket.served
        if ticket.flight is None:
            if served is None:
                self._leave(ticket)
            else:
                engine.returns.unused(served)
        else:
            ticket.flight.aboard.remove(ticket)
            if served is None:
                if not ticket.flight.wanted:
                    self._leave(ticket.flight)
            elif ticket.flight.is_unclaimed(served):
                engine.returns.unused(served)
        engine.drive(engine.clock.now())

    def _land(self, ticket: Ticket[T], flight: Flight[T], item: Item[T]) -> None:
        flight.aboard.remove(ticket)
        flight.taken = True
        if not flight.aboard and item.flight is flight:
            item.flight = None
        if flight.released:
            self._engine.stats.failures["rejected"] += 1
            raise _released(flight.session)

    def _timeout(self, seconds: float | None) -> PoolTimeout:
        engine = self._engine
        counts = ", ".join(f"{count} {state.value}" for state, count in self._stock.counts().items() if count)
        engine.tell("acquire_timeout", wait_seconds=seconds)
        error = PoolTimeout(
            f"[{engine.name}] no client within {seconds} s: {counts or 'no clients'},"
            f" {len(self._stock.waiters)} waiting, max_size {self._stock.max_size}"
        )
        if engine.circuit.failures:
            error.__cause__ = engine.circuit.last_error
        return error


def _released(session: Hashable) -> SessionReleased:
    return SessionReleased(f"session {str(session)[:8]}... was released while its client was being acquired")
