"""How often a call is cold, by simulation on a virtual clock: the pools' own code, hours of calls in a second."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import looptime
from pools.timer_pool import TimerPool
from pools.traffic import call_seconds

from speechpool.pools import AllocationTier, WarmableResourcePool

__all__ = ["CREATION_SECONDS", "Outcome", "simulate"]

CREATION_SECONDS = 0.2
"""The cold start of a speech client, as the document that the pool starts from has it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the callers of one simulation saw.

    Args:
        cold: Share of calls that were not served from the warm queue.
        mean_wait: Seconds, mean over all calls.
        p99_wait: Seconds.
        most_wait: Seconds, the longest wait.
        idle: Mean number of idle clients, which is the warm seconds paid per second.
        creations: Clients made in all.
    """

    cold: float
    mean_wait: float
    p99_wait: float
    most_wait: float
    idle: float
    creations: int


class _Client:
    def clear_session_state(self) -> None:
        pass


class _Simulation:
    def __init__(self, make_pool: Callable[[Any], Any]) -> None:
        self.waits: list[float] = []
        self.cold = 0
        self.creations = 0
        self.idle_samples: list[int] = []
        self.pool = make_pool(self._create)

    async def _create(self) -> _Client:
        self.creations += 1
        await asyncio.sleep(CREATION_SECONDS)
        return _Client()

    async def run(self, arrivals: Sequence[float]) -> Outcome:
        await self.pool.prepare()
        watcher = asyncio.create_task(self._watch_idle())
        loop = asyncio.get_running_loop()
        # Whole microseconds, the clock's resolution: a call 0.2 s after another must not come a rounding early.
        begin = round(loop.time()) + 60.0
        lengths = call_seconds()
        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(arrivals):
                await asyncio.sleep(begin + moment - loop.time())
                group.create_task(self._call(f"call-{number}", next(lengths)))
            watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await self.pool.shutdown()
        return self._outcome()

    async def _call(self, session_id: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        _, tier = await self.pool.acquire_for_session(session_id)
        self.waits.append(loop.time() - begin)
        self.cold += tier is AllocationTier.COLD
        await asyncio.sleep(seconds)
        await self.pool.release_for_session(session_id)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.idle_samples.append(_idle(self.pool))

    def _outcome(self) -> Outcome:
        waits = sorted(self.waits)
        return Outcome(
            cold=self.cold / len(waits),
            mean_wait=sum(waits) / len(waits),
            p99_wait=waits[int(len(waits) * 0.99)],
            most_wait=waits[-1],
            idle=sum(self.idle_samples) / len(self.idle_samples),
            creations=self.creations,
        )


def _idle(pool: WarmableResourcePool[Any] | TimerPool) -> int:
    if isinstance(pool, TimerPool):
        return pool.idle
    idle: int = pool.snapshot()["warm_pool_size"]
    return idle


def simulate(make_pool: Callable[[Any], Any], arrivals: Sequence[float]) -> Outcome:
    """Send the calls to a new pool.

    Args:
        make_pool: Gets the factory, returns the pool.
        arrivals: Seconds at which calls arrive, in order.
    """
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=0, idle_timeout=0)) as runner:
        return runner.run(_Simulation(make_pool).run(arrivals))
