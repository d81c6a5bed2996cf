"""The pool's one timer: it comes when it is due, on fine clocks and coarse ones, and never twice for one reason."""

import asyncio
import math

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL, SteppingUvloop, SteppingVirtualLoop, elapsed, run

from speechpool.errors import PoolTimeout

TICKS_PER_SECOND = 64  # the coarsest clock in use: 15.6 ms
CALLBACK_SECONDS = 1e-5  # as real callbacks do, each takes time, so that waiting in a circle ends, and shows

AGES = {
    "max_idle_sec": 7.003,
    "max_lifetime_sec": 21.007,
    "keepalive_sec": 3.001,
    "leak_after_sec": 5.009,
    "session_max_age_sec": 11.003,
    "session_grace_sec": 4.001,
}


class CoarseLoop(SteppingVirtualLoop):
    """A virtual loop whose clock ticks; as asyncio does, it runs what is due before the next tick."""

    def __init__(self):
        super().__init__()
        self._clock_resolution = 1 / TICKS_PER_SECOND

    def time(self):
        fine = super().time() + self.steps * CALLBACK_SECONDS
        return math.floor(fine * TICKS_PER_SECOND) / TICKS_PER_SECOND


async def live(pool, seconds):
    """Traffic of every kind, with a call that waits too long now and then."""
    loop = asyncio.get_running_loop()
    until, number = loop.time() + seconds, 0
    while loop.time() < until:
        number += 1
        await pool.acquire_for_session(f"s{number % 5}")
        held = []
        with pytest.raises(PoolTimeout):
            await take_all(pool, held)
        await asyncio.sleep(1.25 * (number % 5))
        for client in held:
            await pool.release(client)
        await asyncio.sleep(2.5)


async def take_all(pool, held):
    while True:
        held.append(await pool.acquire(timeout=0.1013))


@pytest.mark.parametrize("new_loop", [CoarseLoop, SteppingUvloop])  # uvloop rounds to milliseconds, down to at once
def test_a_wait_ends_without_a_spin_on_a_coarse_clock(new_loop):
    loop = new_loop()

    async def main():
        async with World(creation_seconds=0.0).pool(max_size=1) as pool:
            await pool.acquire()
            before = loop.steps
            for _ in range(20):
                with pytest.raises(PoolTimeout):
                    await pool.acquire(timeout=0.0064)
            return loop.steps - before

    assert run(main(), loop) <= 20 * 10


def test_nothing_spins_and_everything_is_closed_once_on_a_coarse_clock():
    loop, world = CoarseLoop(), World()

    async def main():
        settings = {**AGES, "check_fn": lambda client: client.number % 7 != 0, "session_awareness": True}
        async with world.pool(warm_pool_size=3, max_size=9, enable_background_warmup=True, **settings) as pool:
            await live(pool, 300.0)
            world.down = True
            await asyncio.sleep(30)
        return pool.snapshot()["metrics"]

    metrics = run(main(), loop)

    assert [client.closes for client in world.made] == [1] * len(world.made)
    assert {"idle", "lifetime", "check"} <= set(metrics["closed_by_reason"])
    assert min(metrics["sessions_expired"], metrics["leaks_suspected"], metrics["creations_failed"]) > 0
    assert loop.steps < 330 * 100  # a spin makes hundreds in each tick of the clock


@pytest.mark.parametrize("begin", [0.0, 0.123457, 1.481484, 2.839511, 30.000001, 7777.777777])
@VIRTUAL
async def test_the_pace_is_kept_to_the_moment_whenever_it_begins(begin):
    """Sixty seconds later, in floating point, is not always what is sixty seconds earlier."""
    world = World()
    await asyncio.sleep(begin)
    async with world.pool(creations_per_minute=1) as pool:
        await asyncio.gather(*[pool.acquire() for _ in range(3)])

        assert [elapsed(world.attempts[0]) - elapsed(at) for at in world.attempts] == [0.0, 60.0, 120.0]


@VIRTUAL
async def test_a_given_clock_decides_and_a_loop_that_is_ahead_of_it_asks_again():
    """A clock that is behind the loop's is asked again after what is left, not at once."""
    loop, asked = asyncio.get_running_loop(), []

    def slow():
        asked.append(loop.time())
        return math.floor(loop.time())

    async with World().pool(max_size=1, clock=slow) as pool:
        await pool.acquire()
        begin = loop.time()
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=1.5)

        assert elapsed(begin) == 2.0  # 1.5 is over on the given clock when it says 2
        assert len(asked) < 100
