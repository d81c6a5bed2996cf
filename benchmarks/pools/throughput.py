"""Acquire and release as often as possible: every contender in interleaved rounds, each beside the limit."""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pools.peers import Peer

__all__ = ["Course", "Speed", "measure"]

PROBE_TURNS = 300


@dataclass(frozen=True, slots=True)
class Course:
    """One way to use a pool.

    Args:
        name: The column's heading.
        tasks: How many tasks use the pool at once.
        items: How many items the pool holds.
    """

    name: str
    tasks: int
    items: int

    @property
    def waits(self) -> bool:
        """Whether tasks must wait for each other."""
        return self.tasks > self.items


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over the rounds: acquires and releases per second, and the ratio to the limit's just before."""

    name: str
    per_second: float
    of_limit: float


async def measure(
    contenders: Sequence[Callable[..., Peer]], course: Course, *, rounds: int, round_seconds: float
) -> list[Speed]:
    """Run every contender once in each round, each right after the first one, which is the limit."""
    peers = [make(course.items, bounded=course.waits) for make in contenders]
    turns = []
    for peer in peers:
        await peer.open()
        await _rate(peer, course, PROBE_TURNS)  # the peer's own lazy parts
        turns.append(max(PROBE_TURNS, int(round_seconds * await _rate(peer, course, PROBE_TURNS))))
    gc.collect()
    gc.freeze()  # what is there stays there; the collections before each measurement look at the rest only
    rates: list[list[float]] = [[] for _ in peers]
    ratios: list[list[float]] = [[] for _ in peers]
    for _ in range(rounds):
        for number, peer in enumerate(peers):
            base = await _rate(peers[0], course, turns[0])
            rates[number].append(await _rate(peer, course, turns[number]))
            ratios[number].append(rates[number][-1] / base)
    for peer in peers:
        await peer.close()
    return [
        Speed(peer.name, statistics.median(own), statistics.median(of_limit))
        for peer, own, of_limit in zip(peers, rates, ratios, strict=True)
    ]


async def _rate(peer: Peer, course: Course, turns: int) -> float:
    each = max(1, turns // course.tasks)
    gc.collect()
    gc.disable()  # a collection would fall on one contender by chance
    try:
        begin = time.perf_counter()
        if course.tasks == 1:
            await peer.turns("only", each)
        else:
            async with asyncio.TaskGroup() as group:
                for number in range(course.tasks):
                    group.create_task(peer.turns_holding(f"task {number}", each))
        return each * course.tasks / (time.perf_counter() - begin)
    finally:
        gc.enable()
