"""Wrong answers and shared state: each test fails on one defect of a timer-refilled pool (its number is given)."""

import asyncio
import time

import pytest
from tests.unit.pools.world import CREATION_SECONDS, ServiceDown, World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import SessionReleased
from speechpool.pools import AllocationTier, WarmableResourcePool

pytestmark = VIRTUAL

COLD, DEDICATED, WARM = AllocationTier.COLD, AllocationTier.DEDICATED, AllocationTier.WARM


async def timed_acquire(pool, session_id):
    """The tier that was said, and the seconds it took."""
    begin = asyncio.get_running_loop().time()
    _, tier = await pool.acquire_for_session(session_id)
    return tier, elapsed(begin)


async def test_a_session_that_waited_for_a_creation_is_told_cold():
    """D01: the tier is what happened, not what the queue holds afterwards."""
    async with World().pool(warm_pool_size=3, enable_background_warmup=True, session_awareness=True) as pool:
        told = await asyncio.gather(*[timed_acquire(pool, f"s{number}") for number in range(20)])

    assert told == [(WARM, 0.0)] * 3 + [(COLD, CREATION_SECONDS)] * 17


async def test_the_tier_without_sessions_is_this_calls_own():
    """D02: no vote over all calls so far."""
    told = []
    async with World().pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        for _ in range(5):
            told += await asyncio.gather(*[timed_acquire(pool, "s") for _ in range(7)])
            await asyncio.sleep(5)

    assert [tier for tier, _ in told] == ([WARM] * 3 + [COLD] * 4) * 5
    assert [wait for _, wait in told] == ([0.0] * 3 + [CREATION_SECONDS] * 4) * 5


async def test_a_client_whose_reset_failed_is_closed_not_reused():
    """D19: the next caller must not see the last one's state."""
    world = World(reset_error=RuntimeError("cannot clear"))
    async with world.pool(warm_pool_size=1) as pool:
        client = await pool.acquire()
        client.owner = "alice"
        await pool.release(client)
        other = await pool.acquire()

        assert other is not client
        assert other.owner is None
        assert client.closes == 1
        assert pool.snapshot()["metrics"]["resets_failed"] == 1


class SlowlyClearedClient:
    """A client whose clear_session_state is a coroutine function."""

    owner = None

    async def clear_session_state(self):
        await asyncio.sleep(0.1)
        self.owner = None


@pytest.mark.parametrize("how", ["release", "release_for_session"])
async def test_an_asynchronous_reset_is_awaited(how):
    """D20: a coroutine that nobody awaits clears nothing."""
    async with WarmableResourcePool(
        factory=SlowlyClearedClient, name="tts_pool", warm_pool_size=1, session_awareness=True, recycle_sessions=True
    ) as pool:
        client, _ = await pool.acquire_for_session("s1" if how == "release_for_session" else None)
        client.owner = "alice"
        await (pool.release(client) if how == "release" else pool.release_for_session("s1"))
        other = await pool.acquire()

        assert other is client
        assert other.owner is None


async def test_a_client_released_twice_has_one_owner():
    """D21: the second release has no effect, and is counted."""
    async with World().pool(warm_pool_size=2) as pool:
        client = await pool.acquire()
        await pool.release(client)
        await pool.release(client)
        first, second = await pool.acquire(), await pool.acquire()

        assert first is not second
        assert pool.snapshot()["metrics"]["releases_second"] == 1


async def test_a_late_second_release_does_not_take_the_client_from_its_new_owner():
    """D21: the object is out again, but not to the one who releases it late: nobody else may get it meanwhile."""
    async with World().pool(warm_pool_size=2, session_awareness=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await pool.release_for_session("s1")
        await pool.release(client)
        owners = [await pool.acquire() for _ in range(3)]

        assert len({id(owner) for owner in owners}) == 3
        assert client not in owners


async def test_a_session_client_released_anonymously_leaves_its_session():
    """D22: two sessions never share a client."""
    async with World().pool(warm_pool_size=2, session_awareness=True, recycle_sessions=True) as pool:
        first, _ = await pool.acquire_for_session("s1")
        await pool.release(first)
        second, _ = await pool.acquire_for_session("s2")
        again, tier = await pool.acquire_for_session("s1")

        assert again is not second
        assert tier is not DEDICATED
        assert pool.snapshot()["active_sessions"] == 2


@pytest.mark.parametrize("thing", ["call-4711", 7, object(), ["list"]])
async def test_a_thing_the_pool_never_made_is_never_handed_out(thing):
    """D23: release() of a session key stocked the key as a client."""
    async with World().pool(warm_pool_size=2, session_awareness=True) as pool:
        mine, _ = await pool.acquire_for_session("call-4711")
        await pool.release(thing)
        others = [await pool.acquire() for _ in range(3)]

        assert thing not in others
        assert (await pool.acquire_for_session("call-4711")) == (mine, DEDICATED)
        assert pool.snapshot()["metrics"]["releases_foreign"] == 1


async def test_two_acquires_of_one_session_share_one_flight():
    """D06: one creation, one client, for both."""
    world = World()
    async with world.pool(session_awareness=True) as pool:
        first, second = await asyncio.gather(pool.acquire_for_session("s1"), pool.acquire_for_session("s1"))

        assert first[0] is second[0]
        assert (first[1], second[1]) == (COLD, DEDICATED)
        assert len(world.attempts) == 1


async def test_a_hang_up_during_the_acquire_leaves_no_session():
    """D03: the release wins over the acquire that is in flight."""
    world = World()
    async with world.pool(session_awareness=True) as pool:
        caller = asyncio.create_task(pool.acquire_for_session("s1"))
        await asyncio.sleep(CREATION_SECONDS / 2)
        found = await pool.release_for_session("s1")
        with pytest.raises(SessionReleased):
            await caller
        await asyncio.sleep(CREATION_SECONDS)

        assert found
        assert pool.active_sessions == 0
        assert world.open == []


async def test_a_call_longer_than_the_max_age_keeps_its_client():
    """D15: a 45 minute call is not evicted while it is in use."""
    world = World()
    async with (
        world.pool(warm_pool_size=1, enable_background_warmup=True, session_awareness=True) as pool,
        pool.session("s1") as lease,
    ):
        await asyncio.sleep(45 * 60)
        active = pool.active_sessions
        await asyncio.sleep(2 * 3600)

        assert active == 1
        assert await pool.acquire_for_session("s1") == (lease.resource, DEDICATED)
        assert lease.resource.closes == lease.resource.resets == 0


async def test_a_session_back_after_its_max_age_finds_its_client():
    """D15: without a lease a stale session has a grace, and a return within it is the same client."""
    async with World().pool(warm_pool_size=1, enable_background_warmup=True, session_awareness=True) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(45 * 60)

        assert pool.active_sessions == 0
        assert await pool.acquire_for_session("s1") == (client, DEDICATED)
        assert pool.active_sessions == 1


async def test_a_step_of_the_wall_clock_ends_no_session(monkeypatch):
    """D14: ages are the loop's time."""
    async with World().pool(warm_pool_size=1, enable_background_warmup=True, session_awareness=True) as pool:
        clients = [(await pool.acquire_for_session(f"s{number}"))[0] for number in range(5)]
        later = time.time() + 31 * 60
        monkeypatch.setattr(time, "time", lambda: later)
        await asyncio.sleep(60)

        assert pool.active_sessions == 5
        assert [(await pool.acquire_for_session(f"s{number}"))[0] for number in range(5)] == clients


async def test_a_client_that_died_while_idle_is_not_handed_out():
    """D17: a warm client is looked at before it is served."""
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, session_awareness=True) as pool:
        await asyncio.sleep(10)
        dead = world.made[0]
        dead.is_ready = False
        client, tier = await pool.acquire_for_session("s1")

        assert client is not dead
        assert client.is_ready
        assert tier is COLD
        assert dead.closes == 1


async def test_a_client_released_dead_is_not_served_again():
    """D18: nor is one that died in its user's hands."""
    async with World().pool(warm_pool_size=1) as pool:
        dead = await pool.acquire()
        dead.is_ready = False
        await pool.release(dead)
        client = await pool.acquire()

        assert client is not dead
        assert dead.closes == 1


async def test_a_session_whose_client_died_gets_another():
    """D17: the session's own client is looked at too."""
    async with World().pool(session_awareness=True) as pool:
        dead, _ = await pool.acquire_for_session("s1")
        dead.is_ready = False
        client, tier = await pool.acquire_for_session("s1")

        assert client is not dead
        assert tier is COLD
        await settle()
        assert dead.closes == 1


async def test_a_client_idle_for_longer_than_the_limit_is_replaced():
    """D16: a day-old client is not served."""
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True, max_idle_sec=240) as pool:
        await asyncio.sleep(86_400)
        client = await pool.acquire()

        assert client is world.made[-1]
        assert len(world.made) >= 86_400 / 241
        assert world.open == [client]


async def test_a_client_older_than_its_lifetime_is_replaced_first():
    """D16: and the pool is never empty while it is."""
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True, max_lifetime_sec=600) as pool:
        idle = []
        for _ in range(3600):
            await asyncio.sleep(1)
            idle.append(pool.snapshot()["warm_pool_size"])

        assert min(idle) >= 1
        assert world.made[0].closes == world.made[1].closes == 1


async def test_the_client_used_last_is_served_first():
    """D55: the longest idle one is the likeliest to be dead."""
    async with World().pool(warm_pool_size=3) as pool:
        clients = [await pool.acquire() for _ in range(3)]
        for client in clients:
            await pool.release(client)

        assert await pool.acquire() is clients[-1]


@pytest.mark.parametrize("answer", [False, ServiceDown("no voice")])
async def test_a_client_whose_warm_up_failed_is_never_called_warm(answer):
    """D11: nor counted as warm; it is served when nothing else is there."""
    world = World(warm_result=answer)
    async with world.pool(warm_pool_size=3, session_awareness=True, warm_fn=world.warm) as pool:
        snapshot = pool.snapshot()
        client, tier = await pool.acquire_for_session("s1")

        assert snapshot["warm_pool_size"] == 0
        assert not snapshot["ready"]
        assert snapshot["metrics"]["warmup_failures"] >= 3
        assert client.is_ready
        assert tier is COLD


async def test_a_warm_up_that_returns_nothing_succeeded():
    """D12: a function without a return statement has not failed."""
    world = World(warm_result=None)
    async with world.pool(warm_pool_size=3, session_awareness=True, warm_fn=world.warm) as pool:
        snapshot = pool.snapshot()

        assert snapshot["warm_pool_size"] == 3
        assert snapshot["metrics"]["warmup_failures"] == 0
        assert (await pool.acquire_for_session("s1"))[1] is WARM


async def test_a_synchronous_warm_up_counts():
    """D61: a plain function that returns True is a warm-up that succeeded."""
    warmed = []

    def warm(client):
        warmed.append(client)
        return True

    async with World().pool(warm_pool_size=2, session_awareness=True, warm_fn=warm) as pool:
        assert len(warmed) == 2
        assert pool.snapshot()["warm_pool_size"] == 2
        assert pool.snapshot()["metrics"]["warmup_failures"] == 0


@pytest.mark.parametrize("session_id", [4711, ("tenant", 1), b"call"])
async def test_a_session_id_need_not_be_a_string(session_id):
    """D49: the second call of a session is served as the first was."""
    async with World().pool(session_awareness=True) as pool:
        first, _ = await pool.acquire_for_session(session_id)

        assert await pool.acquire_for_session(session_id) == (first, DEDICATED)
        assert await pool.release_for_session(session_id)
