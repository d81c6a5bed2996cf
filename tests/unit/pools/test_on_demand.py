"""The pool that keeps nothing, and what is remembered of clients that are gone."""

import asyncio
import gc

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, elapsed

from speechpool.errors import PoolTimeout
from speechpool.pools import AllocationTier, OnDemandResourcePool
from speechpool.pools.remembered import MOST_HELD, Remembered

pytestmark = VIRTUAL


@pytest.fixture
async def world():
    return World()


async def test_every_anonymous_client_is_new_and_closed_on_release(world):
    async with world.on_demand_pool(session_awareness=False) as pool:
        first = await pool.acquire()
        await pool.release(first)
        second = await pool.acquire()

        assert first is not second
        assert (first.resets, first.closes) == (1, 1)
        await pool.release(second)
    world.check_books(pool)


async def test_sessions_keep_their_clients(world):
    async with world.on_demand_pool(session_awareness=True) as pool:
        client, cold = await pool.acquire_for_session("s1")
        again, dedicated = await pool.acquire_for_session("s1")

        assert client is again
        assert (cold, dedicated) == (AllocationTier.COLD, AllocationTier.DEDICATED)
        metrics = pool.snapshot()["metrics"]
        assert (metrics["allocations_new"], metrics["allocations_cached"], metrics["allocations_total"]) == (1, 1, 2)


async def test_sessions_do_not_wait_for_each_other(world):
    async with world.on_demand_pool(session_awareness=True) as pool:
        begin = asyncio.get_running_loop().time()
        await asyncio.gather(*[pool.acquire_for_session(f"s{number}") for number in range(10)])

        assert elapsed(begin) == 0.2


async def test_bounds_and_deadlines_hold(world):
    async with world.on_demand_pool(session_awareness=True, max_size=1, acquire_timeout=1.0) as pool:
        await pool.acquire_for_session("s1")
        with pytest.raises(PoolTimeout):
            await pool.acquire_for_session("s2")


async def test_is_ready_as_long_as_it_is_open_whatever_fails(world):
    world.down = True
    pool = world.on_demand_pool(session_awareness=True)
    assert not pool.snapshot()["ready"]
    await pool.prepare()
    await asyncio.gather(pool.acquire(), return_exceptions=True)

    assert pool.snapshot()["ready"]
    assert pool.snapshot()["state"] == "degraded"
    await pool.shutdown()
    assert not pool.snapshot()["ready"]


async def test_serves_before_it_is_prepared(world):
    pool = OnDemandResourcePool(factory=world.create, name="pool", session_awareness=True)

    assert await pool.acquire()
    await pool.shutdown()


class Thing:
    pass


def test_what_is_closed_is_remembered_and_not_kept_alive():
    remembered, thing = Remembered(), Thing()
    remembered.add(thing)
    assert thing in remembered
    assert Thing() not in remembered

    number = id(thing)
    del thing
    gc.collect()

    assert number not in remembered._weak


def test_what_has_no_weak_references_is_remembered_for_a_while():
    remembered = Remembered()
    things = [object() for _ in range(MOST_HELD + 1)]
    for thing in things:
        remembered.add(thing)

    assert things[0] not in remembered
    assert things[1] in remembered
    remembered.discard(things[1])
    assert things[1] not in remembered
