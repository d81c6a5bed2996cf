"""The pool that keeps nothing: each client is made for its caller, sessions keep theirs."""

import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Unpack

from speechpool.errors import SettingsError

from .settings import PoolChanges, PoolOptions
from .tiers import AllocationTier
from .warmable_pool import WarmableResourcePool

__all__ = ["AllocationTier", "OnDemandResourcePool"]

T = TypeVar("T")

STOCK_SETTINGS = frozenset(
    {
        "warm_pool_size",
        "enable_background_warmup",
        "warmup_interval_sec",
        "warm_pool_max",
        "cold_target",
        "max_refilling",
        "recycle_sessions",
    }
)
"""What has no meaning without a stock."""


class OnDemandResourcePool(WarmableResourcePool[T]):
    """A `WarmableResourcePool` with nothing idle: bounds, deadlines, sessions, resets and closes are the same.

    Args:
        factory: Makes a client.
        name: For logs, errors and snapshots.
        on_event: As for `WarmableResourcePool`.
        clock: As for `WarmableResourcePool`.
        rng: As for `WarmableResourcePool`.
        settings: Every other argument of `WarmableResourcePool` but those of the stock.

    Raises:
        SettingsError: An argument is unknown, of the wrong kind or out of its bounds.
    """

    def __init__(
        self,
        *,
        factory: Callable[[], Any],
        name: str,
        on_event: Callable[..., object] | None = None,
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
        **settings: Unpack[PoolOptions],
    ) -> None:
        _refuse_stock(settings)
        super().__init__(
            factory=factory,
            name=name,
            on_event=on_event,
            clock=clock,
            rng=rng,
            **settings,
        )

    def reconfigure(self, **changes: Unpack[PoolChanges]) -> dict[str, Any]:
        """Change settings while in use, all of them or none; the old values.

        Raises:
            SettingsError: A name is unknown or without meaning here, or a value wrong; nothing was changed.
        """
        _refuse_stock(changes)
        return super().reconfigure(**changes)

    def snapshot(self) -> dict[str, Any]:
        """State, sizes and counters as plain data, with the seed's two names for lookups and creations."""
        snapshot = super().snapshot()
        metrics = snapshot["metrics"]
        metrics["allocations_cached"] = metrics["allocations_dedicated"]
        metrics["allocations_new"] = metrics["allocations_warm"] + metrics["allocations_cold"]
        return snapshot


def _refuse_stock(settings: Mapping[str, object]) -> None:
    problems = tuple(f"{name} has no meaning for a pool on demand" for name in settings if name in STOCK_SETTINGS)
    if problems:
        raise SettingsError("\n".join(problems), problems=problems)
