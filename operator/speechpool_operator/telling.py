"""What a user is told by events: of an object when its status changes, of a pod when it lacks something. Pure.

A status says how things are, an event when they became so: an object is told of when it is refused, when sidecars
refuse it, when all of them run a new generation, when another one has its pods, and when sidecars fall silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from speechpool.settings.wire import NoSettings
from speechpool_operator.conditions import JsonStatus
from speechpool_operator.events import About, Note, Weight
from speechpool_operator.fleet import Fleet
from speechpool_operator.members import Entry
from speechpool_operator.names import (
    ENABLED,
    GROUP,
    INJECT_LABEL,
    INJECTED_LABEL,
    KIND,
    POOL_ANNOTATION,
    SIDECAR_CONTAINER,
    VERSION,
    Condition,
    Reason,
    Status,
)
from speechpool_operator.objects import Key, Pod, SpeechPool
from speechpool_operator.reconcile import Plan

__all__ = ["Teller", "View", "about_pod", "about_pool", "changes", "injection"]

_SPARE: Final = 64  # objects and pods that are remembered beyond those that are there, before they are forgotten


@dataclass(frozen=True, slots=True)
class View:
    """Of a status, what is compared.

    Args:
        conditions: By type, the status, the reason and the message.
        generation: That the status is about.
        error: The last refusal's pod and message; empty without one.
    """

    conditions: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    generation: int = 0
    error: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, status: JsonStatus) -> "View":
        """The view of a status, whoever wrote it."""
        found = status.get("conditions")
        conditions = {
            str(one.get("type")): (str(one.get("status")), str(one.get("reason")), str(one.get("message")))
            for one in (found if isinstance(found, list) else ())
            if isinstance(one, dict)
        }
        error, generation = status.get("lastError"), status.get("observedGeneration")
        told = (str(error.get("pod")), str(error.get("message"))) if isinstance(error, dict) else ("", "")
        return cls(conditions, generation if isinstance(generation, int) else 0, told)

    def reason(self, kind: Condition, status: Status = Status.TRUE) -> str:
        """Why a condition has this status; empty where it has another, or is not there."""
        found = self.conditions.get(kind)
        return found[1] if found and found[0] == status else ""

    def message(self, kind: Condition) -> str:
        """A condition's message."""
        return self.conditions[kind][2]


@dataclass(slots=True)
class _Told:
    """What was told of one object.

    Args:
        uid: Of the object.
        view: Of its last status.
        synced: The generation of which it was told that all sidecars run it.
        missing: Pods of which it was told that they have no sidecar, by uid.
    """

    uid: str
    view: View
    synced: int
    missing: set[str] = field(default_factory=set)


class Teller:
    """Compares each planned status with the one before."""

    def __init__(self) -> None:
        self._told: dict[Key, _Told] = {}

    def notes(self, fleet: Fleet, made: Plan) -> Iterator[Note]:
        """What is to be told of a plan.

        Args:
            fleet: As it was planned for.
            made: The plan.
        """
        for key, status in made.statuses.items():
            entry = fleet.entries[key]
            told = self._known(entry.pool)
            yield from _of_pool(entry.pool, told, View.of(status))
            yield from _of_missing(fleet, entry, told)
        for uid, (_, message) in made.messages.items():
            if isinstance(message, NoSettings) and message.reason.startswith(Reason.NAMED_POOL_NOT_FOUND):
                yield _named_pool_not_found(fleet.members[uid].pod)
        if len(self._told) > len(fleet.entries) + _SPARE:
            self._told = {key: told for key, told in self._told.items() if key in fleet.entries}

    def _known(self, pool: SpeechPool) -> _Told:
        told = self._told.get(pool.key)
        if told is None or told.uid != pool.uid:
            # what an operator before this one wrote was told by it
            view = View.of(pool.status)
            synced = view.generation if view.reason(Condition.SYNCED) else 0
            told = self._told[pool.key] = _Told(pool.uid, view, synced)
        return told


def changes(before: View, after: View) -> Iterator[tuple[Weight, str, str]]:
    """What is to be told of a change of status: how grave, the reason, the message."""
    refused, was_refused = (one.reason(Condition.ACCEPTED, Status.FALSE) for one in (after, before))
    if refused and (refused != was_refused or after.generation != before.generation):
        yield Weight.WARNING, refused, after.message(Condition.ACCEPTED)
    elif was_refused and not refused:
        yield Weight.NORMAL, Condition.ACCEPTED, after.message(Condition.ACCEPTED)
    if after.error != before.error and after.error[1]:
        pod, message = after.error
        yield Weight.WARNING, Reason.REFUSED, f"{pod}: {message}"
    for kind, reason in (
        (Condition.CONFLICTED, Condition.CONFLICTED),
        (Condition.STALE, Reason.SILENT),
        (Condition.DEGRADED, Reason.SIDECARS_MISSING),
    ):
        is_so = after.reason(kind)
        if is_so and is_so != before.reason(kind) and (kind is not Condition.DEGRADED or is_so == reason):
            yield Weight.WARNING, reason, after.message(kind)


def injection(pod: Pod, reason: str = "", warnings: str = "") -> Note | None:
    """What is to be told of a pod that was just made; None where it has nothing to do with sidecars.

    Args:
        pod: The pod.
        reason: Why the injector added no sidecar, as it noted on the pod.
        warnings: What it ignored, as it noted on the pod.
    """
    said = f" Ignored: {'; '.join(warnings.splitlines())}." if warnings else ""
    if pod.labels.get(INJECTED_LABEL) == ENABLED:
        weight = Weight.WARNING if warnings else Weight.NORMAL
        return _of_pod(pod, weight, "Injected", f"The pod has a sidecar, the container {SIDECAR_CONTAINER}.{said}")
    if pod.labels.get(INJECT_LABEL) != ENABLED and not reason:
        return None
    why = (
        f"The injector added none: {reason}."
        if reason
        else "The injector was not asked when the pod was made, as when it does not run: see `speechpool check`."
    )
    return _of_pod(pod, Weight.WARNING, "NotInjected", f"The pod asks for a sidecar and has none. {why}{said}")


def about_pool(pool: SpeechPool) -> About:
    """A SpeechPool, as events name it."""
    return About(api_version=f"{GROUP}/{VERSION}", kind=KIND, namespace=pool.namespace, name=pool.name, uid=pool.uid)


def about_pod(pod: Pod) -> About:
    """A pod, as events name it."""
    return About(api_version="v1", kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid)


def _of_pool(pool: SpeechPool, told: _Told, after: View) -> Iterator[Note]:
    about = about_pool(pool)
    for weight, reason, message in changes(told.view, after):
        yield Note(about=about, weight=weight, reason=str(reason), message=message)
    # not from one status to the next: while pods come and go, a generation is synced many times
    if after.reason(Condition.SYNCED) == Reason.ALL_SYNCED and after.generation > told.synced:
        told.synced = after.generation
        message = after.message(Condition.SYNCED)
        yield Note(about=about, weight=Weight.NORMAL, reason=str(Condition.SYNCED), message=message)
    told.view = after


def _of_missing(fleet: Fleet, entry: Entry, told: _Told) -> Iterator[Note]:
    missing = entry.tally.missing
    for uid in reversed(missing):  # the latest are the last, and those before them were told of
        if uid in told.missing:
            break
        told.missing.add(uid)
        yield _missing_sidecar(fleet.members[uid].pod, fleet.absence.seconds)
    if len(told.missing) > len(missing) + _SPARE:
        told.missing &= missing.keys()


def _missing_sidecar(pod: Pod, seconds: float) -> Note:
    if pod.labels.get(INJECTED_LABEL) == ENABLED:
        what = f"Its sidecar has not connected to the operator within {seconds:g} seconds"
        remedy = f"see its log: kubectl logs -n {pod.namespace} {pod.name} -c {SIDECAR_CONTAINER}"
    else:
        what = "The pod asks for a sidecar and has none"
        remedy = "make it anew when the injector runs, as with kubectl rollout restart"
    return _of_pod(pod, Weight.WARNING, "MissingSidecar", f"{what}; {remedy}.")


def _named_pool_not_found(pod: Pod) -> Note:
    message = (
        f"The annotation {POOL_ANNOTATION} names the SpeechPool {pod.pool!r}, which the namespace {pod.namespace} does "
        "not have: the sidecar runs with its own settings. Create the object, or correct the annotation."
    )
    return _of_pod(pod, Weight.WARNING, str(Reason.NAMED_POOL_NOT_FOUND), message)


def _of_pod(pod: Pod, weight: Weight, reason: str, message: str) -> Note:
    return Note(about=about_pod(pod), weight=weight, reason=reason, message=message)
