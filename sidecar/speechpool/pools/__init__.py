"""Pools of clients that are expensive to make: kept warm, lent to one holder at a time, closed exactly once."""

from .lease import Lease
from .on_demand_pool import OnDemandResourcePool
from .snapshot import ItemFacts
from .tiers import AllocationTier, ItemState, PoolState
from .warmable_pool import WarmableResourcePool

__all__ = [
    "AllocationTier",
    "ItemFacts",
    "ItemState",
    "Lease",
    "OnDemandResourcePool",
    "PoolState",
    "WarmableResourcePool",
]
