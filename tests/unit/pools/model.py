"""What a pool's user may expect, as a simple model: who asked, who owns which client, and what must hold then."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.unit.pools.world import Client, ServiceDown, World

from speechpool.errors import PoolError
from speechpool.pools import AllocationTier, WarmableResourcePool

__all__ = ["Ask", "Model", "Session"]

ENDS = ("dedicated", "warm", "cold", "timeout", "error", "cancelled", "rejected")


@dataclass(eq=False)
class Ask:
    """One caller, from its acquire to its release.

    Args:
        number: Callers are served in this order.
        session_id: Whose session, or None for an anonymous client.
        as_lease: Whether it holds a lease, until `done` is set.
    """

    number: int
    session_id: str | None
    as_lease: bool
    joins: bool = False  # shares a session's client or flight, so it has no place of its own in the queue
    hung_up: bool = False
    left: bool = False  # its lease's block is over
    task: asyncio.Task[None] | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    client: Client | None = None
    tier: AllocationTier | None = None
    error: BaseException | None = None

    @property
    def pending(self) -> bool:
        never_began = self.task is not None and self.task.done()  # cancelled before its first step
        return self.client is None and self.error is None and not never_began

    @property
    def holding(self) -> bool:
        """A lease that has begun and not ended."""
        return self.as_lease and self.client is not None and not self.left


@dataclass(eq=False)
class Session:
    """One session as its user knows it."""

    client: Client
    last_use: float
    kept: bool  # begun or joined by acquire_for_session: it stays until it is released


class Model:
    """The model beside one pool.

    Args:
        loop: The loop that the pool runs on.
        world: Where the clients come from.
        pool: The pool under test.
        max_age: Its session_max_age_sec.
        grace: Its session_grace_sec.
        in_order: Whether callers are served strictly in order (no hook waits while another caller passes by).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        world: World,
        pool: WarmableResourcePool[Client],
        *,
        max_age: float,
        grace: float,
        in_order: bool,
    ) -> None:
        self._loop = loop
        self.world = world
        self.pool = pool
        self.max_age = max_age
        self.grace = grace
        self.in_order = in_order
        self.max_creating: int | None = None
        self.max_refilling = 4
        self.renewed_at = float("-inf")  # what was begun to be made by then is of an older generation
        self.asks: list[Ask] = []
        self.held: list[Client] = []
        self.sessions: dict[str, Session] = {}
        self.released: list[Client] = []
        self.chores: list[asyncio.Task[Any]] = []
        self._newly_served: list[Ask] = []
        self._largest_bound = 0.0  # a bound that was lowered is reached as clients come back
        self._failures: list[AssertionError] = []

    # --- what callers do ----------------------------------------------------------------------------------------

    def ask(self, session_id: str | None, timeout: float | None, *, as_lease: bool) -> Ask:
        """A new caller, in a task of its own."""
        ask = Ask(len(self.asks), session_id, as_lease)
        ask.joins = session_id is not None and (session_id in self.sessions or bool(self.flights(session_id)))
        self.asks.append(ask)
        ask.task = self._loop.create_task(self._call(ask, timeout))
        return ask

    async def _call(self, ask: Ask, timeout: float | None) -> None:
        try:
            if ask.as_lease:
                await self._hold_lease(ask, timeout)
            elif ask.session_id is None:
                self.granted(ask, await self.pool.acquire(timeout), None)
            else:
                self.granted(ask, *await self.pool.acquire_for_session(ask.session_id, timeout))
        except asyncio.CancelledError as error:
            ask.error = error
            raise
        except (PoolError, ServiceDown) as error:
            ask.error = error
        except AssertionError as error:
            ask.error = error
            self._failures.append(error)

    async def _hold_lease(self, ask: Ask, timeout: float | None) -> None:
        pool = self.pool
        entering = pool.session(ask.session_id, timeout) if ask.session_id else pool.lease(timeout)
        async with entering as lease:
            self.granted(ask, lease.resource, lease.tier)
            try:
                await ask.done.wait()
            finally:
                self.lease_ended(ask)

    def granted(self, ask: Ask, client: Client, tier: AllocationTier | None) -> None:
        """A caller has its client."""
        assert ask.pending
        assert not ask.hung_up, "a session that was hung up got a client"
        assert not client.close_started, "a closed client was handed out"
        if ask.session_id is None:
            self._granted_to_caller(ask, client)
        else:
            self._granted_to_session(ask, client)
        ask.client, ask.tier = client, tier
        self._newly_served.append(ask)

    def _granted_to_caller(self, ask: Ask, client: Client) -> None:
        self._owned_by_one(client)
        self._clean(client)
        client.owner = f"caller {ask.number}"
        if not ask.as_lease:
            self.held.append(client)

    def _granted_to_session(self, ask: Ask, client: Client) -> None:
        session = self.sessions.get(ask.session_id or "")
        if session is None or session.client is not client:
            if session is not None:
                assert self.may_have_lost(session), "a session lost its client"
            self._owned_by_one(client)
            if not any(other.client is client for other in self.asks if other is not ask and other.holding):
                self._clean(client)
            session = self.sessions[ask.session_id or ""] = Session(client, self.now, kept=False)
            client.owner = ask.session_id
        assert client.owner == ask.session_id, "a session was given another's client"
        session.last_use = self.now
        session.kept |= not ask.as_lease

    async def hang_up(self, session_id: str) -> None:
        """End a session by its name, whether or not it has its client yet."""
        session, flights = self.sessions.pop(session_id, None), self._hang_up_flights(session_id)
        found = await self.pool.release_for_session(session_id)
        assert found or not flights
        assert found or session is None or self.may_have_lost(session)
        assert not found or flights or session

    async def hang_up_by_client(self, session_id: str) -> None:
        """End a session by giving back its client as if it were anonymous."""
        session = self.sessions.pop(session_id, None)
        if session is not None:
            self._hang_up_flights(session_id)
            await self.pool.release(session.client)

    def _hang_up_flights(self, session_id: str) -> list[Ask]:
        flights = self.flights(session_id)
        for ask in flights:
            ask.hung_up = True
        return flights

    def lease_ended(self, ask: Ask) -> None:
        """A lease's block was left; told to leave it, its caller still has the client until it runs."""
        ask.left = True
        session = self.sessions.get(ask.session_id or "")
        if session is None or session.client is not ask.client:
            return
        session.last_use = self.now
        if not session.kept and not self.leased(session):
            del self.sessions[ask.session_id or ""]

    # --- questions ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._loop.time()

    def flights(self, session_id: str) -> list[Ask]:
        """Callers of this session that wait."""
        return [ask for ask in self.asks if ask.pending and ask.session_id == session_id and not ask.hung_up]

    def leased(self, session: Session) -> bool:
        return any(ask.holding and ask.client is session.client for ask in self.asks)

    def may_have_lost(self, session: Session) -> bool:
        """Whether the pool may have taken the session's client: it died, was drained, or nobody came for too long."""
        stale = self.now - session.last_use > self.max_age + self.grace - 1e-3
        drained = session.client.began_at <= self.renewed_at
        return not session.client.is_ready or ((stale or drained) and not self.leased(session))

    def owners(self) -> Iterator[Client]:
        """The clients that users have, each once per owner."""
        yield from self.held
        yield from (session.client for session in self.sessions.values())
        in_sessions = {session.client for session in self.sessions.values()}
        yield from {ask.client for ask in self.asks if ask.holding and ask.client not in in_sessions and ask.client}

    def _owned_by_one(self, client: Client) -> None:
        assert client not in list(self.owners()), f"{client} has two owners"

    def _clean(self, client: Client) -> None:
        assert client.owner is None, f"{client} was handed out with the state of {client.owner}"

    # --- what must hold -----------------------------------------------------------------------------------------

    def check(self, *, settled: bool) -> None:
        """The invariants.

        Args:
            settled: Whether everything that could run at this moment has run; between two passes of the loop some
                facts are on their way from the pool to its caller.
        """
        if self._failures:
            raise self._failures.pop()
        snapshot = self.pool.snapshot()
        self._largest_bound = max(self._largest_bound, snapshot["max_size"] or math.inf)
        self._check_books(snapshot)
        self._check_waiting(snapshot)
        self._check_clients()
        if settled:
            self._check_gauges(snapshot)
            self._check_order()
            self._check_stock(snapshot)

    def _check_books(self, snapshot: dict[str, Any]) -> None:
        """Invariants 1 and 7: what was made is somewhere, each allocation ended once."""
        metrics, items = snapshot["metrics"], snapshot["items"]
        inside = sum(items.values()) - items["creating"]
        assert metrics["items_made"] == metrics["items_closed"] + inside
        assert metrics["allocations_total"] == sum(metrics[f"allocations_{end}"] for end in ENDS)
        assert metrics["items_closed"] == sum(metrics["closed_by_reason"].values())
        assert min(items.values()) >= 0

    def _check_waiting(self, snapshot: dict[str, Any]) -> None:
        """Invariant 3: nobody waits beside an idle client, unless for the check of one."""
        items = snapshot["items"]
        assert not (snapshot["waiting"] and items["idle"]) or items["checking"], f"{snapshot['waiting']} wait: {items}"

    def _check_clients(self) -> None:
        """Invariants 1 and 4: one owner each, none closed twice, none closed under its owner."""
        owned = list(self.owners())
        assert len(owned) == len(set(owned)), "a client has two owners"
        for client in self.world.made:
            assert client.closes <= 1
        for session_id, session in list(self.sessions.items()):
            if session.client.close_started:
                assert self.may_have_lost(session), f"the client of session {session_id} was closed"
                del self.sessions[session_id]
        for client in self.owners():
            assert not client.close_started, f"{client} was closed under its owner"

    def _check_gauges(self, snapshot: dict[str, Any]) -> None:
        """Invariants 1 and 7: the gauges are the world's own state."""
        items = snapshot["items"]
        inside = sum(items.values()) - items["creating"] - items["closing"]
        assert inside == len(self.world.open), f"{items} but open are {self.world.open}"
        assert snapshot["metrics"]["items_made"] == len(self.world.made)
        owned = set(self.owners())
        perhaps = {session.client for session in self.sessions.values() if self.may_have_lost(session)}
        out = items["out"] + items["leased"] + items["expired"]
        assert len(owned - perhaps) <= out <= len(owned), f"{items} but owned are {owned}"
        assert snapshot["warm_pool_size"] == snapshot["metrics"]["warm_pool_size"] == items["idle"]
        assert snapshot["active_sessions"] == snapshot["metrics"]["active_sessions"] <= len(self.sessions)
        assert sum(items.values()) <= self._largest_bound

    def _check_order(self) -> None:
        """Invariant 3: whoever asked first was served first."""
        waiting = [ask.number for ask in self.asks if ask.pending and not ask.joins and not ask.hung_up]
        served = [ask.number for ask in self._newly_served if not ask.joins]
        self._newly_served.clear()
        if self.in_order and waiting and served:
            assert max(served) < min(waiting), f"caller {max(served)} went past caller {min(waiting)}"

    def _check_stock(self, snapshot: dict[str, Any]) -> None:
        """Invariants 2 and 5: the stock is whole, and each caller who waits has a creation, or a limit says why not."""
        if snapshot["state"] in {"new", "preparing", "closed"} or self.limited(snapshot):
            return
        items = snapshot["items"]
        coming = items["creating"] + items["warming"]
        places = self.places_in_queue
        assert coming + items["checking"] >= places, f"{places} wait, but {items}"
        if snapshot["background_warmup"]:
            stock = items["idle"] + items["checking"] + items["unwarmed"] + coming - places
            target = snapshot["warm_pool_target"]
            refilling = coming - max(0, places - items["checking"])  # who waits for a check needs no creation
            assert stock >= target or refilling >= self.max_refilling, (
                f"{items} with {places} waiting for {target} warm"
            )

    @property
    def places_in_queue(self) -> int:
        """Callers who wait, all those of one session as one."""
        waiting = [ask for ask in self.asks if ask.pending and not ask.hung_up]
        sessions = {ask.session_id for ask in waiting if ask.session_id}
        return len(sessions) + sum(ask.session_id is None for ask in waiting)

    def limited(self, snapshot: dict[str, Any]) -> bool:
        """Whether a limit on creations is reached now."""
        items, creation = snapshot["items"], snapshot["creation"]
        everything = sum(items.values())
        full = snapshot["max_size"] is not None and everything >= snapshot["max_size"]
        at_once = self.max_creating is not None and items["creating"] + items["warming"] >= self.max_creating
        return full or at_once or creation["failures_in_row"] > 0
