"""With refill by events a call is cold exactly when as many calls as clients are kept warm came within one creation.

That is: idle + in creation - waiting is the warm size at every moment, so the call finds an idle client unless each
of them was taken less than one creation time ago.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.pools.world import CREATION_SECONDS, World
from tests.virtual import elapsed, run

from speechpool.pools import AllocationTier, WarmableResourcePool

CALL_SECONDS = 1.0


def cold_calls(arrivals: Sequence[float], warm: int) -> list[bool]:
    """What the identity says of each call."""
    return [
        sum(moment - CREATION_SECONDS < earlier for earlier in arrivals[:index]) >= warm
        for index, moment in enumerate(arrivals)
    ]


async def call(pool: WarmableResourcePool, session_id: str) -> tuple[bool, float]:
    """Whether one call was told cold, and how long it waited."""
    begin = asyncio.get_running_loop().time()
    _, tier = await pool.acquire_for_session(session_id)
    wait = elapsed(begin)
    await asyncio.sleep(CALL_SECONDS)
    await pool.release_for_session(session_id)
    return tier is AllocationTier.COLD, wait


async def calls_served(arrivals: Sequence[float], warm: int) -> list[tuple[bool, float]]:
    """Send calls at these times (seconds, sorted) to a new pool."""
    async with World().pool(
        warm_pool_size=warm, max_refilling=max(4, warm), enable_background_warmup=True, session_awareness=True
    ) as pool:
        begin = asyncio.get_running_loop().time()
        tasks = []
        for number, moment in enumerate(arrivals):
            await asyncio.sleep(begin + moment - asyncio.get_running_loop().time())
            tasks.append(asyncio.create_task(call(pool, f"s{number}")))
        return await asyncio.gather(*tasks)


# Multiples of 30 ms: never a creation time apart, so no call comes at the very instant a client is finished.
gaps = st.lists(st.sampled_from([0.0, 0.03, 0.06, 0.15, 0.3, 3.0]), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(gaps=gaps, warm=st.integers(min_value=1, max_value=6))
def test_a_call_is_cold_exactly_when_the_identity_says_so(gaps, warm):
    arrivals = [round(moment, 6) for moment in itertools.accumulate(gaps)]
    served = run(calls_served(arrivals, warm))

    assert [cold for cold, _ in served] == cold_calls(arrivals, warm)
    assert all((wait > 0) == cold for cold, wait in served)
    assert all(wait <= CREATION_SECONDS for _, wait in served)


def poisson(rate: float, count: int, burst: int) -> list[float]:
    """Calls at this mean rate per second, and `burst` at once every 20 seconds."""
    dice = random.Random(f"{rate} {burst}")
    times = list(itertools.accumulate(dice.expovariate(rate) for _ in range(count)))
    bursts = [20.0 * number for number in range(1, int(times[-1] / 20)) for _ in range(burst)]
    return sorted(round(moment, 6) for moment in times + bursts)


@pytest.mark.parametrize("burst", [0, 10])
@pytest.mark.parametrize(("rate", "warm"), [(0.5, 3), (2.0, 3), (5.0, 1), (5.0, 5), (20.0, 5), (20.0, 15)])
def test_the_cold_rate_of_random_traffic_is_the_identitys(rate, warm, burst):
    arrivals = poisson(rate, 400, burst)
    served = run(calls_served(arrivals, warm))

    assert [cold for cold, _ in served] == cold_calls(arrivals, warm)
    assert max(wait for _, wait in served) <= CREATION_SECONDS
