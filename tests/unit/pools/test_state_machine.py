"""Any user of a pool, doing anything in any order, on virtual time; the model says what must hold after each step."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.examples import examples
from tests.unit.pools.model import Model
from tests.unit.pools.world import Client, World
from tests.virtual import TICK, new_virtual_loop

from speechpool.errors import PoolError, SettingsError

SESSIONS = st.sampled_from(["s1", "s2", "s3"])
TIMEOUTS = st.sampled_from([None, None, 10.0, 1.0, 0.1, 0.0])
MAX_AGE, GRACE = 60.0, 30.0
FOR_EVER = 1e6

CHANGES: tuple[dict[str, Any], ...] = (
    {"warm_pool_size": 0},
    {"warm_pool_size": 1},
    {"warm_pool_size": 4},
    {"max_size": 2, "warm_pool_size": 1},
    {"max_size": 6},
    {"max_size": None},
    {"max_waiting": 0},
    {"max_waiting": None},
    {"enable_background_warmup": False},
    {"enable_background_warmup": True},
    {"max_idle_sec": 30.0},
    {"max_idle_sec": None},
    {"max_lifetime_sec": 45.0},
    {"max_lifetime_sec": None},
    {"keepalive_sec": 20.0},
    {"recycle_sessions": True},
    {"recycle_sessions": False},
    {"warmup_interval_sec": 5.0},
    {"max_refilling": 1},
    {"max_refilling": 4},
)
WRONG_CHANGES: tuple[dict[str, Any], ...] = (
    {"warm_pool_size": -1},
    {"warm_pool_size": 3, "warmup_interval_sec": float("nan")},
    {"max_size": 0},
    {"unknown": 1},
)
SERVICE: tuple[dict[str, Any], ...] = (
    {"down": True, "hanging": False},
    {"down": False, "hanging": False},
    {"hanging": True},
    {"warm_result": True},
    {"warm_result": None},
    {"warm_result": False},
    {"warm_result": OSError("no voice")},
    {"warm_seconds": 0.3},
    {"reset_error": RuntimeError("cannot clear")},
    {"reset_error": None},
    {"close_seconds": 0.0},
    {"close_seconds": 0.5},
    {"close_seconds": FOR_EVER},
)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """What a failure shows is the steps, not thousands of warnings about what the steps did."""
    caplog.set_level(logging.CRITICAL, logger="speechpool.pools")


class PoolMachine(RuleBasedStateMachine):
    """The rules: what users, operators and the service itself do."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = new_virtual_loop()
        self.unnoticed: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.unnoticed.append(context))
        self.world = World()
        self.hook_seconds = 0.01
        self.settled = True

    @initialize(
        warm=st.integers(0, 3),
        room=st.sampled_from([None, 0, 1, 2]),
        max_waiting=st.sampled_from([None, None, 3]),
        max_creating=st.sampled_from([None, None, 1, 2]),
        background=st.sampled_from([True, True, False]),
        recycle=st.booleans(),
        slow_hooks=st.sampled_from([False, False, True]),
        warming=st.booleans(),
        close_seconds=st.sampled_from([0.0, 0.5]),
        prepared=st.sampled_from([True, True, False]),
    )
    def open_pool(
        self, warm, room, max_waiting, max_creating, background, recycle, slow_hooks, warming, close_seconds, prepared
    ):
        self.world.close_seconds = close_seconds
        hooks = {"reset_fn": self.reset, "check_fn": self.check, "check_idle_over_sec": 0.0} if slow_hooks else {}
        self.pool = self.world.bare_pool(
            warm_pool_size=warm,
            max_size=None if room is None else max(1, warm + room),
            max_waiting=max_waiting,
            max_creating=max_creating,
            enable_background_warmup=background,
            recycle_sessions=recycle,
            session_awareness=True,
            session_max_age_sec=MAX_AGE,
            session_grace_sec=GRACE,
            acquire_timeout=20.0,
            create_timeout=5.0,
            warm_fn=self.world.warm if warming else None,
            rng=random.Random(1),
            **hooks,
        )
        self.model = Model(self.loop, self.world, self.pool, max_age=MAX_AGE, grace=GRACE, in_order=not slow_hooks)
        self.model.max_creating = max_creating
        if prepared:
            self.do(self.pool.prepare())
        self.settle()

    async def reset(self, client: Client) -> None:
        """The reset hook where hooks are slow."""
        await asyncio.sleep(self.hook_seconds)
        client.clear_session_state()

    async def check(self, client: Client) -> bool:
        """The check hook where hooks are slow."""
        await asyncio.sleep(self.hook_seconds)
        return client.is_ready

    def do(self, work: Any) -> Any:
        """Run one operation to its end."""
        return self.loop.run_until_complete(work)

    def call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a synchronous method, on the loop as everything else."""

        async def inside() -> Any:
            return method(*arguments, **named)

        return self.do(inside())

    def settle(self, rush: bool = False) -> None:
        """Let everything runnable run, or leave it for the next step."""
        self.settled = not rush
        if not rush:
            self.do(asyncio.sleep(TICK))

    # --- callers ------------------------------------------------------------------------------------------------

    @rule(session_id=st.none() | SESSIONS, timeout=TIMEOUTS, as_lease=st.booleans(), rush=st.booleans())
    def acquire(self, session_id, timeout, as_lease, rush):
        self.model.ask(session_id, timeout, as_lease=as_lease)
        self.settle(rush)

    @rule(callers=st.integers(2, 5), as_lease=st.booleans(), rush=st.booleans())
    def acquire_at_once(self, callers, as_lease, rush):
        for _ in range(callers):
            self.model.ask(None, None, as_lease=as_lease)
        self.settle(rush)

    @precondition(lambda self: any(ask.pending for ask in self.model.asks))
    @rule(data=st.data(), rush=st.booleans())
    def cancel(self, data, rush):
        ask = data.draw(st.sampled_from([ask for ask in self.model.asks if ask.pending]))
        ask.task.cancel()
        self.settle(rush)

    @precondition(lambda self: any(ask.holding for ask in self.model.asks))
    @rule(data=st.data(), cancelled=st.booleans(), rush=st.booleans())
    def end_lease(self, data, cancelled, rush):
        ask = data.draw(st.sampled_from([ask for ask in self.model.asks if ask.holding]))
        if cancelled:
            ask.task.cancel()
        else:
            ask.done.set()
        self.settle(rush and not cancelled)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), how=st.sampled_from(["release", "release_nowait", "discard", "for_session", "for_other"]))
    def release(self, data, how):
        client = data.draw(st.sampled_from(self.model.held))
        self.model.held.remove(client)
        self.model.released.append(client)
        if how == "release_nowait":
            self.call(self.pool.release_nowait, client)
        elif how == "for_session":
            assert self.do(self.pool.release_for_session(None, client)) is True
        elif how == "for_other":
            assert self.do(self.pool.release_for_session("never", client)) is False
        else:
            self.do(self.pool.release(client, discard=how == "discard"))
        self.settle()
        assert how != "discard" or client.close_started

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def release_what_nobody_has(self, data):
        """A client released before, or a thing that is no client: counted, and no harm done."""
        owned = list(self.model.owners())
        free = [client for client in self.model.released if client not in owned]
        before = self.pool.snapshot()["metrics"]
        self.do(self.pool.release(data.draw(st.sampled_from(["s1", 7, *free]))))
        self.settle()
        after = self.pool.snapshot()["metrics"]
        counts = ("releases_foreign", "releases_second")  # a foreign thing again is a second release
        assert sum(after[count] - before[count] for count in counts) == 1

    @rule(session_id=SESSIONS, by_client=st.booleans(), rush=st.booleans())
    def release_session(self, session_id, by_client, rush):
        self.do(self.model.hang_up_by_client(session_id) if by_client else self.model.hang_up(session_id))
        self.settle(rush)

    @rule(session_id=SESSIONS)
    def touch(self, session_id):
        session = self.model.sessions.get(session_id)
        found = self.call(self.pool.touch, session_id)
        if session is None or session is not self.model.sessions.get(session_id):
            return  # its last lease was told to end before, and did
        assert found or self.model.may_have_lost(session)
        if found:
            session.last_use = self.model.now

    # --- time, the service and the operators --------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.2, 1.0]))
    def a_moment_passes(self, seconds):
        self.do(asyncio.sleep(seconds))
        self.settle()

    @rule(seconds=st.sampled_from([10.0, 35.0, 100.0]))
    def time_passes(self, seconds):
        self.do(asyncio.sleep(seconds))
        self.settle()

    @rule(dials=st.sampled_from(SERVICE), hook_seconds=st.sampled_from([0.01, 0.01, FOR_EVER]))
    def service_changes(self, dials, hook_seconds):
        self.hook_seconds = hook_seconds
        for dial, value in dials.items():
            setattr(self.world, dial, value)

    @precondition(lambda self: self.world.open)
    @rule(data=st.data(), noticed=st.booleans())
    def client_dies(self, data, noticed):
        client = data.draw(st.sampled_from(self.world.open))
        client.is_ready = False
        if noticed:
            self.call(self.pool.invalidate, client)
        self.settle()

    @rule(changes=st.sampled_from(CHANGES), wrong=st.none() | st.sampled_from(WRONG_CHANGES), rush=st.booleans())
    def reconfigure(self, changes, wrong, rush):
        if wrong is not None:
            before = self.pool.snapshot()["warm_pool_target"]
            with pytest.raises(SettingsError):
                self.call(self.pool.reconfigure, **wrong)
            assert self.pool.snapshot()["warm_pool_target"] == before
        old = self.call(self.pool.reconfigure, **changes)
        assert set(old) == set(changes)
        self.model.max_refilling = changes.get("max_refilling", self.model.max_refilling)
        self.settle(rush)

    @rule(what=st.sampled_from(["drain", "check", "prepare", "new factory", "restart"]), rush=st.booleans())
    def tend(self, what, rush):
        if what in {"drain", "new factory"}:
            self.model.renewed_at = self.model.now
        if what == "restart":
            self.restart()
        elif what == "new factory":
            self.call(self.pool.reconfigure, factory=self.world.create)
        else:
            work = {"drain": self.pool.drain, "check": self.pool.check, "prepare": self.pool.prepare}[what]
            self.model.chores.append(self.loop.create_task(self.tolerantly(work())))
        self.settle(rush)

    async def tolerantly(self, work: Any) -> None:
        """A chore may run out of time, or find its pool closed."""
        with contextlib.suppress(PoolError):
            await work

    def restart(self) -> None:
        """Invariant 9: after shutdown nobody waits, and nothing idles or is made."""
        self.do(self.pool.shutdown())
        self.settle()
        items = self.pool.snapshot()["items"]
        assert items["idle"] == items["creating"] == self.pool.snapshot()["waiting"] == 0
        for session_id, session in list(self.model.sessions.items()):
            assert self.model.leased(session) or session.client.close_started or items["resetting"]
            del self.model.sessions[session_id]
        assert not any(ask.pending for ask in self.model.asks)
        self.model.check(settled=True)
        self.model.chores.append(self.loop.create_task(self.tolerantly(self.pool.prepare())))

    @invariant()
    def holds(self):
        if hasattr(self, "model"):
            self.model.check(settled=self.settled)

    def teardown(self):
        try:
            if hasattr(self, "model"):
                self.do(self.end())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.do(asyncio.sleep(0))
            self.loop.close()
        assert not self.unnoticed

    async def end(self):
        """Everybody goes home; then nothing is open, and nothing was closed twice."""
        for ask in self.model.asks:
            if ask.pending:
                ask.task.cancel()
            ask.done.set()
        await asyncio.sleep(TICK)
        for client in self.model.held:
            await self.pool.release(client)
        await self.pool.shutdown()
        await asyncio.sleep(120)
        assert [client.closes for client in self.world.made] == [1] * len(self.world.made)
        assert not any(self.pool.snapshot()["items"].values())
        await asyncio.gather(*self.model.chores)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=examples(100),
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
