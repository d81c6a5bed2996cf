"""Each hook: synchronous or asynchronous, right, failing, cancelled, hung; and what becomes of the client."""

import asyncio

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import PoolFull
from speechpool.pools import WarmableResourcePool

pytestmark = VIRTUAL


def now():
    return asyncio.get_running_loop().time()


def right(client):
    client.touched = True


async def right_later(client):
    await asyncio.sleep(0.01)
    client.touched = True


def failing(client):
    raise OSError("no answer")


async def failing_later(client):
    await asyncio.sleep(0.01)
    raise OSError("no answer")


async def cancelled(client):
    raise asyncio.CancelledError


async def hung(client):
    await asyncio.sleep(1e6)


class Callable:
    """A hook that is an object, as those made with functools and classes are."""

    async def __call__(self, client):
        await asyncio.sleep(0.01)
        client.touched = True
        return True


RIGHT = [right, right_later, Callable()]
WRONG = [failing, failing_later, cancelled, hung]
LIMITS = {"warm_timeout": 3.0, "reset_timeout": 3.0, "check_timeout": 3.0, "close_timeout": 3.0}


@pytest.mark.parametrize("hook", RIGHT)
@pytest.mark.parametrize("name", ["warm_fn", "reset_fn", "close_fn"])
async def test_a_hook_may_be_synchronous_asynchronous_or_an_object(name, hook):
    async with World().pool(warm_pool_size=1, **{name: hook}) as pool:
        client = await pool.acquire()
        await pool.release(client)
        pool.reconfigure(warm_pool_size=0)
        await asyncio.sleep(0.1)
        metrics = pool.snapshot()["metrics"]

        assert client.touched
        assert [metrics[f"{what}_failed"] for what in ("resets", "closes", "checks")] == [0, 0, 0]
        assert metrics["warmup_failures"] == 0
        assert metrics["closed_by_reason"] == {"surplus": 1}


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("later", [True, False])
async def test_a_check_answers_at_once_or_later(answer, later):
    async def check_later(client):
        await asyncio.sleep(0.01)
        return answer

    async with World().pool(warm_pool_size=1, check_fn=check_later if later else lambda client: answer) as pool:
        await asyncio.sleep(1)
        async with pool.lease() as lease:
            assert lease.tier.value == ("warm" if answer else "cold")
        assert pool.snapshot()["metrics"]["checks_failed"] == int(not answer)


@pytest.mark.parametrize("hook", WRONG)
async def test_a_warm_up_that_fails_leaves_a_client_for_need_alone(hook):
    world = World()
    begin = now()
    async with world.pool(warm_pool_size=1, warm_fn=hook, session_awareness=True, **LIMITS) as pool:
        assert elapsed(begin) <= 0.2 + 3.0
        assert pool.snapshot()["items"]["unwarmed"] == 1
        client, tier = await pool.acquire_for_session("s1")

        assert (client, tier.value) == (world.made[0], "cold")
        assert pool.snapshot()["metrics"]["warmup_failures"] == 1


@pytest.mark.parametrize("hook", WRONG)
async def test_a_reset_that_fails_ends_the_client_and_not_its_caller(hook):
    async with World().pool(warm_pool_size=1, reset_fn=hook, **LIMITS) as pool:
        client = await pool.acquire()
        begin = now()
        await pool.release(client)

        assert elapsed(begin) <= 3.0
        assert client.closes == 1
        assert pool.snapshot()["metrics"]["resets_failed"] == 1
        assert pool.snapshot()["metrics"]["closed_by_reason"] == {"reset": 1}


@pytest.mark.parametrize("hook", WRONG)
async def test_a_check_that_fails_ends_the_client_and_the_caller_gets_another(hook):
    world = World()
    async with world.pool(warm_pool_size=1, check_fn=hook, **LIMITS) as pool:
        await asyncio.sleep(1)
        begin = now()
        client = await pool.acquire()

        assert elapsed(begin) <= 3.0 + 0.2
        assert client is world.made[1]
        assert world.made[0].closes == 1
        assert pool.snapshot()["metrics"]["closed_by_reason"] == {"check": 1}


@pytest.mark.parametrize("hook", WRONG)
async def test_a_close_that_fails_is_the_end_all_the_same(hook):
    async with World().pool(max_size=1, close_fn=hook, **LIMITS) as pool:
        begin = now()
        await pool.release(await pool.acquire())
        waited = elapsed(begin)
        metrics = pool.snapshot()["metrics"]

        assert waited <= 0.2 + 3.0
        assert (metrics["closes_failed"], metrics["items_closed"]) == (1, 1)
        await pool.acquire(timeout=1)  # its place is free again


@pytest.mark.parametrize("hook", WRONG)
@pytest.mark.parametrize("name", ["reset_fn", "close_fn"])
async def test_a_foreign_object_is_reset_and_closed_whatever_fails(name, hook):
    done = []
    hooks = {"reset_fn": lambda thing: done.append("reset"), "close_fn": lambda thing: done.append("close")}
    async with World().pool(warm_pool_size=1, **{**hooks, name: hook}, **LIMITS) as pool:
        begin = now()
        await pool.release("foreign")

        assert elapsed(begin) <= 3.0
        assert done == [other.removesuffix("_fn") for other in hooks if other != name]
        assert pool.snapshot()["metrics"]["releases_foreign"] == 1


@pytest.mark.parametrize("warm_pool_size", [0, 1])
async def test_a_client_without_any_hook_is_neither_reset_nor_closed(warm_pool_size):
    pool = WarmableResourcePool(factory=object, name="tts_pool", warm_pool_size=warm_pool_size, session_awareness=True)
    async with pool:
        await pool.acquire_for_session("s1")
        await pool.release_for_session("s1")
        await pool.release(await pool.acquire(), discard=True)
        await pool.release(await pool.acquire())
        await pool.release("foreign")
        metrics = pool.snapshot()["metrics"]

    assert [metrics[f"{what}_failed"] for what in ("resets", "closes", "checks")] == [0, 0, 0]
    assert {"session": 1, "discard": 1}.items() <= metrics["closed_by_reason"].items()


async def test_a_client_keeps_the_close_it_was_made_with_after_its_pool_is_closed():
    closed = []
    async with World().bare_pool(warm_pool_size=1, close_fn=lambda client: closed.append("old")) as pool:
        client = await pool.acquire()
        pool.reconfigure(close_fn=lambda client: closed.append("new"))
    await pool.release(client)

    assert closed == ["old"]


async def test_every_event_is_told_with_its_facts():
    told = {}
    world = World(warm_result=False)
    broken = []

    def observe(name, pool, **facts):
        told.setdefault(name, []).append(facts)

    def check(client):
        return client not in broken

    async with world.pool(
        warm_pool_size=1,
        warm_pool_max=4,
        enable_background_warmup=True,
        warm_fn=world.warm,
        check_fn=check,
        session_awareness=True,
        session_max_age_sec=60.0,
        session_grace_sec=0.0,
        circuit_failures=2,
        circuit_probe_sec=1.0,
        leak_after_sec=500.0,
        on_event=observe,
    ) as pool:
        world.warm_result = True
        await asyncio.sleep(5)
        broken += world.made
        await pool.check()
        await asyncio.sleep(1)
        held = [await pool.acquire()]
        await asyncio.sleep(1)
        world.down = True
        held.append(await pool.acquire())
        pool.reconfigure(max_waiting=0)
        with pytest.raises(PoolFull):
            await pool.acquire()
        await asyncio.sleep(5)
        pool.reconfigure(max_waiting=None)
        world.down = False
        await asyncio.sleep(5)
        world.reset_error = RuntimeError("cannot clear")
        await pool.release(held[0])
        await pool.release(held[0])
        await pool.acquire_for_session("s1")
        await pool.acquire()
        await asyncio.sleep(600)
    await settle()

    facts = {name: sorted(each[0]) for name, each in told.items()}
    assert (
        facts.items()
        >= {
            "state_changed": ["new", "old"],
            "item_made": ["seconds"],
            "warm_failed": ["error"],
            "check_failed": [],
            "pool_full": [],
            "creation_failed": ["error"],
            "circuit_opened": ["failures"],
            "circuit_closed": [],
            "reset_failed": ["error"],
            "release_second": [],
            "sessions_expired": ["count"],
            "leak_suspected": ["seconds", "site"],
            "item_closed": ["reason"],
        }.items()
    )
    assert told["circuit_opened"] == [{"failures": 2}]
    assert told["sessions_expired"] == [{"count": 1}]
    assert str(told["reset_failed"][0]["error"]) == "cannot clear"
