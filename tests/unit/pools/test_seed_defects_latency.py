"""Latency and availability: each test fails on one defect of a timer-refilled pool (its number is given)."""

import asyncio

import pytest
from tests.unit.pools.world import CREATION_SECONDS, World
from tests.virtual import VIRTUAL, elapsed, tasks_left

from speechpool.errors import PoolTimeout, SettingsError
from speechpool.pools import AllocationTier

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


async def test_an_emptied_pool_is_full_one_creation_later():
    """D07: refill starts with the acquire, not with the next interval."""
    async with World().pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        for _ in range(3):
            await pool.acquire()
        await asyncio.sleep(CREATION_SECONDS + 0.01)

        assert pool.snapshot()["warm_pool_size"] == 3


async def ten_calls(pool):
    for number in range(10):
        await pool.acquire_for_session(f"s{number}")
        await asyncio.sleep(60)
        await pool.release_for_session(f"s{number}")


async def test_without_background_refill_the_stock_is_used_up():
    """D08, the documented meaning of background off: no refill after prepare, so 7 of 10 calls are cold."""
    async with World().pool(warm_pool_size=3, session_awareness=True) as pool:
        await ten_calls(pool)
        metrics = pool.snapshot()["metrics"]

        assert (metrics["allocations_warm"], metrics["allocations_cold"]) == (3, 7)


async def test_with_background_refill_no_call_is_cold():
    """D08, the other setting."""
    async with World().pool(warm_pool_size=3, enable_background_warmup=True, session_awareness=True) as pool:
        await ten_calls(pool)
        metrics = pool.snapshot()["metrics"]

        assert (metrics["allocations_warm"], metrics["allocations_cold"]) == (10, 0)


async def test_prepare_makes_its_clients_at_the_same_time():
    """D10: 15 clients take as long as one."""
    begin = now()
    async with World().pool(warm_pool_size=15) as pool:
        assert elapsed(begin) == CREATION_SECONDS
        assert pool.snapshot()["warm_pool_size"] == 15


async def test_what_is_taken_during_a_refill_is_refilled_too():
    """D56: the need is counted again at each change, not once per round."""
    async with World().pool(warm_pool_size=15, enable_background_warmup=True) as pool:
        for _ in range(10):
            await pool.acquire()
        await asyncio.sleep(CREATION_SECONDS / 2)
        for _ in range(5):
            await pool.acquire()
        await asyncio.sleep(20)

        assert pool.snapshot()["warm_pool_size"] == 15


@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_a_timeout_bounds_a_slow_creation(session_id):
    """D04: the caller waits as long as it said."""
    async with World(creation_seconds=5.0).pool(session_awareness=True) as pool:
        begin = now()
        with pytest.raises(PoolTimeout):
            await pool.acquire_for_session(session_id, timeout=0.5)

        assert elapsed(begin) == 0.5


async def test_a_timeout_is_a_timeout_error():
    """D04: `except TimeoutError` around an acquire is not dead code."""
    async with World(creation_seconds=5.0).pool() as pool:
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.5)


async def test_the_default_timeout_bounds_a_hung_factory():
    """D05: with acquire_timeout set, no caller has to bound its own wait."""
    async with World(hanging=True).pool(acquire_timeout=2.0) as pool:
        begin = now()
        with pytest.raises(PoolTimeout):
            await pool.acquire()

        assert elapsed(begin) == 2.0


async def test_a_hung_creation_ends():
    """D05: without any timeout a caller still does not wait for ever: a creation has a limit."""
    world = World(hanging=True)
    async with world.pool(create_timeout=30.0) as pool:
        begin = now()
        with pytest.raises(TimeoutError):
            await pool.acquire()

        assert elapsed(begin) <= 60
        assert world.creating == 0


async def test_creations_at_once_are_bounded():
    """D24: 500 callers do not open 500 connections at a time."""
    world = World()
    async with world.pool(max_creating=20) as pool:
        await asyncio.gather(*[pool.acquire() for _ in range(500)])

        assert world.most_creating == 20


async def test_sessions_are_bounded():
    """D62: 5000 sessions do not get 5000 clients."""
    world = World()
    async with world.pool(session_awareness=True, max_size=50) as pool:
        calls = [pool.acquire_for_session(f"s{number}", timeout=10) for number in range(5000)]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert sum(isinstance(result, PoolTimeout) for result in results) == 4950
        assert len(world.made) == pool.active_sessions == 50


async def test_a_caller_in_wait_gets_the_first_client_that_is_free():
    """D25: a release ends the wait, though the caller's own creation takes longer."""
    world = World(creation_seconds=2.0)
    async with world.pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        begin = now()
        caller = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.05)
        await pool.release(client)

        assert await caller is client
        assert elapsed(begin) == 0.05


async def test_a_hung_factory_stops_neither_refill_nor_sweep():
    """D41: what hangs ends at its limit, and the rest goes on meanwhile."""
    world = World()
    async with world.pool(
        warm_pool_size=2,
        enable_background_warmup=True,
        session_awareness=True,
        session_max_age_sec=60,
        session_grace_sec=0,
        create_timeout=30,
    ) as pool:
        world.hanging = True
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(200)
        world.hanging = False
        await asyncio.sleep(200)

        assert client.closes == 1
        assert pool.snapshot()["warm_pool_size"] == 2


async def test_a_refused_creation_is_retried_ever_more_slowly():
    """D42: ten minutes of a service that is down are not two thousand attempts, and its return is noticed."""
    world = World(down=True)
    async with world.pool(warm_pool_size=15, enable_background_warmup=True, warmup_interval_sec=1.0) as pool:
        await asyncio.sleep(600)
        attempts = len(world.attempts)
        last_minute = sum(attempt > now() - 60 for attempt in world.attempts)
        world.down = False
        await asyncio.sleep(61)

        assert attempts <= 100
        assert 1 <= last_minute <= 6
        assert pool.snapshot()["warm_pool_size"] == 15


@pytest.mark.parametrize("interval", [0, -1.0, float("nan"), float("inf"), True, "30"])
def test_an_interval_that_is_no_positive_number_is_refused(interval):
    """D43: 0 would spin."""
    with pytest.raises(SettingsError, match="warmup_interval_sec"):
        World().bare_pool(warm_pool_size=1, enable_background_warmup=True, warmup_interval_sec=interval)


@pytest.mark.parametrize("size", [-1, 1.5, True, "3", None])
def test_a_warm_size_that_is_no_count_is_refused(size):
    """D44: a negative size is an error of the caller."""
    with pytest.raises(SettingsError, match="warm_pool_size"):
        World().bare_pool(warm_pool_size=size)


async def test_on_demand_sessions_are_made_at_the_same_time():
    """D50: ten sessions take as long as one."""
    world = World()
    pool = world.on_demand_pool(session_awareness=True)
    begin = now()
    await asyncio.gather(*[pool.acquire_for_session(f"s{number}") for number in range(10)])

    assert elapsed(begin) == CREATION_SECONDS
    await pool.shutdown()


async def test_an_on_demand_lookup_does_not_wait_for_a_creation():
    """D51: a session that has its client is served at once while another waits for the factory."""
    world = World()
    pool = world.on_demand_pool(session_awareness=True)
    mine, _ = await pool.acquire_for_session("s1")
    world.creation_seconds = 10.0
    other = asyncio.create_task(pool.acquire_for_session("s2"))
    await asyncio.sleep(1)
    begin = now()

    assert await pool.acquire_for_session("s1") == (mine, AllocationTier.DEDICATED)
    assert elapsed(begin) == 0
    await other
    await pool.shutdown()


async def test_no_lock_is_taken_where_nothing_is_awaited(monkeypatch):
    """D63: what cannot be interleaved needs no lock."""
    taken = []
    acquire = asyncio.Lock.acquire
    monkeypatch.setattr(asyncio.Lock, "acquire", lambda lock: taken.append(lock) or acquire(lock))
    async with World().pool(warm_pool_size=2, enable_background_warmup=True, session_awareness=True) as pool:
        client = await pool.acquire()
        await pool.release(client)
        await pool.acquire_for_session("s1")
        await pool.acquire_for_session("s1")
        await pool.release_for_session("s1")
        pool.snapshot()

    assert taken == []


def at_once(coroutine):
    """What a coroutine returns without suspending."""
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


async def test_what_is_at_hand_is_served_without_a_pass_of_the_loop():
    """D63: a warm acquire, a lookup and a release do not suspend their caller."""
    async with World().pool(warm_pool_size=1, session_awareness=True, recycle_sessions=True) as pool:
        client = at_once(pool.acquire())
        at_once(pool.release(client))

        assert at_once(pool.acquire_for_session("s1")) == (client, AllocationTier.WARM)
        assert at_once(pool.acquire_for_session("s1")) == (client, AllocationTier.DEDICATED)
        assert at_once(pool.release_for_session("s1"))


async def test_waits_are_bounded_for_callers_in_a_row():
    """D05: while the factory hangs each caller ends at its own deadline, and no task stays behind."""
    world = World(hanging=True)
    async with world.pool(max_creating=2) as pool:
        begin = now()
        calls = [pool.acquire(timeout=timeout) for timeout in (0.1, 0.2, 0.3, 0.4)]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert all(isinstance(result, PoolTimeout) for result in results)
        assert elapsed(begin) == 0.4
    await asyncio.sleep(60)
    assert not tasks_left()


async def test_waiting_callers_are_served_in_order():
    """D25: the first free client goes to the one who waits longest."""
    async with World().pool(max_size=1) as pool:
        order = []

        async def call(number):
            client = await pool.acquire()
            order.append(number)
            await asyncio.sleep(1)
            await pool.release(client)

        await asyncio.gather(*[call(number) for number in range(6)])

        assert order == list(range(6))
