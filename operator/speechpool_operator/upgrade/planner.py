"""Which sidecar is upgraded next, if any. Synchronous, and without I/O.

A sidecar is upgraded when nothing would be lost by it: no session is open, no call is in progress, and every other
sidecar of the same owner is well. It must be warm again within a bound; the first that is not stops all upgrades, until
the upgrader is started anew. All that outlives a restart is in the pods themselves.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from speechpool_operator.sidecars import Sidecar
from speechpool_operator.upgrade.pods import SidecarPod, repository

__all__ = ["Limits", "Plan", "Planner", "Standing"]


class Standing(StrEnum):
    """What is to be said of one sidecar."""

    CURRENT = "current"
    """It has the image."""
    UPGRADING = "upgrading"
    """It got the image and is not warm again."""
    DUE = "due"
    """It could be upgraded now, but for the limits."""
    BUSY = "busy"
    """It has sessions or calls, or does not say."""
    NOT_WELL = "not_well"
    """It is not connected, or not warm, or its pod does not run."""
    OWNER = "owner"
    """Another sidecar of its owner is not well."""
    FOREIGN = "foreign"
    """Its image is of another repository: somebody else decides on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast.

    Args:
        per_minute: Sidecars in a minute; > 0.
        at_once: Sidecars at the same time; 1 until the first is warm again; >= 1.
        back_seconds: So long one may take to be warm again; > 0.
    """

    per_minute: float = 6.0
    at_once: int = 1
    back_seconds: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done now.

    Args:
        upgrade: Whose image is to be changed; already counted as upgrading.
        back: Who is warm again, and after how many seconds.
        failed: Who is not within the bound; upgrades have stopped.
        standings: Of each sidecar, by its pod's uid.
    """

    upgrade: tuple[SidecarPod, ...] = ()
    back: tuple[tuple[SidecarPod, float], ...] = ()
    failed: tuple[SidecarPod, ...] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Standing]:
        """How many there are of each."""
        return Counter(self.standings.values())


@dataclass(frozen=True, slots=True)
class _Pending:
    """An upgrade that is not finished: since when, whose, and the container that was there before (empty: unknown)."""

    since: float
    owner: str
    before: str = ""


class Planner:
    """Decides, and remembers what it decided.

    Args:
        image: That every sidecar is to have.
        limits: How fast.
    """

    def __init__(self, image: str, limits: Limits) -> None:
        self.image = image
        self.stopped = ""
        self._limits = limits
        self._repository = repository(image)
        self._pending: dict[str, _Pending] = {}
        self._settled: set[str] = set()
        self._refusals: Counter[str] = Counter()
        self._next_at = float("-inf")
        self._has_looked = False

    @property
    def is_proven(self) -> bool:
        """Whether a sidecar has been seen warm with this image."""
        return bool(self._settled)

    def plan(self, pods: Sequence[SidecarPod], sidecars: Iterable[Sidecar], now: float) -> Plan:
        """Look at everything, and decide.

        Args:
            pods: Every pod that has a sidecar.
            sidecars: What the operator knows of them.
            now: Seconds that never go back.
        """
        living = [pod for pod in pods if not pod.is_terminating]
        known = {one.uid: one for one in sidecars}
        self._forget({pod.uid for pod in living})
        back = self._notice(living, known, now)
        failed = tuple(pod for pod in living if self._is_overdue(pod, now))
        if failed and not self.stopped:
            self.stopped = f"{failed[0].shown} is not warm {self._limits.back_seconds:g} s after its upgrade"
        standings = self._standings(living, known)
        due = [pod for pod in living if standings[pod.uid] is Standing.DUE]
        upgrade = self._chosen(due, now)
        standings |= {pod.uid: Standing.UPGRADING for pod in upgrade}
        return Plan(upgrade=upgrade, back=back, failed=failed, standings=standings)

    def refused(self, pod: SidecarPod) -> None:
        """Note that the image of a pod could not be changed: its turn comes again, after the others'."""
        self._pending.pop(pod.uid, None)
        self._refusals[pod.uid] += 1

    # --- what has become of those that were upgraded -----------------------------------------------------------------

    def _forget(self, living: set[str]) -> None:
        self._settled &= living
        for known in (self._pending, self._refusals):
            for uid in known.keys() - living:
                del known[uid]

    def _notice(
        self, pods: Iterable[SidecarPod], known: Mapping[str, Sidecar], now: float
    ) -> tuple[tuple[SidecarPod, float], ...]:
        back = []
        for pod in pods:
            if pod.image != self.image or not pod.is_running or pod.uid in self._settled:
                continue
            pending = self._pending.get(pod.uid)
            if _is_well(pod, known.get(pod.uid)) and not (pending and pod.container == pending.before):
                self._settled.add(pod.uid)
                if pending:
                    del self._pending[pod.uid]
                    back.append((pod, now - pending.since))
            elif not pending and self._may_be_ours(pod):
                self._pending[pod.uid] = _Pending(now, pod.owner)
        self._has_looked = True
        return tuple(back)

    def _may_be_ours(self, pod: SidecarPod) -> bool:
        """Whether it may have been upgraded before this program was started, or by a request without an answer."""
        return pod.restarts > 0 and (not self._has_looked or pod.uid in self._refusals)

    def _is_overdue(self, pod: SidecarPod, now: float) -> bool:
        pending = self._pending.get(pod.uid)
        return pending is not None and now - pending.since > self._limits.back_seconds

    # --- who is next -------------------------------------------------------------------------------------------------

    def _standings(self, pods: Iterable[SidecarPod], known: Mapping[str, Sidecar]) -> dict[str, Standing]:
        pods = list(pods)
        unwell = Counter(pod.owner for pod in pods if not self._is_fine(pod, known.get(pod.uid)))
        return {pod.uid: self._standing(pod, known.get(pod.uid), unwell) for pod in pods}

    def _standing(self, pod: SidecarPod, sidecar: Sidecar | None, unwell: Mapping[str, int]) -> Standing:
        if pod.image == self.image:
            return Standing.UPGRADING if pod.uid in self._pending else Standing.CURRENT
        if repository(pod.image) != self._repository:
            return Standing.FOREIGN
        if pod.is_broken:  # it can only win
            return Standing.DUE
        if not self._is_fine(pod, sidecar) or sidecar is None:
            return Standing.NOT_WELL
        if unwell.get(pod.owner):
            return Standing.OWNER
        return Standing.DUE if (sidecar.sessions, sidecar.busy) == (0, 0) else Standing.BUSY

    def _is_fine(self, pod: SidecarPod, sidecar: Sidecar | None) -> bool:
        return pod.uid not in self._pending and pod.is_running and _is_well(pod, sidecar)

    def _chosen(self, due: Iterable[SidecarPod], now: float) -> tuple[SidecarPod, ...]:
        chosen: list[SidecarPod] = []
        owners = {one.owner for one in self._pending.values()}
        room = (self._limits.at_once if self.is_proven else 1) - len(self._pending)
        for pod in sorted(due, key=self._rank):
            if self.stopped or len(chosen) >= room or now < self._next_at:
                break
            if pod.owner in owners:
                continue
            owners.add(pod.owner)
            chosen.append(pod)
            self._pending[pod.uid] = _Pending(now, pod.owner, pod.container or _NO_CONTAINER)
            self._next_at = max(now, self._next_at) + 60.0 / self._limits.per_minute
        return tuple(chosen)

    def _rank(self, pod: SidecarPod) -> tuple[object, ...]:
        return self._refusals[pod.uid], not pod.is_broken, pod.namespace, pod.name


_NO_CONTAINER = "none"
"""What a broken sidecar has instead of a container's id, so that any container is another one."""


def _is_well(pod: SidecarPod, sidecar: Sidecar | None) -> bool:
    return sidecar is not None and pod.is_started and sidecar.connected and sidecar.ready and not sidecar.silent
