"""The life of a pool: prepared, ready, drained, shut down; leaks, threads, and the size it finds for itself."""

import asyncio
import gc

import pytest
from tests.unit.pools.world import CREATION_SECONDS, ServiceDown, World
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import PoolClosed, PoolNotReady, PoolTimeout
from speechpool.pools import ItemState, PoolState

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


async def test_a_prepare_that_is_cancelled_keeps_what_it_made():
    world = World()
    pool = world.bare_pool(warm_pool_size=3)
    preparing = asyncio.create_task(pool.prepare())
    await asyncio.sleep(CREATION_SECONDS / 2)
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    state = pool.state
    await asyncio.sleep(1)
    begin = now()
    await pool.prepare()

    assert state is PoolState.NEW
    assert elapsed(begin) == 0
    assert len(world.made) == 3
    await pool.shutdown()


async def test_the_states_of_a_pool():
    world = World()
    pool = world.bare_pool(warm_pool_size=1, enable_background_warmup=True)
    states = [pool.state]
    preparing = asyncio.create_task(pool.prepare())
    await settle()
    states.append(pool.state)
    await preparing
    states.append(pool.state)
    world.down = True
    await pool.acquire()
    await asyncio.sleep(1)
    states.append(pool.state)
    world.down = False
    await pool.wait_ready()
    draining = asyncio.create_task(pool.drain())
    await settle()
    states.append(pool.state)
    await draining
    states.append(pool.state)
    await pool.shutdown()
    states.append(pool.state)

    assert [state.value for state in states] == [
        "new",
        "preparing",
        "ready",
        "degraded",
        "draining",
        "ready",
        "closed",
    ]


async def test_wait_ready_ends_when_the_pool_is_full_again():
    async with World().pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        await pool.acquire()
        begin = now()
        await pool.wait_ready()

        assert elapsed(begin) == CREATION_SECONDS


async def test_wait_ready_says_why_it_gave_up():
    async with World(down=True).pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        with pytest.raises(PoolNotReady) as caught:
            await pool.wait_ready(timeout=10)

    assert isinstance(caught.value.__cause__, ServiceDown)


async def test_wait_ready_ends_with_the_pool():
    pool = World(down=True).bare_pool(warm_pool_size=2, enable_background_warmup=True)
    await pool.prepare()
    waiting = asyncio.create_task(pool.wait_ready(timeout=1000))
    await settle()
    await pool.shutdown()
    with pytest.raises(PoolClosed):
        await waiting


async def test_a_drain_makes_before_it_breaks():
    world = World()
    async with world.pool(warm_pool_size=4, enable_background_warmup=True) as pool:
        first = list(world.made)
        draining = asyncio.create_task(pool.drain())
        idle = []
        while not draining.done():
            await asyncio.sleep(0.01)
            idle.append(pool.snapshot()["warm_pool_size"])
        await settle()

        assert min(idle) >= 3
        assert [client.closes for client in first] == [1] * 4
        assert pool.snapshot()["warm_pool_size"] == 4
        assert pool.snapshot()["generation"] == 1


async def test_a_drain_that_cannot_replace_ends_in_time_and_goes_on():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        world.down = True
        with pytest.raises(PoolTimeout):
            await pool.drain(timeout=5)
        kept = pool.snapshot()["warm_pool_size"]
        world.down = False
        await asyncio.sleep(61)

        assert kept == 2
        assert [client.closes for client in world.made[:2]] == [1, 1]


async def test_a_new_generation_does_not_wait_for_the_old_ones_circuit():
    world = World(down=True)
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        await asyncio.sleep(40)
        assert pool.snapshot()["creation"]["circuit"] == "open"
        world.down = False
        await pool.drain(timeout=5)
        await asyncio.sleep(1)  # far less than circuit_probe_sec

        assert pool.snapshot()["warm_pool_size"] == 2
        assert pool.snapshot()["creation"]["circuit"] == "closed"


async def test_shutdown_wakes_everyone_who_waits():
    async with World().pool(max_size=1) as pool:
        client = await pool.acquire()
        callers = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await settle()
        await pool.shutdown()
        results = await asyncio.gather(*callers, return_exceptions=True)
        await pool.release(client)

        assert [type(result) for result in results] == [PoolClosed] * 3
        assert client.closes == 1
        assert not tasks_left()


async def test_shutdown_may_be_called_again():
    world = World()
    pool = world.bare_pool(warm_pool_size=2)
    await pool.prepare()
    await asyncio.gather(pool.shutdown(), pool.shutdown())
    await pool.shutdown()

    assert [client.closes for client in world.made] == [1, 1]


async def test_a_client_of_a_leases_block_is_not_closed_by_shutdown():
    async with World().pool(session_awareness=True) as pool:
        async with pool.session("s1") as session_lease, pool.lease() as lease:
            await pool.shutdown()
            untouched = (session_lease.resource.closes, lease.resource.closes)
            clients = (session_lease.resource, lease.resource)

        assert untouched == (0, 0)
        assert [client.closes for client in clients] == [1, 1]


async def test_a_dead_client_is_replaced_as_soon_as_it_is_known():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        known = pool.invalidate(world.made[0])
        await asyncio.sleep(CREATION_SECONDS + 0.01)

        assert known
        assert world.made[0].closes == 1
        assert pool.snapshot()["warm_pool_size"] == 2
        assert not pool.invalidate(object())


async def test_a_client_that_dies_in_use_is_closed_when_it_comes_back():
    async with World().pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        pool.invalidate(client)
        in_use = client.closes
        await pool.release(client)

        assert in_use == 0
        assert client.closes == 1


async def test_a_thread_may_release_through_the_loop():
    world = World()
    async with world.pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon_threadsafe, pool.release_nowait, client)
        await settle()

        assert await pool.acquire() is client


async def test_a_client_out_for_too_long_is_reported_once_with_its_place():
    told = []
    async with World().pool(
        warm_pool_size=1,
        leak_after_sec=60.0,
        on_event=lambda name, pool, **facts: told.append(facts) if name == "leak_suspected" else None,
    ) as pool:
        client = await pool.acquire()
        await asyncio.sleep(1000)

        assert len(told) == pool.snapshot()["metrics"]["leaks_suspected"] == 1
        assert told[0]["seconds"] == pytest.approx(60, abs=1)
        assert "test_contract_life.py" in told[0]["site"]
        await pool.release(client)


async def test_a_lease_has_a_leak_threshold_of_its_own():
    told = []
    async with World().pool(
        warm_pool_size=1,
        leak_after_sec=60.0,
        on_event=lambda name, pool, **facts: told.append(facts) if name == "leak_suspected" else None,
    ) as pool:
        async with pool.lease(leak_after_sec=500.0):
            await asyncio.sleep(400)
            before = len(told)
            await asyncio.sleep(200)

        assert (before, len(told)) == (0, 1)


async def test_an_abandoned_lease_is_taken_back():
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        lease = pool.lease()
        client = (await lease.__aenter__()).resource
        del lease
        gc.collect()
        await asyncio.sleep(1)

        assert client.closes == 1
        assert pool.snapshot()["items"]["out"] == 0
        assert pool.snapshot()["metrics"]["leaks_suspected"] == 1


async def test_items_tell_each_clients_state_and_age():
    async with World().pool(warm_pool_size=2, session_awareness=True) as pool:
        await pool.acquire_for_session("s1")
        await asyncio.sleep(10)
        facts = sorted(pool.items(), key=lambda item: item.state.value)

        assert [item.state for item in facts] == [ItemState.IDLE, ItemState.LEASED]
        assert [round(item.age_seconds) for item in facts] == [10, 10]
        assert [round(item.idle_seconds) for item in facts] == [10, 0]
        assert [item.uses for item in facts] == [0, 1]


async def test_waits_are_counted_by_their_length():
    async with World().pool(warm_pool_size=1) as pool:
        await pool.acquire()
        await pool.acquire()
        metrics = pool.snapshot()["metrics"]
        buckets = metrics["wait_seconds_buckets"]

        assert buckets["0"] == 1
        assert buckets["+Inf"] == 2
        assert list(buckets.values()) == sorted(buckets.values())
        assert metrics["wait_seconds_total"] == pytest.approx(CREATION_SECONDS, abs=0.001)


async def steady_traffic(pool, calls, burst, pause):
    """Bursts of calls that come at one moment."""
    for number in range(calls):
        leases = [asyncio.create_task(short_call(pool)) for _ in range(burst)]
        await asyncio.gather(*leases)
        await asyncio.sleep(pause)
        assert number >= 0


async def short_call(pool):
    async with pool.lease():
        await asyncio.sleep(1)


async def test_the_pool_knows_which_size_its_traffic_needs():
    async with World().pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        await steady_traffic(pool, 30, 5, 10)

        assert pool.snapshot()["recommended_warm_pool_size"] == 5
        assert pool.snapshot()["warm_pool_target"] == 1


async def test_the_pool_sizes_itself_if_it_may():
    async with World().pool(warm_pool_size=1, warm_pool_max=8, enable_background_warmup=True) as pool:
        await steady_traffic(pool, 30, 5, 10)
        busy = pool.snapshot()["warm_pool_target"]
        await asyncio.sleep(1000)
        quiet = pool.snapshot()["warm_pool_target"]

        assert (busy, quiet) == (5, 1)


async def test_the_pool_never_grows_beyond_what_it_may():
    async with World().pool(warm_pool_size=1, warm_pool_max=3, enable_background_warmup=True) as pool:
        await steady_traffic(pool, 10, 8, 10)

        assert pool.snapshot()["recommended_warm_pool_size"] == 3
        assert pool.snapshot()["warm_pool_target"] == 3
