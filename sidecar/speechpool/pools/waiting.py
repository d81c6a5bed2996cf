"""Those who wait: one caller with a future, or all the callers of one session on one flight."""

import asyncio
from collections.abc import Hashable, Iterator
from typing import TypeVar

from .item import Item, Waiter
from .tiers import AllocationTier

__all__ = ["Flight", "Ticket", "tickets"]

T = TypeVar("T")


class Ticket(Waiter[T]):
    """One caller's place, anonymous or aboard a flight.

    Args:
        future: Wakes the caller.
        deadline: When its wait ends, on the pool's clock; infinite for none.
        seconds: The same as the caller gave it, for the message.
    """

    __slots__ = ("deadline", "flight", "future", "outcome", "seconds")

    def __init__(
        self, future: "asyncio.Future[tuple[Item[T], AllocationTier]]", deadline: float, seconds: float | None
    ) -> None:
        self.session = None
        self.attempt = None
        self.future = future
        self.deadline = deadline
        self.seconds = seconds
        self.outcome = "error"
        self.flight: Flight[T] | None = None

    @property
    def served(self) -> Item[T] | None:
        """The client that was handed over, if one was."""
        future = self.future
        if not future.done() or future.cancelled() or future.exception() is not None:
            return None
        return future.result()[0]

    @property
    def wanted(self) -> bool:
        """Whether the caller still waits: not served, not failed, not cancelled."""
        return not self.future.done()

    def give(self, item: Item[T], tier: AllocationTier) -> None:
        """Wake the caller with a client."""
        self.future.set_result((item, tier))

    def fail(self, error: BaseException, outcome: str) -> None:
        """Wake the caller with an error."""
        if not self.future.done():
            self.outcome = outcome
            self.future.set_exception(error)


class Flight(Waiter[T]):
    """The one acquisition of a session that is under way, whoever began it; the first aboard gets its tier.

    Args:
        session: The session.
        flights: Where it is registered until it ends.
    """

    __slots__ = ("_flights", "aboard", "released", "taken")

    def __init__(self, session: Hashable, flights: "dict[Hashable, Flight[T]]") -> None:
        super().__init__(session)
        self._flights = flights
        self.aboard: list[Ticket[T]] = []
        self.released = False
        self.taken = False

    @property
    def wanted(self) -> bool:
        """Whether anyone aboard still waits."""
        return any(ticket.wanted for ticket in self.aboard)

    def give(self, item: Item[T], tier: AllocationTier) -> None:
        """Wake everyone aboard: the first was served, for the others the session has its client."""
        self.land()
        item.flight = self
        for ticket in self.aboard:
            if ticket.wanted:
                ticket.give(item, tier)
                tier = AllocationTier.DEDICATED

    def fail(self, error: BaseException, outcome: str) -> None:
        """Wake everyone aboard with an error."""
        self.land()
        for ticket in self.aboard:
            ticket.fail(error, outcome)

    def land(self) -> None:
        """Take it out of the register: who asks for the session from now on does not join it."""
        if self._flights.get(self.session) is self:
            del self._flights[self.session]

    def is_unclaimed(self, item: Item[T]) -> bool:
        """Whether nobody aboard, and no one since, took the client the flight was given."""
        expected = any(ticket.served is not None for ticket in self.aboard)
        return not (expected or self.taken or self.released or item.lookups or item.leases)


def tickets(waiter: Waiter[T]) -> Iterator[Ticket[T]]:
    """Every caller behind one place in the queue."""
    if isinstance(waiter, Flight):
        yield from tuple(waiter.aboard)
    elif isinstance(waiter, Ticket):
        yield waiter
