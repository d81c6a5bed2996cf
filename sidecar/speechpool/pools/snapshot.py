"""What a pool says about itself; every gauge is computed at the moment it is asked for."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .stats import FAILURES
from .tiers import ItemState

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["ItemFacts", "item_facts", "snapshot"]

T = TypeVar("T")

EVENT_COUNTERS = (
    "warmup_failures",
    "creations_started",
    "creations_failed",
    "checks_failed",
    "resets_failed",
    "closes_failed",
    "releases_foreign",
    "releases_second",
    "sessions_expired",
    "leaks_suspected",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """What can be told of one client.

    Attributes:
        state: Where it is.
        age_seconds: Since the factory returned it.
        idle_seconds: Since it became idle; 0 unless it is.
        uses: How often it was handed out, lookups of its session included.
        generation: Of hooks and drains; lower than the pool's: it is on its way out.
        warm: Whether its warm-up succeeded.
    """

    state: ItemState
    age_seconds: float
    idle_seconds: float
    uses: int
    generation: int
    warm: bool


def item_facts(engine: "Engine[T]") -> list[ItemFacts]:
    """The facts of every client, oldest first."""
    now = engine.clock.now()
    facts = [
        ItemFacts(
            state=state,
            age_seconds=now - item.made_at,
            idle_seconds=now - item.idle_since if state is ItemState.IDLE else 0.0,
            uses=item.uses + item.lookups,
            generation=item.hooks.generation,
            warm=item.warm and state is not ItemState.WARMING,
        )
        for state, item in engine.stock.places()
    ]
    return sorted(facts, key=lambda fact: -fact.age_seconds)


def snapshot(engine: "Engine[T]") -> dict[str, Any]:
    """The seed's snapshot, and more."""
    stock, settings = engine.stock, engine.settings
    warm = len(stock.idle) + len(stock.retiring)
    return {
        "name": engine.name,
        "ready": engine.health.ready,
        "warm_pool_size": warm,
        "warm_pool_target": stock.target,
        "session_awareness": settings.session_awareness,
        "active_sessions": len(stock.sessions),
        "background_warmup": stock.refilling,
        "state": engine.health.state.value,
        "generation": stock.generation,
        "recommended_warm_pool_size": _recommended(engine),
        "keep_size": stock.keep_size,
        "max_size": stock.max_size,
        "waiting": engine.queue.waiting,
        "items": {state.value: count for state, count in stock.counts().items()},
        "creation": _creation(engine),
        "metrics": metrics(engine),
    }


def metrics(engine: "Engine[T]") -> dict[str, Any]:
    """The counters: the total is the sum of the tiers and the failures, by construction."""
    stock, stats = engine.stock, engine.stats
    dedicated = stats.dedicated_ended + sum(item.lookups for item in stock.items.values())
    served = dedicated + stats.warm + stats.cold
    failures = {f"allocations_{kind}": stats.failures[kind] for kind in FAILURES}
    return {
        "allocations_total": served + sum(failures.values()),
        "allocations_dedicated": dedicated,
        "allocations_warm": stats.warm,
        "allocations_cold": stats.cold,
        **failures,
        "active_sessions": len(stock.sessions),
        "warm_pool_size": len(stock.idle) + len(stock.retiring),
        "warmup_cycles": stats.warmup_cycles,
        **{name: stats.counts[name] for name in EVENT_COUNTERS},
        "items_made": stats.made,
        "items_closed": stats.closed.total(),
        "closed_by_reason": dict(stats.closed),
        "wait_seconds_total": stats.wait_seconds,
        "wait_seconds_buckets": stats.wait_buckets(served),
        "timestamp": time.time(),
    }


def _recommended(engine: "Engine[T]") -> int:
    wanted = engine.sizer.recommend(engine.settings.cold_target, engine.clock.now())
    size = engine.stock.target if wanted is None else wanted
    limits = [limit for limit in (engine.settings.max_size, engine.settings.warm_pool_max) if limit is not None]
    return min(size, *limits) if limits else size


def _creation(engine: "Engine[T]") -> dict[str, Any]:
    circuit, now = engine.circuit, engine.clock.now()
    waiting = circuit.is_slow and circuit.next_at > now
    return {
        "mean_seconds": engine.sizer.creation_sec,
        "failures_in_row": circuit.failures,
        "circuit": circuit.state(engine.settings, now),
        "retry_in_seconds": circuit.next_at - now if waiting else None,
        # The class alone: a message may quote what the service said, with a key in it.
        "last_error": type(circuit.last_error).__name__ if circuit.last_error is not None else None,
    }
