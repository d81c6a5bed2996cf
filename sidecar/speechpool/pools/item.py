"""The records a stock keeps: a client, an attempt to come by one, and a caller who waits."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from .tiers import AllocationTier

if TYPE_CHECKING:
    from .hooks import Hooks
    from .waiting import Flight

__all__ = ["NOT_BEGUN", "Attempt", "Item", "Waiter"]

T = TypeVar("T")

NOT_BEGUN = object()
"""In `Item.begun`: no reset is under way. None there: it is done; an exception: it failed; else it is to be awaited."""


class Item(Generic[T]):
    """One client, from the factory's return to its close.

    Where it is says the container of the stock that holds it, not a field of its own.

    Args:
        resource: The client.
        hooks: The hooks it was made with; they stay its own after a change of hooks.
        now: When the factory returned it.
        jitter: The share of every age limit that holds for this client, 0.9 to 1, so that clients made
            together do not end together.
    """

    __slots__ = (
        "begun",
        "begun_by_lease",
        "brisk_until",
        "dead",
        "dedicated",
        "ending",
        "fit",
        "flight",
        "granted_at",
        "hooks",
        "idle_since",
        "jitter",
        "key",
        "leak_after",
        "leases",
        "lives_until",
        "looks",
        "lookups",
        "lookups_seen",
        "made_at",
        "orphaned",
        "plain_until",
        "proved_at",
        "resource",
        "session",
        "site",
        "swift",
        "used_at",
        "uses",
        "warm",
        "warm_failures",
        "warm_retry_at",
        "wipes",
    )

    def __init__(self, resource: T, hooks: "Hooks[T]", *, now: float, jitter: float) -> None:
        self.resource = resource
        self.key = id(resource)
        self.hooks = hooks
        self.fit = True
        self.dead = False
        self.lives_until = float("inf")
        self.survey()
        self.made_at = self.proved_at = self.idle_since = self.used_at = self.granted_at = now
        self.jitter = jitter
        self.uses = 0
        self.warm = True
        self.warm_failures = 0
        self.warm_retry_at = float("inf")
        self.ending: str | None = None
        self.begun: object = NOT_BEGUN
        self.session: Hashable = None
        self.dedicated = (resource, AllocationTier.DEDICATED)
        self.lookups = self.lookups_seen = 0
        self.leases = 0
        self.begun_by_lease = False
        self.orphaned = False
        self.flight: Flight[T] | None = None
        self.leak_after: float | None = None
        self.site: str | None = None
        self.swift = 0

    def survey(self) -> None:
        """Note which of the default hooks concern this client: `is_ready`, `clear_session_state`.

        Done when it is made and when it is warm, so that handing it out and back need not ask again.
        """
        self.looks = not self.hooks.are_default or _has(self.resource, "is_ready")
        self.wipes = _has(self.resource, "clear_session_state")
        self.live_until(self.lives_until)

    def live_until(self, when: float) -> None:
        """Set the end of its life; until then a client with default hooks, or none, takes a shorter way back."""
        self.lives_until = when
        self.brisk_until = when if self.fit and self.hooks.are_default else -float("inf")
        self.plain_until = -float("inf") if self.looks or self.wipes else self.brisk_until

    def set_swift(self, *, observed: bool) -> None:
        """Set how much a session's lookup must look at: 2 nothing, 1 `is_ready` alone, 0 everything."""
        if observed or not self.fit or self.leases or self.begun_by_lease or self.hooks.check is not None:
            self.swift = 0
        else:
            self.swift = 1 if self.looks else 2

    def spoil(self) -> None:
        """Keep the fast paths from handing it out or stocking it again."""
        self.fit = False
        self.brisk_until = self.plain_until = -float("inf")
        self.swift = 0


class Attempt(Generic[T]):
    """One way by which a client may come: a creation, or the check of an idle client.

    Args:
        waiter: The caller whose own attempt it is; None while it serves the stock.
    """

    __slots__ = ("waiter",)

    def __init__(self, waiter: "Waiter[T] | None" = None) -> None:
        self.waiter = waiter


class Waiter(Generic[T]):
    """A caller in the queue. Subclasses know how to wake it.

    Args:
        session: The session that asks, or None for an anonymous caller.
    """

    __slots__ = ("attempt", "session")

    def __init__(self, session: Hashable = None) -> None:
        self.session = session
        self.attempt: Attempt[T] | None = None

    @property
    def wanted(self) -> bool:
        """Whether anyone still waits for the outcome."""
        raise NotImplementedError

    def give(self, item: Item[T], tier: AllocationTier) -> None:
        """Hand the client over; its owner is registered already."""
        raise NotImplementedError

    def fail(self, error: BaseException, outcome: str) -> None:
        """End the wait with an error; `outcome` is the counter it falls under."""
        raise NotImplementedError


def _has(resource: object, name: str) -> bool:
    try:
        return hasattr(resource, name)
    except Exception:  # noqa: BLE001  # a property that raises is there, and is asked again when it matters
        return True
