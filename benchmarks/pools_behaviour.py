"""What pools do under spikes, cancellation storms and at their start.

`python benchmarks/pools_behaviour.py [--quick]`
"""

import argparse
import asyncio
import logging
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import report
from pools import ours
from pools.peers import AiomiscPeer, AsyncpgPeer, Peer, PsycopgPeer, QueuePeer, SqlalchemyPeer
from pools.storm import ITEMS, Aftermath, storm
from pools.timer_pool import TimerPool

from speechpool.pools import WarmableResourcePool

CREATION_SECONDS = 0.2
SPIKE = 10
STOCK = 15

Making = Callable[..., Peer]
SPIKED: tuple[Making, ...] = (
    ours.WarmPeer,
    ours.OnDemandPeer,
    ours.TimerPeer,
    AiomiscPeer,
    AsyncpgPeer,
    SqlalchemyPeer,
    PsycopgPeer,
)
STORMED: tuple[Making, ...] = (
    ours.WarmPeer,
    ours.WarmTimeoutPeer,
    ours.WarmSessionPeer,
    QueuePeer,
    AiomiscPeer,
    AsyncpgPeer,
    SqlalchemyPeer,
    PsycopgPeer,
)

NOTES = {
    "20-pools-spike": f"""{SPIKE} callers at once on an empty pool whose clients take {CREATION_SECONDS} s to make:
the time until the last one is served. Median of {{rounds}}.""",
    "21-pools-storm": f"""2,000 acquires by up to 40 callers on {ITEMS} items, callers cancelled at random moments, in
{{seeds}} storms of different seeds. Left: how many of the {ITEMS} items can still be acquired afterwards. Out of
order: served after somebody who asked later.""",
    "22-pools-prepare": f"""Until a pool of {STOCK} is full; a client takes {CREATION_SECONDS} s to make. With a
blocking SDK each creation holds a thread of an executor with 16 threads. Median of {{rounds}}.""",
}


async def spike_seconds(make: Making) -> float:
    """Until the last caller is served."""
    peer = make(SPIKE, creation_seconds=CREATION_SECONDS, warm=False)
    await peer.open()
    begin = time.perf_counter()
    items = await asyncio.gather(*[peer.acquire() for _ in range(SPIKE)])
    seconds = time.perf_counter() - begin
    for item in items:
        await peer.release(item)
    await peer.close()
    return seconds


async def storm_row(make: Making, seeds: int) -> dict[str, Any]:
    """The sum of all storms on one pool."""
    storms: list[Aftermath] = [await storm(make(ITEMS), seed) for seed in range(seeds)]
    return {
        "pool": make(ITEMS).name,
        "left, fewest": min(after.left for after in storms),
        "storms with all left": f"{sum(after.left == ITEMS for after in storms)} of {seeds}",
        "out of order, %": 100 * sum(after.out_of_order for after in storms) / sum(after.grants for after in storms),
        "served": sum(after.grants for after in storms),
        "cancelled": sum(after.cancelled for after in storms),
    }


async def prepare_seconds(make: Callable[..., Any], create: Callable[[], Awaitable[Any]]) -> float:
    """Until a pool of our own shape is full."""
    pool = make(factory=create, name="bench", warm_pool_size=STOCK)
    begin = time.perf_counter()
    await pool.prepare()
    seconds = time.perf_counter() - begin
    await pool.shutdown()
    return seconds


async def open_seconds(make: Making) -> float:
    """Until a peer is full, its own way."""
    peer = make(STOCK, creation_seconds=CREATION_SECONDS)
    begin = time.perf_counter()
    await peer.open()
    seconds = time.perf_counter() - begin
    await peer.close()
    return seconds


async def create() -> object:
    await asyncio.sleep(CREATION_SECONDS)
    return ours.Client()


async def prepare_rows(rounds: int) -> list[dict[str, Any]]:
    """Ours, the timer-refilled pool, and the peers that fill themselves."""
    with ThreadPoolExecutor(16) as threads:

        async def create_blocking() -> object:
            await asyncio.get_running_loop().run_in_executor(threads, time.sleep, CREATION_SECONDS)
            return ours.Client()

        runs: dict[str, Callable[[], Awaitable[float]]] = {
            "**SpeechPool**": lambda: prepare_seconds(WarmableResourcePool, create),
            "**SpeechPool**, blocking SDK": lambda: prepare_seconds(WarmableResourcePool, create_blocking),
            "timer-refilled pool": lambda: prepare_seconds(TimerPool, create),
            PsycopgPeer.name: lambda: open_seconds(PsycopgPeer),
            AsyncpgPeer.name: lambda: open_seconds(AsyncpgPeer),
        }
        return [
            {"pool": name, "seconds": statistics.median([await run() for _ in range(rounds)])}
            for name, run in runs.items()
        ]


async def run(*, rounds: int, seeds: int) -> dict[str, list[dict[str, Any]]]:
    spikes = [
        {
            "pool": make(SPIKE).name,
            "last served after, s": statistics.median([await spike_seconds(make) for _ in range(rounds)]),
        }
        for make in SPIKED
    ]
    return {
        "20-pools-spike": spikes,
        "21-pools-storm": [await storm_row(make, seeds) for make in STORMED],
        "22-pools-prepare": await prepare_rows(rounds),
    }


def targets(results: dict[str, list[dict[str, Any]]]) -> dict[str, Sequence[report.Target]]:
    own_storms = results["21-pools-storm"][:3]
    prepared = results["22-pools-prepare"]
    return {
        "20-pools-spike": [
            report.at_most(
                "spike of 10 on an empty pool", results["20-pools-spike"][0]["last served after, s"], 0.22, " s"
            )
        ],
        "21-pools-storm": [
            report.at_least("cancellation storms: items left of 5", min(row["left, fewest"] for row in own_storms), 5),
            report.at_most(
                "cancellation storms: out of order", max(row["out of order, %"] for row in own_storms), 0, " %"
            ),
        ],
        "22-pools-prepare": [
            report.at_most("prepare() of 15", prepared[0]["seconds"], 0.22, " s"),
            report.at_most("prepare() of 15, blocking SDK calls", prepared[1]["seconds"], 0.25, " s"),
        ],
    }


TITLES = {
    "20-pools-spike": "Pools: a spike on an empty pool",
    "21-pools-storm": "Pools: cancellation storms",
    "22-pools-prepare": "Pools: the start",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round and 5 storms: seconds instead of a minute")
    quick = parser.parse_args(arguments).quick
    logging.disable(logging.CRITICAL)  # peers report the storms' losses
    rounds, seeds = (1, 5) if quick else (5, 20)
    results = asyncio.run(run(rounds=rounds, seeds=seeds))
    reached = targets(results)
    for section, rows in results.items():
        note = NOTES[section].format(rounds=rounds, seeds=seeds)
        report.save(section, rows, title=TITLES[section], note=note, targets=reached[section], quick=quick)
        print(report.text(section))


if __name__ == "__main__":
    main()
