"""Lost and unclosed clients: each test fails on one defect of a timer-refilled pool (its number is given)."""

import asyncio
import contextlib

import pytest
from tests.unit.pools.world import CREATION_SECONDS, World
from tests.virtual import VIRTUAL, settle

from speechpool.errors import PoolClosed
from speechpool.pools import AllocationTier

pytestmark = VIRTUAL


async def test_a_client_released_into_a_full_stock_is_closed():
    """D13: what is not kept is closed, not dropped."""
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, max_idle_sec=60) as pool:
        held = [await pool.acquire() for _ in range(4)]
        for client in held:
            await pool.release(client)
        await asyncio.sleep(600)

        assert len(world.open) <= 2
        assert set(world.made) - set(world.open) >= set(held)


async def test_the_client_of_a_session_that_ended_is_closed():
    """D13: the end of a session is the end of its client."""
    async with World().pool(session_awareness=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await pool.release_for_session("s1")

        assert (client.resets, client.closes) == (1, 1)


async def test_shutdown_closes_every_client():
    """D13: idle ones and those of sessions."""
    world = World()
    async with world.pool(warm_pool_size=3, enable_background_warmup=True, session_awareness=True) as pool:
        await pool.acquire_for_session("s1")
        await settle()

    assert len(world.made) >= 3
    assert [client.closes for client in world.made] == [1] * len(world.made)


async def test_a_client_whose_caller_left_during_the_warm_up_is_kept():
    """D26: made, so it joins the stock or is closed."""
    world = World(warm_seconds=1.0)
    async with world.pool(warm_pool_size=1, warm_fn=world.warm) as pool:
        held = await pool.acquire()
        caller = asyncio.create_task(pool.acquire())
        await asyncio.sleep(CREATION_SECONDS + 0.5)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.sleep(5)

        assert world.open == [held, world.made[1]]
        assert await pool.acquire() is world.made[1]


async def test_shutdown_while_the_refill_warms_closes_the_client():
    """D27: the one that is being warmed at that moment is no exception."""
    world = World(warm_seconds=1.0)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, warm_fn=world.warm) as pool:
        client = await pool.acquire()
        await asyncio.sleep(CREATION_SECONDS + 0.5)
        await pool.release(client)
        await pool.shutdown()
        await asyncio.sleep(60)

        assert len(world.made) == 2
        assert [client.closes for client in world.made] == [1, 1]


async def one_call_after_the_other(pool, count):
    for number in range(count):
        await pool.acquire_for_session(f"s{number}")
        await asyncio.sleep(1)
        await pool.release_for_session(f"s{number}")
        await asyncio.sleep(1)


async def test_session_clients_are_recycled_if_asked_for():
    """D28, the option on: 30 calls one after another need the stock and one more."""
    world = World()
    async with world.pool(
        warm_pool_size=3, enable_background_warmup=True, session_awareness=True, recycle_sessions=True
    ) as pool:
        await one_call_after_the_other(pool, 30)

        assert len(world.made) == 4
        assert pool.snapshot()["metrics"]["allocations_warm"] == 30


async def test_session_clients_are_closed_by_default():
    """D28, the option off: a client serves one session, and is closed, not discarded."""
    world = World()
    async with world.pool(warm_pool_size=3, enable_background_warmup=True, session_awareness=True) as pool:
        await one_call_after_the_other(pool, 30)

        assert len(world.made) == 33
        assert sorted(client.closes for client in world.made) == [0] * 3 + [1] * 30


async def test_a_client_given_back_under_the_wrong_session_is_released():
    """D29: release_for_session(id, r) takes care of r, found or not."""
    async with World().pool(session_awareness=True) as pool:
        client = await pool.acquire()
        found = await pool.release_for_session("unknown", client)

        assert not found
        assert (client.resets, client.closes) == (1, 1)


async def test_another_sessions_client_given_back_is_released():
    """D29: nor does the client of a session stay with two owners."""
    async with World().pool(session_awareness=True) as pool:
        await pool.acquire_for_session("s1")
        second, _ = await pool.acquire_for_session("s2")
        found = await pool.release_for_session("s1", second)

        assert found
        assert second.closes == 1
        assert pool.active_sessions == 0


async def test_the_client_of_a_session_that_is_replaced_is_closed():
    """D30: a session back after its age and its grace gets a new client, and the old one is cleared and closed."""
    async with World().pool(session_awareness=True, session_max_age_sec=60, session_grace_sec=60) as pool:
        old, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(600)
        new, tier = await pool.acquire_for_session("s1")
        await settle()

        assert new is not old
        assert tier is AllocationTier.COLD
        assert (old.resets, old.closes) == (1, 1)


async def test_the_client_of_a_stale_session_is_closed():
    """D31: the sweep clears and closes."""
    world = World()
    async with world.pool(
        warm_pool_size=1,
        enable_background_warmup=True,
        session_awareness=True,
        session_max_age_sec=60,
        session_grace_sec=60,
    ) as pool:
        clients = [(await pool.acquire_for_session(f"s{number}"))[0] for number in range(3)]
        await asyncio.sleep(600)

        assert [(client.resets, client.closes) for client in clients] == [(1, 1)] * 3
        assert pool.snapshot()["metrics"]["sessions_expired"] == 3


async def test_a_larger_warm_size_is_reached_and_held():
    """D32: raising the size at runtime makes what is missing, once."""
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=5)
        await asyncio.sleep(CREATION_SECONDS + 0.01)
        soon = pool.snapshot()["warm_pool_size"]
        await asyncio.sleep(3600)

        assert soon == pool.snapshot()["warm_pool_size"] == 5
        assert len(world.made) == 5


async def test_a_smaller_warm_size_is_reached():
    """D33: the surplus is closed, oldest first."""
    world = World()
    async with world.pool(warm_pool_size=5, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=2)
        await settle()

        assert pool.snapshot()["warm_pool_size"] == 2
        assert world.open == world.made[3:]
        assert [client.closes for client in world.made[:3]] == [1] * 3


@pytest.mark.parametrize("moment", [CREATION_SECONDS / 2, 30 + CREATION_SECONDS / 2])
async def test_a_release_during_the_refill_loses_nothing(moment):
    """D48: both clients end in the stock or in a close, whether the refill begins at once or with the interval."""
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        client = await pool.acquire()
        await asyncio.sleep(moment)
        await pool.release(client)
        await asyncio.sleep(CREATION_SECONDS)

        assert len(world.open) == pool.snapshot()["warm_pool_size"]


async def test_a_release_after_shutdown_closes_the_client():
    """D38: nothing is stocked in a closed pool."""
    async with World().pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        await pool.shutdown()
        open_while_out = client.closes == 0
        await pool.release(client)

        assert open_while_out
        assert (client.resets, client.closes) == (1, 1)
        assert pool.snapshot()["warm_pool_size"] == 0


@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_an_acquire_that_ends_after_shutdown_gets_nothing(session_id):
    """D40: it is told that the pool is closed, and what was made for it is closed."""
    world = World()
    async with world.pool(session_awareness=True) as pool:
        caller = asyncio.create_task(pool.acquire_for_session(session_id))
        await asyncio.sleep(CREATION_SECONDS / 2)
        await pool.shutdown()
        with pytest.raises(PoolClosed):
            await caller
        await asyncio.sleep(5)

        assert pool.active_sessions == 0
        assert world.open == []


async def test_on_demand_sessions_end_with_their_age():
    """D52: the lightweight pool sweeps its sessions too."""
    world = World()
    pool = world.on_demand_pool(session_awareness=True, session_max_age_sec=60, session_grace_sec=0)
    await pool.acquire_for_session("s1")
    await asyncio.sleep(86_400)
    await pool.acquire_for_session("s2")
    await settle()

    assert pool.snapshot()["active_sessions"] == 1
    assert [client.closes for client in world.made] == [1, 0]
    await pool.shutdown()
    world.check_books(pool)


async def test_on_demand_release_clears_and_closes():
    """D52: nor does its release drop the client as it is."""
    world = World()
    pool = world.on_demand_pool()
    client = await pool.acquire()
    await pool.release(client)

    assert (client.resets, client.closes) == (1, 1)
    await pool.shutdown()
    world.check_books(pool)


async def test_a_caller_who_leaves_at_any_moment_leaves_no_client_behind():
    """D26: barge-in cancels acquires all the time."""
    world = World(warm_seconds=0.1)
    async with world.pool(warm_fn=world.warm) as pool:
        for number in range(40):
            caller = asyncio.create_task(pool.acquire())
            await asyncio.sleep(number / 100)
            caller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pool.release(await caller)
        await asyncio.sleep(60)

        assert len(world.made) >= 10
        assert world.open == []
