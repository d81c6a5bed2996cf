"""How a pool is: what it says of itself, and what it tells those who wait for it."""

from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from .changes import Changes
from .clock import NEVER, SLACK_SEC
from .tiers import PoolState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Health", "Life"]

T = TypeVar("T")

LEAST_SHORT_SEC = 0.1
"""Too few idle for less than this is traffic, however fast creations are. A guess."""


class Life(Enum):
    """What was asked of the pool last; its state follows from this and from its stock."""

    NEW = "new"
    PREPARING = "preparing"
    OPEN = "open"
    CLOSED = "closed"


class Health(Generic[T]):
    """The state of one pool.

    Args:
        engine: The pool's engine.
    """

    __slots__ = ("_engine", "_stock", "_told", "changes", "life", "short_since")

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine
        self._stock = engine.stock
        self.life = Life.NEW
        self.changes = Changes()
        self.short_since: float | None = None
        self._told = PoolState.NEW

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
        return any(item.hooks.generation != self._stock.generation for item in self._stock.retiring)

    @property
    def is_degraded(self) -> bool:
        """Whether creation fails, or too few are idle and none was made for longer than two creations take."""
        if self._engine.circuit.failures or self._stock.unwarmed:
            return True
        if self.short_since is None or not self._stock.is_short:
            return False
        # The timer that tells of it may be early by as much.
        return self._engine.clock.now() + SLACK_SEC >= self._degraded_at(self.short_since)

    @property
    def degrades_at(self) -> float:
        """When too few idle will have been too few for too long; never, if they are not or have been."""
        if self.short_since is None or self.is_degraded:
            return NEVER
        return self._degraded_at(self.short_since)

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
        stock = self._stock
        if stock.idle or stock.retiring or not stock.target or not self.is_degraded:
            return True
        return bool(stock.out or stock.sessions) and not (self._engine.circuit.failures or stock.unwarmed)

    def move(self, life: Life) -> None:
        """Take the next step of the pool's life."""
        self.life = life
        self.announce()

    def note_level(self, now: float) -> None:
        """Follow up a change of the stock: since when too few are idle."""
        short = self._stock.is_short
        if short is not (self.short_since is None):
            return
        self.short_since = now if short else None
        if short:
            self._engine.clock.wake_at(self._degraded_at(now))
        elif self._told is PoolState.DEGRADED or self.changes.awaited:
            self.announce()

    def announce(self) -> None:
        """Tell of the state if it changed, and have those who wait for it look again."""
        state = self.state
        if state is not self._told:
            old, self._told = self._told, state
            self._engine.tell("state_changed", old=old, new=state)
        self.changes.notify()

    def _degraded_at(self, since: float) -> float:
        # Before the first creation its time is unknown; the limit of one is what is known.
        span = self._engine.sizer.creation_sec
        return since + (self._engine.settings.create_timeout if span is None else max(2 * span, LEAST_SHORT_SEC))
