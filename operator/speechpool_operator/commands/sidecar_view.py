"""The sidecars of a cluster as a table for people, and as JSON. Pure."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool_operator.sidecars import Sidecar

__all__ = ["ClusterView", "standing"]

_COLUMNS = ("NAMESPACE", "POD", "POOL", "GENERATION", "SYNCED", "WARM", "SESSIONS", "VERSION", "LAST ERROR")
_UNKNOWN = "?"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The sidecars at one moment.

    Args:
        sidecars: To be shown.
        operator_version: The operator's; empty where it did not answer.
        note: Why the operator did not answer; empty where it did.
    """

    sidecars: tuple[Sidecar, ...]
    operator_version: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        known = not self.note
        listed = [dataclasses.asdict(one) | {"standing": standing(one) if known else None} for one in self.sidecars]
        return {
            "source": "operator" if known else "api-server",
            "note": self.note or None,
            "operator_version": self.operator_version or None,
            "sidecars": listed,
        }

    def as_table(self) -> str:
        """A summary, and a row for each sidecar."""
        known = not self.note
        if not self.sidecars:
            return "\n".join([*_head(self.note), "no sidecars"])
        rows = [_row(one, known=known) for one in self.sidecars]
        return "\n".join([*_head(self.note), _summary(self.sidecars, known=known), "", *_table(_COLUMNS, rows)])


def standing(one: Sidecar) -> str:
    """Whether a sidecar runs what it should, in a word or two.

    synced, refused, applying, connecting (not yet, or not again), missing (never connected, for too long), silent (no
    word from it, for too long), or "no pool" (no SpeechPool selects the pod).
    """
    if one.missing or one.silent:
        return "missing" if one.missing else "silent"
    if not one.connected:
        return "connecting"
    if not one.pool:
        return "no pool"
    if one.synced:
        return "synced"
    return "refused" if one.state == "rejected" else "applying"


def _head(note: str) -> list[str]:
    if not note:
        return []
    return [
        f"the operator did not answer: {note}",
        "below is what the API server knows: pods, the SpeechPools that select them, and errors last written there",
        "",
    ]


def _summary(sidecars: Sequence[Sidecar], *, known: bool) -> str:
    count = f"{len(sidecars)} sidecar{'' if len(sidecars) == 1 else 's'}"
    ready = sum(one.ready for one in sidecars)
    if not known:
        return f"{count}: {ready} started"
    connected, synced = sum(one.connected for one in sidecars), sum(one.synced for one in sidecars)
    return f"{count}: {connected} connected, {synced} synced, {ready} warm"


def _row(one: Sidecar, *, known: bool) -> tuple[str, ...]:
    return (
        one.namespace,
        one.pod,
        one.pool.removeprefix(f"{one.namespace}/") or _NONE,
        _generation(one),
        standing(one) if known else _UNKNOWN,
        _UNKNOWN if one.warm is None or one.wanted is None else f"{one.warm}/{one.wanted}",
        _UNKNOWN if one.sessions is None else str(one.sessions),
        one.version or _UNKNOWN,
        " ".join(one.error.split()) or _NONE,
    )


def _generation(one: Sidecar) -> str:
    running = _UNKNOWN if one.generation is None else str(one.generation)
    if one.wanted_generation is None:
        return _NONE if one.generation is None else running
    return running if one.generation == one.wanted_generation else f"{running} of {one.wanted_generation}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
