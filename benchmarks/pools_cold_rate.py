"""How often is a call cold? Simulated on a virtual clock with the pools' own code, hours of calls in seconds.

`python benchmarks/pools_cold_rate.py [--quick]`
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from typing import Any

import report
from pools.cold_rate import CREATION_SECONDS, Outcome, simulate
from pools.timer_pool import TimerPool
from pools.traffic import Traffic, cold_by_formula, varying_day

from speechpool.pools import WarmableResourcePool

TRAFFICS = (
    Traffic("0.1/s", 0.1),
    Traffic("0.5/s", 0.5),
    Traffic("2/s", 2.0),
    Traffic("5/s", 5.0),
    Traffic("0.1/s + 10 at once each 120 s", 0.1, burst=10, burst_every=120.0),
    Traffic("0.5/s + bursts", 0.5, burst=10, burst_every=120.0),
    Traffic("2/s + bursts", 2.0, burst=10, burst_every=120.0),
)

Making = Callable[[Any], Any]


def event(warm: int, **settings: float) -> Making:
    """Our pool with `warm` clients kept warm."""
    return lambda factory: WarmableResourcePool(
        factory=factory,
        name="sim",
        warm_pool_size=warm,
        enable_background_warmup=True,
        session_awareness=True,
        session_max_age_sec=86_400.0,
        **settings,
    )


def timer(warm: int, interval: float = 30.0) -> Making:
    """The timer-refilled pool."""
    return lambda factory: TimerPool(
        factory=factory,
        name="sim",
        warm_pool_size=warm,
        enable_background_warmup=True,
        warmup_interval_sec=interval,
        session_awareness=True,
        session_max_age_sec=86_400.0,
    )


def cell(outcome: Outcome) -> str:
    """Cold share, mean wait and 99th percentile in one cell."""
    return f"{100 * outcome.cold:.3g} % / {1000 * outcome.mean_wait:.3g} / {1000 * outcome.p99_wait:.3g} ms"


COLUMNS: dict[str, Making] = {
    "timer 30 s, 3 warm": timer(3),
    "timer 30 s, 15 warm": timer(15),
    "timer 5 s, 3 warm": timer(3, 5.0),
    "SpeechPool, 3 warm": event(3),
    "SpeechPool, 5 warm": event(5),
    "SpeechPool, 15 warm": event(15),
}


def cold_table(calls: int) -> list[dict[str, Any]]:
    """One row per traffic, one column per pool, and what the formula says."""
    rows = []
    for traffic in TRAFFICS:
        arrivals = traffic.arrivals(calls)
        row: dict[str, Any] = {"calls": traffic.name}
        row.update({name: cell(simulate(make, arrivals)) for name, make in COLUMNS.items()})
        row["formula, 3 warm"] = f"{100 * cold_by_formula(arrivals, 3, CREATION_SECONDS):.3g} %"
        rows.append(row)
    return rows


def identity_targets(calls: int) -> list[report.Target]:
    """The cold rates to reach: those of the exact formula for the same arrivals."""
    made = []
    for rate, warm in ((0.5, 3), (2.0, 3), (5.0, 5)):
        arrivals = Traffic("", rate).arrivals(calls, seed=4)
        outcome = simulate(event(warm), arrivals)
        bound = 100 * cold_by_formula(arrivals, warm, CREATION_SECONDS) + 0.05
        name = f"{rate:g} calls/s, {warm} warm"
        made.append(
            report.at_most(
                f"cold calls at {name}: the formula for the same arrivals + 0.05", 100 * outcome.cold, bound, " %"
            )
        )
        if warm == 3:
            made.append(report.at_most(f"99th percentile of the wait at {name}", 1000 * outcome.p99_wait, 1.0, " ms"))
        made.append(report.at_most(f"longest wait at {name}", outcome.most_wait, CREATION_SECONDS + 0.001, " s"))
    return made


def warm_seconds(calls: int) -> list[dict[str, Any]]:
    """The smallest stock with less than 1 % cold calls, and what it costs."""
    rows = []
    for rate in (0.5, 2.0):
        arrivals = Traffic("", rate).arrivals(calls, seed=5)
        for name, make, sizes in (("SpeechPool", event, range(1, 20)), ("timer 30 s", timer, TIMER_SIZES[rate])):
            size, outcome = next((w, o) for w in sizes if (o := simulate(make(w), arrivals)).cold < 0.01)
            rows.append(
                {
                    "calls": f"{rate:g}/s",
                    "pool": name,
                    "warm size": size,
                    "cold, %": 100 * outcome.cold,
                    "idle clients, mean": outcome.idle,
                }
            )
    return rows


# Where to look for the timer's size, which is a long search: below these it is cold more often.
TIMER_SIZES = {0.5: range(22, 60), 2.0: range(95, 200, 5)}


def day_rows(hours: int) -> list[dict[str, Any]]:
    """A day whose rate varies, with fixed sizes and with the pool's own."""
    arrivals = varying_day(hours=hours)
    contenders = {
        "timer 30 s, 3 warm": timer(3),
        "timer 30 s, 15 warm": timer(15),
        "SpeechPool, 3 warm": event(3),
        "SpeechPool, 5 warm": event(5),
        "SpeechPool, sizes itself": event(3, warm_pool_max=20),
    }
    rows = []
    for name, make in contenders.items():
        outcome = simulate(make, arrivals)
        rows.append(
            {
                "pool": name,
                "calls": len(arrivals),
                "cold, %": 100 * outcome.cold,
                "idle clients, mean": outcome.idle,
                "longest wait, s": outcome.most_wait,
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls: seconds instead of minutes")
    quick = parser.parse_args(arguments).quick
    logging.disable(logging.CRITICAL)
    calls = 300 if quick else 2000
    report.save(
        "30-pools-cold-rate",
        cold_table(calls),
        title="Pools: cold calls by traffic",
        note=f"""Share of cold calls / mean wait / 99th percentile of the wait, {calls} calls a cell on a virtual clock;
a client takes {CREATION_SECONDS} s to make, calls last 3 minutes on average (log-normal). The formula: with
event-driven refill a call is cold exactly when as many calls as there are warm clients came within one creation time
before it.""",
        targets=identity_targets(2000 if quick else 12_000),
        quick=quick,
    )
    seconds = warm_seconds(1000 if quick else 4000)
    report.save(
        "31-pools-warm-seconds",
        seconds,
        title="Pools: what less than 1 % cold calls cost",
        note="The smallest warm size with less than 1 % cold calls, and the idle clients it keeps on average.",
        targets=[
            report.at_most(
                "idle clients for less than 1 % cold calls at 0.5 calls/s", seconds[0]["idle clients, mean"], 2.0
            )
        ],
        quick=quick,
    )
    day = day_rows(6 if quick else 24)
    report.save(
        "32-pools-varying-day",
        day,
        title="Pools: a day whose rate varies",
        note="Between 0.02 and 3 calls a second. The last row sets no size: the pool applies its own recommendation.",
        targets=[
            report.at_most("varying day, the pool sizes itself: cold calls", day[-1]["cold, %"], 1.0, " %"),
            report.at_most("varying day, the pool sizes itself: idle clients", day[-1]["idle clients, mean"], 4.0),
        ],
        quick=quick,
    )
    for section in ("30-pools-cold-rate", "31-pools-warm-seconds", "32-pools-varying-day"):
        print(report.text(section))


if __name__ == "__main__":
    main()
