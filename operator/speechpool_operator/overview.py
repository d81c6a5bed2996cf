"""What `GET /sidecars` answers: every sidecar as the fleet knows it. Pure; `sidecars` reads it on the other side."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from speechpool_operator.fleet import Fleet
from speechpool_operator.members import Member, counted, warm_clients
from speechpool_operator.objects import Key

__all__ = ["overview"]


def overview(fleet: Fleet, *, leads: bool) -> Iterator[str]:
    """The answer as JSON, piece by piece: ten thousand sidecars are a second's work, between which others have turns.

    Args:
        fleet: What is known; it may change between two pieces.
        leads: Whether sidecars are connected to this operator.
    """
    head = {"version": version("speechpool"), "leader": leads, "known": fleet.known_at is not None}
    yield json.dumps(head).removesuffix("}") + ', "sidecars": ['
    members = sorted(fleet.members.values(), key=_place) if leads else []
    told = [one for one in members if one.counts]
    for number, member in enumerate(told):
        yield json.dumps(_sidecar(fleet, member)) + (", " if number < len(told) - 1 else "")
    yield "]}"


def _place(member: Member) -> Key:
    return member.pod.namespace, member.pod.name


def _sidecar(fleet: Fleet, member: Member) -> dict[str, Any]:
    pod = {"namespace": member.pod.namespace, "pod": member.pod.name, "uid": member.pod.uid}
    return pod | _followed(fleet, member) | _said(member)


def _followed(fleet: Fleet, member: Member) -> dict[str, Any]:
    entry = fleet.entries.get(member.choice.winner) if member.choice.winner else None
    if entry is None:
        silent = member.late and member.was_connected
        return {"pool": None, "wanted_generation": None, "silent": silent, "missing": member.late and not silent}
    seen = counted(member, entry.pool)
    return {
        "pool": "/".join(entry.pool.key),
        "wanted_generation": entry.pool.generation,
        "silent": seen.silent,
        "missing": seen.missing,
        "synced": seen.synced,
        "ready": seen.heard and not seen.warming,
    }


def _said(member: Member) -> dict[str, Any]:
    stream = member.stream
    state = stream.state if stream else None
    told: dict[str, Any] = {
        "connected": stream is not None,
        "version": stream.hello.version if stream else None,
        "generation": None,
        "state": None,
        "error": "",
    }
    if state:
        pools = state.pools.values()
        told |= {
            "generation": state.applied.generation if state.applied else None,
            "state": str(state.state),
            "ready": all(one.ready and one.warm >= one.wanted for one in pools),
            "error": state.error or "",
            "warm": warm_clients(pools),
            "wanted": sum(one.wanted for one in pools),
            "sessions": state.sessions,
            "busy": state.busy,
        }
    return told
