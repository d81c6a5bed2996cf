"""Ages: idle, lifetime, keepalive, checks; nothing is judged while in use, nothing empties the pool."""

import asyncio
import random

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, settle

from speechpool.pools import PoolState, WarmableResourcePool

pytestmark = VIRTUAL


def reasons(pool):
    return pool.snapshot()["metrics"]["closed_by_reason"]


async def test_what_idles_too_long_is_replaced_before_it_is_closed():
    world = World(creation_seconds=1.0)
    async with world.pool(warm_pool_size=3, enable_background_warmup=True, max_idle_sec=100) as pool:
        least = 3
        for _ in range(300):
            await asyncio.sleep(1)
            least = min(least, pool.snapshot()["warm_pool_size"])

        assert least == 3
        assert reasons(pool)["idle"] >= 6


async def test_clients_made_together_do_not_end_together():
    world = World(creation_seconds=0.0)
    async with world.pool(
        warm_pool_size=8, enable_background_warmup=True, max_lifetime_sec=1000, rng=random.Random(1)
    ) as pool:
        await asyncio.sleep(899)
        assert len(world.closed) == 0
        closings = []
        for _ in range(110):
            await asyncio.sleep(1)
            closings.append(len(world.closed))

        assert closings[-1] == 8
        assert len(set(closings)) > 4
        assert pool.snapshot()["warm_pool_size"] == 8


async def test_an_old_client_is_not_taken_from_its_user():
    async with World().pool(warm_pool_size=1, max_lifetime_sec=10) as pool:
        client = await pool.acquire()
        await asyncio.sleep(1000)
        assert client.closes == 0

        await pool.release(client)

        assert client.closes == 1
        assert reasons(pool) == {"lifetime": 1}


async def test_without_background_warmup_a_retired_client_is_replaced_and_a_taken_one_is_not():
    world = World()
    async with world.pool(warm_pool_size=2, max_lifetime_sec=100) as pool:
        await pool.acquire()
        await asyncio.sleep(101)

        assert pool.snapshot()["warm_pool_size"] == 1
        assert len(world.made) == 3


async def test_at_max_size_one_is_given_up_at_a_time():
    world = World(creation_seconds=1.0)
    async with world.pool(
        warm_pool_size=3, max_size=3, enable_background_warmup=True, max_lifetime_sec=100, rng=random.Random(3)
    ) as pool:
        least = 3
        for _ in range(400):
            await asyncio.sleep(0.5)
            least = min(least, pool.snapshot()["warm_pool_size"])
            assert len(world.open) <= 3

        assert least == 2
        assert len(world.closed) >= 3


async def test_a_service_that_is_down_does_not_cost_the_old_clients():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=True, max_idle_sec=60) as pool:
        world.down = True
        await asyncio.sleep(600)

        assert pool.snapshot()["warm_pool_size"] == 2
        assert (await pool.acquire()) in world.made


async def test_what_is_above_the_target_leaves_by_age():
    async with World().pool(warm_pool_size=1, max_idle_sec=100) as pool:
        clients = [await pool.acquire() for _ in range(4)]
        for client in clients:
            await pool.release(client)
        assert pool.snapshot()["warm_pool_size"] == 4

        await asyncio.sleep(99)
        assert pool.snapshot()["warm_pool_size"] >= 1
        await asyncio.sleep(2)
        assert pool.snapshot()["warm_pool_size"] == 1


@pytest.mark.parametrize("age", [{}, {"max_idle_sec": 100}])
async def test_what_a_peak_left_above_the_target_is_closed_when_the_peak_is_forgotten(age):
    """The window is max_idle_sec, or four minutes without it."""
    world = World()
    window = age.get("max_idle_sec", 240)
    async with world.pool(warm_pool_size=1, **age) as pool:
        clients = [await pool.acquire() for _ in range(4)]
        for client in clients:
            await pool.release(client)
        kept = [pool.snapshot()["keep_size"]]
        await asyncio.sleep(0.8 * window)
        kept.append(len(world.open))
        await asyncio.sleep(0.4 * window)

        assert kept == [5, 4]
        assert pool.snapshot()["keep_size"] == 1
        assert len(world.open) == pool.snapshot()["items"]["idle"] == 1
        assert set(reasons(pool)) == {"idle"}


async def test_a_client_whose_warm_up_never_succeeds_ends_with_its_lifetime():
    """Also if it is over while the pool waits for the next try."""
    world = World(warm_result=False)
    settings = {"max_lifetime_sec": 100, "backoff_max_sec": 1000.0, "backoff_initial_sec": 1.0}
    async with world.pool(warm_pool_size=1, warm_fn=world.warm, rng=random.Random(1), **settings) as pool:
        await asyncio.sleep(101)

        assert world.made[0].closes == 1
        assert reasons(pool) == {"lifetime": 1}
        assert 3 < world.made[0].warmed < 15


async def test_a_changed_limit_is_judged_with_fresh_jitter():
    class Drawn(random.Random):
        """Shortens every limit of the first client, and none of a later one."""

        shares = iter([0.9, 1.0])

        def uniform(self, low, high):
            return next(self.shares)

    world = World()
    async with world.pool(warm_pool_size=1, max_lifetime_sec=1000, rng=Drawn()) as pool:
        pool.reconfigure(max_lifetime_sec=100)
        await asyncio.sleep(99)

        assert world.made[0].closes == 0
        assert pool.state is PoolState.READY


async def test_a_recycled_session_client_ends_with_its_lifetime_too():
    async with World().pool(
        warm_pool_size=1, session_awareness=True, recycle_sessions=True, max_lifetime_sec=100
    ) as pool:
        client, _ = await pool.acquire_for_session("s1")
        await asyncio.sleep(200)
        in_use = client.closes
        await pool.release_for_session("s1")

        assert (in_use, client.closes) == (0, 1)
        assert reasons(pool) == {"lifetime": 1}


async def test_idle_clients_are_kept_alive_by_checks():
    checked = []
    world = World()
    async with world.pool(
        warm_pool_size=2, keepalive_sec=10, check_fn=lambda client: checked.append(client) or True
    ) as pool:
        await asyncio.sleep(95)

        assert len(checked) == pytest.approx(2 * 10, abs=2)
        assert pool.snapshot()["warm_pool_size"] == 2
        assert len(world.made) == 2


async def test_what_fails_its_keepalive_is_closed_and_replaced():
    world = World()

    async def check(client):
        await asyncio.sleep(0.1)
        return client is not world.made[0]

    async with world.pool(warm_pool_size=1, enable_background_warmup=True, keepalive_sec=10, check_fn=check) as pool:
        await asyncio.sleep(12)

        assert world.made[0].closes == 1
        assert pool.snapshot()["warm_pool_size"] == 1
        assert reasons(pool) == {"check": 1}


async def test_a_check_runs_only_after_idleness():
    checked = []
    async with World().pool(
        warm_pool_size=1, check_fn=lambda client: checked.append(client) or True, check_idle_over_sec=0.5
    ) as pool:
        await pool.release(await pool.acquire())
        assert checked == []

        await asyncio.sleep(0.6)
        await pool.acquire()
        assert len(checked) == 1


async def test_a_check_that_fails_tries_the_next_client():
    world = World()
    async with world.pool(warm_pool_size=3, check_fn=lambda client: client is world.made[0]) as pool:
        await asyncio.sleep(1)

        assert await pool.acquire() is world.made[0]
        assert pool.snapshot()["metrics"]["checks_failed"] == 2


async def test_the_time_of_a_check_does_not_make_a_client_cold():
    async def check(client):
        await asyncio.sleep(0.1)
        return True

    async with World().pool(warm_pool_size=1, check_fn=check) as pool:
        await asyncio.sleep(1)
        async with pool.lease() as lease:
            assert (lease.tier.value, round(lease.wait_seconds, 3)) == ("warm", 0.1)


async def test_a_check_that_hangs_is_limited():
    async def check(client):
        await asyncio.sleep(1e9)

    world = World()
    async with world.pool(warm_pool_size=1, check_fn=check, check_timeout=2.0) as pool:
        await asyncio.sleep(1)
        client = await pool.acquire()

        assert client is world.made[1]
        assert reasons(pool) == {"check": 1}


async def test_callers_wait_for_checks_in_order():
    async def check(client):
        await asyncio.sleep(0.1)
        return True

    async with World().pool(warm_pool_size=2, check_fn=check) as pool:
        await asyncio.sleep(1)
        served = []

        async def call(number):
            await pool.acquire()
            served.append(number)

        await asyncio.gather(*[call(number) for number in range(2)])

        assert served == [0, 1]


async def test_check_closes_the_bad_ones_and_says_how_many():
    world = World()
    async with world.pool(warm_pool_size=3, enable_background_warmup=True) as pool:
        world.made[0].is_ready = world.made[2].is_ready = False

        assert await pool.check() == 2
        await asyncio.sleep(1)
        assert pool.snapshot()["warm_pool_size"] == 3


async def test_check_waits_for_checks_that_wait():
    async def check(client):
        await asyncio.sleep(0.1)
        return client.is_ready

    world = World()
    async with world.pool(warm_pool_size=3, check_fn=check) as pool:
        world.made[0].is_ready = False

        assert await pool.check() == 1


async def test_a_client_that_raises_from_the_beginning_is_never_handed_out_as_warm():
    class Broken:
        closes = 0

        @property
        def is_ready(self):
            raise RuntimeError("gone")

        def close(self):
            Broken.closes += 1

    pool = WarmableResourcePool(factory=Broken, name="pool", warm_pool_size=2, session_awareness=True)
    await pool.prepare()
    _, tier = await pool.acquire_for_session("s1")

    assert tier.value == "cold"
    assert pool.snapshot()["metrics"]["checks_failed"] == 2
    await pool.shutdown()
    assert Broken.closes == pool.snapshot()["metrics"]["items_made"]


async def test_a_client_that_raises_when_asked_is_not_ready():
    class Odd:
        broken = False

        @property
        def is_ready(self):
            if self.broken:
                raise RuntimeError("gone")
            return True

    async with WarmableResourcePool(factory=Odd, name="pool", warm_pool_size=1, session_awareness=True) as pool:
        odd, _ = await pool.acquire_for_session("s1")
        odd.broken = True
        other, _ = await pool.acquire_for_session("s1")

        assert other is not odd


@pytest.mark.parametrize("leave", ["idle", "out"])
async def test_a_client_reported_dead_is_never_handed_out_again(leave):
    world = World()
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        client = world.made[0] if leave == "idle" else await pool.acquire()

        assert pool.invalidate(client)
        await settle()
        assert client.closes == (1 if leave == "idle" else 0)
        if leave == "out":
            await pool.release(client)
        await asyncio.sleep(1)

        assert client.closes == 1
        assert client.resets == 0
        assert reasons(pool) == {"invalid": 1}
        assert pool.snapshot()["warm_pool_size"] == 1


async def test_a_session_whose_client_is_reported_dead_gets_another():
    async with World().pool(session_awareness=True) as pool:
        first, _ = await pool.acquire_for_session("s1")
        pool.invalidate(first)
        second, tier = await pool.acquire_for_session("s1")

        assert second is not first
        assert tier.value == "cold"
        assert first.closes == 1
        assert not pool.invalidate(object())


async def test_a_given_clock_is_swept_on_the_call_path():
    now = [0.0]
    world = World()
    pool = world.bare_pool(session_awareness=True, session_max_age_sec=60, session_grace_sec=0, clock=lambda: now[0])
    await pool.acquire_for_session("s1")
    now[0] = 61.0

    await pool.acquire_for_session("s2")

    assert pool.active_sessions == 1
    assert world.made[0].closes == 1
    await pool.shutdown()
