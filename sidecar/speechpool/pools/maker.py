"""How clients come: made by the factory, warmed up, checked after idling; each in a task of the pool's own."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from speechpool.errors import PoolError

from .circuit import asked_pause
from .item import Attempt, Item, Waiter
from .tiers import AllocationTier, ItemState

if TYPE_CHECKING:
    from .engine import Engine
    from .hooks import Hooks

__all__ = ["Maker"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")

# A hook may raise CancelledError by itself; in the pool's own tasks that is a failure like any other.
FAILURES = (Exception, asyncio.CancelledError)


class Maker(Generic[T]):
    """Begins attempts and brings their outcome to the stock.

    No task here can be cancelled by a caller, so a caller that leaves loses nothing.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, waiter: Waiter[T] | None, now: float) -> "asyncio.Task[None]":
        """Begin a creation, for a caller who waits or for the stock."""
        attempt = Attempt(waiter)
        self._stock.begin(attempt)
        self._engine.pace.begin(now)
        self._engine.stats.counts["creations_started"] += 1
        return self._spawn(self._make(attempt), "create")

    def offer_idle(self, waiter: Waiter[T], now: float) -> bool:
        """Serve the queue from the idle clients, or begin the check of one for this caller; False if none is left."""
        while True:
            item = self._pop_idle()
            if item is None:
                return False
            if not item.warm:
                self._hand_over(item, AllocationTier.COLD, waiter, now)
                return True
            answer = item.hooks.begin_check(item.resource) if self.needs_check(item, now) else True
            if isinstance(answer, bool):
                if answer:
                    item.proved_at = now
                    self._hand_over(item, AllocationTier.WARM, waiter, now)
                    return True
                self.refuse(item)
            else:
                self._begin_check(item, waiter, answer)
                return True

    def needs_check(self, item: Item[T], now: float) -> bool:
        """Whether an idle client must be checked before it is handed out."""
        if item.hooks.check is None:
            return True  # the look at `is_ready` costs nothing
        quiet = now - max(item.idle_since, item.proved_at)
        return quiet > self._engine.settings.check_idle_over_sec

    def is_sound(self, item: Item[T], now: float) -> bool:
        """Whether an idle client can be handed out after a look at `is_ready` at most."""
        if item.hooks.check is not None:
            return not self.needs_check(item, now)
        return item.hooks.is_usable(item.resource)

    def check_idle(self, item: Item[T], now: float) -> "asyncio.Task[None] | None":
        """Check a client that stays idle; the task of it when the check is asynchronous."""
        self._stock.idle.remove(item)
        answer = item.hooks.begin_check(item.resource)
        if not isinstance(answer, bool):
            return self._begin_check(item, None, answer)
        if answer:
            item.proved_at = now
            self._stock.idle.appendleft(item)
        else:
            self.refuse(item)
        return None

    def warm_again(self, item: Item[T]) -> None:
        """Try once more to warm up a client whose warm-up failed."""
        attempt: Attempt[T] = Attempt()
        self._stock.unwarmed.remove(item)
        self._stock.begin_check(attempt, item, ItemState.WARMING)
        self._spawn(self._warm_again(attempt, item), "warm")

    def refuse(self, item: Item[T]) -> None:
        """Close a client in no place that failed its check."""
        self._engine.stats.counts["checks_failed"] += 1
        self._engine.tell("check_failed")
        self._engine.returns.close(item, "check")

    async def _make(self, attempt: Attempt[T]) -> None:
        engine, hooks, began = self._engine, self._engine.hooks, self._engine.clock.now()
        try:
            # No suspension between the factory's return and `add`: what is made is known.
            resource = await hooks.create()
            item = self._register(attempt, resource, hooks)
        except FAILURES as error:
            self._failed(attempt, error)
            return
        except BaseException as error:
            self._failed(attempt, error)
            raise
        item.warm = await self._warm(item)
        item.survey()
        now = engine.clock.now()
        loser = self._stock.end(attempt)
        self._succeeded(now - began)
        engine.place(item, AllocationTier.COLD, loser, now)
        engine.drive(now)

    def _register(self, attempt: Attempt[T], resource: T, hooks: "Hooks[T]") -> Item[T]:
        engine, stock, now = self._engine, self._stock, self._engine.clock.now()
        if stock.holds(resource) is not None:
            raise PoolError(f"[{engine.name}] the factory returned a client the pool already holds; return a new one")
        item = Item(resource, hooks, now=now, jitter=engine.ages.draw_jitter())
        engine.ages.set_lifetime(item)
        engine.returns.remembered.discard(resource)
        stock.add(item, attempt)
        engine.stats.made += 1
        return item

    async def _warm(self, item: Item[T]) -> bool:
        try:
            await item.hooks.warm(item.resource)
        except FAILURES as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                item.ending = "shutdown"  # the pool or the loop ends; a half-warmed client is of no use
                return False
            self._warm_failed(item, error)
            return False
        return True

    def _warm_failed(self, item: Item[T], error: BaseException) -> None:
        engine, now = self._engine, self._engine.clock.now()
        item.warm_failures += 1
        pause = engine.circuit.pause(engine.settings, item.warm_failures)
        item.warm_retry_at = now + max(pause, asked_pause(error))
        engine.circuit.hold(error, now)
        engine.clock.wake_at(min(item.warm_retry_at, item.lives_until))
        engine.stats.counts["warmup_failures"] += 1
        logger.warning("[%s] warm-up failed: %s", engine.name, type(error).__name__)
        engine.tell("warm_failed", error=error)

    def _succeeded(self, seconds: float) -> None:
        engine = self._engine
        engine.sizer.created(seconds)
        engine.health.short_since = None
        engine.tell("item_made", seconds=seconds)
        if engine.circuit.succeeded(engine.settings):
            engine.tell("circuit_closed")
        engine.ages.warm_the_rest(engine.clock.now())
        engine.health.announce()
        engine.clock.wake_at(engine.ages.horizon(engine.clock.now()))

    def _failed(self, attempt: Attempt[T], error: BaseException) -> None:
        engine, now = self._engine, self._engine.clock.now()
        engine.stats.counts["creations_failed"] += 1
        loser = self._stock.end(attempt)
        if loser is None:
            engine.stats.counts["warmup_failures"] += 1
        elif not self._stock.adopt(loser):
            self._stock.leave(loser)
            loser.fail(self._as_told(error), "error")
        if not engine.health.is_closed:
            logger.warning("[%s] creation failed: %s", engine.name, type(error).__name__)
            engine.tell("creation_failed", error=error)
            if engine.circuit.failed(error, engine.settings, now):
                engine.tell("circuit_opened", failures=engine.circuit.failures)
            engine.health.announce()
        engine.drive(now)

    def _as_told(self, error: BaseException) -> BaseException:
        if not isinstance(error, asyncio.CancelledError):
            return error
        # A caller that gets CancelledError takes it for its own cancellation.
        told = PoolError(f"[{self._engine.name}] the creation was cancelled")
        told.__cause__ = error
        return told

    def _spawn(self, coroutine: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
        task = self._engine.spawn(coroutine, what)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _hand_over(self, item: Item[T], tier: AllocationTier, waiter: Waiter[T], now: float) -> None:
        if not self._stock.hand_over(item, tier, waiter, now):  # a check of the caller's made everyone go away
            (self._stock.idle if item.warm else self._stock.unwarmed).append(item)

    def _pop_idle(self) -> Item[T] | None:
        stock = self._stock
        for place in (stock.idle, stock.retiring, stock.unwarmed):
            if place:
                return place.pop()
        return None

    def _begin_check(self, item: Item[T], waiter: Waiter[T] | None, answer: Awaitable[bool]) -> "asyncio.Task[None]":
        attempt = Attempt(waiter)
        self._stock.begin_check(attempt, item, ItemState.CHECKING)
        return self._spawn(self._check(attempt, item, answer), "check")

    async def _check(self, attempt: Attempt[T], item: Item[T], answer: Awaitable[bool]) -> None:
        try:
            good = await answer
        except asyncio.CancelledError:
            good = False  # the client must get an owner all the same; nothing is awaited from here to the task's end
        now = self._engine.clock.now()
        loser = self._stock.end(attempt)
        if not good:
            self.refuse(item)
        else:
            item.proved_at = now
            self._engine.place(item, AllocationTier.WARM, loser, now, idle_since=item.idle_since)
        self._engine.drive(now)

    async def _warm_again(self, attempt: Attempt[T], item: Item[T]) -> None:
        item.warm = await self._warm(item)
        item.survey()
        now = self._engine.clock.now()
        loser = self._stock.end(attempt)
        if item.warm:
            self._engine.ages.warm_the_rest(now)
        self._engine.place(item, AllocationTier.COLD, loser, now)
        self._engine.drive(now)
