"""How clients come: limits, pace, back-off and circuit of creations, and whose error a failure is."""

import asyncio
import itertools

import pytest
from tests.unit.pools.world import CREATION_SECONDS, ServiceDown, World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import PoolError, PoolFull, PoolTimeout
from speechpool.pools import AllocationTier, WarmableResourcePool

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


async def test_refill_is_limited_and_callers_are_not():
    world = World()
    async with world.pool(warm_pool_size=8, enable_background_warmup=True, max_refilling=2) as pool:
        world.most_creating = 0
        await asyncio.gather(*[pool.acquire() for _ in range(8)])
        await settle()
        refilling = world.most_creating
        callers = [asyncio.create_task(pool.acquire()) for _ in range(6)]
        await settle()

        assert refilling == 2
        assert world.most_creating >= 6
        await asyncio.gather(*callers)


async def test_creations_keep_a_pace():
    world = World()
    async with world.pool(creations_per_minute=30) as pool:
        callers = [asyncio.create_task(pool.acquire()) for _ in range(90)]
        await asyncio.gather(*callers)
        attempts = world.attempts

    assert all(sum(begin <= at < begin + 60 for at in attempts) <= 30 for begin in attempts)
    assert elapsed(attempts[0]) <= 180


async def test_the_pauses_of_a_pool_that_is_refused_grow_up_to_a_limit():
    world = World(down=True, creation_seconds=0.001)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, backoff_max_sec=8.0, circuit_failures=1000):
        await asyncio.sleep(300)
    pauses = [later - earlier for earlier, later in itertools.pairwise(world.attempts)]

    assert all(pause <= 8.1 for pause in pauses)
    assert max(pauses[:2]) <= 0.5
    assert max(pauses) > 4.0
    assert 300 / 8.1 <= len(pauses) <= 300


async def test_an_open_circuit_probes_once_per_period():
    world = World(down=True)
    events = []
    async with world.pool(
        warm_pool_size=5,
        enable_background_warmup=True,
        circuit_failures=3,
        circuit_probe_sec=20.0,
        on_event=lambda name, pool, **facts: events.append(name),
    ) as pool:
        await asyncio.sleep(60)
        open_since = len(world.attempts)
        opened = pool.snapshot()["creation"]["circuit"]
        await asyncio.sleep(200)
        probes = len(world.attempts) - open_since
        world.down = False
        await asyncio.sleep(30)
        closed = pool.snapshot()["creation"]["circuit"]

    assert opened in {"open", "half_open"}
    assert 9 <= probes <= 11
    assert closed == "closed"
    assert events.index("circuit_opened") < events.index("circuit_closed")


async def test_a_caller_may_try_while_the_circuit_is_open():
    world = World(down=True)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, circuit_failures=1) as pool:
        await asyncio.sleep(10)
        with pytest.raises(ServiceDown):
            await pool.acquire()
        world.down = False
        client = await pool.acquire()

        assert client is world.made[0]


async def test_the_factorys_error_reaches_its_caller_as_it_is():
    world = World(down=True)
    async with world.pool() as pool:
        with pytest.raises(ServiceDown, match="service down"):
            await pool.acquire()

        assert pool.snapshot()["metrics"]["allocations_error"] == 1
        assert pool.snapshot()["creation"]["last_error"] == "ServiceDown"


async def test_a_timeout_tells_what_the_pool_looked_like_and_why():
    world = World(down=True)
    async with world.pool(max_size=1) as pool:
        with pytest.raises(ServiceDown):
            await pool.acquire()
        world.down = False
        await pool.acquire()
        world.down = True
        with pytest.raises(PoolTimeout, match=r"1 out") as caught:
            await pool.acquire(timeout=1.0)

    assert "tts_pool" in str(caught.value)
    assert "max_size 1" in str(caught.value)


async def test_a_timeout_while_the_service_is_down_has_its_failure_as_cause():
    world = World()
    async with world.pool(
        warm_pool_size=2, enable_background_warmup=True, max_size=2, circuit_failures=1, circuit_probe_sec=1000.0
    ) as pool:
        held = [await pool.acquire() for _ in range(2)]
        world.down = True
        await pool.release(held.pop(), discard=True)
        await asyncio.sleep(5)
        world.hanging = True
        with pytest.raises(PoolTimeout) as caught:
            await pool.acquire(timeout=1.0)

    assert isinstance(caught.value.__cause__, ServiceDown)


async def test_a_full_queue_refuses_at_once():
    async with World().pool(max_size=1, max_waiting=1) as pool:
        await pool.acquire()
        waiting = asyncio.create_task(pool.acquire(timeout=5))
        await settle()
        begin = now()
        with pytest.raises(PoolFull):
            await pool.acquire()

        assert elapsed(begin) == 0
        assert pool.snapshot()["metrics"]["allocations_rejected"] == 1
        with pytest.raises(PoolTimeout):
            await waiting


async def test_nobody_may_wait_where_the_queue_has_no_place():
    async with World().pool(warm_pool_size=1, max_waiting=0) as pool:
        await pool.acquire()
        with pytest.raises(PoolFull):
            await pool.acquire()


async def test_no_time_at_all_takes_what_is_idle_or_nothing():
    world = World()
    async with world.pool(warm_pool_size=1) as pool:
        client = await pool.acquire(timeout=0)
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)

        assert client is world.made[0]
        assert len(world.attempts) == 1


async def test_a_factory_that_returns_nothing_fails():
    async def nothing():
        return None

    async with WarmableResourcePool(factory=nothing, name="tts_pool") as pool:
        with pytest.raises(TypeError, match="None"):
            await pool.acquire()


async def test_a_factory_that_returns_one_client_twice_fails():
    client = object()

    async with WarmableResourcePool(factory=lambda: client, name="tts_pool") as pool:
        first = await pool.acquire()
        with pytest.raises(PoolError, match="already holds"):
            await pool.acquire()

        assert first is client


async def test_a_hung_creation_is_given_up_and_tried_again():
    world = World(hanging=True)
    async with world.pool(create_timeout=5.0, warm_pool_size=1, enable_background_warmup=True) as pool:
        world.hanging = False
        await asyncio.sleep(60)

        assert pool.snapshot()["warm_pool_size"] == 1
        assert world.creating == 0


async def test_a_failed_warm_up_is_tried_again():
    world = World(warm_result=False)
    async with world.pool(
        warm_pool_size=2, enable_background_warmup=True, session_awareness=True, warm_fn=world.warm
    ) as pool:
        cold = pool.snapshot()["items"]
        world.warm_result = True
        await asyncio.sleep(60)

        assert cold["unwarmed"] == 2
        assert pool.snapshot()["warm_pool_size"] == 2
        assert len(world.made) == 2
        assert (await pool.acquire_for_session("s1"))[1] is AllocationTier.WARM


async def test_a_hung_warm_up_is_bounded():
    world = World(warm_seconds=1e6)
    async with world.pool(warm_timeout=3.0, session_awareness=True, warm_fn=world.warm) as pool:
        begin = now()
        _, tier = await pool.acquire_for_session("s1")

        assert elapsed(begin) == CREATION_SECONDS + 3.0
        assert tier is AllocationTier.COLD


async def test_the_creation_of_a_caller_who_left_serves_the_next_one():
    world = World()
    async with world.pool() as pool:
        first = asyncio.create_task(pool.acquire())
        await asyncio.sleep(CREATION_SECONDS / 2)
        second = asyncio.create_task(pool.acquire())
        await settle()
        first.cancel()
        begin = now()
        await second

        assert elapsed(begin) == CREATION_SECONDS / 2


async def test_a_fixed_size_pool_recovers_when_the_service_is_back():
    world = World()
    async with world.pool(warm_pool_size=2, max_size=2, enable_background_warmup=True) as pool:
        world.down = True
        for client in list(world.made):
            client.is_ready = False
        await pool.check()
        await asyncio.sleep(120)
        empty = pool.snapshot()
        world.down = False
        await pool.wait_ready(timeout=61)

        assert (empty["ready"], empty["state"]) == (False, "degraded")
        assert pool.snapshot()["warm_pool_size"] == 2
