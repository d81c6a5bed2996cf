"""Lifecycle and diagnostics: each test fails on one defect of a timer-refilled pool (its number is given)."""

import asyncio

import pytest
from tests.unit.pools.world import CREATION_SECONDS, ServiceDown, World
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import PoolClosed, PoolNotReady
from speechpool.pools import AllocationTier, PoolState

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


async def test_prepare_against_a_service_that_is_down_is_not_ready():
    """D34: an empty pool does not say that it is ready, and becomes so when the service is back."""
    world = World(down=True)
    async with world.pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        before = (pool.state, pool.snapshot()["ready"])
        world.down = False
        await pool.wait_ready(timeout=120)

        assert before == (PoolState.DEGRADED, False)
        assert (pool.state, pool.snapshot()["ready"]) == (PoolState.READY, True)
        assert pool.snapshot()["warm_pool_size"] == 3


async def test_a_strict_prepare_says_why():
    """D34: an application that must not start without clients is told the reason."""
    world = World(down=True)
    pool = world.bare_pool(warm_pool_size=3)
    with pytest.raises(PoolNotReady) as caught:
        await pool.prepare(strict=True)

    assert isinstance(caught.value.__cause__, ServiceDown)
    await pool.shutdown()


async def test_prepare_against_a_hung_service_returns():
    """D57: within its timeout, and by default within that of a creation."""
    world = World(hanging=True)
    pool = world.bare_pool(warm_pool_size=3, create_timeout=30)
    begin = now()
    await pool.prepare(timeout=1.0)
    short = elapsed(begin)
    await pool.shutdown()
    begin = now()
    await pool.prepare()
    long = elapsed(begin)
    await pool.shutdown()

    assert short == 1.0
    assert long <= 60


async def test_prepare_twice_leaves_nothing_behind():
    """D35: no second refill task outlives the pool."""
    world = World()
    pool = world.bare_pool(warm_pool_size=2, enable_background_warmup=True)
    await asyncio.gather(pool.prepare(), pool.prepare())
    await pool.prepare()
    made = len(world.made)
    await pool.shutdown()

    assert not tasks_left()
    await asyncio.sleep(3600)
    assert made == len(world.made) == 2


async def test_a_pool_can_be_prepared_again_after_shutdown():
    """D36: it warms and refills as before."""
    world = World()
    pool = world.bare_pool(warm_pool_size=2, enable_background_warmup=True)
    await pool.prepare()
    await pool.shutdown()
    await pool.prepare()
    await pool.acquire()
    await asyncio.sleep(CREATION_SECONDS + 0.01)

    assert pool.snapshot()["ready"]
    assert pool.snapshot()["warm_pool_size"] == 2
    await pool.shutdown()


@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_a_closed_pool_gives_nothing(session_id):
    """D37: acquire after shutdown is an error, and caches no client."""
    world = World()
    pool = world.bare_pool(session_awareness=True)
    await pool.prepare()
    await pool.shutdown()
    with pytest.raises(PoolClosed):
        await pool.acquire_for_session(session_id)

    assert pool.active_sessions == len(world.attempts) == 0


async def test_shutdown_hands_on_its_callers_cancellation():
    """D39: who cancels a shutdown sees it cancelled, and nothing is left open."""
    world = World(close_seconds=1.0)
    pool = world.bare_pool(warm_pool_size=2, enable_background_warmup=True)
    await pool.prepare()
    ending = asyncio.create_task(pool.shutdown())
    await asyncio.sleep(0.1)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    await asyncio.sleep(10)

    assert [client.closes for client in world.made] == [1, 1]
    assert not tasks_left()


async def test_a_factory_that_was_cancelled_does_not_end_the_refill():
    """D58: a CancelledError of the factory's own is a failed creation."""
    world = World()
    cancelled = []

    async def create():
        client = await world.create()
        if len(world.made) == 2:
            cancelled.append(client)
            await client.close()
            raise asyncio.CancelledError
        return client

    pool = world.bare_pool(warm_pool_size=1, enable_background_warmup=True)
    pool.reconfigure(factory=create)
    await pool.prepare()
    await pool.acquire()
    await asyncio.sleep(60)

    assert len(cancelled) == 1
    assert pool.snapshot()["warm_pool_size"] == 1
    assert pool.snapshot()["background_warmup"]
    await pool.shutdown()


@pytest.mark.parametrize("background", [False, True])
async def test_stale_sessions_end_in_every_configuration(background):
    """D09: also with a warm size of 0, the default, and without background refill."""
    world = World()
    async with world.pool(
        session_awareness=True, enable_background_warmup=background, session_max_age_sec=60, session_grace_sec=0
    ) as pool:
        clients = [(await pool.acquire_for_session(f"s{number}"))[0] for number in range(50)]
        await asyncio.sleep(86_400)
        await pool.acquire_for_session("new")
        await settle()

        assert pool.active_sessions == 1
        assert {client.closes for client in clients} == {1}


async def acquire_many(pool, count):
    return [await pool.acquire() for _ in range(count)]


async def every_end_once(world, pool):
    """One allocation of each kind."""
    await pool.acquire_for_session("s1")  # warm
    await pool.acquire_for_session("s1")  # dedicated
    await pool.acquire()  # cold
    with pytest.raises(TimeoutError):
        await pool.acquire(timeout=0.1)
    caller = asyncio.create_task(pool.acquire())
    await settle()
    caller.cancel()
    await asyncio.sleep(1)
    world.down = True
    with pytest.raises(ServiceDown):  # after what the stock still holds
        await acquire_many(pool, 5)


async def test_every_allocation_is_counted_under_one_end():
    """D45: the total is the sum of its parts."""
    world = World()
    async with world.pool(warm_pool_size=1, session_awareness=True) as pool:
        await every_end_once(world, pool)
        metrics = pool.snapshot()["metrics"]

    ends = ("dedicated", "warm", "cold", "timeout", "cancelled", "error", "rejected")
    counts = {end: metrics[f"allocations_{end}"] for end in ends}
    assert sum(counts.values()) == metrics["allocations_total"]
    assert all(counts[end] >= 1 for end in ends if end != "rejected"), counts


async def test_what_is_out_is_counted():
    """D46: the snapshot says where each client is."""
    async with World().pool(warm_pool_size=3, session_awareness=True) as pool:
        await pool.acquire()
        await pool.acquire_for_session("s1")
        items = pool.snapshot()["items"]

        assert (items["idle"], items["out"], items["leased"]) == (1, 1, 1)


async def test_active_sessions_has_one_value():
    """D60: wherever it is read, also when a session went stale."""
    async with World().pool(session_awareness=True, session_max_age_sec=60) as pool:
        for number in range(3):
            await pool.acquire_for_session(f"s{number}")
            await asyncio.sleep(25)
        snapshot = pool.snapshot()

        assert snapshot["active_sessions"] == snapshot["metrics"]["active_sessions"] == pool.active_sessions == 2


async def test_background_warmup_tells_whether_it_runs():
    """D59: not what was asked for."""
    pool = World().bare_pool(warm_pool_size=1, enable_background_warmup=True)
    told = [pool.snapshot()["background_warmup"]]
    await pool.prepare()
    told.append(pool.snapshot()["background_warmup"])
    await pool.shutdown()
    told.append(pool.snapshot()["background_warmup"])

    assert told == [False, True, False]


async def test_both_pools_count_under_the_same_names():
    """D53: a dashboard reads one as it reads the other."""
    world = World()
    warm, lightweight = world.bare_pool().snapshot(), world.on_demand_pool().snapshot()

    assert set(warm) <= set(lightweight)
    assert set(warm["metrics"]) <= set(lightweight["metrics"])


async def test_a_temporary_client_is_cleared_once():
    """D47: release_for_session(None, client) is one release."""
    async with World().pool(warm_pool_size=1, session_awareness=True) as pool:
        client = await pool.acquire()
        released = await pool.release_for_session(None, client)

        assert released
        assert client.resets == 1


async def test_a_pool_is_a_context_manager_and_can_be_resized_drained_and_checked():
    """D54: what an operator needs is there, and does it."""
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        first = list(world.made)
        await pool.drain()
        await settle()
        drained = [client.closes for client in first]
        second = list(world.open)
        second[0].is_ready = False
        dead = await pool.check()
        old = pool.reconfigure(warm_pool_size=4)
        await pool.wait_ready()

        assert drained == [1, 1]
        assert dead == second[0].closes == 1
        assert old == {"warm_pool_size": 2}
        assert pool.snapshot()["warm_pool_size"] == pool.snapshot()["warm_pool_target"] == 4
    assert all(client.closes == 1 for client in world.made)


async def fail_with_a_lease(pool):
    async with pool.lease():
        raise KeyError


async def test_a_lease_gives_its_client_back():
    """D54: whatever happens in its block."""
    world = World()
    async with world.pool(warm_pool_size=1, session_awareness=True) as pool:
        with pytest.raises(KeyError):
            await fail_with_a_lease(pool)
        tier = (await pool.acquire_for_session("s1"))[1]

        assert world.made[0].resets == 1
        assert tier is AllocationTier.WARM
