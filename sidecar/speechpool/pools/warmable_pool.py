"""The pool that keeps clients warm, for anonymous callers and for sessions."""

import asyncio
import random
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

from .engine import Engine
from .lease import Lease
from .reconfigure import reconfigure
from .settings import PoolChanges, PoolOptions, PoolSettings
from .snapshot import ItemFacts, item_facts, snapshot
from .tiers import AllocationTier, PoolState

__all__ = ["WarmableResourcePool"]

T = TypeVar("T")


class WarmableResourcePool(Generic[T]):
    """Keeps clients made and warmed up, hands each to one caller or session at a time, closes each once.

    Everything belongs to one event loop; a callback from another thread uses
    `loop.call_soon_threadsafe(pool.release_nowait, client)`. A hook may be synchronous or asynchronous; a synchronous
    one runs inline and must not block.

    Args:
        factory: Makes a client.
        name: For logs, errors and snapshots.
        warm_pool_size: Clients kept idle and warm; 0 makes each on demand and closes it on release.
        enable_background_warmup: Make a new one for each that is taken, at once. Off: only `prepare()` fills the stock.
        warmup_interval_sec: How often the stock is re-checked although nothing happened.
        session_awareness: Keep a session's client for it from its first acquire to its release.
        session_max_age_sec: A session without use for so long is stale.
        warm_fn: Warms a client up; True or None is success, False or an exception a failure.
        max_size: Clients at most, those being made and closed included.
        max_waiting: Callers who may wait at once; above it PoolFull.
        warm_pool_max: Above `warm_pool_size`: the pool sizes itself between the two.
        cold_target: The share of cold calls that sizing aims at.
        max_creating: Creations at once, hard.
        max_refilling: Creations at once for the stock; a caller who waits has its own besides.
        creations_per_minute: Creations begun in any minute.
        create_timeout: Limit of an asynchronous factory, in seconds.
        backoff_initial_sec: Longest pause after a first failed creation, doubled with each further one.
        backoff_max_sec: Where the doubling ends.
        circuit_failures: Failures in a row after which refill stops but for a probe.
        circuit_probe_sec: How often it probes.
        acquire_timeout: The timeout of an acquire that gives none; None waits without limit, as the seed did.
        max_idle_sec: Idle for longer, a client is replaced.
        max_lifetime_sec: Older, it is replaced while idle or closed on return.
        keepalive_sec: An idle client is checked so often.
        check_idle_over_sec: `check_fn` runs before a hand-out only after so much idleness.
        session_grace_sec: How long a stale session's client is kept for its return; None: as `session_max_age_sec`.
        recycle_sessions: Stock a session's client after its reset; False closes it, as the seed did.
        leak_after_sec: An anonymous client out for longer is reported, with the place of its acquire.
        reset_fn: Clears what a caller left; by default `clear_session_state()` if the client has it.
        check_fn: Whether an idle client may be handed out; by default `is_ready` if the client has it.
        close_fn: Closes a client; by default `close()` or else `aclose()` if the client has it.
        warm_timeout: Limit of an asynchronous `warm_fn`, in seconds.
        reset_timeout: Limit of an asynchronous reset, in seconds.
        check_timeout: Limit of an asynchronous check, in seconds.
        close_timeout: Limit of an asynchronous close, in seconds.
        on_event: Called as `on_event(name, pool, **facts)`; its failures do no harm.
        clock: Seconds that never go back; by default the running loop's time.
        rng: Source of jitter.

    Raises:
        SettingsError: An argument is of the wrong kind or out of its bounds.
    """

    def __init__(
        self,
        *,
        factory: Callable[[], Any],
        name: str,
        on_event: Callable[..., object] | None = None,
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
        **settings: Unpack[PoolOptions],
    ) -> None:
        self._engine: Engine[T] = Engine(
            self, name=name, settings=PoolSettings(factory=factory, **settings), on_event=on_event, clock=clock, rng=rng
        )
        # The fast paths read these containers themselves.
        stock = self._engine.stock
        self._idle, self._out, self._sessions, self._waiters = stock.idle, stock.out, stock.sessions, stock.waiters
        self._arrivals, self._stats = self._engine.sizer.arrivals, self._engine.stats
        self._clock, self._queue = self._engine.clock, self._engine.queue

    # --- life

    async def prepare(self, *, timeout: float | None = None, strict: bool = False) -> None:
        """Make `warm_pool_size` clients, all at once, then open the pool.

        Repeated calls fill the stock up again; concurrent ones join. Cancelled, it keeps what was made. A pool that
        was shut down opens again. Creations that fail leave the pool DEGRADED and are tried again in the background.

        Args:
            timeout: Seconds after which the pool opens with what there is; None waits for every creation.
            strict: Raise instead of being content with fewer.

        Raises:
            PoolNotReady: Fewer are warm than wanted, and `strict` is set.
            PoolClosed: The pool was shut down meanwhile.
        """
        await self._engine.lifecycle.prepare(timeout, strict=strict)

    async def wait_ready(self, timeout: float | None = 30.0) -> None:
        """Wait until the pool is READY, for so many seconds at most.

        Raises:
            PoolNotReady: It is not by then.
            PoolClosed: It is shut down.
        """
        await self._engine.lifecycle.wait_ready(timeout)

    async def shutdown(self, timeout: float = 2.0) -> None:
        """End every wait with PoolClosed and close every client that nobody uses, all at once; idempotent.

        Clients that are out are reset and closed when they come back.

        Args:
            timeout: Seconds for all closes together; what is not closed by then is cancelled.
        """
        await self._engine.lifecycle.shutdown(timeout)

    async def __aenter__(self) -> Self:
        await self.prepare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()

    # --- anonymous callers

    async def acquire(self, timeout: float | None = None) -> T:
        """A client for this caller alone, until its release.

        Args:
            timeout: Seconds for everything: waiting, creating, warming up, checking. None is `acquire_timeout`; 0 or
                less takes what is idle or nothing.

        Raises:
            PoolTimeout: No client in time.
            PoolFull: `max_waiting` callers wait already.
            PoolClosed: The pool is shut down.
            Exception: The factory's, if this caller's own creation failed.
        """
        # What `Queue.at_once` does, without its calls: they cost as much as all of this.
        idle, clock = self._idle, self._clock
        now = clock.now()
        if now >= clock.due:
            self._engine.tend(now)
        self._arrivals.append(now)
        if not idle:
            return (await self._queue.wait(None, timeout, now))[0].resource
        item = idle.pop()
        # Somebody waits beside an idle client only while clients are being checked, and then all of them look.
        if item.looks and (self._waiters or not self._engine.maker.is_sound(item, now)):
            idle.append(item)
            return (await self._queue.wait(None, timeout, now))[0].resource
        self._out[item.key] = item
        item.uses += 1
        self._stats.warm += 1
        if len(idle) < self._engine.mark:
            self._engine.follow_up(item, now)
        return item.resource

    async def release(self, resource: T | None, *, discard: bool = False) -> None:
        """Give a client back; it is reset before anyone else gets it, or closed.

        None, a second release and an object that is not of this pool do not raise; the last is reset and closed too.

        Args:
            resource: The client.
            discard: Close it: it is broken.
        """
        idle, key = self._idle, id(resource)
        item = self._out.pop(key, None)
        if item is not None:
            if len(idle) < self._engine.idle_limit and not discard:
                now = self._clock.now()
                if now < item.plain_until or (now < item.brisk_until and self._engine.returns.is_clean(item)):
                    item.idle_since = now
                    idle.append(item)
                    return
            self._out[key] = item  # there is more to do
        rest = self._engine.returns.release(resource, discard=discard)
        if rest is not None:
            # The pool's own task goes on if this caller is cancelled.
            await asyncio.shield(rest)

    def release_nowait(self, resource: T | None, *, discard: bool = False) -> None:
        """`release()` that does not wait for an asynchronous reset or close."""
        self._engine.returns.release(resource, discard=discard)

    def lease(self, timeout: float | None = None, *, leak_after_sec: float | None = None) -> Lease[T]:
        """An `async with` block with a client: acquired at its begin, released at its end.

        Args:
            timeout: As for `acquire()`.
            leak_after_sec: In place of the pool's, for this use.
        """
        return Lease(self, self._engine, None, timeout, leak_after_sec)

    # --- sessions

    async def acquire_for_session(self, session_id: Hashable, timeout: float | None = None) -> tuple[T, AllocationTier]:
        """The session's client, and how it was come by; its first acquire keeps one for it.

        Concurrent acquires of one session share one acquisition. Without session awareness, or without a session, the
        client is an anonymous one.

        Args:
            session_id: The session; None or an empty one means none.
            timeout: As for `acquire()`.

        Raises:
            SessionReleased: The session was released while its client was being acquired.
            Exception: As `acquire()`.
        """
        held = self._sessions.get(session_id)
        if held is not None and held.swift:
            try:
                if held.swift > 1 or getattr(held.resource, "is_ready", True) is True:
                    held.lookups += 1
                    return held.dedicated
            except Exception:  # noqa: BLE001  # whatever the client's property raises, the full look decides
                held.swift = 0
        session = session_id if session_id and self._engine.settings.session_awareness else None
        item, tier = self._queue.at_once(session) or await self._queue.wait(session, timeout)
        if item.begun_by_lease:
            item.begun_by_lease = False  # from now on it is this caller who ends the session
            item.set_swift(observed=self._engine.stock.observed)
        return item.resource, tier

    async def release_for_session(
        self, session_id: Hashable, resource: T | None = None, *, discard: bool = False
    ) -> bool:
        """End a session and take its client back; True if there was such a session.

        Args:
            session_id: The session. None or an empty one releases `resource` and returns True.
            resource: If it is not the session's client, it is released as by `release()`.
            discard: Close the client: it is broken.
        """
        engine = self._engine
        if not session_id or not engine.settings.session_awareness:
            await self.release(resource, discard=discard)
            return not session_id or resource is not None
        if not discard and engine.sessions.restock(session_id, resource):
            return True
        found, rests = engine.sessions.release(session_id, resource, discard=discard)
        for rest in rests:
            if rest is not None:
                await asyncio.shield(rest)
        return found

    def session(
        self,
        session_id: Hashable,
        timeout: float | None = None,
        *,
        leak_after_sec: float | None = None,
        keep: bool = False,
    ) -> Lease[T]:
        """An `async with` block with the session's client; the session does not go stale meanwhile.

        A session that began with such a block ends with the last of them; one that `acquire_for_session()` asked for
        stays until its release, and so does one of a block with `keep`.

        Args:
            session_id: The session; None or an empty one means none.
            timeout: As for `acquire()`.
            leak_after_sec: Report this use as a leak after so long.
            keep: Leave the session there after the block, as `acquire_for_session()` does, until its release.
        """
        known = session_id if session_id and self._engine.settings.session_awareness else None
        return Lease(self, self._engine, known, timeout, leak_after_sec, keep=keep)

    def touch(self, session_id: Hashable) -> bool:
        """Count a session as used now, also one that went stale a while ago; whether there is one."""
        return self._engine.sessions.touch(session_id, self._engine.clock.now())

    # --- upkeep

    def invalidate(self, resource: T) -> bool:
        """Say that a client died by itself; True if the pool holds it.

        An idle one is closed and replaced at once. One in use is not handed out again: its session's next acquire gets
        another, and it is closed when it comes back.
        """
        item = self._engine.stock.holds(resource)
        if item is not None:
            self._engine.returns.invalidate(item)
        return item is not None

    async def check(self) -> int:
        """Check every idle client now; how many were closed for it."""
        return await self._engine.lifecycle.check()

    async def drain(self, timeout: float | None = 30.0) -> None:
        """Replace every client: idle ones as soon as their replacements are there, others when they come back.

        With refill, one that comes back while its replacement is not there yet counts as idle until it is.
        A session's client is replaced when the session asks for it the next time and no lease holds it.

        Args:
            timeout: Seconds to wait for the idle ones.

        Raises:
            PoolTimeout: Some idle ones are not replaced by then; it goes on in the background.
        """
        await self._engine.lifecycle.drain(timeout)

    def reconfigure(self, **changes: Unpack[PoolChanges]) -> dict[str, Any]:
        """Change settings while in use, all of them or none; the old values.

        Args:
            changes: Constructor arguments by name, but `name`, `on_event`, `clock` and `rng`.

        Raises:
            SettingsError: A name is unknown or a value wrong; nothing was changed.
        """
        return reconfigure(self._engine, dict(changes))

    # --- what it says

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._engine.name

    @property
    def state(self) -> PoolState:
        """What the pool is doing."""
        return self._engine.health.state

    @property
    def ready(self) -> bool:
        """Whether it is prepared and, if it should hold warm clients and is degraded, still holds one."""
        return self._engine.health.ready

    @property
    def active_sessions(self) -> int:
        """Sessions that have a client and are not stale."""
        return len(self._sessions)

    @property
    def session_awareness_enabled(self) -> bool:
        """Whether sessions keep their clients."""
        return self._engine.settings.session_awareness

    def snapshot(self) -> dict[str, Any]:
        """State, sizes and counters as plain data."""
        return snapshot(self._engine)

    def items(self) -> list[ItemFacts]:
        """The facts of every client, oldest first."""
        return item_facts(self._engine)
