"""The state of a pool, as plain data and synchronous decisions: who has what, who waits, what is missing.

Nothing here awaits, reads a clock or calls a hook. Every method leaves the stock consistent, so nothing can be lost
between two of them; what must be done outside (creating, closing) is returned to the caller or asked for by it.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from .item import Attempt, Item, Waiter
from .stats import Peak
from .tiers import AllocationTier, ItemState

__all__ = ["Stock"]

T = TypeVar("T")


class Stock(Generic[T]):
    """The clients of one pool, each in exactly one place, and the queue of those who wait.

    No client has two owners; nobody waits while a client is idle; every attempt and its waiter name each other.
    A client "in no place" is in `passing`: on its way from one place to the next.

    Args:
        target: Warm clients wanted, idle and ready; >= 0.
        max_size: Clients at most, creations and closes under way included; None for no limit.
    """

    __slots__ = (
        "checking",
        "creating",
        "expired",
        "generation",
        "idle",
        "items",
        "max_size",
        "observed",
        "out",
        "passing",
        "peak",
        "refilling",
        "replacements",
        "retiring",
        "sessions",
        "target",
        "unwarmed",
        "waiters",
        "warming",
    )

    def __init__(self, *, target: int, max_size: int | None, peak: Peak) -> None:
        self.target = target
        self.max_size = max_size
        self.generation = 0
        self.refilling = False
        self.replacements = 0  # clients that came in the place of retiring ones, while there is no refill
        self.observed = False  # every lookup of a session takes the full look, for the log
        self.peak = peak
        self.items: dict[int, Item[T]] = {}
        self.idle: deque[Item[T]] = deque()
        self.retiring: deque[Item[T]] = deque()
        self.unwarmed: deque[Item[T]] = deque()
        self.out: dict[int, Item[T]] = {}
        self.sessions: dict[Hashable, Item[T]] = {}
        self.expired: dict[Hashable, Item[T]] = {}
        self.passing: dict[Item[T], ItemState] = {}
        self.waiters: OrderedDict[Waiter[T], None] = OrderedDict()
        self.creating: dict[Attempt[T], None] = {}
        self.warming: set[Attempt[T]] = set()
        self.checking: dict[Attempt[T], Item[T]] = {}

    # --- owners

    def add(self, item: Item[T], attempt: Attempt[T]) -> None:
        """Take up the client that an attempt's factory returned; it is warming."""
        self.items[item.key] = item
        self.passing[item] = ItemState.WARMING
        self.warming.add(attempt)

    def holds(self, resource: object) -> Item[T] | None:
        """The record of a client that is not closed yet."""
        item = self.items.get(id(resource))
        return item if item is not None and item.resource is resource else None

    def own(self, item: Item[T], session: Hashable, now: float) -> None:
        """Register the owner of a client that is in no place."""
        if self.passing:
            self.passing.pop(item, None)
        item.uses += 1
        item.session = session
        item.granted_at = item.used_at = now
        if session is None:
            self.out[item.key] = item
        else:
            self.sessions[session] = item
            item.begun_by_lease = item.orphaned = False
            item.set_swift(observed=self.observed)

    def disown(self, item: Item[T], state: ItemState) -> bool:
        """Take a client from whoever has it, on its way to another place; whether anyone had it."""
        if self.out.pop(item.key, None) is None:
            if item.session is None:
                return False
            for held in (self.sessions, self.expired):
                if held.get(item.session) is item:
                    del held[item.session]
                    break
            else:
                return False
        self.passing[item] = state
        item.session = None
        return True

    def remove_idle(self, item: Item[T], state: ItemState) -> bool:
        """Take a client from the idle places, on its way to another; whether it was there."""
        for place in (self.idle, self.retiring, self.unwarmed):
            if item in place:
                place.remove(item)
                self.passing[item] = state
                return True
        return False

    def forget(self, item: Item[T]) -> None:
        """Drop the record of a client that is closed."""
        del self.passing[item]
        del self.items[item.key]

    def expire(self, session: Hashable, now: float) -> None:
        """Set a stale session's client apart, until its return or the end of its grace."""
        item = self.expired[session] = self.sessions.pop(session)
        item.used_at = now

    def revive(self, session: Hashable, now: float) -> Item[T] | None:
        """Give a stale session its client back; None if it is not there."""
        item = self.expired.pop(session, None)
        if item is not None:
            self.sessions[session] = item
            item.used_at = now
        return item

    def observe(self, *, observed: bool) -> None:
        """Have every lookup of a session take the full look, or not any more."""
        if observed is not self.observed:
            self.observed = observed
            for item in self.sessions.values():
                item.set_swift(observed=observed)

    # --- the queue

    def join(self, waiter: Waiter[T]) -> None:
        """Put a caller at the end of the queue."""
        self.waiters[waiter] = None

    def leave(self, waiter: Waiter[T]) -> None:
        """Take a caller out of the queue; its attempt goes on for the stock."""
        self.waiters.pop(waiter, None)
        self._tie(None, waiter)

    def begin(self, attempt: Attempt[T]) -> None:
        """Note a creation that begins."""
        self.creating[attempt] = None
        if attempt.waiter is not None:
            self._tie(attempt, attempt.waiter)

    def begin_check(self, attempt: Attempt[T], item: Item[T], state: ItemState) -> None:
        """Note a check or another warm-up that begins, of a client just taken from the idle places."""
        self.passing[item] = state
        self.checking[attempt] = item
        if attempt.waiter is not None:
            self._tie(attempt, attempt.waiter)

    def end(self, attempt: Attempt[T]) -> Waiter[T] | None:
        """Forget an attempt; the caller it was for, who is left without one."""
        self.creating.pop(attempt, None)
        self.warming.discard(attempt)
        self.checking.pop(attempt, None)
        waiter = attempt.waiter
        if waiter is not None:
            self._tie(None, waiter)
        return waiter

    def adopt(self, waiter: Waiter[T]) -> bool:
        """Make a creation that nobody waits for this caller's own; whether there was one."""
        for attempt in self.creating:
            if attempt.waiter is None:
                self._tie(attempt, waiter)
                return True
        return False

    def head(self) -> Waiter[T] | None:
        """The caller who waits longest, out of the queue now; those who gave up are left for their own tasks."""
        for waiter in self.waiters:
            if waiter.wanted:
                del self.waiters[waiter]
                return waiter
        return None

    def hand_over(self, item: Item[T], tier: AllocationTier, loser: Waiter[T] | None, now: float) -> bool:
        """Give a client that is in no place to the head of the queue; False if nobody waits.

        Args:
            item: The client.
            tier: What it is to the receiver.
            loser: The caller whose own attempt brought the client; if someone else is served, the receiver's attempt
                becomes the loser's, so that everyone who waits still has one.
            now: The time.
        """
        waiter = self.head()
        if waiter is None:
            return False
        spare = waiter.attempt
        if spare is not None:
            self._tie(None, waiter)
            if loser is not None and loser is not waiter and loser.attempt is None:
                self._tie(spare, loser)
        self.own(item, waiter.session, now)
        waiter.give(item, tier)
        return True

    def pass_on(self, item: Item[T], now: float) -> bool:
        """Move a client from its anonymous owner to the head of the queue; False if nobody waits."""
        if item.session is not None:
            return False
        waiter = self.head()
        if waiter is None:
            return False
        if waiter.attempt is not None:
            self._tie(None, waiter)
        if waiter.session is None:
            item.uses += 1  # it stays out, with another owner
            item.granted_at = item.used_at = now
        else:
            del self.out[item.key]
            self.own(item, waiter.session, now)
        waiter.give(item, AllocationTier.COLD)
        return True

    # --- the idle ones

    def unfit(self, item: Item[T], now: float) -> str | None:
        """Why a client must not be stocked or handed over again, if so."""
        if item.ending is not None:
            return item.ending
        if item.dead:
            return "invalid"
        if item.hooks.generation != self.generation:
            return "generation"
        if self.excess > 0:
            return "surplus"
        return "lifetime" if now >= item.lives_until else None

    def put(self, item: Item[T]) -> str | None:
        """Lay a client that is in no place with the idle ones; why not, if it is one too many."""
        if self.stocked >= (self.keep_size if item.warm else self.target):
            return "surplus"
        self.passing.pop(item, None)
        (self.idle if item.warm else self.unwarmed).append(item)
        if self.retiring and not self.refilling:
            self.replacements += 1
        return None

    def retain(self, item: Item[T], now: float) -> bool:
        """Let a client of an older generation that comes back serve until its replacement is there; whether it may."""
        has_place = self.refilling and not self.waiters and self.stocked + len(self.retiring) < self.target
        if not has_place or not item.warm or self.excess > 0 or now >= item.lives_until:
            return False
        self.passing.pop(item, None)
        self.retiring.append(item)
        return True

    def retire(self, item: Item[T]) -> None:
        """Mark an idle client to be closed as soon as its replacement is there."""
        self.idle.remove(item)
        self.retiring.append(item)

    def replaced(self) -> Iterator[Item[T]]:
        """Take out the retiring clients that are not needed any more, each of them now closing.

        With refill, all above the target; without, as many as came in their place. One is given up before its
        replacement comes only where there is no room for both, and only one at a time.
        """
        while self.retiring:
            above = self.stocked + len(self.retiring) > self.target
            if not (above or self.replacements or self._must_break()):
                return
            self.replacements = max(0, self.replacements - 1)
            item = self.retiring.popleft()
            self.passing[item] = ItemState.CLOSING
            yield item
        self.replacements = 0

    def surplus(self, target: float) -> Iterator[Item[T]]:
        """Take out the idle clients above a target or `max_size`, the longest idle first, each of them now closing."""
        while (self.stocked > target or self.excess > 0) and (self.unwarmed or self.retiring or self.idle):
            item = (self.unwarmed or self.retiring or self.idle).popleft()
            self.passing[item] = ItemState.CLOSING
            yield item

    # --- what is missing

    @property
    def stuck(self) -> bool:
        """Whether nothing can be done for those who wait: nothing idle, no creation to share, no room for one."""
        if self.max_size is None or self.creating or self.idle or self.retiring or self.unwarmed:
            return False
        return len(self.items) >= self.max_size

    @property
    def goal(self) -> int:
        """Clients that should be idle: the target, or without refill as many as were there before some retired."""
        if self.refilling:
            return self.target
        staying = self.stocked - sum(attempt.waiter is not None for attempt in self.checking)
        return min(self.target, staying + len(self.retiring))

    @property
    def is_short(self) -> bool:
        """Whether refill is on and fewer than the target are idle."""
        return self.refilling and len(self.idle) + len(self.retiring) < self.target

    @property
    def stocked(self) -> int:
        """Clients idle or about to be again; the retiring are not counted."""
        return len(self.idle) + len(self.unwarmed) + len(self.checking)

    @property
    def shortage(self) -> int:
        """Creations missing to serve everyone who waits and then have the goal idle; negative if too many run."""
        return self.goal + len(self.waiters) - self.stocked - len(self.creating)

    @property
    def room(self) -> float:
        """Creations that may begin before `max_size` is reached."""
        if self.max_size is None:
            return float("inf")
        # A creation whose client is made and warming is one client, not two.
        return self.max_size - len(self.items) - len(self.creating) + len(self.warming)

    @property
    def excess(self) -> int:
        """Clients above `max_size`, those being closed left out."""
        if self.max_size is None or len(self.items) <= self.max_size:
            return 0
        closing = sum(state is ItemState.CLOSING for state in self.passing.values())
        return len(self.items) - closing - self.max_size

    @property
    def owned(self) -> int:
        """Clients that callers and sessions hold."""
        return len(self.out) + len(self.sessions) + len(self.expired)

    @property
    def keep_size(self) -> int:
        """Idle clients at most: the target and the largest number out at once of late.

        Without the second part each acquire would start a creation and each release a close. With no target nothing
        is kept: on demand means made and closed for each caller.
        """
        return self.target + self.peak.highest if self.target else 0

    def without_attempt(self) -> Iterator[Waiter[T]]:
        """Those who wait with nothing under way for them, longest waiting first."""
        return (waiter for waiter in tuple(self.waiters) if waiter.attempt is None and waiter.wanted)

    def counts(self) -> dict[ItemState, int]:
        """How many clients are in each state."""
        counts = dict.fromkeys(ItemState, 0)
        for state, _ in self.places():
            counts[state] += 1
        counts[ItemState.CREATING] = len(self.creating) - len(self.warming)
        return counts

    def places(self) -> Iterator[tuple[ItemState, Item[T]]]:
        """Every client with its state."""
        yield from ((ItemState.IDLE, item) for item in (*self.idle, *self.retiring))
        yield from ((ItemState.UNWARMED, item) for item in self.unwarmed)
        yield from ((ItemState.OUT, item) for item in self.out.values())
        yield from ((ItemState.LEASED, item) for item in self.sessions.values())
        yield from ((ItemState.EXPIRED, item) for item in self.expired.values())
        yield from ((state, item) for item, state in self.passing.items())

    def _must_break(self) -> bool:
        closing = any(state is ItemState.CLOSING for state in self.passing.values())
        return self.room <= 0 and not self.creating and not closing

    @staticmethod
    def _tie(attempt: Attempt[T] | None, waiter: Waiter[T]) -> None:
        if waiter.attempt is not None:
            waiter.attempt.waiter = None
        waiter.attempt = attempt
        if attempt is not None:
            attempt.waiter = waiter
