"""What each change of the settings does to a pool in use."""

import asyncio

import pytest
from tests.unit.pools.world import CREATION_SECONDS, Client, World
from tests.virtual import VIRTUAL, settle

from speechpool.errors import PoolFull, SettingsError
from speechpool.pools import AllocationTier

pytestmark = VIRTUAL


async def test_a_larger_warm_size_begins_its_creations_in_the_call():
    async with World().pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=4)

        assert pool.snapshot()["items"]["creating"] == 3


async def test_a_smaller_warm_size_lets_creations_finish_and_closes_what_is_too_much():
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=4)
        await asyncio.sleep(CREATION_SECONDS / 2)
        pool.reconfigure(warm_pool_size=2)
        await asyncio.sleep(1)

        assert len(world.made) == 4
        assert len(world.open) == pool.snapshot()["warm_pool_size"] == 2


async def test_a_creation_in_flight_serves_who_waits_though_the_size_is_lower_now():
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        await pool.acquire()
        caller = asyncio.create_task(pool.acquire())
        await asyncio.sleep(CREATION_SECONDS / 2)
        pool.reconfigure(warm_pool_size=0)
        client = await caller
        await asyncio.sleep(1)

        assert client in world.open
        assert len(world.open) == 2


async def test_a_warm_size_of_zero_is_on_demand():
    world = World()
    async with world.pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=0)
        client = await pool.acquire()
        await pool.release(client)
        await settle()

        assert world.open == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"warm_pool_size": 5, "warmup_interval_sec": 0}, "warmup_interval_sec"),
        ({"warm_pool_size": 5, "max_idle_sec": -1.0}, "max_idle_sec"),
        ({"warm_pool_size": 5, "max_size": True}, "max_size"),
        ({"warm_pool_size": 5, "session_max_age_sec": float("nan")}, "session_max_age_sec"),
        ({"warm_pool_size": 5, "max_refilling": 0}, "max_refilling"),
        ({"warm_pool_size": 5, "factory": None}, "factory"),
        ({"warm_pool_size": 5, "warm_size": 3}, "warm_size"),
    ],
)
async def test_one_wrong_value_changes_nothing(changes, named):
    async with World().pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        with pytest.raises(SettingsError, match=named):
            pool.reconfigure(**changes)
        await asyncio.sleep(1)

        assert pool.snapshot()["warm_pool_size"] == pool.snapshot()["warm_pool_target"] == 2


async def test_every_wrong_value_is_named():
    async with World().pool(warm_pool_size=2) as pool:
        with pytest.raises(SettingsError) as caught:
            pool.reconfigure(warm_pool_size=-1, max_idle_sec=0)

    assert "warm_pool_size" in str(caught.value)
    assert "max_idle_sec" in str(caught.value)


async def test_the_old_values_are_returned():
    async with World().pool(warm_pool_size=2) as pool:
        assert pool.reconfigure(warm_pool_size=3, max_size=9) == {"warm_pool_size": 2, "max_size": None}


async def test_a_shorter_interval_counts_from_now():
    async with World().pool(warm_pool_size=1, enable_background_warmup=True, warmup_interval_sec=1000.0) as pool:
        pool.reconfigure(warmup_interval_sec=10.0)
        await asyncio.sleep(35)

        assert pool.snapshot()["metrics"]["warmup_cycles"] >= 3


async def test_a_shorter_session_age_goes_through_the_grace():
    async with World().pool(session_awareness=True, session_max_age_sec=1000.0, session_grace_sec=100.0) as pool:
        client, _ = await pool.acquire_for_session("s1")
        async with pool.session("leased") as lease:
            await asyncio.sleep(50)
            pool.reconfigure(session_max_age_sec=10.0)
            await settle()
            active = pool.active_sessions
            back = await pool.acquire_for_session("s1")
            await asyncio.sleep(50)

            assert active == 1
            assert back == (client, AllocationTier.DEDICATED)
            assert lease.resource.closes == 0


async def test_shorter_ages_are_judged_at_once_where_clients_idle_and_on_return_where_they_are_out():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        out = await pool.acquire()
        await asyncio.sleep(100)
        idle = [client for client in world.open if client is not out]
        pool.reconfigure(max_lifetime_sec=50.0)
        await asyncio.sleep(1)
        closed_while_idle = [client.closes for client in idle]
        closed_while_out = out.closes
        await pool.release(out)

        assert closed_while_idle == [1, 1]
        assert closed_while_out == 0
        assert out.closes == 1


async def test_a_bound_below_what_is_out_interrupts_nobody():
    world = World()
    async with world.pool(max_size=4) as pool:
        held = [await pool.acquire() for _ in range(4)]
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        pool.reconfigure(max_size=2)
        await settle()
        untouched = [client.closes for client in held]
        for client in held[:3]:
            await pool.release(client)
        await asyncio.sleep(1)

        assert untouched == [0] * 4
        assert waiting.done()
        assert len(world.open) <= 2


async def test_a_larger_bound_begins_the_creations_of_who_waits():
    async with World().pool(max_size=1) as pool:
        await pool.acquire()
        callers = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await asyncio.sleep(5)
        pool.reconfigure(max_size=4)

        assert pool.snapshot()["items"]["creating"] == 3
        await asyncio.gather(*callers)


async def test_a_shorter_queue_keeps_those_who_wait():
    async with World().pool(max_size=1, max_waiting=3) as pool:
        client = await pool.acquire()
        callers = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await settle()
        pool.reconfigure(max_waiting=1)
        with pytest.raises(PoolFull):
            await pool.acquire()
        served = []
        for caller in callers:
            await pool.release(client)
            served.append(await caller)

        assert served == [client] * 3


async def test_a_new_factory_replaces_idle_clients_and_leaves_those_in_use():
    old, new = World(), World()
    closed_by_new_hook: list[Client] = []
    async with old.bare_pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        out = await pool.acquire()
        await asyncio.sleep(1)
        pool.reconfigure(factory=new.create, close_fn=closed_by_new_hook.append)
        await asyncio.sleep(1)
        replaced = [client for client in old.made if client is not out]
        await pool.release(out)

        assert [client.closes for client in replaced] == [1] * len(replaced)
        assert out.closes == 1
        assert pool.snapshot()["warm_pool_size"] == 2
        assert len(new.open) == 2
    assert closed_by_new_hook == new.made


async def test_background_off_keeps_the_stock_and_on_refills_at_once():
    async with World().pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        pool.reconfigure(enable_background_warmup=False)
        await pool.acquire()
        await asyncio.sleep(60)
        without = pool.snapshot()["warm_pool_size"]
        pool.reconfigure(enable_background_warmup=True)

        assert without == 2
        assert pool.snapshot()["items"]["creating"] == 1


async def test_recycling_can_be_switched_on():
    world = World()
    async with world.pool(warm_pool_size=1, session_awareness=True) as pool:
        pool.reconfigure(recycle_sessions=True)
        client, _ = await pool.acquire_for_session("s1")
        await pool.release_for_session("s1")

        assert await pool.acquire() is client
