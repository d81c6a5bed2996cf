"""How sessions and leases end: when they go stale, what is told of it, and what becomes of the client."""

import asyncio

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, settle

from speechpool.errors import SessionReleased
from speechpool.pools import PoolState

pytestmark = VIRTUAL

AGES = {"session_awareness": True, "session_max_age_sec": 60.0, "session_grace_sec": 60.0}


def reasons(pool):
    return pool.snapshot()["metrics"]["closed_by_reason"]


async def test_a_session_ages_from_the_end_of_its_lease():
    async with World().pool(**AGES) as pool:
        await pool.acquire_for_session("s1")
        async with pool.session("s1"):
            await asyncio.sleep(500)
        await asyncio.sleep(59)
        active = pool.active_sessions
        await asyncio.sleep(3)

        assert (active, pool.active_sessions) == (1, 0)


async def test_a_session_ages_from_its_last_lookup():
    async with World().pool(**AGES) as pool:
        for _ in range(10):
            await pool.acquire_for_session("s1")
            await asyncio.sleep(55)
        active = pool.active_sessions
        await asyncio.sleep(10)

        assert (active, pool.active_sessions) == (1, 0)


@pytest.mark.parametrize("recycle", [True, False])
async def test_a_stale_client_is_reset_and_closed_and_never_recycled(recycle):
    async with World().pool(warm_pool_size=1, recycle_sessions=recycle, **AGES) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(130)

        assert (client.resets, client.closes) == (1, 1)
        assert reasons(pool) == {"stale": 1}
        assert pool.snapshot()["metrics"]["sessions_expired"] == 1


async def test_a_session_discarded_during_its_lease_is_closed_without_a_reset():
    async with World().pool(warm_pool_size=1, recycle_sessions=True, **AGES) as pool:
        async with pool.session("s1") as lease:
            client = lease.resource
            await pool.release_for_session("s1", discard=True)

        assert (client.resets, client.closes) == (0, 1)
        assert reasons(pool) == {"discard": 1}


@pytest.mark.parametrize(("reported", "reason"), [(True, "invalid"), (False, "check")])
async def test_a_session_client_that_died_is_closed_for_what_it_died_of(reported, reason):
    async with World().pool(**AGES) as pool:
        client, _ = await pool.acquire_for_session("s1")
        client.is_ready = False
        if reported:
            pool.invalidate(client)
        await pool.acquire_for_session("s1")

        assert reasons(pool) == {reason: 1}


async def test_a_session_released_between_its_callers_grant_and_its_callers_turn_is_released():
    """The client was handed over, but its caller did not run yet."""
    async with World().pool(max_size=1, warm_pool_size=1, **AGES) as pool:
        client = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire_for_session("s1"))
        await settle()
        pool.release_nowait(client)
        found = await pool.release_for_session("s1")
        with pytest.raises(SessionReleased):
            await waiting

        assert found
        assert pool.active_sessions == 0


async def test_joining_a_flight_takes_no_place_in_the_queue():
    async with World().pool(max_waiting=1, **AGES) as pool:
        callers = [asyncio.create_task(pool.acquire_for_session("s1")) for _ in range(5)]

        assert len({client for client, _ in await asyncio.gather(*callers)}) == 1


async def test_a_client_released_by_hand_inside_its_lease_is_not_released_again():
    async with World().pool(warm_pool_size=1) as pool:
        async with pool.lease() as lease:
            await pool.release(lease.resource)
            other = await pool.acquire()

        assert other.closes == 0
        assert pool.snapshot()["items"]["out"] == 1
        assert pool.snapshot()["metrics"]["releases_second"] == 1


async def test_a_lease_that_is_over_leaves_no_threshold_behind():
    async with World().pool(**AGES) as pool:
        await pool.acquire_for_session("s1")
        async with pool.session("s1", leak_after_sec=10.0):
            await asyncio.sleep(5)
        await asyncio.sleep(30)

        assert pool.snapshot()["metrics"]["leaks_suspected"] == 0


async def test_a_client_nobody_could_use_was_not_used():
    async with World().pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        pool.release_nowait(client)
        waiting.cancel()
        await asyncio.sleep(1)

        assert {item.uses for item in pool.items()} <= {0, 1}


async def test_shutdown_says_that_it_closed_what_sessions_held():
    pool = World().bare_pool(warm_pool_size=1, **AGES)
    await pool.prepare()
    await pool.acquire_for_session("s1")
    await pool.acquire_for_session("s2")
    await pool.shutdown()

    assert reasons(pool) == {"shutdown": 2}


async def test_a_drain_says_that_it_closed_what_never_got_warm():
    world = World(warm_result=False)
    async with world.pool(warm_pool_size=1, warm_fn=world.warm) as pool:
        await pool.drain()
        await settle()

        assert reasons(pool) == {"generation": 1}


async def test_a_prepare_that_is_cancelled_begins_nothing_more():
    world = World()
    pool = world.bare_pool(warm_pool_size=6, max_creating=2)
    preparing = asyncio.create_task(pool.prepare())
    await asyncio.sleep(0.1)
    preparing.cancel()
    await asyncio.sleep(5)

    assert pool.state is PoolState.NEW
    assert len(world.made) == 2
    await pool.shutdown()
