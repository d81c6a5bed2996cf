"""The status of a SpeechPool: what is known of its sidecars, as conditions and counts. Pure.

Accepted, Synced and Ready are always there; Conflicted, Degraded and Stale while they are true. A condition's
`lastTransitionTime` moves only when its status does (metav1.Condition).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechpool_operator.names import INJECT_LABEL, Condition, Reason, Status
from speechpool_operator.schema_status import MAX_ERROR_CHARACTERS, MAX_MESSAGE_CHARACTERS

__all__ = ["Conflict", "Facts", "JsonStatus", "Refusal", "differs", "status_of", "warm_of"]

JsonStatus = Mapping[str, Any]
"""A status as the API has it."""

MAX_CONFLICTS_TOLD: Final = 5
"""Most objects that a Conflicted condition names: as many as one resolves at a time; a guess."""

_VOLATILE: Final = "warm"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Pods that the object selects and another one has.

    Args:
        winner: The other object, as people are told.
        reason: What decided.
        pods: How many; > 0.
    """

    winner: str
    reason: Reason
    pods: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """One sidecar's refusal.

    Args:
        pod: Its pod, as people are told.
        error: What it said.
    """

    pod: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one object and its sidecars.

    Args:
        generation: The object's.
        problems: What is wrong with it.
        ignored_outside: The operator's namespace, where the object asks for scope Cluster in another one; else empty.
        matched: Pods that follow it.
        connected: Of these, with a connected sidecar.
        synced: Of the connected, those that run this generation.
        failed: Of the connected, those that refused it.
        warming: Of the connected, those with a pool that has not reached its warm size, or cannot serve.
        missing: Of the matched, those whose sidecar never connected, for too long.
        silent: Of the matched, those whose sidecar was connected and has said nothing for too long.
        missing_pod: One that is missing.
        silent_pod: One that is silent.
        refusal: The last refusal, where there is one.
        warm: Of the wanted clients, those that are warm.
        wanted: Clients that should be.
        conflicts: Pods that others have, the most first.
        silence_seconds: How long too long is, for a sidecar that was connected.
        missing_seconds: How long, for one that never was.
    """

    generation: int = 1
    problems: tuple[str, ...] = ()
    ignored_outside: str = ""
    matched: int = 0
    connected: int = 0
    synced: int = 0
    failed: int = 0
    warming: int = 0
    missing: int = 0
    silent: int = 0
    missing_pod: str = ""
    silent_pod: str = ""
    refusal: Refusal | None = None
    warm: int = 0
    wanted: int = 0
    conflicts: tuple[Conflict, ...] = ()
    silence_seconds: float = 15.0
    missing_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    type: Condition
    status: Status
    reason: Reason
    message: str


def status_of(facts: Facts, *, previous: JsonStatus, now: str) -> dict[str, Any]:
    """The whole status of an object.

    Args:
        facts: What is known.
        previous: The status so far, whose times are kept where nothing changed; any JSON.
        now: The time, RFC 3339 in UTC.
    """
    times = _transitions(previous)
    status: dict[str, Any] = {
        "observedGeneration": facts.generation,
        "conditions": [_written(one, facts.generation, times, now) for one in _verdicts(facts)],
        "matched": facts.matched,
        "missing": facts.missing,
        "connected": facts.connected,
        "synced": facts.synced,
        "failed": facts.failed,
        _VOLATILE: {"now": facts.warm, "wanted": facts.wanted},
    }
    if facts.refusal:
        status["lastError"] = _last_error(facts.refusal, previous.get("lastError"), now)
    return status


def differs(status: JsonStatus, other: JsonStatus) -> bool:
    """Whether two statuses differ in more than the number of warm clients, which moves with every call."""
    first, second = ({key: value for key, value in one.items() if key != _VOLATILE} for one in (status, other))
    return first != second


def warm_of(status: JsonStatus) -> object:
    """The numbers of warm clients in a status."""
    return status.get(_VOLATILE)


# --- the conditions ------------------------------------------------------------------------------------------------


def _verdicts(facts: Facts) -> Iterator[_Verdict]:
    accepted = _accepted(facts)
    synced = _synced(facts, accepted)
    yield accepted
    yield synced
    yield _ready(facts, synced)
    yield from _conflicted(facts)
    yield from _degraded(facts)
    yield from _stale(facts)


def _accepted(facts: Facts) -> _Verdict:
    def verdict(status: Status, reason: Reason, message: str) -> _Verdict:
        return _Verdict(Condition.ACCEPTED, status, reason, message)

    if facts.problems:
        head = "Nothing of this generation is sent, and sidecars keep what they run. "
        return verdict(Status.FALSE, Reason.INVALID, head + " ".join(facts.problems))
    if facts.ignored_outside:
        return verdict(
            Status.FALSE,
            Reason.CLUSTER_SCOPE_IGNORED,
            f"spec.scope Cluster holds in the operator's namespace {facts.ignored_outside} only. "
            "Move the object there, or set spec.scope to Namespace.",
        )
    return verdict(Status.TRUE, Reason.VALID, "The settings are valid.")


def _synced(facts: Facts, accepted: _Verdict) -> _Verdict:
    def verdict(status: Status, reason: Reason, message: str) -> _Verdict:
        return _Verdict(Condition.SYNCED, status, reason, message)

    if accepted.status is Status.FALSE:
        return verdict(Status.FALSE, Reason.NOT_ACCEPTED, "The object is not accepted: see the condition Accepted.")
    if not facts.matched:
        return verdict(Status.TRUE, Reason.NO_SIDECARS, _nobody(facts))
    if not facts.connected:
        return verdict(Status.UNKNOWN, Reason.NOT_CONNECTED, f"None of {_sidecars(facts.matched)} is connected.")
    if facts.failed:
        return verdict(Status.FALSE, Reason.REFUSED, _refused(facts))
    if facts.synced < facts.connected:
        waiting = f"{facts.synced} of {facts.connected} connected sidecars run generation {facts.generation}."
        return verdict(Status.FALSE, Reason.PENDING, f"{waiting} The others have not acknowledged it yet.")
    return verdict(Status.TRUE, Reason.ALL_SYNCED, _all_synced(facts))


def _ready(facts: Facts, synced: _Verdict) -> _Verdict:
    if synced.reason is not Reason.ALL_SYNCED:
        return _Verdict(Condition.READY, synced.status, synced.reason, synced.message)
    if facts.warming:
        share = f"{facts.warming} of {facts.connected} connected sidecars have"
        return _Verdict(
            Condition.READY,
            Status.FALSE,
            Reason.WARMING,
            f"{share} a pool that has not reached its warm size, or that cannot serve.",
        )
    if facts.silent:
        return _Verdict(Condition.READY, Status.UNKNOWN, Reason.SILENT, _silence(facts))
    return _Verdict(
        Condition.READY,
        Status.TRUE,
        Reason.ALL_WARM,
        f"Every pool of {_sidecars(facts.connected, 'connected ')} has reached its warm size.",
    )


def _conflicted(facts: Facts) -> Iterator[_Verdict]:
    if not facts.conflicts:
        return
    told = "; ".join(
        f"{one.winner} has {_pods(one.pods)} ({_CAUSES[one.reason]})" for one in facts.conflicts[:MAX_CONFLICTS_TOLD]
    )
    more = len(facts.conflicts) - MAX_CONFLICTS_TOLD
    message = f"Pods that this object selects follow another one: {told}{f'; and {more} more' if more > 0 else ''}. "
    remedy = "Narrow one of the selectors, or set spec.priority."
    yield _Verdict(Condition.CONFLICTED, Status.TRUE, facts.conflicts[0].reason, message + remedy)


def _degraded(facts: Facts) -> Iterator[_Verdict]:
    missing = (
        f"{_pods(facts.missing)} asked for a sidecar more than {facts.missing_seconds:g} seconds ago, and none has "
        f"connected, as of {facts.missing_pod}. Restart pods that have none; where there is one, see its log."
    )
    if facts.failed:
        message = f"{_refused(facts)} {missing}" if facts.missing else _refused(facts)
        yield _Verdict(Condition.DEGRADED, Status.TRUE, Reason.REFUSED, message)
    elif facts.missing:
        yield _Verdict(Condition.DEGRADED, Status.TRUE, Reason.SIDECARS_MISSING, missing)


def _stale(facts: Facts) -> Iterator[_Verdict]:
    if facts.silent:
        yield _Verdict(Condition.STALE, Status.TRUE, Reason.SILENT, _silence(facts))


# --- what is said ----------------------------------------------------------------------------------------------------

_CAUSES: Final = {
    Reason.NAMED_BY_POD: "named by their annotation",
    Reason.HIGHER_PRIORITY: "higher priority",
    Reason.OLDER: "older",
    Reason.FIRST_BY_NAME: "as old, first by name",
}


def _nobody(facts: Facts) -> str:
    if facts.conflicts:
        return "Every pod that this object selects follows another one: see the condition Conflicted."
    return f'No pod with a sidecar matches spec.selector. Pods ask for one with the label {INJECT_LABEL}: "true".'


def _all_synced(facts: Facts) -> str:
    rest = facts.matched - facts.connected
    others = f" {_sidecars(rest)} of this object {'is' if rest == 1 else 'are'} not connected." if rest else ""
    return f"{_sidecars(facts.connected, 'connected ')} run{_s(facts.connected)} generation {facts.generation}.{others}"


def _refused(facts: Facts) -> str:
    share = f"{facts.failed} of {facts.connected} connected sidecars refused generation {facts.generation}"
    last = f": {facts.refusal.pod}: {facts.refusal.error}" if facts.refusal else "."
    return f"{share} and keep what they ran before{last}"


def _silence(facts: Facts) -> str:
    share = f"{_sidecars(facts.silent)} of {facts.matched} said nothing for more than {facts.silence_seconds:g} seconds"
    return f"{share}, as that of {facts.silent_pod}: what is known of {'it' if facts.silent == 1 else 'them'} is old."


def _sidecars(count: int, which: str = "") -> str:
    return f"{count} {which}sidecar{'' if count == 1 else 's'}"


def _pods(count: int) -> str:
    return f"{count} pod{'' if count == 1 else 's'}"


def _s(count: int) -> str:
    """The ending of a verb."""
    return "s" if count == 1 else ""


# --- as the API has them ----------------------------------------------------------------------------------------------


def _written(verdict: _Verdict, generation: int, times: Mapping[str, tuple[str, str]], now: str) -> dict[str, Any]:
    status, since = times.get(verdict.type, ("", now))
    return {
        "type": str(verdict.type),
        "status": str(verdict.status),
        "observedGeneration": generation,
        "lastTransitionTime": since if status == verdict.status else now,
        "reason": str(verdict.reason),
        "message": _cut(verdict.message, MAX_MESSAGE_CHARACTERS),
    }


def _transitions(previous: JsonStatus) -> dict[str, tuple[str, str]]:
    """By condition, its status so far and since when; what is no condition is left out."""
    conditions = previous.get("conditions")
    found: dict[str, tuple[str, str]] = {}
    for one in conditions if isinstance(conditions, list) else ():
        match one:
            case {"type": str(kind), "status": str(status), "lastTransitionTime": str(since)} if since:
                found[kind] = status, since
    return found


def _last_error(refusal: Refusal, previous: object, now: str) -> dict[str, str]:
    told = {"message": _cut(refusal.error, MAX_ERROR_CHARACTERS), "pod": refusal.pod}
    before = dict(previous) if isinstance(previous, Mapping) else {}
    since = before.pop("time", None)
    return {**told, "time": since if before == told and isinstance(since, str) and since else now}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
