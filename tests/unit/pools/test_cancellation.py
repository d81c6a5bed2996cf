"""A cancellation at every moment of every operation: nothing is lost, nothing swallowed, nothing left behind.

Each scenario runs once to count the callbacks that the loop runs while the victim is alive, then once more for each
of them, with the victim cancelled just before that callback. So every suspension point is hit, and each of them in
its states: waiting, woken but not yet run (where a hand-over gets lost), about to run.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.pools.world import Client, World
from tests.virtual import SteppingUvloop, SteppingVirtualLoop, run

from speechpool.errors import PoolClosed, SessionReleased
from speechpool.pools import WarmableResourcePool

Pool = WarmableResourcePool[Client]
Act = Callable[[Pool, World], Awaitable[Any]]


@dataclass(kw_only=True)
class Scenario:
    """A world, a pool, a victim that is cancelled, and bystanders that are not."""

    victim: Act
    settings: dict[str, Any] = field(default_factory=dict)
    dials: dict[str, Any] = field(default_factory=dict)
    before: Act | None = None
    bystanders: tuple[Act, ...] = ()
    prepared: bool = True
    leaves_no_session: bool = False  # if the victim was cancelled


async def use(client: Client, name: str) -> None:
    assert client.owner is None, "a client with another's state was handed out"
    assert client.closes == 0, "a closed client was handed out"
    client.owner = name
    await asyncio.sleep(0)
    assert client.owner == name, "two callers have one client"


async def one_turn(pool: Pool, world: World, timeout: float | None = None, name: str = "victim") -> None:
    client = await pool.acquire(timeout)
    try:
        await use(client, name)
    finally:
        await pool.release(client)


async def turn_with_timeout(pool: Pool, world: World) -> None:
    await one_turn(pool, world, timeout=60.0)


async def bystander_turn(pool: Pool, world: World) -> None:
    await one_turn(pool, world, name="bystander")


async def session_turn(pool: Pool, world: World) -> None:
    try:
        client, _ = await pool.acquire_for_session("s1")
        await use(client, "victim")
    finally:
        await pool.release_for_session("s1")


async def session_lookup(pool: Pool, world: World) -> None:
    """Stays in the session, as a second stream of the same call does."""
    client, _ = await pool.acquire_for_session("s1")
    assert client.closes == 0
    await asyncio.sleep(0)


async def session_acquire(pool: Pool, world: World) -> None:
    """Nothing but the acquire: who is cancelled in it begins no session."""
    await pool.acquire_for_session("s1")


async def bystander_lookup(pool: Pool, world: World) -> None:
    client, _ = await pool.acquire_for_session("s1")
    assert client.closes == 0


async def lease_turn(pool: Pool, world: World) -> None:
    async with pool.lease() as lease:
        await use(lease.resource, "victim")


async def leased_session(pool: Pool, world: World) -> None:
    async with pool.session("s1") as lease:
        await use(lease.resource, "victim")


async def discarded_lease(pool: Pool, world: World) -> None:
    async with pool.lease() as lease:
        await use(lease.resource, "victim")
        lease.discard()


async def hang_up(pool: Pool, world: World) -> None:
    await asyncio.sleep(world.creation_seconds / 2)
    await pool.release_for_session("s1")


async def leave_idle(pool: Pool, world: World) -> None:
    """Clients that were idle for long enough to be checked."""
    await asyncio.sleep(10 if world.creation_seconds else 0)


async def leave_idle_and_dead(pool: Pool, world: World) -> None:
    await leave_idle(pool, world)
    for client in world.open[::2]:
        client.is_ready = False


async def begin_session(pool: Pool, world: World) -> None:
    await pool.acquire_for_session("s1")


async def begin_warming(pool: Pool, world: World) -> None:
    await pool.acquire_for_session("s1")
    await asyncio.sleep(world.creation_seconds + world.warm_seconds / 2)


async def stale_session(pool: Pool, world: World) -> None:
    await pool.acquire_for_session("s1")
    await asyncio.sleep(90)


async def slow_check(client: Client) -> bool:
    await asyncio.sleep(0)
    return client.is_ready


async def slow_reset(client: Client) -> None:
    await asyncio.sleep(0)
    client.clear_session_state()


async def hold_all(pool: Pool, world: World) -> None:
    """Takes what is idle and gives it back a little later, so that the others must wait for the hand-over."""
    held = [await pool.acquire() for _ in range(pool.snapshot()["warm_pool_size"])]
    await asyncio.sleep(world.creation_seconds)
    for client in held:
        await pool.release(client)


async def prepare(pool: Pool, world: World) -> None:
    await pool.prepare()


async def shutdown(pool: Pool, world: World) -> None:
    await pool.shutdown()


async def drain(pool: Pool, world: World) -> None:
    await pool.drain()


async def check(pool: Pool, world: World) -> None:
    await pool.check()


async def wait_ready(pool: Pool, world: World) -> None:
    await pool.wait_ready()


async def context(pool: Pool, world: World) -> None:
    async with pool:
        await one_turn(pool, world)


FULL = {"warm_pool_size": 2, "max_size": 2, "enable_background_warmup": True, "session_awareness": True}
STOCK = {"warm_pool_size": 2, "enable_background_warmup": True, "session_awareness": True}
SLOW = {"warm_seconds": 0.1, "close_seconds": 0.1}
HOOKS = {"check_fn": slow_check, "reset_fn": slow_reset, "check_idle_over_sec": 0.0}

SCENARIOS = {
    "warm acquire": Scenario(victim=one_turn, settings=STOCK, dials=SLOW),
    "cold acquire": Scenario(victim=one_turn, settings={}, dials=SLOW),
    "cold acquire of a second client": Scenario(
        victim=one_turn, settings=STOCK | {"warm_pool_size": 1}, dials=SLOW, bystanders=(hold_all,)
    ),
    "acquire with hooks that wait": Scenario(victim=one_turn, settings=STOCK | HOOKS, before=leave_idle),
    "acquire past dead clients": Scenario(
        victim=one_turn, settings=STOCK | HOOKS, dials=SLOW, before=leave_idle_and_dead
    ),
    "hand-over of a released client": Scenario(
        victim=one_turn, settings=FULL, dials=SLOW, bystanders=(hold_all, bystander_turn, bystander_turn)
    ),
    "hand-over within a timeout": Scenario(
        victim=turn_with_timeout, settings=FULL, dials=SLOW, bystanders=(hold_all, bystander_turn)
    ),
    "hand-over through a reset that waits": Scenario(
        victim=one_turn, settings=FULL | HOOKS, bystanders=(hold_all, bystander_turn)
    ),
    "session": Scenario(victim=session_turn, settings={"session_awareness": True}, dials=SLOW),
    "recycled session": Scenario(victim=session_turn, settings=STOCK | HOOKS | {"recycle_sessions": True}, dials=SLOW),
    "session flight, only caller": Scenario(
        victim=session_acquire, settings={"session_awareness": True}, dials=SLOW, leaves_no_session=True
    ),
    "session flight, served by another's release": Scenario(
        victim=session_acquire, settings=FULL, dials=SLOW, bystanders=(hold_all,), leaves_no_session=True
    ),
    "session flight, first caller": Scenario(
        victim=session_lookup, settings={"session_awareness": True}, dials=SLOW, bystanders=(bystander_lookup,) * 2
    ),
    "session flight, later caller": Scenario(
        victim=session_lookup,
        settings=FULL | {"warm_pool_size": 0},
        dials=SLOW,
        before=None,
        bystanders=(bystander_lookup, bystander_lookup),
    ),
    "session lookup": Scenario(victim=session_lookup, settings=STOCK | HOOKS, before=begin_session),
    "session hung up in flight": Scenario(
        victim=session_lookup, settings={"session_awareness": True}, dials=SLOW, bystanders=(hang_up,)
    ),
    "session back from its grace": Scenario(
        victim=session_turn, settings=STOCK | {"session_max_age_sec": 60.0}, dials=SLOW, before=stale_session
    ),
    "leased session": Scenario(victim=leased_session, settings=STOCK | HOOKS, dials=SLOW),
    "lease": Scenario(victim=lease_turn, settings=STOCK, dials=SLOW),
    "lease of a broken client": Scenario(victim=discarded_lease, settings=STOCK, dials=SLOW),
    "prepare": Scenario(victim=prepare, settings=STOCK, dials=SLOW, prepared=False),
    "prepare joined by another": Scenario(
        victim=prepare, settings=STOCK, dials=SLOW, prepared=False, bystanders=(prepare,)
    ),
    "shutdown while a client is warmed": Scenario(victim=shutdown, settings=STOCK, dials=SLOW, before=begin_warming),
    "shutdown": Scenario(victim=shutdown, settings=STOCK, dials=SLOW, before=begin_session),
    "drain": Scenario(victim=drain, settings=STOCK, dials=SLOW, bystanders=(bystander_turn,)),
    "check": Scenario(victim=check, settings=STOCK | HOOKS, dials=SLOW, before=leave_idle_and_dead),
    "wait until ready": Scenario(victim=wait_ready, settings=STOCK, dials=SLOW, bystanders=(hold_all,)),
    "context": Scenario(victim=context, settings=STOCK, dials=SLOW, prepared=False),
}


async def quietly(act: Act, pool: Pool, world: World) -> None:
    """Somebody's part: that its session or its pool ended under it belongs to the scenario."""
    with suppress(SessionReleased, PoolClosed):
        await act(pool, world)


async def play(scenario: Scenario, loop: Any, cancel_before: int) -> bool:
    """One run, with the victim cancelled before this callback; whether the victim lived that long."""
    world = World(**scenario.dials)
    warm_fn = world.warm if world.warm_seconds else None
    pool = world.bare_pool(warm_fn=warm_fn, **scenario.settings)
    if isinstance(loop, SteppingUvloop):  # real time: every wait is a pass of the loop
        world.creation_seconds = world.warm_seconds = world.close_seconds = 0.0
    if scenario.prepared:
        await pool.prepare()
    if scenario.before:
        await scenario.before(pool, world)
    bystanders = [asyncio.create_task(quietly(bystander, pool, world)) for bystander in scenario.bystanders]
    victim = asyncio.create_task(quietly(scenario.victim, pool, world))
    hits = []
    loop.steps = 0
    loop.before_step = lambda step: step == cancel_before and hits.append(victim.cancel())
    await asyncio.wait({victim})
    loop.before_step = None
    hit = any(hits)
    assert victim.cancelled() == hit, f"{victim} swallowed its cancellation"
    assert not (hit and scenario.leaves_no_session and pool.active_sessions), "a session nobody has"
    await asyncio.gather(*bystanders)
    await aftermath(pool, world)
    return hit


async def aftermath(pool: Pool, world: World) -> None:
    """The pool is whole, still serves, and ends clean."""
    await come_to_rest(world)
    world.check_books(pool)
    if pool.snapshot()["state"] not in {"new", "closed"}:
        await come_to_rest(world)
        await fully_usable(pool)
        world.check_books(pool)
    await pool.shutdown()
    await come_to_rest(world)
    items = pool.snapshot()["items"]
    assert not any(items.values()), items
    assert [client.closes for client in world.made] == [1] * len(world.made)
    assert all(client.close_ended for client in world.made), "a close was cut short"
    assert world.creating == 0


async def come_to_rest(world: World) -> None:
    """Let background work end: seconds of virtual time, passes of a real loop."""
    if world.creation_seconds:
        await asyncio.sleep(30.0)
    else:
        for _ in range(50):
            await asyncio.sleep(0)


async def fully_usable(pool: Pool) -> None:
    """As many callers as the pool may have clients are served."""
    await pool.release_for_session("s1")
    target = pool.snapshot()["max_size"] or pool.snapshot()["warm_pool_target"] + 1
    async with AsyncExitStack() as stack:
        leases = [await stack.enter_async_context(pool.lease(timeout=10.0)) for _ in range(target)]
        assert len({lease.resource for lease in leases}) == target


def cancel_at_every_step(scenario: Scenario, make_loop: Callable[[], Any]) -> int:
    """How many steps there were."""
    for step in itertools.count(1):
        loop = make_loop()
        if not run(play(scenario, loop, step), loop):
            return step - 1
    raise AssertionError


@pytest.mark.parametrize("name", SCENARIOS)
def test_cancelled_at_every_step(name):
    assert cancel_at_every_step(SCENARIOS[name], SteppingVirtualLoop) > 0


ON_REAL_TIME = sorted(name for name, scenario in SCENARIOS.items() if scenario.before is not stale_session)


@pytest.mark.parametrize("name", ON_REAL_TIME)
def test_cancelled_at_every_step_on_uvloop(name):
    assert cancel_at_every_step(SCENARIOS[name], SteppingUvloop) > 0
