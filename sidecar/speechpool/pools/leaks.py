"""Clients that are out for longer than anyone should need one."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from .clock import NEVER
from .item import Item

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Leaks"]

logger = logging.getLogger("speechpool.pools")

T = TypeVar("T")

_HERE = str(Path(__file__).parent)


class Leaks(Generic[T]):
    """Remembers where clients were acquired, and tells of those that do not come back.

    Args:
        engine: The pool's engine.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: "Engine[T]") -> None:
        self._engine = engine

    @property
    def watched(self) -> bool:
        """Whether every anonymous client is watched."""
        return self._engine.settings.leak_after_sec is not None

    def note(self, item: Item[T], now: float) -> None:
        """Remember when and where a client was acquired."""
        item.granted_at, item.site, item.leak_after = now, _call_site(), None

    def judge(self, now: float) -> float:
        """Tell of every client that is out for too long; when to judge again."""
        stock, limit, when = self._engine.stock, self._engine.settings.leak_after_sec, NEVER
        for item in (*stock.out.values(), *stock.sessions.values()):
            after = item.leak_after
            if after is None and item.session is None:  # sessions go stale instead, unless a lease says otherwise
                after = limit
            if after is None:
                continue
            if item.granted_at + after <= now:
                self.suspect(item, now)
            else:
                when = min(when, item.granted_at + after)
        return when

    def suspect(self, item: Item[T], now: float) -> None:
        """Tell of a client that is out for too long, once for each use."""
        item.leak_after = NEVER
        engine, seconds = self._engine, now - item.granted_at
        engine.stats.counts["leaks_suspected"] += 1
        logger.warning("[%s] a client is out for %.0f s, acquired at %s", engine.name, seconds, item.site or "unknown")
        engine.tell("leak_suspected", seconds=seconds, site=item.site)


def _call_site() -> str:
    """Where this package was called from."""
    frame = sys._getframe()  # noqa: SLF001  # inspect.currentframe() is the same, with None to rule out
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
