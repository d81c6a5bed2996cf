"""Every state of a pool, what leads there, and shutdown in each of them; leaks, and the size traffic asks for."""

import asyncio
import contextlib

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import PoolClosed, PoolError
from speechpool.pools import AllocationTier, PoolState

pytestmark = VIRTUAL

WARMED = {"warm_pool_size": 2, "enable_background_warmup": True, "session_awareness": True}


def now():
    return asyncio.get_running_loop().time()


async def is_new(pool, world):
    """Never prepared, but used."""
    await pool.release(await pool.acquire())


async def is_preparing(pool, world):
    world.creation_seconds = 5.0
    yield asyncio.create_task(pool.prepare())
    await asyncio.sleep(1)


async def is_ready(pool, world):
    await pool.prepare()


async def is_degraded(pool, world):
    world.down = True
    await pool.prepare()
    await asyncio.sleep(20)


async def is_draining(pool, world):
    await pool.prepare()
    world.creation_seconds = 5.0
    yield asyncio.create_task(pool.drain())
    await asyncio.sleep(1)


async def has_waiters(pool, world):
    await pool.prepare()
    world.hanging = True
    for session in (None, "s1", "s1", "s2"):
        yield asyncio.create_task(pool.acquire_for_session(session))
    for _ in range(3):
        yield asyncio.create_task(pool.acquire())
    await settle()


async def is_checking(pool, world):
    async def check(client):
        await asyncio.sleep(100)

    pool.reconfigure(check_fn=check, check_timeout=1000.0, reset_fn=check, reset_timeout=1000.0)
    await pool.prepare()
    client = await pool.acquire()
    await asyncio.sleep(1)
    yield asyncio.create_task(pool.check())
    yield asyncio.create_task(pool.release(client))
    await settle()
    assert pool.snapshot()["items"]["checking"] == pool.snapshot()["items"]["resetting"] + 1 == 2


async def has_sessions(pool, world):
    """One in use, one stale in its grace, and a client whose warm-up failed."""
    await pool.prepare()
    pool.reconfigure(session_max_age_sec=10.0, session_grace_sec=100.0)
    await pool.acquire_for_session("stale")
    await asyncio.sleep(11)
    await pool.acquire_for_session("live")
    world.warm_result = False
    await pool.acquire()
    await asyncio.sleep(0.5)
    items = pool.snapshot()["items"]
    assert (items["expired"], items["leased"], items["out"], items["unwarmed"] > 0) == (1, 1, 1, True)


STATES = [is_new, is_preparing, is_ready, is_degraded, is_draining, has_waiters, is_checking, has_sessions]


@pytest.mark.parametrize("lead", STATES)
async def test_shutdown_in_every_state_ends_everything_and_the_pool_can_begin_again(lead):
    world = World()
    pool = world.bare_pool(warm_fn=world.warm, **WARMED)
    leading, callers = lead(pool, world), []
    if hasattr(leading, "__aiter__"):
        callers = [caller async for caller in leading]
    else:
        await leading
    begin = now()
    await pool.shutdown()
    snapshot = pool.snapshot()
    results = await asyncio.gather(*callers, return_exceptions=True)
    out = snapshot["items"].pop("out")

    assert elapsed(begin) <= 2.2
    assert (pool.state, pool.ready, pool.active_sessions) == (PoolState.CLOSED, False, 0)
    assert not any(snapshot["items"].values())
    assert [client.closes for client in world.made].count(1) == len(world.made) - out
    assert all(result is None or isinstance(result, PoolError | int | tuple) for result in results)
    assert not tasks_left()

    world.down = world.hanging = False
    world.creation_seconds, world.warm_result = 0.2, True
    pool.reconfigure(check_fn=None, reset_fn=None)
    await pool.prepare()
    assert (pool.state, pool.snapshot()["warm_pool_size"]) == (PoolState.READY, 2)
    assert (await pool.acquire_for_session("live"))[1] is AllocationTier.WARM
    await pool.shutdown()
    assert [client.closes for client in world.made].count(1) == len(world.made) - out


@pytest.mark.parametrize("lead", [is_preparing, has_waiters])
async def test_who_waits_is_told_that_the_pool_was_shut_down(lead):
    world = World()
    pool = world.bare_pool(**WARMED)
    callers = [caller async for caller in lead(pool, world)]
    await pool.shutdown()
    results = await asyncio.gather(*callers, return_exceptions=True)

    waited = [result for result in results if not isinstance(result, tuple) and not hasattr(result, "closes")]
    assert {type(result) for result in waited} == {PoolClosed}


async def test_too_few_for_longer_than_two_creations_is_degraded_with_nothing_failing():
    told = []

    def observe(name, pool, **facts):
        if name == "state_changed":
            told.append((facts["new"].value, now()))

    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, on_event=observe) as pool:
        world.hanging = True
        client = await pool.acquire()
        begin = now()
        await asyncio.sleep(0.35)
        soon = pool.state
        await asyncio.sleep(0.1)
        later, ready = pool.state, pool.ready
        await pool.release(client, discard=True)
        empty = pool.ready
        world.hanging = False
        await pool.wait_ready(timeout=100)

        assert (soon, later) == (PoolState.READY, PoolState.DEGRADED)
        assert (ready, empty) == (True, False)  # all in use is no failure; nothing to expect is
        assert told[2] == ("degraded", pytest.approx(begin + 0.4, abs=0.001))
        assert (told[-1][0], pool.ready) == ("ready", True)


@pytest.mark.parametrize("age", [1.0, 0.3, 0.05])
async def test_that_too_few_are_too_few_for_too_long_is_told_whatever_else_is_due(age):
    """Sessions are looked after many times in their age; what the timer was set for before is not forgotten."""
    told = []
    world = World()
    async with world.pool(
        warm_pool_size=1,
        enable_background_warmup=True,
        session_awareness=True,
        session_max_age_sec=age,
        session_grace_sec=0.0,
        on_event=lambda name, pool, **facts: told.append((facts["new"], now())) if name == "state_changed" else None,
    ) as pool:
        world.hanging = True
        begin = now()
        await pool.acquire_for_session("s1")
        await asyncio.sleep(5)

        assert told[2:] == [(PoolState.DEGRADED, pytest.approx(begin + 0.4, abs=0.001))]


async def test_a_degraded_pool_with_one_idle_is_ready_and_serves():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        world.down = True
        await pool.acquire()
        await asyncio.sleep(5)
        creation = pool.snapshot()["creation"]

        assert (pool.state, pool.ready) == (PoolState.DEGRADED, True)
        assert creation["last_error"] == "ServiceDown"
        assert creation["failures_in_row"] > 0
        await pool.acquire()
        assert pool.ready is False


async def test_one_of_two_that_prepare_may_be_cancelled():
    world = World()
    pool = world.bare_pool(warm_pool_size=2)
    first, second = asyncio.create_task(pool.prepare()), asyncio.create_task(pool.prepare())
    await asyncio.sleep(0.1)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    between = pool.state
    await second

    assert (between, pool.state) == (PoolState.PREPARING, PoolState.READY)
    assert len(world.made) == 2
    await pool.shutdown()


@pytest.mark.parametrize("aware", [True, False])
async def test_a_session_that_is_no_session_is_found_by_the_leak_detector(aware):
    """Released by its name alone with awareness off, a client stays out; with it on, sessions go stale instead."""
    told = []
    async with World().pool(
        warm_pool_size=1,
        session_awareness=aware,
        leak_after_sec=60.0,
        on_event=lambda name, pool, **facts: told.append(facts) if name == "leak_suspected" else None,
    ) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(61)
        leaks = [facts["site"] for facts in told]

        assert await pool.release_for_session("s1") is aware
        assert len(leaks) == int(not aware)
        assert all("test_contract_lifecycle.py" in site for site in leaks)
        await pool.release(client)


async def test_each_use_of_a_client_is_reported_by_itself():
    async with World().pool(warm_pool_size=1, leak_after_sec=60.0) as pool:
        for _ in range(3):
            client = await pool.acquire()
            await asyncio.sleep(61)
            await pool.release(client)

        assert pool.snapshot()["metrics"]["leaks_suspected"] == 3


async def test_the_cold_target_decides_how_large_is_large_enough():
    recommended = {}
    for target in (0.01, 0.25, 0.9):
        async with World().pool(warm_pool_size=1, enable_background_warmup=True, cold_target=target) as pool:
            for _ in range(20):
                clients = await asyncio.gather(*[pool.acquire() for _ in range(4)])
                for client in clients:
                    await pool.release(client)
                await asyncio.sleep(10)
            recommended[target] = pool.snapshot()["recommended_warm_pool_size"]

    assert recommended == {0.01: 4, 0.25: 3, 0.9: 1}


async def test_a_pool_that_sizes_itself_keeps_its_size_through_a_change_of_another_setting():
    async with World().pool(warm_pool_size=1, warm_pool_max=8, enable_background_warmup=True) as pool:
        for _ in range(20):
            clients = await asyncio.gather(*[pool.acquire() for _ in range(4)])
            for client in clients:
                await pool.release(client)
            await asyncio.sleep(10)
        grown = pool.snapshot()["warm_pool_target"]
        pool.reconfigure(warmup_interval_sec=5.0)
        kept = pool.snapshot()["warm_pool_target"]
        pool.reconfigure(warm_pool_max=2)
        bounded = pool.snapshot()["warm_pool_target"]
        pool.reconfigure(warm_pool_max=None)

        assert (grown, kept, bounded) == (4, 4, 2)
        assert pool.snapshot()["warm_pool_target"] == 1
