"""Ages are judged while clients idle and when they come back; hooks may fail, hang or be missing without harm."""

import asyncio
import itertools

import pytest
from tests.unit.pools.world import CREATION_SECONDS, World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.pools import WarmableResourcePool

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


async def test_clients_made_together_are_not_replaced_together():
    world = World()
    async with world.pool(warm_pool_size=8, enable_background_warmup=True, max_lifetime_sec=1000.0):
        await asyncio.sleep(890)
        before = len(world.made)
        replaced_at = []
        for _ in range(130):
            await asyncio.sleep(1)
            replaced_at.append(len(world.closed))

    assert before == 8
    assert sum(later > earlier for earlier, later in itertools.pairwise(replaced_at)) >= 4
    assert replaced_at[-1] >= 8


async def test_a_mass_expiry_never_empties_the_pool():
    async with World().pool(warm_pool_size=4, enable_background_warmup=True, max_idle_sec=60.0) as pool:
        idle = []
        for _ in range(4000):
            await asyncio.sleep(0.1)
            idle.append(pool.snapshot()["warm_pool_size"])

    assert min(idle) == 4


async def test_a_client_in_use_outlives_its_lifetime():
    async with World().pool(session_awareness=True, max_lifetime_sec=60.0, max_idle_sec=60.0) as pool:
        client, _ = await pool.acquire_for_session("s1")
        for _ in range(20):
            await asyncio.sleep(30)
            assert (await pool.acquire_for_session("s1"))[0] is client
        await pool.release_for_session("s1")

        assert client.closes == 1


async def test_idle_clients_are_checked_at_the_keepalive():
    checked = []

    async def check(client):
        checked.append((client, now()))
        return True

    world = World()
    async with world.pool(warm_pool_size=2, keepalive_sec=60.0, check_fn=check, enable_background_warmup=True) as pool:
        await asyncio.sleep(600)

    assert len(world.made) == 2
    for made in world.made:
        times = [at for client, at in checked if client is made]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(times) >= 10
        assert all(53.9 <= pause <= 60.1 for pause in pauses)
    assert pool.snapshot()["metrics"]["checks_failed"] == 0


async def test_a_client_that_fails_its_keepalive_is_replaced():
    world = World()
    async with world.pool(warm_pool_size=2, keepalive_sec=60.0, enable_background_warmup=True) as pool:
        world.made[0].is_ready = False
        await asyncio.sleep(70)

        assert world.made[0].closes == 1
        assert pool.snapshot()["warm_pool_size"] == 2


async def test_a_client_used_just_now_is_not_checked_again():
    checked = []
    async with World().pool(warm_pool_size=1, check_fn=lambda client: checked.append(client) or True) as pool:
        client = await pool.acquire()
        await pool.release(client)
        checked.clear()
        await asyncio.sleep(0.4)
        await pool.release(await pool.acquire())
        soon = len(checked)
        await asyncio.sleep(0.6)
        await pool.acquire()

        assert soon == 0
        assert checked == [client]


@pytest.mark.parametrize("how", ["false", "raises"])
async def test_an_idle_client_that_fails_its_check_is_closed_and_the_next_one_tried(how):
    bad = []

    async def check(client):
        if client in bad and how == "raises":
            raise OSError("no answer")
        return client not in bad

    world = World()
    async with world.pool(warm_pool_size=3, check_fn=check) as pool:
        await asyncio.sleep(10)
        bad += world.made[1:]
        client = await pool.acquire()
        await settle()

        assert client is world.made[0]
        assert [made.closes for made in world.made] == [0, 1, 1]
        assert pool.snapshot()["metrics"]["checks_failed"] == 2


async def test_a_hung_check_costs_its_limit_and_the_client():
    async def check(client):
        await asyncio.sleep(1e6 if client is world.made[-1] else 0)
        return True

    world = World()
    async with world.pool(warm_pool_size=2, check_fn=check, check_timeout=2.0) as pool:
        await asyncio.sleep(10)
        hung = world.made[-1]
        begin = now()
        client = await pool.acquire()

        assert client is not hung
        assert elapsed(begin) <= 2.0 + CREATION_SECONDS
        await asyncio.sleep(2)
        assert hung.closes == 1


async def test_one_deadline_covers_the_check_too():
    async def check(client):
        await asyncio.sleep(60)
        return True

    async with World().pool(warm_pool_size=1, check_fn=check, check_timeout=100.0) as pool:
        await asyncio.sleep(10)
        begin = now()
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.1)

        assert elapsed(begin) == 0.1
        await asyncio.sleep(100)
        assert pool.snapshot()["warm_pool_size"] == 1


async def test_a_hung_reset_ends_in_a_close():
    async def reset(client):
        await asyncio.sleep(1e6)

    async with World().pool(warm_pool_size=1, reset_fn=reset, reset_timeout=2.0) as pool:
        client = await pool.acquire()
        begin = now()
        await pool.release(client)

        assert elapsed(begin) == 2.0
        assert client.closes == 1
        assert pool.snapshot()["metrics"]["resets_failed"] == 1


async def test_a_release_that_is_cancelled_during_the_reset_is_a_release():
    async def reset(client):
        await asyncio.sleep(1.0)
        client.owner = None

    async with World().pool(warm_pool_size=1, reset_fn=reset) as pool:
        client = await pool.acquire()
        client.owner = "alice"
        releasing = asyncio.create_task(pool.release(client))
        await asyncio.sleep(0.5)
        releasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await releasing
        await asyncio.sleep(1)
        other = await pool.acquire()

        assert other is client
        assert other.owner is None


async def test_hung_closes_do_not_hold_up_shutdown():
    world = World(close_seconds=1e6)
    pool = world.bare_pool(warm_pool_size=3, close_timeout=60.0)
    await pool.prepare()
    begin = now()
    await pool.shutdown(timeout=2.0)

    assert elapsed(begin) <= 2.2
    assert [client.closes for client in world.made] == [1] * 3


async def test_closes_at_shutdown_run_side_by_side():
    world = World(close_seconds=1.0)
    pool = world.bare_pool(warm_pool_size=10)
    await pool.prepare()
    begin = now()
    await pool.shutdown()

    assert elapsed(begin) == 1.0
    assert all(client.close_ended for client in world.made)


async def test_a_close_that_fails_is_counted_and_harms_nobody():
    def close(client):
        client.close_started = True
        raise OSError("already gone")

    world = World()
    async with world.bare_pool(warm_pool_size=1, close_fn=close) as pool:
        await pool.release(await pool.acquire(), discard=True)
        snapshot = pool.snapshot()

    assert snapshot["metrics"]["closes_failed"] == snapshot["metrics"]["items_closed"] == 1
    assert snapshot["items"]["closing"] == 0


async def test_refill_does_not_wait_for_a_slow_close():
    world = World(close_seconds=60.0)
    async with world.pool(warm_pool_size=1, enable_background_warmup=True) as pool:
        client = await pool.acquire()
        await asyncio.sleep(1)
        begin = now()
        await asyncio.gather(pool.release(client, discard=True), pool.acquire(), pool.acquire())

        assert len(world.made) >= 3
        assert elapsed(begin) >= 5.0  # close_timeout, which the releasing caller alone waits for


class Closable:
    """A client whose close is called aclose."""

    def __init__(self):
        self.closed = 0

    async def aclose(self):
        self.closed += 1


async def test_a_client_may_have_aclose_instead_of_close():
    async with WarmableResourcePool(factory=Closable, name="tts_pool", warm_pool_size=1) as pool:
        client = await pool.acquire()
        await pool.release(client)

    assert client.closed == 1


async def test_clients_need_no_hook_at_all():
    async with WarmableResourcePool(factory=object, name="tts_pool", warm_pool_size=1) as pool:
        client = await pool.acquire()
        await pool.release(client)

        assert await pool.acquire() is client


async def test_an_observer_that_fails_does_no_harm():
    def observe(name, pool, **facts):
        raise RuntimeError(name)

    async with World().pool(warm_pool_size=1, enable_background_warmup=True, on_event=observe) as pool:
        client = await pool.acquire()
        await pool.release(client)
        await pool.release(client)

        assert pool.snapshot()["metrics"]["releases_second"] == 1


async def test_the_observer_is_told_what_happens():
    told = []
    world = World()
    async with world.pool(
        warm_pool_size=1, max_size=1, on_event=lambda name, pool, **facts: told.append((name, pool.name, facts))
    ) as pool:
        client = await pool.acquire()
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=1.0)
        await pool.release("foreign")
        await pool.release(client, discard=True)
        await settle()
        pool.reconfigure(warm_pool_size=0)

    names = [name for name, _, _ in told]
    facts = {name: facts for name, _, facts in told}
    assert {pool_name for _, pool_name, _ in told} == {"tts_pool"}
    assert {"state_changed", "item_made", "acquire_timeout", "release_foreign", "item_closed", "reconfigured"} <= set(
        names
    )
    assert facts["item_made"]["seconds"] == pytest.approx(CREATION_SECONDS, abs=0.001)
    assert "discard" in [facts["reason"] for name, _, facts in told if name == "item_closed"]
    assert facts["reconfigured"]["changes"] == ("warm_pool_size",)
