"""What a pool runs on: one clock, one timer, tasks of its own, and the one place that decides what is missing."""

import asyncio
import contextlib
import logging
import random
import sys
import time
from collections.abc import Callable, Coroutine
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from .ages import Ages
from .changes import Changes
from .circuit import Circuit, Pace
from .hooks import Hooks
from .item import Item, Waiter
from .lifecycle import Lifecycle
from .maker import Maker
from .queue import Queue
from .returns import Rest, Returns
from .sessions import Sessions
from .settings import PoolSettings
from .sizing import Sizer
from .stats import Peak, Stats
from .stock import Stock
from .tiers import AllocationTier, PoolState

__all__ = ["Engine", "Life"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")
NEVER = float("inf")

LEAST_SHORT_SEC = 0.1
"""Too few idle for less than this is traffic, however fast creations are. A guess."""

TIMER_SLACK_SEC = 0.001
"""A timer this early counts as on time; the coarsest clock of a supported loop has milliseconds (uvloop)."""

_HERE = str(Path(__file__).parent)


class Life(Enum):
    """What was asked of the pool last; its state follows from this and from its stock."""

    NEW = "new"
    PREPARING = "preparing"
    OPEN = "open"
    CLOSED = "closed"


class Engine(Generic[T]):
    """The parts of one pool and what moves them.

    Args:
        pool: What `on_event` is given.
        name: For logs, errors and tasks.
        settings: The settings to begin with.
        on_event: Told of everything worth counting; its failures are logged and do no harm.
        clock: Seconds, never going back; the running loop's time by default.
        rng: Source of jitter.
    """

    __slots__ = (
        "_clock",
        "_loop",
        "_on_event",
        "_timer",
        "_told",
        "ages",
        "changes",
        "circuit",
        "cycle_at",
        "due",
        "hooks",
        "idle_limit",
        "life",
        "lifecycle",
        "maker",
        "mark",
        "name",
        "noted",
        "now",
        "pace",
        "peak",
        "pool",
        "queue",
        "returns",
        "rng",
        "sessions",
        "settings",
        "short_since",
        "sizer",
        "stats",
        "stock",
        "tasks",
        "watched",
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
        self.pool = pool
        self.name = name
        self.settings = settings
        self.rng = rng or random.Random()
        self.life = Life.NEW
        self.hooks: Hooks[T] = Hooks(settings, 0)
        self.peak = Peak()
        self.stock: Stock[T] = Stock(target=settings.warm_pool_size, max_size=settings.max_size, peak=self.peak)
        self.stats = Stats()
        self.sizer = Sizer()
        self.circuit = Circuit(self.rng)
        self.pace = Pace()
        self.maker: Maker[T] = Maker(self)
        self.returns: Returns[T] = Returns(self)
        self.queue: Queue[T] = Queue(self)
        self.sessions: Sessions[T] = Sessions(self)
        self.ages: Ages[T] = Ages(self)
        self.lifecycle: Lifecycle[T] = Lifecycle(self)
        self.changes = Changes()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.due = -NEVER  # the first call comes by `tend`, which finds out what is due when
        self.watched = settings.leak_after_sec is not None
        self.noted = self.watched  # each grant is logged or its place remembered
        self.mark: float = 0  # a grant that leaves fewer idle than this has consequences
        self.idle_limit = 0  # a release that finds as many idle does not stock; none does while someone waits
        self.short_since: float | None = None
        self.cycle_at = NEVER
        self.now: Callable[[], float] = clock or self._first_now
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_event = on_event
        self._timer: asyncio.TimerHandle | None = None
        self._told = PoolState.NEW

    # --- clock, timer, tasks, events

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, whose clock is the pool's own unless one was given."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            if self._clock is None:
                # The clock under these two, without the first one's detour (30 ns of each acquire) and the second
                # one's rounding to milliseconds. Any other loop may have a time of its own.
                standard = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
                known = standard or type(loop).__module__.partition(".")[0] == "uvloop"
                self.now = time.monotonic if known else loop.time
        return loop

    @property
    def has_loop(self) -> bool:
        """Whether the pool was used in a loop yet."""
        return self._loop is not None

    def _first_now(self) -> float:
        with contextlib.suppress(RuntimeError):  # a snapshot before there is a loop
            return self.loop().time()
        return 0.0

    def wake_at(self, when: float) -> None:
        """Have `tend` called at this time at the latest."""
        if when >= self.due or self.is_closed:
            return
        self.due = when
        self.stop_timer()
        self._timer = self.loop().call_later(max(0.0, when - self.now()), self._on_timer)

    def stop_timer(self) -> None:
        """Forget the timer; `due` stays as it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now = self.now()
        # A loop may be early by its clock's resolution; what is due by then is due.
        self.tend(self.due if now < self.due < now + TIMER_SLACK_SEC else now)

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
        self.stop_timer()
        self.due = NEVER
        self.stock.observe(observed=logger.isEnabledFor(logging.DEBUG))
        self.noted = self.stock.observed or self.watched
        when = min(self.queue.end_waits(now), self.sessions.sweep(now), self.ages.judge(now), self._cycle(now))
        self.drive(now)
        self.announce()
        self.wake_at(when)

    def drive(self, now: float) -> None:
        """Serve who can be served, begin what is missing, close what is replaced; called at every change."""
        if self.is_closed:
            return
        stock = self.stock
        if stock.waiters and not stock.stuck:
            self._serve(now)
        if self.lifecycle.unfilled:
            self.lifecycle.fill(now)
        if stock.shortage > 0 and stock.room >= 1:
            self._refill(now)
        if stock.retiring:
            for item in stock.replaced():
                self.returns.close(item, stock.unfit(item, now) or "idle")
            self.announce()
        self.note_levels(now)

    def follow_up(self, item: Item[T], now: float) -> None:
        """Follow up a grant that took the idle clients below the mark."""
        if self.noted:
            self.note(item, AllocationTier.WARM, now)
        self.drive(now)

    def note(self, item: Item[T], tier: AllocationTier, now: float) -> None:
        """Log a grant, and remember its place for the leak detector."""
        if self.watched:
            item.granted_at, item.site, item.leak_after = now, _call_site(), None
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
        reason = "shutdown" if self.is_closed else self.stock.unfit(item, now)
        if reason is None and not self.stock.hand_over(item, tier, loser, now):
            item.idle_since = now if idle_since is None else idle_since
            reason = self.stock.put(item)
        return self.returns.close(item, reason) if reason is not None else None

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
        if not allowed and self.circuit.failures and not free:
            self.wake_at(self.circuit.retry_at)
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
        self.wake_at(self.pace.next_at(settings.creations_per_minute))
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

    # --- state

    def begin_preparing(self) -> float:
        """Note that the stock is being filled for the first time since the pool was new or shut down; the time."""
        self.loop()
        if self.life in (Life.NEW, Life.CLOSED):
            self.life = Life.PREPARING
            self.due = -NEVER
            self.circuit.reset()
            self.announce()
        return self.now()

    def unprepare(self) -> None:
        """Go back to new: the preparation was cancelled."""
        self.life = Life.NEW
        self.announce()

    def open(self, now: float) -> None:
        """Begin to keep the stock filled."""
        self.life = Life.OPEN
        self.set_target(None, now)
        self.tend(now)

    def shut(self) -> None:
        """Stop serving; nothing is begun from now on."""
        self.life = Life.CLOSED
        self.stock.refilling = False
        self.cycle_at = self.due = NEVER
        self.stop_timer()
        self.announce()

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
        self.stock.refilling = settings.enable_background_warmup and self.stock.target > 0 and self.life is Life.OPEN

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
            stock.refilling = settings.enable_background_warmup and self.life is Life.OPEN
            self.tell("resized", old=old, new=size)

    def restart_cycle(self) -> None:
        """Count the interval from now."""
        self.cycle_at = NEVER

    # --- state

    @property
    def is_closed(self) -> bool:
        """Whether the pool is shut down."""
        return self.life is Life.CLOSED

    @property
    def is_preparing(self) -> bool:
        """Whether `prepare()` is under way."""
        return self.life is Life.PREPARING

    @property
    def is_draining(self) -> bool:
        """Whether clients of an older generation are idle."""
        return any(item.hooks.generation != self.stock.generation for item in self.stock.retiring)

    @property
    def is_degraded(self) -> bool:
        """Whether creation fails, or too few are idle and none was made for longer than two creations take."""
        if self.circuit.failures or self.stock.unwarmed:
            return True
        return (
            self.short_since is not None and self.stock.is_short and self.now() >= self._degraded_at(self.short_since)
        )

    @property
    def state(self) -> PoolState:
        """What the pool is doing."""
        if self.life is not Life.OPEN:
            return PoolState(self.life.value)
        if self.is_draining:
            return PoolState.DRAINING
        return PoolState.DEGRADED if self.is_degraded else PoolState.READY

    @property
    def ready(self) -> bool:
        """Whether the pool is open and, if it should hold warm clients, can be expected to serve.

        A degraded pool is with one idle; one that is only exhausted, with nothing failing, is too.
        """
        if self.life is not Life.OPEN:
            return False
        stock = self.stock
        if stock.idle or stock.retiring or not stock.target or not self.is_degraded:
            return True
        return bool(stock.out or stock.sessions) and not (self.circuit.failures or stock.unwarmed)

    def note_levels(self, now: float) -> None:
        """Follow up a change: the most clients out at once, the marks of the fast paths, since when too few idle."""
        stock, idle = self.stock, len(self.stock.idle)
        self.peak.note(stock.owned)
        # Below the mark a grant has consequences: a refill, if there is room for one, or a new most at once.
        self.mark = NEVER if self.noted else max(stock.goal if stock.room >= 1 else 0, idle)
        self.idle_limit = 0 if stock.waiters else stock.keep_size - stock.stocked + idle
        short = stock.is_short
        if short is (self.short_since is None):
            self.short_since = now if short else None
            if short:
                self.wake_at(self._degraded_at(now))
            elif self._told is PoolState.DEGRADED or self.changes.awaited:
                self.announce()

    def announce(self) -> None:
        """Tell of the state if it changed, and have those who wait for it look again."""
        state = self.state
        if state is not self._told:
            old, self._told = self._told, state
            self.tell("state_changed", old=old, new=state)
        self.changes.notify()

    def _degraded_at(self, since: float) -> float:
        # Before the first creation its time is unknown; the limit of one is what is known.
        span = self.sizer.creation_sec
        return since + (self.settings.create_timeout if span is None else max(2 * span, LEAST_SHORT_SEC))


def _call_site() -> str:
    """Where this package was called from."""
    frame = sys._getframe()  # noqa: SLF001  # inspect.currentframe() is the same, with None to rule out
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
