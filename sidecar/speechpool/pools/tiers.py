"""The words of a pool: where a client came from, and the states of clients and pools."""

from enum import Enum

__all__ = ["AllocationTier", "ItemState", "PoolState"]


class AllocationTier(Enum):
    """How a client was come by, said by what happened and never guessed."""

    DEDICATED = "dedicated"
    """The session held it already."""
    WARM = "warm"
    """It was idle, with its warm-up done."""
    COLD = "cold"
    """The caller waited for a creation or a release, or the client's warm-up had failed."""


class PoolState(Enum):
    """What a pool as a whole is doing."""

    NEW = "new"
    PREPARING = "preparing"
    READY = "ready"
    DEGRADED = "degraded"
    """Serving, while creation fails or too few clients are warm for longer than two creations take."""
    DRAINING = "draining"
    """Serving, while clients of an older generation are being replaced."""
    CLOSED = "closed"


class ItemState(Enum):
    """Where one client is; every client made is in exactly one of these places until it is closed."""

    CREATING = "creating"
    """The factory runs: there is no client yet."""
    WARMING = "warming"
    UNWARMED = "unwarmed"
    """Its warm-up failed and will be tried again; served only when nothing else is there, never as WARM."""
    IDLE = "idle"
    CHECKING = "checking"
    OUT = "out"
    """With an anonymous caller."""
    LEASED = "leased"
    """With a session."""
    RESETTING = "resetting"
    EXPIRED = "expired"
    """Of a stale session, kept for its return until the grace ends."""
    CLOSING = "closing"
