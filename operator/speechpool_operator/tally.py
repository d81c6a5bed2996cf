"""What the sidecars that follow one object add up to, kept up to date one sidecar at a time. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from speechpool_operator.names import Reason
from speechpool_operator.objects import Key

__all__ = ["Counted", "Tally"]


class Counted(NamedTuple):
    """What one sidecar adds.

    Args:
        pod: Its pod, as people are told: with the namespace where that is another than the object's.
        connected: Whether it has a stream.
        heard: Whether it has said on it how it is.
        synced: Whether it runs the object's present generation.
        error: Why it refused that generation; None where it did not.
        warming: Whether a pool of it has not reached its warm size, or cannot serve.
        missing: Whether it never connected, for too long.
        silent: Whether it was connected and has said nothing for too long.
        warm: Of the wanted clients, those that are warm.
        wanted: Clients that should be.
    """

    pod: str
    connected: bool = False
    heard: bool = False
    synced: bool = False
    error: str | None = None
    warming: bool = False
    missing: bool = False
    silent: bool = False
    warm: int = 0
    wanted: int = 0


@dataclass(slots=True)
class Tally:
    """The sums.

    Args:
        counted: What each sidecar adds, by its pod's uid.
        connected: Sidecars with a stream.
        heard: Those that have said on it how they are.
        synced: Sidecars that run the present generation.
        warming: Connected sidecars with a pool below its warm size.
        warm: Of the wanted clients, those that are warm.
        wanted: Clients that should be.
        failed: Those that refused the generation, with the reason; the last refusal last.
        missing: Those that never connected; the longest missing first.
        silent: Those that fell silent; the longest silent first.
        lost: Pods that this object selects and another one has, by that one and what decided.
    """

    counted: dict[str, Counted] = field(default_factory=dict)
    connected: int = 0
    heard: int = 0
    synced: int = 0
    warming: int = 0
    warm: int = 0
    wanted: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    silent: dict[str, None] = field(default_factory=dict)
    lost: Counter[tuple[Key, Reason]] = field(default_factory=Counter)

    @property
    def matched(self) -> int:
        """Sidecars that follow the object."""
        return len(self.counted)

    def count(self, uid: str, now: Counted) -> bool:
        """Replace what a sidecar adds; whether that makes a difference."""
        before = self.counted.get(uid)
        if before == now:
            return False
        self.counted[uid] = now
        if before:
            self._add(before, -1)
        self._add(now, 1)
        self._list(uid, now)
        return True

    def discount(self, uid: str) -> bool:
        """Forget a sidecar; whether it was there."""
        before = self.counted.pop(uid, None)
        if not before:
            return False
        self._add(before, -1)
        for listed in (self.failed, self.missing, self.silent):
            listed.pop(uid, None)
        return True

    def lose(self, winner: Key, reason: Reason, change: int) -> None:
        """Note `change` more pods that another object has."""
        self.lost[winner, reason] += change
        if not self.lost[winner, reason]:
            del self.lost[winner, reason]

    def _add(self, one: Counted, sign: int) -> None:
        self.connected += sign * one.connected
        self.heard += sign * one.heard
        self.synced += sign * one.synced
        self.warming += sign * one.warming
        self.warm += sign * one.warm
        self.wanted += sign * one.wanted

    def _list(self, uid: str, now: Counted) -> None:
        for listed, belongs in ((self.missing, now.missing), (self.silent, now.silent)):
            if belongs:
                listed.setdefault(uid)
            else:
                listed.pop(uid, None)
        if now.error is None:
            self.failed.pop(uid, None)
        elif self.failed.get(uid) != now.error:
            self.failed.pop(uid, None)
            self.failed[uid] = now.error
