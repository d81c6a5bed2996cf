"""Acquire and release as often as possible: every contender in interleaved rounds, as ratios inside each round."""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pools.peers import Peer

__all__ = ["Course", "Ratios", "measure"]


@dataclass(frozen=True, slots=True)
class Course:
    """One way to use a pool.

    Args:
        name: The column's heading.
        tasks: How many tasks use the pool at once.
        items: How many items the pool holds.
        turns: Acquires in all, in each round.
    """

    name: str
    tasks: int
    items: int
    turns: int

    @property
    def waits(self) -> bool:
        """Whether tasks must wait for each other."""
        return self.tasks > self.items


@dataclass(frozen=True, slots=True)
class Ratios:
    """Medians over the rounds of one contender in one course."""

    name: str
    per_second: float
    of_limit: float


async def measure(contenders: Sequence[Callable[[int], Peer]], course: Course, rounds: int) -> list[Ratios]:
    """Run each contender once in each round; the first one is the limit that the ratios are taken of."""
    peers = [make(course.items) for make in contenders]
    for peer in peers:
        await peer.open()
        await _seconds(peer, course, course.turns // 10)  # warms caches and the peer's own lazy parts
    times: list[list[float]] = [[] for _ in peers]
    for _ in range(rounds):
        for peer, spent in zip(peers, times, strict=True):
            spent.append(await _seconds(peer, course, course.turns))
    for peer in peers:
        await peer.close()
    return [_ratios(peer, course, spent, times[0]) for peer, spent in zip(peers, times, strict=True)]


def _ratios(peer: Peer, course: Course, spent: Sequence[float], limit: Sequence[float]) -> Ratios:
    of_limit = statistics.median(base / own for base, own in zip(limit, spent, strict=True))
    return Ratios(peer.name, course.turns / statistics.median(spent), of_limit)


async def _seconds(peer: Peer, course: Course, turns: int) -> float:
    each = turns // course.tasks
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        if course.tasks == 1:
            await peer.turns("only", each)
        else:
            async with asyncio.TaskGroup() as group:
                for number in range(course.tasks):
                    group.create_task(peer.turns_holding(f"task {number}", each))
        return time.perf_counter() - begin
    finally:
        gc.enable()
