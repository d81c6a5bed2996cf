"""The life of a pool: prepared, drained, checked, shut down."""

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from speechpool.errors import PoolClosed, PoolNotReady, PoolTimeout

from .health import Life
from .hooks import Hooks
from .tiers import ItemState, PoolState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Lifecycle"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")

CANCEL_GRACE_SEC = 0.1
"""How long shutdown waits for tasks it had to cancel after its time was over. A guess."""


class Lifecycle(Generic[T]):
    """Moves one pool through its life.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._filling: set[asyncio.Task[None]] = set()
        self.unfilled = 0
        self._joined = 0

    # --- prepare

    async def prepare(self, timeout: float | None, *, strict: bool) -> None:
        """Fill the stock up to its target, all creations at once, then open the pool.

        Raises:
            PoolNotReady: Fewer are warm than wanted and `strict` is set.
        """
        engine = self._engine
        if not self._is_filling:
            self._begin()
        self._joined += 1
        try:
            await engine.health.changes.until(lambda: not self._is_filling or engine.health.is_closed, timeout)
        except asyncio.CancelledError:
            if self._joined == 1 and engine.health.is_preparing:
                self.unfilled = 0
                engine.health.move(Life.NEW)
            raise
        finally:
            self._joined -= 1
        if engine.health.is_closed:
            raise PoolClosed(f"[{engine.name}] the pool was shut down while it was being prepared")
        self._open()
        if strict:
            self._require_warm()

    def fill(self, now: float) -> None:
        """Begin creations that `prepare()` asked for and that the hard limits held back until now."""
        engine = self._engine
        while self.unfilled:
            if not engine.may_create(now):
                if engine.stock.room < 1 and not self._filling:
                    self.unfilled = 0  # max_size is below the target
                return
            self.unfilled -= 1
            task = engine.maker.start(None, now)
            self._filling.add(task)
            task.add_done_callback(self._filled)

    @property
    def _is_filling(self) -> bool:
        return bool(self.unfilled or self._filling)

    def _begin(self) -> None:
        engine, now = self._engine, self._engine.begin_preparing()
        stock = engine.stock
        self.unfilled = max(0, stock.target + len(stock.waiters) - stock.stocked - len(stock.creating))
        if self.unfilled:
            logger.debug("[%s] Pre-warming %d resources...", engine.name, self.unfilled)
        engine.drive(now)

    def _filled(self, task: "asyncio.Task[None]") -> None:
        self._filling.discard(task)
        self._engine.drive(self._engine.clock.now())
        self._engine.health.changes.notify()

    def _open(self) -> None:
        engine = self._engine
        if not engine.health.is_preparing:
            return
        engine.open(engine.clock.now())
        if engine.stock.refilling:
            logger.debug(
                "[%s] Started background warmup (interval=%ss)", engine.name, engine.settings.warmup_interval_sec
            )
        logger.debug(
            "[%s] Pool ready (warm_size=%d, session_awareness=%s)",
            engine.name,
            len(engine.stock.idle),
            engine.settings.session_awareness,
        )

    def _require_warm(self) -> None:
        engine = self._engine
        warm, target = len(engine.stock.idle), engine.stock.target
        if warm < target:
            raise PoolNotReady(
                f"[{engine.name}] {warm} of {target} clients are warm after prepare()"
            ) from engine.circuit.last_error

    # --- while open

    async def wait_ready(self, timeout: float | None) -> None:
        """Wait until the pool is READY.

        Raises:
            PoolNotReady: It is not within the timeout.
            PoolClosed: It is shut down.
        """
        engine = self._engine

        def ready() -> bool:
            if engine.health.is_closed:
                raise PoolClosed(f"[{engine.name}] the pool is shut down; call prepare() to open it again")
            return engine.health.state is PoolState.READY and not engine.stock.is_short

        if not await engine.health.changes.until(ready, timeout):
            raise PoolNotReady(
                f"[{engine.name}] the pool is {engine.health.state.value} after {timeout} s,"
                f" with {len(engine.stock.idle)} of {engine.stock.target} clients warm"
            ) from (engine.circuit.last_error if engine.circuit.failures else None)

    async def check(self) -> int:
        """Check every idle client now; how many were closed for it."""
        engine, stock = self._engine, self._engine.stock
        before = engine.stats.counts["checks_failed"]
        pending: set[asyncio.Task[None]] = set()
        for item in tuple(stock.idle):
            task = engine.maker.check_idle(item, engine.clock.now())
            if task is not None:
                pending.add(task)
        engine.drive(engine.clock.now())
        if pending:
            await asyncio.wait(pending)
        return engine.stats.counts["checks_failed"] - before

    async def drain(self, timeout: float | None) -> None:
        """Replace every idle client by a new one; those out are closed when they come back.

        Raises:
            PoolTimeout: Some are not replaced yet; it goes on in the background.
        """
        engine = self._engine
        self.renew_generation()
        if not await engine.health.changes.until(lambda: not engine.health.is_draining, timeout):
            raise PoolTimeout(
                f"[{engine.name}] {len(engine.stock.retiring)} clients of the old generation are idle after {timeout} s"
            ) from (engine.circuit.last_error if engine.circuit.failures else None)

    def renew_generation(self) -> None:
        """Begin a new generation of clients, with the hooks of the settings in force."""
        engine, stock, now = self._engine, self._engine.stock, self._engine.clock.now()
        stock.generation += 1
        engine.hooks = Hooks(engine.settings, stock.generation)
        # What failed was the old generation: its back-off must not hold up the new one.
        if engine.circuit.succeeded(engine.settings):
            engine.tell("circuit_closed")
        for item in stock.items.values():
            item.spoil()
        for item in tuple(stock.idle):
            stock.retire(item)
        for item in tuple(stock.unwarmed):
            stock.remove_idle(item, ItemState.CLOSING)
            engine.returns.close(item, "generation")
        engine.drive(now)

    # --- shutdown

    async def shutdown(self, timeout: float) -> None:
        """Close everything that nobody uses, end every wait, cancel what is being made; idempotent."""
        engine = self._engine
        engine.shut()
        makers = self._end_everything()
        try:
            # Once round the loop: a task cancelled before its first step would never run its own clean-up.
            await asyncio.sleep(0)
        finally:
            for task in makers:
                task.cancel()
        # A caller cancelled while it waits leaves closes under way, each with its own limit.
        await self._wait_for_tasks(timeout)
        logger.debug("[%s] Pool shutdown complete", engine.name)

    def _end_everything(self) -> "tuple[asyncio.Task[None], ...]":
        engine, stock = self._engine, self._engine.stock
        makers = tuple(engine.maker.tasks)
        self.unfilled = 0
        engine.queue.close()
        for item in (*stock.idle, *stock.retiring, *stock.unwarmed):
            stock.remove_idle(item, ItemState.CLOSING)
            engine.returns.close(item, "shutdown")
        for item in (*stock.sessions.values(), *stock.expired.values()):
            item.ending = "shutdown"
            engine.sessions.end(item, discard=False)
        # What is out, or under a lease, is of an older generation from now on: closed when it comes back.
        stock.generation += 1
        engine.hooks = Hooks(engine.settings, stock.generation)
        # What failed was the old generation: its back-off must not hold up the new one.
        if engine.circuit.succeeded(engine.settings):
            engine.tell("circuit_closed")
        for item in stock.items.values():
            item.spoil()
        return makers

    async def _wait_for_tasks(self, timeout: float) -> None:
        tasks, loop = self._engine.tasks, asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while tasks and loop.time() < deadline:
            await asyncio.wait(tuple(tasks), timeout=deadline - loop.time())
        if tasks:
            await asyncio.sleep(0)
            for task in tuple(tasks):
                task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=CANCEL_GRACE_SEC)
        if tasks:
            logger.warning("[%s] %d tasks did not end in time at shutdown", self._engine.name, len(tasks))
