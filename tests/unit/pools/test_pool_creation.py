"""How clients are made: limits, pace, back-off, circuit, warm-ups, and who gets an error."""

import asyncio
import random

import pytest
from tests.unit.pools.world import CREATION_SECONDS, Client, ServiceDown, SlowDown, World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import PoolError, PoolFull, PoolTimeout
from speechpool.pools import AllocationTier, PoolState, WarmableResourcePool

pytestmark = VIRTUAL


async def test_max_creating_bounds_demand_and_refill_together():
    world = World()
    async with world.pool(warm_pool_size=4, enable_background_warmup=True, max_creating=2) as pool:
        await asyncio.gather(*[pool.acquire() for _ in range(8)])

        assert world.most_creating == 2


async def test_prepare_fills_beyond_what_may_be_created_at_once():
    world = World()
    async with world.pool(warm_pool_size=5, max_creating=2) as pool:
        assert pool.snapshot()["warm_pool_size"] == 5
        assert world.most_creating == 2


async def test_prepare_stops_at_max_size():
    async with World().pool(warm_pool_size=5, max_size=3) as pool:
        assert pool.snapshot()["warm_pool_size"] == 3


async def test_refill_is_limited_and_demand_is_not():
    world = World()
    async with world.pool(warm_pool_size=10, enable_background_warmup=True, max_refilling=2) as pool:
        await asyncio.gather(*[pool.acquire() for _ in range(10)])
        await settle()
        assert world.creating == 2

        waiting = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await settle()

        assert world.creating == 5
        await asyncio.gather(*waiting)


async def test_creations_are_paced_by_the_minute():
    world = World()
    async with world.pool(creations_per_minute=2) as pool:
        begin = asyncio.get_running_loop().time()

        await asyncio.gather(*[pool.acquire() for _ in range(4)])

        assert [elapsed(begin) - elapsed(at) for at in world.attempts] == [0.0, 0.0, 60.0, 60.0]


async def test_a_freed_place_is_taken_by_who_waits_longest():
    async with World().pool(max_size=1) as pool:
        client = await pool.acquire()
        first, second = (asyncio.create_task(pool.acquire()) for _ in range(2))
        await settle()

        await pool.release(client, discard=True)
        await asyncio.sleep(CREATION_SECONDS)
        await settle()

        assert first.done()
        assert not second.done()
        await pool.release(first.result(), discard=True)
        await second


async def test_a_caller_gets_the_error_of_its_own_creation():
    world = World(down=True)
    async with world.pool() as pool:
        with pytest.raises(ServiceDown):
            await pool.acquire(timeout=5)

        assert pool.snapshot()["metrics"]["allocations_error"] == 1


async def test_a_failed_creation_is_made_good_by_one_nobody_waits_for():
    outcomes = iter([5.0, ServiceDown("refused")])

    async def factory():
        outcome = next(outcomes)
        await asyncio.sleep(outcome if isinstance(outcome, float) else 0.1)
        if isinstance(outcome, Exception):
            raise outcome
        return object()

    pool = WarmableResourcePool(factory=factory, name="pool", warm_pool_size=1)
    preparing = asyncio.create_task(pool.prepare())
    await settle()

    assert await pool.acquire()
    await preparing
    await pool.shutdown()


async def test_each_caller_of_a_burst_gets_its_own_answer():
    numbers = iter(range(100))

    async def factory():
        number = next(numbers)
        await asyncio.sleep(0.1)
        if number % 2:
            raise ServiceDown("odd")
        return Client(number, World())

    pool = WarmableResourcePool(factory=factory, name="pool")

    results = await asyncio.gather(*[pool.acquire() for _ in range(10)], return_exceptions=True)

    assert sum(isinstance(result, Client) for result in results) == 5
    assert sum(isinstance(result, ServiceDown) for result in results) == 5
    await pool.shutdown()


async def test_a_creation_that_takes_too_long_is_given_up():
    world = World(hanging=True)
    async with world.pool(create_timeout=3.0) as pool:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(PoolTimeout, match=r"factory took longer than its limit of 3\.0 s"):
            await pool.acquire()

        assert elapsed(begin) == 3.0


async def test_a_factory_that_returns_nothing_or_a_client_in_use_is_refused():
    client = object()
    answers = iter([None, client, client])
    pool = WarmableResourcePool(factory=lambda: next(answers), name="pool")

    with pytest.raises(TypeError, match="returned None"):
        await pool.acquire()
    assert await pool.acquire() is client
    with pytest.raises(PoolError, match="already holds"):
        await pool.acquire()
    await pool.shutdown()


async def test_a_cancellation_raised_by_the_factory_is_an_error_and_no_cancellation():
    async def factory():
        raise asyncio.CancelledError

    pool = WarmableResourcePool(factory=factory, name="pool")

    with pytest.raises(PoolError, match="was cancelled"):
        await pool.acquire()
    await pool.shutdown()


async def test_refill_backs_off_then_probes_then_recovers():
    world = World(creation_seconds=0.0)
    told = []
    pool = world.bare_pool(
        warm_pool_size=2,
        enable_background_warmup=True,
        circuit_failures=3,
        circuit_probe_sec=10.0,
        rng=random.Random(7),
        on_event=lambda name, pool, **facts: told.append(name),
    )
    await pool.prepare()
    world.down = True
    world.attempts.clear()
    await pool.release(await pool.acquire(), discard=True)
    await asyncio.sleep(60)

    assert pool.snapshot()["creation"]["circuit"] != "closed"
    assert told.count("circuit_opened") == 1
    assert len(world.attempts) <= 3 + 7  # three back-offs, then one probe in ten seconds

    world.down = False
    await asyncio.sleep(10)
    assert pool.snapshot()["creation"]["circuit"] == "closed"
    assert pool.snapshot()["warm_pool_size"] == 2
    assert pool.state is PoolState.READY
    assert told.count("circuit_closed") == 1
    await pool.shutdown()


async def test_with_the_circuit_open_each_caller_still_tries_once():
    world = World(down=True)
    async with world.pool(circuit_failures=1) as pool:
        for _ in range(3):
            with pytest.raises(ServiceDown):
                await pool.acquire()

        assert len(world.attempts) == 3
        world.down = False
        assert await pool.acquire()


async def test_a_timeout_names_the_counts_and_its_cause():
    world = World()
    async with world.pool(max_size=1) as pool:
        await pool.acquire()
        with pytest.raises(PoolTimeout, match=r"no client within 0\.5 s: 1 out, 1 waiting, max_size 1"):
            await pool.acquire(timeout=0.5)


async def test_a_timeout_has_the_last_failure_as_its_cause():
    world = World()
    async with world.pool(max_creating=1) as pool:
        world.down = True
        first = asyncio.create_task(pool.acquire())
        world.hanging = False
        await asyncio.sleep(CREATION_SECONDS * 2)
        world.hanging = True
        with pytest.raises(PoolTimeout) as raised:
            await pool.acquire(timeout=1)

        assert isinstance(raised.value.__cause__, ServiceDown)
        assert isinstance(first.exception(), ServiceDown)


async def test_no_time_to_wait_takes_what_is_idle_or_nothing():
    world = World()
    async with world.pool(warm_pool_size=1) as pool:
        await pool.acquire(timeout=0)
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)

        assert len(world.attempts) == 1


async def test_a_timeout_that_is_no_number_is_refused():
    async with World().pool() as pool:
        with pytest.raises(ValueError, match="timeout must be a number"):
            await pool.acquire(timeout=float("nan"))


async def test_more_callers_than_may_wait_are_refused():
    async with World().pool(max_size=1, max_waiting=1) as pool:
        client = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await settle()

        with pytest.raises(PoolFull, match=r"1 callers wait already \(max_waiting\)"):
            await pool.acquire()

        assert pool.snapshot()["metrics"]["allocations_rejected"] == 1
        await pool.release(client)
        await waiting


async def test_a_failed_warm_up_is_tried_again_and_then_called_warm():
    world = World(warm_result=False)
    async with world.pool(warm_pool_size=1, warm_fn=world.warm, session_awareness=True) as pool:
        assert pool.snapshot()["items"]["unwarmed"] == 1
        assert pool.state is PoolState.DEGRADED

        world.warm_result = True
        await asyncio.sleep(10)

        assert pool.snapshot()["items"]["idle"] == 1
        assert len(world.made) == 1
        assert (await pool.acquire_for_session("s1"))[1] is AllocationTier.WARM


async def test_a_slow_warm_up_is_limited():
    world = World(warm_seconds=100.0)
    async with world.pool(warm_pool_size=1, warm_fn=world.warm, warm_timeout=2.0) as pool:
        assert pool.snapshot()["metrics"]["warmup_failures"] == 1
        assert pool.snapshot()["items"]["unwarmed"] == 1


# --- pauses that are asked for


async def test_a_pause_that_is_asked_for_stops_refilling_for_as_long_and_then_one_creation_tries():
    world = World(spare_seconds=40.0)
    async with world.pool(warm_pool_size=3, enable_background_warmup=True, circuit_failures=1000) as pool:
        begin = asyncio.get_running_loop().time()  # after the three of prepare()
        before = len(world.attempts)
        await asyncio.sleep(39)
        during = len(world.attempts) - before
        told = pool.snapshot()["creation"]["retry_in_seconds"]
        await asyncio.sleep(120)
        periods = [round(elapsed(begin) - elapsed(at)) for at in world.attempts[before:]]
        world.spare_seconds = None
        await pool.wait_ready(timeout=60)

        assert (before, during) == (3, 0)
        assert told == pytest.approx(1.0, abs=0.3)
        assert periods == [40, 80, 120]
        assert pool.snapshot()["warm_pool_size"] == 3


async def test_a_pause_that_is_asked_for_never_shortens_the_back_off():
    world = World(spare_seconds=0.001)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, circuit_failures=2, circuit_probe_sec=30.0):
        await asyncio.sleep(10)

        assert len(world.attempts) <= 3


async def test_a_caller_gets_the_pause_that_its_own_creation_was_answered_with():
    world = World(spare_seconds=7.0)
    async with world.pool() as pool:
        with pytest.raises(SlowDown) as caught:
            await pool.acquire(timeout=60)

        assert caught.value.retry_after_seconds == 7.0
        assert pool.snapshot()["metrics"]["allocations_error"] == 1


async def test_warm_ups_that_are_answered_with_a_pause_are_tried_again_one_at_a_time():
    world = World(warm_result=SlowDown(20.0), warm_seconds=0.5)
    async with world.pool(
        warm_pool_size=3, enable_background_warmup=True, warm_fn=world.warm, backoff_max_sec=1.0
    ) as pool:
        first = len(world.made)
        await asyncio.sleep(19)
        during = sum(client.warmed for client in world.made)
        await asyncio.sleep(42)  # two more periods have passed
        tried = sum(client.warmed for client in world.made)
        world.warm_result = True
        await pool.wait_ready(timeout=60)

        assert (first, during) == (3, 3)
        assert 4 <= tried <= 6
        assert len(world.made) == 3
        assert pool.snapshot()["warm_pool_size"] == 3


@pytest.mark.parametrize("asked", [-1.0, 0, float("nan"), float("inf"), "5", None])
async def test_a_pause_without_a_meaning_is_no_pause(asked):
    world = World(spare_seconds=1.0)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, backoff_max_sec=0.1) as pool:
        world.spare_seconds = asked
        await asyncio.sleep(10)

        assert len(world.attempts) >= 5 if asked is not None else pool.ready
