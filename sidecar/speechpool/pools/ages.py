"""Limits of age, judged while clients idle and when they come back, never while they are in use."""

from typing import TYPE_CHECKING, Generic, TypeVar

from .clock import NEVER
from .item import Item
from .tiers import ItemState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Ages"]

T = TypeVar("T")

JITTER = 0.1
"""Each client's limits are shortened by up to this share, so that what was made together is not replaced together."""


class Ages(Generic[T]):
    """Judges the clients of one pool by age.

    Args:
        engine: The pool's engine.
    """

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock

    def draw_jitter(self) -> float:
        """The share of every limit that holds for one client."""
        return self._engine.rng.uniform(1.0 - JITTER, 1.0)

    def set_lifetime(self, item: Item[T]) -> None:
        """Set when a client is too old, from the settings in force."""
        limit = self._engine.settings.max_lifetime_sec
        item.live_until(NEVER if limit is None else item.made_at + limit * item.jitter)

    def renew(self) -> None:
        """Judge every client by changed limits, with fresh jitter."""
        for item in self._stock.items.values():
            item.jitter = self.draw_jitter()
            self.set_lifetime(item)

    def horizon(self, now: float) -> float:
        """Before when nothing that becomes idle, out or leased from now on can be due."""
        settings = self._engine.settings
        limits = (settings.max_idle_sec, settings.max_lifetime_sec, settings.keepalive_sec, settings.leak_after_sec)
        spans = [limit * (1.0 - JITTER) for limit in limits if limit is not None]
        if settings.session_awareness:
            spans.append(settings.session_max_age_sec)
        if self._stock.target:
            spans.append(settings.keep_window_sec / 8)
        return now + min(spans, default=NEVER)

    def judge(self, now: float) -> float:
        """Retire, close, check and warm again what is due; when to judge again."""
        stock, engine = self._stock, self._engine
        when = min(self._idle(now), self._unwarmed(now), engine.leaks.judge(now))
        if not stock.items:
            return when
        if stock.target:
            when = min(when, engine.peak.roll(stock.owned, engine.settings.keep_window_sec, now))
        return min(when, self.horizon(now))

    def _idle(self, now: float) -> float:
        stock, when = self._stock, NEVER
        for item in tuple(stock.idle):
            if item.lives_until <= now or self._idle_until(item) <= now:
                stock.retire(item)
                continue
            if stock.stocked > stock.target and item.idle_since + self._engine.settings.keep_window_sec <= now:
                stock.remove_idle(item, ItemState.CLOSING)
                self._engine.returns.close(item, "idle")
                continue
            alive_until = self._alive_until(item)
            if alive_until <= now:
                self._engine.maker.check_idle(item, now)
                alive_until = self._alive_until(item)
            when = min(when, item.lives_until, self._idle_until(item), alive_until)
        return when

    def warm_the_rest(self, now: float) -> None:
        """Something went well after a pause that was asked for: what waited for that need wait no longer."""
        if self._engine.circuit.release(now):
            for item in self._stock.unwarmed:
                item.warm_retry_at = now
            self._engine.clock.wake_at(now)

    def _unwarmed(self, now: float) -> float:
        stock, when = self._stock, NEVER
        for item in tuple(stock.unwarmed):
            if item.lives_until <= now:
                stock.remove_idle(item, ItemState.CLOSING)
                self._engine.returns.close(item, "lifetime")
                continue
            self._take_turn(item, now)
            if item.warm_retry_at <= now:
                self._engine.maker.warm_again(item)
            else:
                when = min(when, item.lives_until, item.warm_retry_at)
        return when

    def _take_turn(self, item: Item[T], now: float) -> None:
        """Around a pause that was asked for, let one client at a time be warmed up again."""
        circuit, stock = self._engine.circuit, self._stock
        if circuit.is_held and (now < circuit.held_until or stock.checking or stock.creating):
            item.warm_retry_at = max(
                item.warm_retry_at, circuit.held_until, now + self._engine.settings.backoff_initial_sec
            )

    def _idle_until(self, item: Item[T]) -> float:
        limit = self._engine.settings.max_idle_sec
        return NEVER if limit is None else item.idle_since + limit * item.jitter

    def _alive_until(self, item: Item[T]) -> float:
        limit = self._engine.settings.keepalive_sec
        return NEVER if limit is None else max(item.idle_since, item.proved_at) + limit * item.jitter
