"""Sessions: one flight, leases, the grace of stale ones, and who may release what."""

import asyncio

import pytest
from tests.unit.pools.world import CREATION_SECONDS, ServiceDown, World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import SessionReleased
from speechpool.pools import AllocationTier

pytestmark = VIRTUAL

COLD, DEDICATED, WARM = AllocationTier.COLD, AllocationTier.DEDICATED, AllocationTier.WARM


async def test_a_flight_outlives_the_caller_who_began_it():
    world = World()
    async with world.pool(session_awareness=True) as pool:
        first = asyncio.create_task(pool.acquire_for_session("s1"))
        await settle()
        others = [asyncio.create_task(pool.acquire_for_session("s1")) for _ in range(3)]
        await asyncio.sleep(CREATION_SECONDS / 2)
        first.cancel()
        results = await asyncio.gather(*others)

        assert len({client for client, _ in results}) == len(world.attempts) == 1
        assert sorted(tier.value for _, tier in results) == ["cold", "dedicated", "dedicated"]
        assert pool.active_sessions == 1


async def test_a_flight_that_everyone_left_begins_no_session():
    world = World()
    async with world.pool(session_awareness=True) as pool:
        callers = [asyncio.create_task(pool.acquire_for_session("s1")) for _ in range(2)]
        await settle()
        for caller in callers:
            caller.cancel()
        await asyncio.sleep(5)

        assert pool.active_sessions == 0
        assert world.open == []


async def test_each_caller_of_a_flight_has_its_own_deadline():
    async with World(creation_seconds=5.0).pool(session_awareness=True) as pool:
        patient = asyncio.create_task(pool.acquire_for_session("s1"))
        await settle()
        with pytest.raises(TimeoutError):
            await pool.acquire_for_session("s1", timeout=1.0)

        assert (await patient)[1] is COLD


async def test_a_flight_that_fails_fails_for_all_aboard():
    async with World(down=True).pool(session_awareness=True) as pool:
        calls = [pool.acquire_for_session("s1") for _ in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(result) for result in results] == [ServiceDown] * 3
        assert pool.active_sessions == 0


async def test_a_release_ends_the_flight_for_all_aboard():
    async with World().pool(session_awareness=True) as pool:
        callers = [asyncio.create_task(pool.acquire_for_session("s1")) for _ in range(3)]
        await asyncio.sleep(CREATION_SECONDS / 2)
        await pool.release_for_session("s1")
        results = await asyncio.gather(*callers, return_exceptions=True)

        assert [type(result) for result in results] == [SessionReleased] * 3


async def test_a_session_may_begin_again_while_its_old_flight_ends():
    async with World().pool(session_awareness=True) as pool:
        old = asyncio.create_task(pool.acquire_for_session("s1"))
        await asyncio.sleep(CREATION_SECONDS / 2)
        await pool.release_for_session("s1")
        client, tier = await pool.acquire_for_session("s1")
        with pytest.raises(SessionReleased):
            await old

        assert tier is COLD
        assert await pool.acquire_for_session("s1") == (client, DEDICATED)


async def test_a_lease_begins_a_session_and_ends_it():
    world = World()
    async with world.pool(warm_pool_size=1, session_awareness=True) as pool:
        async with pool.session("s1") as lease:
            inside = (lease.tier, lease.session_id, pool.active_sessions)
            shared = await pool.acquire_for_session("s2")

        assert inside == (WARM, "s1", 1)
        assert shared[0] is not world.made[0]
        assert pool.active_sessions == 1
        assert world.made[0].closes == 1


async def test_a_session_ends_with_the_last_of_its_leases():
    async with World().pool(session_awareness=True) as pool:
        async with pool.session("s1") as outer:
            async with pool.session("s1") as inner:
                same = inner.resource is outer.resource
            between = (pool.active_sessions, outer.resource.closes)
            client = outer.resource

        assert same
        assert inner.tier is DEDICATED
        assert between == (1, 0)
        assert (pool.active_sessions, client.closes) == (0, 1)


async def test_a_lease_does_not_end_a_session_that_a_call_holds():
    async with World().pool(session_awareness=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        async with pool.session("s1") as lease:
            assert lease.resource is client

        assert await pool.acquire_for_session("s1") == (client, DEDICATED)


async def test_a_lease_that_keeps_its_session_counts_one_use_and_leaves_it_there():
    async with World().pool(warm_pool_size=1, session_awareness=True) as pool:
        async with pool.session("s1", keep=True) as first:
            client = first.resource
            async with pool.session("s1"):
                pass
        async with pool.session("s1", keep=True) as second:
            again = (second.tier, second.resource)

        metrics = pool.snapshot()["metrics"]
        assert again == (DEDICATED, client)
        assert (first.tier, metrics["allocations_warm"], metrics["allocations_dedicated"]) == (WARM, 1, 2)
        assert pool.active_sessions == 1
        assert await pool.release_for_session("s1")


async def test_a_drained_session_gets_another_client_at_its_next_use_and_never_in_the_middle_of_one():
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, session_awareness=True) as pool:
        async with pool.session("s1", keep=True) as lease:
            old = lease.resource
            await asyncio.sleep(1)  # refilled
            await pool.drain()
            same, tier = await pool.acquire_for_session("s1")
            during = (tier, same is old, old.closes)
        new, tier = await pool.acquire_for_session("s1")
        again = await pool.acquire_for_session("s1")
        await settle()

        assert during == (DEDICATED, True, 0)
        assert new is not old
        assert tier is WARM
        assert (old.resets, old.closes) == (1, 1)
        assert again == (new, DEDICATED)
        assert pool.snapshot()["metrics"]["closed_by_reason"]["generation"] == 2


async def test_a_session_released_during_a_lease_is_gone_and_its_client_is_not_cut_off():
    async with World().pool(warm_pool_size=2, session_awareness=True) as pool:
        async with pool.session("s1") as lease:
            found = await pool.release_for_session("s1")
            untouched = (lease.resource.closes, lease.resource.resets)
            other, tier = await pool.acquire_for_session("s1")
            client = lease.resource

        assert found
        assert untouched == (0, 0)
        assert other is not client
        assert tier is WARM
        assert client.closes == 1


async def test_a_lease_without_a_session_is_anonymous():
    async with World().pool(warm_pool_size=1, session_awareness=True) as pool:
        async with pool.session(None) as lease:
            active = pool.active_sessions
        async with pool.lease() as again:
            assert again.resource is lease_client(lease, again)

        assert active == 0
        assert again.tier is WARM


def lease_client(ended, current):
    """The client of a lease that ended cannot be reached any more."""
    with pytest.raises(RuntimeError):
        _ = ended.resource
    return current.resource


async def test_a_lease_knows_how_long_its_caller_waited():
    async with World().pool(warm_pool_size=1) as pool:
        async with pool.lease() as first, pool.lease() as second:
            waits = (first.wait_seconds, round(second.wait_seconds, 3))

        assert waits == (0.0, CREATION_SECONDS)


async def test_touch_keeps_a_session_and_brings_it_back():
    async with World().pool(session_awareness=True, session_max_age_sec=60.0, session_grace_sec=60.0) as pool:
        client, _ = await pool.acquire_for_session("s1")
        for _ in range(5):
            await asyncio.sleep(50)
            assert pool.touch("s1")
        active = pool.active_sessions
        await asyncio.sleep(100)
        stale = pool.snapshot()["items"]["expired"]
        back = pool.touch("s1")
        await asyncio.sleep(50)

        assert (active, stale, back) == (1, 1, True)
        assert await pool.acquire_for_session("s1") == (client, DEDICATED)
        assert not pool.touch("never")


async def test_a_stale_session_can_still_be_released():
    async with World().pool(session_awareness=True, session_max_age_sec=60.0) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(100)

        assert pool.active_sessions == 0
        assert await pool.release_for_session("s1") is True
        assert client.closes == 1


async def test_recycled_session_clients_are_reset_first():
    async with World().pool(warm_pool_size=1, session_awareness=True, recycle_sessions=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        client.owner = "alice"
        await pool.release_for_session("s1")

        assert await pool.acquire_for_session("s2") == (client, WARM)
        assert client.owner is None


async def test_what_a_peak_needed_is_kept_until_the_peak_is_forgotten():
    world = World()
    async with world.pool(
        warm_pool_size=1,
        enable_background_warmup=True,
        session_awareness=True,
        recycle_sessions=True,
        max_idle_sec=240.0,
    ) as pool:
        for number in range(6):
            await pool.acquire_for_session(f"s{number}")
        for number in range(6):
            await pool.release_for_session(f"s{number}")
        kept = pool.snapshot()["warm_pool_size"]
        await asyncio.sleep(1000)

        assert kept >= 6
        assert pool.snapshot()["warm_pool_size"] == 1


async def test_a_broken_session_client_is_closed_without_a_reset():
    async with World().pool(warm_pool_size=1, session_awareness=True, recycle_sessions=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await pool.release_for_session("s1", discard=True)

        assert (client.resets, client.closes) == (0, 1)


async def test_a_lookup_takes_no_time_while_others_wait():
    async with World(creation_seconds=10.0).pool(session_awareness=True, max_size=2) as pool:
        client, _ = await pool.acquire_for_session("s1")
        waiting = [asyncio.create_task(pool.acquire_for_session(f"w{number}")) for number in range(5)]
        await settle()
        begin = asyncio.get_running_loop().time()

        assert await pool.acquire_for_session("s1") == (client, DEDICATED)
        assert elapsed(begin) == 0
        for caller in waiting:
            caller.cancel()
