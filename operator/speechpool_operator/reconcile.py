"""What is to be sent and written, now that the fleet is as it is: desired against done, without asking what happened.

`plan` is the one decision: its caller puts the messages into the cells, closes the streams and hands the statuses to
their writer, none of which waits. Nothing is planned twice: what was planned counts as done until the fleet changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from speechpool.settings.wire import NewSettings, NoSettings
from speechpool_operator.conditions import Conflict, Facts, Refusal, differs, status_of, warm_of
from speechpool_operator.fleet import Fleet
from speechpool_operator.members import Entry, Member
from speechpool_operator.names import POOL_ANNOTATION, Reason
from speechpool_operator.objects import Key
from speechpool_operator.selection import is_ignored
from speechpool_operator.streams import Cell

__all__ = ["REST_SECONDS", "WARM_SECONDS", "Message", "Plan", "facts_of", "plan", "wanted"]

Message = NewSettings | NoSettings
"""What one sidecar is to run with."""

REST_SECONDS = 1.0
"""Least time between two statuses of one object."""

WARM_SECONDS = 10.0
"""Least time between two statuses that differ in the numbers of warm clients alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Args:
        messages: By a pod's uid, where its newest message goes, and the message.
        statuses: By an object's namespace and name, its whole new status.
        closing: Streams to be ended, as their pods are gone.
        due_at: When, by the fleet's clock, to plan again even if nothing happens; None for never.
    """

    messages: dict[str, tuple[Cell, Message]] = field(default_factory=dict)
    statuses: dict[Key, dict[str, Any]] = field(default_factory=dict)
    closing: tuple[Cell, ...] = ()
    due_at: float | None = None


def plan(fleet: Fleet) -> Plan:
    """Everything that has to be done since the last plan.

    Where this raises, what was planned so far is lost: `Fleet.replan` before the next attempt.
    """
    fleet.pass_time()
    messages = dict(_messages(fleet)) if fleet.pools_known else {}
    statuses = dict(_statuses(fleet, fleet.known_at)) if fleet.known_at is not None else {}
    closing, fleet.closing = tuple(fleet.closing), []
    return Plan(messages, statuses, closing, fleet.due_at)


def wanted(fleet: Fleet, member: Member) -> Message | None:
    """What a pod's sidecar should have; None where it is to keep what it has."""
    choice = member.choice
    if choice.winner:
        return fleet.entries[choice.winner].pool.message
    return _NOTHING[choice.nobody] if choice.nobody else None


def facts_of(fleet: Fleet, entry: Entry) -> Facts:
    """What is known of one object and its sidecars."""
    pool, tally = entry.pool, entry.tally
    ignored = is_ignored(pool, fleet.operator_namespace)
    return Facts(
        generation=pool.generation,
        problems=pool.problems,
        ignored_outside=fleet.operator_namespace if ignored else "",
        matched=tally.matched,
        connected=tally.connected,
        synced=tally.synced,
        failed=len(tally.failed),
        warming=tally.warming,
        missing=len(tally.missing),
        silent=len(tally.silent),
        missing_pod=_first(entry, tally.missing),
        silent_pod=_first(entry, tally.silent),
        refusal=_last_refusal(entry),
        warm=tally.warm,
        wanted=tally.wanted,
        conflicts=_conflicts(entry),
        silence_seconds=fleet.silence.seconds,
        missing_seconds=fleet.absence.seconds,
    )


def _messages(fleet: Fleet) -> Iterator[tuple[str, tuple[Cell, Message]]]:
    changed, fleet.changed_pods = fleet.changed_pods, {}
    for uid in changed:
        member = fleet.members[uid]
        stream, message = member.stream, wanted(fleet, member)
        if stream and message and not _is_same(message, stream.put):
            stream.put = message
            yield uid, (stream.cell, message)


def _is_same(message: Message, other: Message | None) -> bool:
    """Whether two messages say the same; equal revisions have equal settings."""
    if isinstance(message, NewSettings) and isinstance(other, NewSettings):
        return message.revision == other.revision
    return message == other


def _statuses(fleet: Fleet, known_at: float) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The statuses that differ; those whose time has not come are looked at again when it has."""
    changed, fleet.changed_pools = fleet.changed_pools, {}
    for key in changed:
        entry = fleet.entries[key]
        due_at = _status_due_at(entry, settled_at=known_at + fleet.silence.seconds)
        if fleet.clock() < due_at:
            fleet.refreshes[key] = due_at
        elif status := _new_status(fleet, entry):
            yield key, status


def _status_due_at(entry: Entry, *, settled_at: float) -> float:
    """From when on the status of an object may be made."""
    # one that is overtaken before the next write is never written: a thousand sidecars' answers are a few statuses
    rested_at = entry.looked_at + REST_SECONDS
    return max(rested_at, settled_at) if _is_settling(entry) else rested_at


def _new_status(fleet: Fleet, entry: Entry) -> dict[str, Any] | None:
    """The status, if it differs; where only the numbers of warm clients do, not before their time."""
    now, key = fleet.clock(), entry.pool.key
    entry.looked_at = now
    fleet.refreshes.pop(key, None)
    status = status_of(facts_of(fleet, entry), previous=entry.status, now=_time(fleet.wall()))
    is_other_warm = warm_of(status) != warm_of(entry.status)
    if differs(status, entry.status) or (is_other_warm and now >= entry.warm_at + WARM_SECONDS):
        entry.status = status
        entry.warm_at = now if is_other_warm else entry.warm_at
        return status
    if is_other_warm:
        fleet.refreshes[key] = entry.warm_at + WARM_SECONDS
    return None


def _is_settling(entry: Entry) -> bool:
    """Whether sidecars may yet come back to an operator that has just started, and the status there is for them.

    It would only tell that they were away, and soon that they are not.
    """
    is_told = entry.status.get("observedGeneration") == entry.pool.generation
    return is_told and entry.tally.heard < entry.tally.matched


def _first(entry: Entry, uids: dict[str, None]) -> str:
    first = next(iter(uids), None)
    return entry.tally.counted[first].pod if first else ""


def _last_refusal(entry: Entry) -> Refusal | None:
    failed = entry.tally.failed
    if not failed:
        return None
    uid = next(reversed(failed))
    return Refusal(entry.tally.counted[uid].pod, failed[uid])


def _conflicts(entry: Entry) -> tuple[Conflict, ...]:
    """Who has pods that this object selects, the most pods first."""
    namespace = entry.pool.namespace
    found = [
        Conflict(name if where == namespace else f"{where}/{name}", reason, pods)
        for ((where, name), reason), pods in entry.tally.lost.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.pods, one.winner, one.reason)))


_NOTHING = {
    Reason.NO_MATCH: NoSettings(reason=f"{Reason.NO_MATCH}: no SpeechPool selects the pod"),
    Reason.NAMED_POOL_NOT_FOUND: NoSettings(
        reason=f"{Reason.NAMED_POOL_NOT_FOUND}: the pod's annotation {POOL_ANNOTATION} names a SpeechPool that its "
        "namespace does not have"
    ),
}


def _time(moment: datetime) -> str:
    """RFC 3339 in UTC, in whole seconds as metav1.Time has them."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
