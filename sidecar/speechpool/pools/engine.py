"""What a pool runs on: one clock, one timer, tasks of its own, and the one place that decides what is missing."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from speechpool.errors import SettingsError

from .ages import Ages
from .circuit import Circuit, Pace
from .clock import NEVER, Clock
from .health import Health, Life
from .hooks import Hooks
from .item import Item, Waiter
from .leaks import Leaks
from .lifecycle import Lifecycle
from .maker import Maker
from .queue import Queue
from .returns import Rest, Returns
from .sessions import Sessions
from .settings import PoolSettings
from .sizing import Sizer
from .stats import Peak, Stats
from .stock import Stock
from .tiers import AllocationTier

__all__ = ["Engine"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")


class Engine(Generic[T]):
    """The parts of one pool and what moves them.

    Args:
        pool: What `on_event` is given.
        name: For logs, errors and tasks.
        settings: The settings to begin with.
        on_event: Told of everything worth counting; its failures are logged and do no harm.
        clock: Seconds, never going back; the running loop's time by default.
        rng: Source of jitter.

    Raises:
        SettingsError: The name is no text, or empty.
    """

    __slots__ = (
        "_on_event",
        "ages",
        "circuit",
        "clock",
        "cycle_at",
        "health",
        "hooks",
        "idle_limit",
        "leaks",
        "lifecycle",
        "maker",
        "mark",
        "name",
        "noted",
        "pace",
        "peak",
        "pool",
        "queue",
        "returns",
        "rng",
        "sessions",
        "settings",
        "sizer",
        "stats",
        "stock",
        "tasks",
    )

    def __init__(
        self,
        pool: object,
        *,
        name: str,
        settings: PoolSettings,
        on_event: Callable[..., object] | None,
        clock: Callable[[], float] | None,
        rng: random.Random | None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise SettingsError(f"name must be a text that is not empty, got a {type(name).__name__}")
        self.pool = pool
        self.name = name
        self.settings = settings
        self.rng = rng or random.Random()
        self.hooks: Hooks[T] = Hooks(settings, 0)
        self.peak = Peak()
        self.stock: Stock[T] = Stock(target=settings.warm_pool_size, max_size=settings.max_size, peak=self.peak)
        self.stats = Stats()
        self.sizer = Sizer()
        self.circuit = Circuit(self.rng)
        self.pace = Pace()
        self.clock = Clock(clock, self.tend)
        self.health: Health[T] = Health(self)
        self.leaks: Leaks[T] = Leaks(self)
        self.maker: Maker[T] = Maker(self)
        self.returns: Returns[T] = Returns(self)
        self.queue: Queue[T] = Queue(self)
        self.sessions: Sessions[T] = Sessions(self)
        self.ages: Ages[T] = Ages(self)
        self.lifecycle: Lifecycle[T] = Lifecycle(self)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.noted = self.leaks.watched  # each grant is logged or its place remembered
        self.mark: float = 0  # a grant that leaves fewer idle than this has consequences
        self.idle_limit = 0  # a release that finds as many idle does not stock; none does while someone waits
        self.cycle_at = NEVER
        self._on_event = on_event

    # --- tasks and events

    def spawn(self, coroutine: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
        """Run a coroutine in a task of the pool's own."""
        task = asyncio.create_task(coroutine, name=f"{self.name}-{what}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def tell(self, event: str, **facts: object) -> None:
        """Pass an event on."""
        if self._on_event is None:
            return
        try:
            self._on_event(event, self.pool, **facts)
        except Exception:
            logger.exception("[%s] on_event failed for %s", self.name, event)

    # --- what is due and what is missing

    def tend(self, now: float) -> None:
        """Do what is due by time, then re-check what is missing."""
        self.clock.stop()
        if self.health.is_closed:
            return
        when = min(self.queue.end_waits(now), self.sessions.sweep(now), self.ages.judge(now), self._cycle(now))
        self.drive(now)
        self.health.announce()
        self.clock.wake_at(min(when, self.health.degrades_at))

    def drive(self, now: float) -> None:
        """Serve who can be served, begin what is missing, close what is replaced; called at every change."""
        if self.health.is_closed:
            return
        self._look_who_listens()
        stock = self.stock
        if stock.waiters and not stock.stuck:
            self._serve(now)
        if stock.retiring:
            for item in stock.replaced():
                self.returns.close(item, stock.unfit(item, now) or "idle")
            self.health.announce()
        if self.lifecycle.unfilled:
            self.lifecycle.fill(now)
        if stock.shortage > 0 and stock.room >= 1:
            self._refill(now)
        self.note_levels(now)

    def follow_up(self, item: Item[T], now: float) -> None:
        """Follow up a grant that took the idle clients below the mark."""
        self._look_who_listens()
        if self.noted:
            self.note(item, AllocationTier.WARM, now)
        self.drive(now)

    def note(self, item: Item[T], tier: AllocationTier, now: float) -> None:
        """Log a grant, and remember its place for the leak detector."""
        if self.leaks.watched:
            self.leaks.note(item, now)
        if self.stock.observed:
            logger.debug("[%s] Acquired %s resource", self.name, tier.name)

    def place(
        self,
        item: Item[T],
        tier: AllocationTier,
        loser: Waiter[T] | None,
        now: float,
        *,
        idle_since: float | None = None,
    ) -> Rest:
        """Give a clean client that is in no place to who waits longest, to the idle ones, or up.

        Args:
            item: The client.
            tier: What it is to a caller who waits.
            loser: The caller whose own attempt brought it, if one did.
            now: The time.
            idle_since: Since when it idles, if it comes from the idle ones.
        """
        reason = "shutdown" if self.health.is_closed else self.stock.unfit(item, now)
        if reason is None and not self.stock.hand_over(item, tier, loser, now):
            item.idle_since = now if idle_since is None else idle_since
            reason = self.stock.put(item)
        elif reason == "generation" and self.stock.retain(item, now):
            item.idle_since = now
            reason = None
        return self.returns.close(item, reason) if reason is not None else None

    def note_levels(self, now: float) -> None:
        """Follow up a change of the stock: the most clients out at once, and the marks of the fast paths."""
        stock, idle = self.stock, len(self.stock.idle)
        self.peak.note(stock.owned)
        # Below the mark a grant has consequences: a refill, if there is room for one, or a new most at once.
        self.mark = NEVER if self.noted else max(stock.goal if stock.room >= 1 else 0, idle)
        self.idle_limit = 0 if stock.waiters or stock.excess else stock.keep_size - stock.stocked + idle
        self.health.note_level(now)

    def _look_who_listens(self) -> None:
        # Asked at every change, not at every call: it costs as much as half a release.
        self.stock.observe(observed=logger.isEnabledFor(logging.DEBUG))
        self.noted = self.stock.observed or self.leaks.watched

    def _serve(self, now: float) -> None:
        stock = self.stock
        for waiter in stock.without_attempt():
            if self.maker.offer_idle(waiter, now):
                continue
            own = stock.shortage > 0 and self.may_create(now)
            if own:
                self.maker.start(waiter, now)
            elif not stock.adopt(waiter):
                return

    def _refill(self, now: float) -> None:
        stock = self.stock
        free = sum(attempt.waiter is None for attempt in stock.creating)
        allowed = self.circuit.refills(self.settings, free, now)
        if not allowed and self.circuit.is_slow and not free:
            self.clock.wake_at(self.circuit.next_at)
        for _ in range(min(allowed, stock.shortage)):
            if not self.may_create(now):
                return
            self.maker.start(None, now)

    def may_create(self, now: float) -> bool:
        """Whether the hard limits allow one more creation now."""
        settings = self.settings
        if self.stock.room < 1:
            return False
        if settings.max_creating is not None and len(self.stock.creating) >= settings.max_creating:
            return False
        if self.pace.room(settings.creations_per_minute, now):
            return True
        assert settings.creations_per_minute is not None
        self.clock.wake_at(self.pace.next_at(settings.creations_per_minute))
        return False

    def _cycle(self, now: float) -> float:
        if not self.stock.refilling:
            self.cycle_at = NEVER
        elif self.cycle_at == NEVER:
            self.cycle_at = now + self.settings.warmup_interval_sec
        elif now >= self.cycle_at:
            self.stats.warmup_cycles += 1
            self.cycle_at = now + self.settings.warmup_interval_sec
            self.resize(now)
        return self.cycle_at

    # --- life

    def begin_preparing(self) -> float:
        """Note that the stock of a new or closed pool is being filled; the time."""
        self.clock.loop()
        if self.health.life in (Life.NEW, Life.CLOSED):
            self.clock.restart()
            self.circuit.reset()
            self.health.move(Life.PREPARING)
        return self.clock.now()

    def open(self, now: float) -> None:
        """Begin to keep the stock filled."""
        self.health.move(Life.OPEN)
        self.set_target(None, now)
        self.tend(now)

    def shut(self) -> None:
        """Stop serving; nothing is begun from now on."""
        self.health.move(Life.CLOSED)
        self.stock.refilling = False
        self.cycle_at = NEVER
        self.clock.stop()

    # --- the target

    def set_target(self, size: int | None, now: float) -> None:
        """Set how many clients should be warm, and whether they are refilled.

        Args:
            size: The new size; None leaves it to the settings and to what the traffic needs.
            now: The time.
        """
        settings = self.settings
        if size is not None or settings.warm_pool_max is None:
            self.stock.target = settings.warm_pool_size
        self.resize(now)
        self._set_refilling()

    def resize(self, now: float) -> None:
        """Follow the traffic between `warm_pool_size` and `warm_pool_max`."""
        settings, stock = self.settings, self.stock
        least, most = settings.warm_pool_size, settings.warm_pool_max
        if most is None or most <= least:
            return
        wanted = self.sizer.recommend(settings.cold_target, now)
        size = least if wanted is None else max(least, min(most, wanted))
        if size != stock.target:
            old, stock.target = stock.target, size
            self._set_refilling()
            self.tell("resized", old=old, new=size)

    def _set_refilling(self) -> None:
        wanted = self.settings.enable_background_warmup and self.stock.target > 0
        self.stock.refilling = wanted and self.health.life is Life.OPEN

    def restart_cycle(self) -> None:
        """Count the interval from now."""
        self.cycle_at = NEVER
