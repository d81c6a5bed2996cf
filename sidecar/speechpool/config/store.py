"""The settings in force: merged from all sources, changed while the sidecar runs, and never made worse by a bad one."""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from speechpool.errors import SettingsError, SpeechPoolError
from speechpool.settings import (
    Change,
    Effect,
    Layer,
    Origin,
    Resolved,
    Settings,
    Source,
    diff,
    resolve,
    without_restart,
)

__all__ = ["Apply", "ConfigStore", "Outcome", "SourceState", "Update"]

logger = logging.getLogger(__name__)

Apply = Callable[[Settings, Settings], Awaitable[None]]
"""Makes the running sidecar go from the old settings to the new: all, or nothing and a `SpeechPoolError`."""


class Outcome(StrEnum):
    """What became of an update."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The answer to one update.

    Args:
        source: Whose.
        outcome: What became of it; superseded where a newer one of the same source came meanwhile.
        generation: Of the settings in force after it.
        changes: What it changed.
        pending_restart: What of all sources waits for a restart after it.
        problems: Why it was rejected.
    """

    source: Source
    outcome: Outcome
    generation: int
    changes: tuple[Change, ...] = ()
    pending_restart: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How one source does.

    Args:
        source: Which.
        present: Whether it sets anything now; False for a file that was deleted.
        ok: Whether its latest content is in force (or waits for a restart).
        problems: Why not.
        since: When `present`, `ok` or `problems` changed last, UTC.
        location: The file's path or the object's name, where there is one.
        uid: The object's in force, where there is one.
        digest: Of its content in force.
        generation: Its own count of changes in force, where it has one.
        rejected_total: How many of its contents were refused since the start.
    """

    source: Source
    present: bool = True
    ok: bool = True
    problems: tuple[str, ...] = ()
    since: datetime
    location: str = ""
    uid: str = ""
    digest: str = ""
    generation: int | None = None
    rejected_total: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For `GET /v1/config`."""
        return {
            "source": str(self.source),
            "present": self.present,
            "ok": self.ok,
            "problems": list(self.problems),
            "since": self.since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "location": self.location or None,
            "uid": self.uid or None,
            "hash": self.digest or None,
            "generation": self.generation,
            "rejectedTotal": self.rejected_total,
        }


class ConfigStore:
    """Holds what each source sets and the settings in force.

    Updates are applied one after the other. A newer update of a source replaces an older one that still waits, so
    that there is never a queue. Nothing bad is ever taken over: an update that is wrong by itself, does not fit to
    the other sources, or is refused by `apply` leaves everything as it was, with its reason in `states`. It is tried
    again when another source changes. What needs a restart is kept as it runs, and listed in `pending_restart`.

    Args:
        layers: What the sources set at the start, one of each at most.

    Raises:
        SettingsError: They do not fit together.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._layers = {layer.source: layer for layer in layers}
        self._running = resolve(self._layers.values())
        self._pending: tuple[Change, ...] = ()
        self._generation = 1
        self._states = {layer.source: _state_of(layer) for layer in self._layers.values()}
        self._refused: dict[Source, Layer] = {}
        self._newest: dict[Source, object] = {}
        self._turn = asyncio.Lock()
        self._apply: Apply | None = None
        self._on_update: Callable[[Update], None] | None = None
        self._links: dict[Source, Callable[[], Mapping[str, Any]]] = {}

    @property
    def current(self) -> Settings:
        """The settings in force."""
        return self._running.settings

    @property
    def resolved(self) -> Resolved:
        """The settings in force, and where each value came from."""
        return self._running

    @property
    def generation(self) -> int:
        """1 at the start, and one more with each change of what is in force."""
        return self._generation

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that are equal for equal settings, keys and tokens left out."""
        text = json.dumps(self.current.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def pending_restart(self) -> tuple[Change, ...]:
        """What the sources want and only a restart brings."""
        return self._pending

    @property
    def states(self) -> Mapping[Source, SourceState]:
        """How each source does that ever set something."""
        return dict(self._states)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is suspicious but not wrong."""
        return tuple(warning for layer in self._layers.values() for warning in layer.warnings)

    def bind(self, apply: Apply, on_update: Callable[[Update], None] | None = None) -> None:
        """Say who applies changes from now on.

        Args:
            apply: Called with the old and the new settings, one call at a time; runs to its end even where the
                update is cancelled. It must bound its own time.
            on_update: Called with the answer to each update, for metrics; must not raise.
        """
        self._apply = apply
        self._on_update = on_update

    def link(self, source: Source, describe: Callable[[], Mapping[str, Any]]) -> None:
        """Tell with a source how it is reached; it is told of even while it sets nothing.

        Args:
            source: Which.
            describe: Makes what `describe()` shows as its `connection`, of JSON types.
        """
        self._links[source] = describe
        self._states.setdefault(source, replace(_state_of(Layer(source=source)), present=False))

    async def update(self, layer: Layer) -> Update:
        """Put a new layer of a source in place of its old one, and apply what changes; never raises for its content."""
        return await self._in_turn(layer, present=True)

    async def remove(self, source: Source) -> Update:
        """Take a source away: what it set shows through from the weaker ones."""
        return await self._in_turn(Layer(source=source), present=False)

    def refuse(self, source: Source, error: SettingsError, *, location: str = "") -> Update:
        """Note that a source's new content cannot be read at all; what it set before stays in force."""
        self._newest[source] = object()
        self._refused.pop(source, None)
        return self._rejected(Layer(source=source, location=location), error.problems)

    def describe(self) -> dict[str, Any]:
        """Everything for `GET /v1/config`; made of JSON types, without keys and tokens."""
        return {
            "generation": self.generation,
            "hash": self.hash,
            "settings": self.current.shown(),
            "provenance": {path: self._described(origin) for path, origin in sorted(self._running.provenance.items())},
            "sources": [self._source(source) for source in Source if source in self._states],
            "pendingRestart": [{"path": one.path, "running": one.old, "wanted": one.new} for one in self._pending],
            "warnings": list(self.warnings),
        }

    def _described(self, origin: Origin) -> dict[str, Any]:
        fields = {"source": str(origin.source), "name": origin.name or None}
        layer = self._layers.get(origin.source)
        if layer is None or not layer.uid:
            return fields
        return {**fields, "object": layer.location, "uid": layer.uid, "generation": layer.generation}

    def _source(self, source: Source) -> dict[str, Any]:
        link = self._links.get(source)
        return self._states[source].to_dict() | ({"connection": dict(link())} if link else {})

    async def _in_turn(self, layer: Layer, *, present: bool) -> Update:
        ticket = self._newest[layer.source] = object()
        async with self._turn:
            if self._newest[layer.source] is not ticket:
                return self._told(Update(source=layer.source, outcome=Outcome.SUPERSEDED, generation=self._generation))
            task = asyncio.current_task()
            cancels = task.cancelling() if task else 0
            update = await self._take(layer, present=present)
            if task and task.cancelling() > cancels:
                raise asyncio.CancelledError
            if update.outcome is Outcome.APPLIED:
                for refused in tuple(self._refused.values()):
                    await self._take(refused, present=True, again=True)
            return update

    async def _take(self, layer: Layer, *, present: bool, again: bool = False) -> Update:
        self._refused.pop(layer.source, None)
        layers = {**self._layers, layer.source: layer}
        try:
            wanted = resolve(layers.values())
            running, changes, pending = self._runnable(wanted)
            if changes and self._apply:
                await _to_the_end(self._apply(self.current, running.settings))
        except SpeechPoolError as error:
            self._refused[layer.source] = layer
            problems: tuple[str, ...] = getattr(error, "problems", (str(error),))
            if again and problems == self._states[layer.source].problems:
                return Update(source=layer.source, outcome=Outcome.REJECTED, generation=self._generation)
            return self._rejected(layer, problems)
        is_news = bool(changes) or pending != self._pending
        self._layers, self._running, self._pending = layers, running, pending
        return self._accepted(layer, changes, present=present, is_news=is_news)

    def _runnable(self, wanted: Resolved) -> tuple[Resolved, tuple[Change, ...], tuple[Change, ...]]:
        """What of the wanted settings can run now, what that changes, and what waits for a restart."""
        differences = diff(self.current, wanted.settings)
        pending = tuple(one for one in differences if one.effect is Effect.RESTART)
        if not pending:
            return wanted, differences, ()
        settings = without_restart(self.current, wanted.settings)
        kept = {one.path: self._running.provenance[one.path] for one in pending}
        running = Resolved(settings=settings, provenance={**wanted.provenance, **kept})
        return running, tuple(one for one in differences if one not in pending), pending

    def _accepted(self, layer: Layer, changes: tuple[Change, ...], *, present: bool, is_news: bool) -> Update:
        self._generation += bool(changes)
        before = self._states.get(layer.source)
        state = replace(_state_of(layer), present=present, rejected_total=before.rejected_total if before else 0)
        if before and (before.present, before.ok) == (state.present, True):
            state = replace(state, since=before.since)
        if before and not layer.location:
            state = replace(state, location=before.location)
        self._states[layer.source] = state
        if is_news:
            paths, pending = ([one.path for one in some] for some in (changes, self._pending))
            facts = {"source": str(layer.source), "generation": self._generation}
            logger.info("settings applied", extra={**facts, "changes": paths, "pending_restart": pending})
        outcome = Outcome.APPLIED if changes else Outcome.UNCHANGED
        return self._told(
            Update(
                source=layer.source,
                outcome=outcome,
                generation=self._generation,
                changes=changes,
                pending_restart=self._pending,
            )
        )

    def _rejected(self, layer: Layer, problems: tuple[str, ...]) -> Update:
        before = self._states.get(layer.source) or replace(_state_of(layer), present=False)
        state = replace(before, ok=False, problems=problems, rejected_total=before.rejected_total + 1)
        if before.ok or before.problems != problems:
            state = replace(state, since=datetime.now(UTC))
        self._states[layer.source] = state
        logger.warning("settings refused", extra={"source": str(layer.source), "problems": list(problems)})
        return self._told(
            Update(
                source=layer.source,
                outcome=Outcome.REJECTED,
                generation=self._generation,
                pending_restart=self._pending,
                problems=problems,
            )
        )

    def _told(self, update: Update) -> Update:
        if self._on_update:
            self._on_update(update)
        return update


def _state_of(layer: Layer) -> SourceState:
    return SourceState(
        source=layer.source,
        since=datetime.now(UTC),
        location=layer.location,
        uid=layer.uid,
        digest=layer.digest,
        generation=layer.generation,
    )


async def _to_the_end(application: Awaitable[None]) -> None:
    """Await an application to its end, even where the caller is cancelled, who has to look for that afterwards.

    Cut off in the middle, the sidecar would run neither the old settings nor the new.
    """
    task = asyncio.ensure_future(application)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    task.result()
