"""Storms of cancelled callers: how many items are left, and how many callers were overtaken by a later one."""

import asyncio
import random
from dataclasses import dataclass

from pools.peers import Peer

__all__ = ["Aftermath", "storm"]

ITEMS = 5
CALLERS = 40
ACQUIRES = 2000


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a storm left.

    Args:
        left: Items that can still be acquired, of 5.
        grants: How many acquires were served.
        out_of_order: How many of them came after a caller who asked later was served.
        cancelled: How many callers were cancelled.
    """

    left: int
    grants: int
    out_of_order: int
    cancelled: int


class _Storm:
    def __init__(self, peer: Peer, seed: int) -> None:
        self._peer = peer
        self._dice = random.Random(seed)
        self._asked = 0
        self._latest_served = 0
        self._grants = self._out_of_order = self._cancelled = 0
        self._running: set[asyncio.Task[None]] = set()

    async def blow(self) -> Aftermath:
        while self._asked < ACQUIRES:
            self._fill_up()
            await asyncio.sleep(0)
            if self._dice.random() < 0.3:
                self._cancel_one()
        await asyncio.gather(*self._running, return_exceptions=True)
        for _ in range(100):  # what was left to background tasks comes back
            await asyncio.sleep(0)
        return Aftermath(await self._count_left(), self._grants, self._out_of_order, self._cancelled)

    def _fill_up(self) -> None:
        while len(self._running) < CALLERS and self._asked < ACQUIRES:
            self._asked += 1
            task = asyncio.create_task(self._call(self._asked, self._dice.randrange(6)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _cancel_one(self) -> None:
        # sorted by name: a set's order is not the seed's
        victim = self._dice.choice(sorted(self._running, key=lambda task: task.get_name())) if self._running else None
        if victim is not None:
            self._cancelled += 1
            victim.cancel()

    async def _call(self, number: int, passes: int) -> None:
        item = await self._peer.acquire()
        self._grants += 1
        self._out_of_order += number < self._latest_served
        self._latest_served = max(self._latest_served, number)
        try:
            for _ in range(passes):
                await asyncio.sleep(0)
        finally:
            await self._peer.release(item)

    async def _count_left(self) -> int:
        left = []
        for _ in range(ITEMS):
            try:
                left.append(await asyncio.wait_for(self._peer.acquire(), 0.05))
            except TimeoutError:
                break
        for item in left:
            await self._peer.release(item)
        return len(left)


async def storm(peer: Peer, seed: int) -> Aftermath:
    """Open the peer with 5 items, send 2,000 callers of whom many are cancelled at random moments, count the rest."""
    await peer.open()
    try:
        return await _Storm(peer, seed).blow()
    finally:
        await peer.close()
