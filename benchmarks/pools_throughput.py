"""How fast are acquire and release? Ours, peers from PyPI and a timer-refilled pool, as ratios to the limit.

`python benchmarks/pools_throughput.py [--quick]`
"""

import argparse
import asyncio
import logging
from collections.abc import Callable, Sequence

import report
from pools import ours
from pools.peers import AiomiscPeer, AsyncpgPeer, Peer, PsycopgPeer, QueuePeer, SqlalchemyPeer
from pools.throughput import Course, Speed, measure

ALONE = Course("alone", tasks=1, items=10)
ENOUGH = Course("100 tasks, 100 items", tasks=100, items=100)
SCARCE = Course("100 tasks, 10 items", tasks=100, items=10)

Making = Callable[..., Peer]

PEERS: tuple[Making, ...] = (QueuePeer, AiomiscPeer, PsycopgPeer, AsyncpgPeer, SqlalchemyPeer)
OWN: tuple[Making, ...] = (
    ours.WarmBarePeer,
    ours.WarmPeer,
    ours.WarmBareTimeoutPeer,
    ours.WarmTimeoutPeer,
    ours.WarmLeasePeer,
    ours.WarmBareSessionPeer,
    ours.WarmSessionPeer,
    ours.OnDemandSessionPeer,
)
TIMER: tuple[Making, ...] = (ours.TimerBarePeer, ours.TimerPeer, ours.TimerSessionPeer)
LOOKUPS: tuple[Making, ...] = (ours.WarmBareLookupPeer, ours.WarmLookupPeer, ours.TimerLookupPeer)

CONTENDERS: dict[Course, tuple[Making, ...]] = {
    ALONE: (ours.LimitPeer, *OWN, *LOOKUPS, *TIMER, *PEERS),
    ENOUGH: (ours.LimitPeer, *OWN, *TIMER, *PEERS),
    SCARCE: (ours.LimitPeer, *OWN, *PEERS),  # a timer-refilled pool never waits: it makes a new client
}

NOTE = """Acquire and release per second on dummy connections, as a ratio to the least that a pool with waiters can do
(a deque and futures, without accounting and not safe under cancellation). In the columns with 100 tasks each task
holds its item for one pass of the loop. {rounds} interleaved rounds, each contender right after the limit, medians;
stock asyncio loop. Bare items have nothing to look at and nothing to reset, as the dummy connections of the peers;
the others are clients with a state that each release clears and a readiness that each acquire looks at. A
timer-refilled pool never waits, it makes a new client, so it has no place in the last column. Peers: {versions}."""


def table(results: dict[Course, list[Speed]]) -> list[dict[str, object]]:
    """One row per contender, one column per course."""
    by_course = {course: {speed.name: speed for speed in speeds} for course, speeds in results.items()}
    timer = by_course[ALONE][ours.TimerBarePeer.name]
    rows = []
    for name, alone in by_course[ALONE].items():
        row: dict[str, object] = {"pool": name, "alone, per second": round(alone.per_second)}
        row["alone, of the limit"] = alone.of_limit
        row["alone, of the timer-refilled pool"] = alone.of_limit / timer.of_limit
        for course in (ENOUGH, SCARCE):
            row[course.name] = by_course[course][name].of_limit if name in by_course[course] else None
        rows.append(row)
    return rows


def targets(results: dict[Course, list[Speed]]) -> Sequence[report.Target]:
    """The numbers to reach, as ratios of the limit in the same rounds."""
    alone = {speed.name: speed.of_limit for speed in results[ALONE]}
    scarce = {speed.name: speed.of_limit for speed in results[SCARCE]}
    return (
        report.at_least("acquire and release alone, of the limit", alone[ours.WarmBarePeer.name], 0.28),
        report.at_least("session acquire and release, of the limit", alone[ours.WarmBareSessionPeer.name], 0.16),
        report.at_least(
            "DEDICATED lookup, of the limit's acquire and release", alone[ours.WarmBareLookupPeer.name], 1.3
        ),
        report.at_least(
            "100 tasks on 10 items with a timeout, of the limit", scarce[ours.WarmBareTimeoutPeer.name], 0.45
        ),
    )


async def run(*, rounds: int, round_seconds: float) -> dict[Course, list[Speed]]:
    """Every course, one after the other."""
    return {
        course: await measure(contenders, course, rounds=rounds, round_seconds=round_seconds)
        for course, contenders in CONTENDERS.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: seconds instead of a minute")
    quick = parser.parse_args(arguments).quick
    logging.disable(logging.INFO)  # some peers log each acquire; none is to pay for it
    rounds = 7 if quick else 31
    results = asyncio.run(run(rounds=rounds, round_seconds=0.005 if quick else 0.02))
    versions = report.versions("aiomisc", "psycopg_pool", "asyncpg", "sqlalchemy")
    report.save(
        "10-pools-throughput",
        table(results),
        title="Pools: acquire and release",
        note=NOTE.format(rounds=rounds, versions=versions),
        targets=targets(results),
        quick=quick,
    )
    print(report.text("10-pools-throughput"))


if __name__ == "__main__":
    main()
