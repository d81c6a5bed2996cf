"""Every sidecar as its operator knows it: what `GET /sidecars` of the operator's telemetry answers. Pure.

Who reads it may be one release ahead or behind: what it does not know it ignores, and what is absent is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Overview", "Sidecar", "read_overview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One pod that has a sidecar or asks for one.

    Args:
        namespace: The pod's.
        pod: The pod's name.
        uid: The pod's.
        pool: The SpeechPool that it follows, as namespace/name; empty without.
        generation: Of the settings that are in force; None where the operator set none.
        wanted_generation: Of the SpeechPool; None without.
        state: What became of the newest settings: applied, rejected or applying; empty where it has not said so.
        connected: Whether it has a stream.
        silent: Whether it was connected and has said nothing for too long.
        missing: Whether it never connected, for too long.
        synced: Whether it runs the SpeechPool's present generation.
        ready: Whether every pool serves and has been at its warm size.
        warm: Of the wanted clients, those that are warm and idle.
        wanted: As many are kept.
        sessions: That are open; None where the sidecar does not say.
        busy: Calls in progress; None where the sidecar does not say.
        version: Of its program; empty where it is not known.
        error: Why it refused its settings; else empty.
    """

    namespace: str
    pod: str
    uid: str
    pool: str = ""
    generation: int | None = None
    wanted_generation: int | None = None
    state: str = ""
    connected: bool = False
    silent: bool = False
    missing: bool = False
    synced: bool = False
    ready: bool = False
    warm: int | None = None
    wanted: int | None = None
    sessions: int | None = None
    busy: int | None = None
    version: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one operator knows.

    Args:
        version: Of the operator.
        leads: Whether it is the one that sidecars are connected to.
        known: Whether it has seen every object and every pod since its start.
        sidecars: By namespace and pod.
    """

    version: str = ""
    leads: bool = False
    known: bool = False
    sidecars: tuple[Sidecar, ...] = ()


def read_overview(answer: Mapping[str, Any]) -> Overview:
    """Read an operator's answer; whatever it is, nothing raises."""
    listed = answer.get("sidecars")
    found = [_sidecar(one) for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return Overview(
        version=_text(answer.get("version")),
        leads=answer.get("leader") is True,
        known=answer.get("known") is True,
        sidecars=tuple(sorted((one for one in found if one.pod), key=lambda one: (one.namespace, one.pod))),
    )


def _sidecar(one: Mapping[str, Any]) -> Sidecar:
    return Sidecar(
        namespace=_text(one.get("namespace")),
        pod=_text(one.get("pod")),
        uid=_text(one.get("uid")),
        pool=_text(one.get("pool")),
        generation=_number(one.get("generation")),
        wanted_generation=_number(one.get("wanted_generation")),
        state=_text(one.get("state")),
        connected=one.get("connected") is True,
        silent=one.get("silent") is True,
        missing=one.get("missing") is True,
        synced=one.get("synced") is True,
        ready=one.get("ready") is True,
        warm=_number(one.get("warm")),
        wanted=_number(one.get("wanted")),
        sessions=_number(one.get("sessions")),
        busy=_number(one.get("busy")),
        version=_text(one.get("version")),
        error=_text(one.get("error")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
