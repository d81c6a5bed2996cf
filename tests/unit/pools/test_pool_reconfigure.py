"""reconfigure(): each row of the table of changes, while the pool is in use."""

import asyncio

import pytest
from tests.unit.pools.world import CREATION_SECONDS, Client, World
from tests.virtual import VIRTUAL, settle

from speechpool.errors import SettingsError
from speechpool.pools import WarmableResourcePool

pytestmark = VIRTUAL


async def test_returns_the_old_values():
    async with World().pool(warm_pool_size=1) as pool:
        assert pool.reconfigure(warm_pool_size=2, max_size=9) == {"warm_pool_size": 1, "max_size": None}


async def test_changes_nothing_when_one_value_is_wrong():
    async with World().pool(warm_pool_size=1) as pool:
        with pytest.raises(SettingsError) as raised:
            pool.reconfigure(warm_pool_size=5, warmup_interval_sec=0, max_waiting=True)

        assert raised.value.problems == (
            "warmup_interval_sec must be a finite number of seconds > 0, got 0",
            "max_waiting must be a whole number >= 0 or None, got True",
        )
        assert pool.snapshot()["warm_pool_target"] == 1


@pytest.mark.parametrize("name", ["name", "on_event", "clock", "unknown"])
async def test_refuses_what_is_not_a_setting(name):
    async with World().pool() as pool:
        with pytest.raises(SettingsError, match=f"{name} is not a setting"):
            pool.reconfigure(**{name: 1})


async def test_a_larger_warm_size_begins_creations_in_the_call():
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        pool.reconfigure(warm_pool_size=3)
        await settle()
        assert world.creating == 2

        await asyncio.sleep(CREATION_SECONDS)
        assert pool.snapshot()["warm_pool_size"] == 3


async def test_a_smaller_warm_size_closes_the_longest_idle_first():
    world = World()
    async with world.pool(warm_pool_size=3) as pool:
        youngest = await pool.acquire()
        await asyncio.sleep(1)
        await pool.release(youngest)

        pool.reconfigure(warm_pool_size=1)
        await settle()

        assert world.open == [youngest]


async def test_no_warm_size_is_on_demand():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        client = await pool.acquire()
        pool.reconfigure(warm_pool_size=0)
        await pool.release(client)
        await asyncio.sleep(1)

        assert world.open == []
        assert pool.snapshot()["background_warmup"] is False


async def test_creations_under_way_when_the_size_falls_serve_who_waits_or_are_closed():
    world = World()
    async with world.pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        await asyncio.gather(*[pool.acquire() for _ in range(3)])
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        pool.reconfigure(warm_pool_size=0)
        await asyncio.sleep(CREATION_SECONDS * 2)

        assert waiting.done()
        assert len(world.open) == 4


async def test_a_new_interval_counts_from_now():
    async with World().pool(warm_pool_size=1, enable_background_warmup=True, warmup_interval_sec=100) as pool:
        await asyncio.sleep(50)
        pool.reconfigure(warmup_interval_sec=10)
        await asyncio.sleep(25)

        assert pool.snapshot()["metrics"]["warmup_cycles"] == 2


async def test_a_shorter_session_age_is_judged_at_once_and_goes_through_the_grace():
    world = World()
    async with world.pool(session_awareness=True, session_grace_sec=30) as pool:
        await pool.acquire_for_session("idle")
        async with pool.session("leased"):
            await asyncio.sleep(100)
            pool.reconfigure(session_max_age_sec=60)

            assert pool.active_sessions == 1
            assert pool.snapshot()["items"]["expired"] == 1
            assert (await pool.acquire_for_session("idle"))[1].value == "dedicated"


async def test_age_limits_are_judged_at_once():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        out = await pool.acquire()
        await asyncio.sleep(100)
        pool.reconfigure(max_lifetime_sec=50)
        await asyncio.sleep(CREATION_SECONDS * 2)
        assert len(world.closed) == 2
        assert out.closes == 0

        await pool.release(out)
        assert out.closes == 1


async def test_a_max_size_below_what_is_out_interrupts_nobody():
    world = World()
    async with world.pool(warm_pool_size=1) as pool:
        clients = [await pool.acquire() for _ in range(3)]
        pool.reconfigure(max_size=1)
        waiting = asyncio.create_task(pool.acquire())
        await settle()

        await pool.release(clients[0], discard=True)
        await pool.release(clients[1], discard=True)
        await settle()
        assert not waiting.done()
        assert clients[2].closes == 0

        await pool.release(clients[2])
        assert await waiting is clients[2]


async def test_returns_are_closed_until_the_pool_fits():
    world = World()
    async with world.pool(warm_pool_size=3) as pool:
        clients = [await pool.acquire() for _ in range(3)]
        pool.reconfigure(max_size=1)

        for client in clients:
            await pool.release(client)

        assert len(world.open) == 1


async def test_a_larger_max_size_begins_creations_for_those_who_wait():
    world = World()
    async with world.pool(max_size=1) as pool:
        await pool.acquire()
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await settle()

        pool.reconfigure(max_size=None)
        await settle()

        assert world.creating == 2
        await asyncio.gather(*waiting)


async def test_those_who_wait_stay_when_fewer_may():
    async with World().pool(max_size=1) as pool:
        client = await pool.acquire()
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await settle()
        pool.reconfigure(max_waiting=0)
        await pool.release(client)

        assert await waiting[0] is client
        await pool.release(client)
        assert await waiting[1] is client


async def test_a_new_factory_replaces_idle_clients_and_spares_those_in_use():
    old, new = World(), World()
    pool = old.bare_pool(warm_pool_size=2, enable_background_warmup=True)
    await pool.prepare()
    out = await pool.acquire()

    pool.reconfigure(factory=new.create)
    await asyncio.sleep(1)

    assert [client.closes for client in old.made if client is not out] == [1] * (len(old.made) - 1)
    assert pool.snapshot()["warm_pool_size"] == len(new.open) == 2
    assert out.closes == 0
    await pool.release(out)
    assert out.closes == 1
    await pool.shutdown()


async def test_clients_keep_the_hooks_they_were_made_with():
    closed = []
    pool = World().bare_pool(close_fn=lambda client: closed.append("old"))
    first = await pool.acquire()
    pool.reconfigure(close_fn=lambda client: closed.append("new"))
    second = await pool.acquire()

    await pool.release(first)
    await pool.release(second)

    assert closed == ["old", "new"]
    await pool.shutdown()


async def test_background_off_keeps_what_is_idle_and_on_fills_at_once():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True) as pool:
        pool.reconfigure(enable_background_warmup=False)
        await pool.acquire()
        await asyncio.sleep(100)
        assert pool.snapshot()["warm_pool_size"] == 1

        pool.reconfigure(enable_background_warmup=True)
        await asyncio.sleep(CREATION_SECONDS)
        await settle()
        assert pool.snapshot()["warm_pool_size"] == 2


async def test_session_awareness_off_makes_session_clients_anonymous():
    async with World().pool(warm_pool_size=1, session_awareness=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        pool.reconfigure(session_awareness=False)

        assert pool.active_sessions == 0
        assert not await pool.release_for_session("s1")
        await pool.release(client)
        assert pool.snapshot()["warm_pool_size"] == 1


def test_may_be_called_before_there_is_a_loop():
    async def factory():
        return Client(1, World())

    pool = WarmableResourcePool(factory=factory, name="pool")
    pool.reconfigure(warm_pool_size=2)

    assert pool.snapshot()["warm_pool_target"] == 2
