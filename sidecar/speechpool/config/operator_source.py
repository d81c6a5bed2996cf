"""The operator as a source of settings: takes the newest, applies it, and knows what became of it. No network."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NoReturn

from speechpool.config.operator_last_good import LastGood
from speechpool.config.store import ConfigStore, SourceState, Update
from speechpool.errors import SettingsError
from speechpool.settings import Layer, Source, read_tree
from speechpool.settings.wire import Applying, NewSettings, NoSettings, PoolState, Revision, State, bounded

__all__ = ["OperatorSource", "Usage", "is_older", "layer_of", "revision_of"]

logger = logging.getLogger(__name__)


def is_older(known: Revision | None, offered: Revision) -> bool:
    """Whether an offer must be ignored: it is of the same object as what is known, and of an earlier generation.

    An operator that has just taken over may have an older view for a moment. Another uid is another object, also where
    its name is the same: it was made again.
    """
    return known is not None and known.uid == offered.uid and known.generation > offered.generation


def layer_of(message: NewSettings) -> Layer:
    """The message as a layer of settings.

    Raises:
        SettingsError: Names or values are wrong; all are listed.
    """
    layer = read_tree(message.spec, source=Source.OPERATOR)
    revision = message.revision
    return replace(layer, location=message.name, uid=revision.uid, digest=revision.hash, generation=revision.generation)


def revision_of(state: SourceState | None) -> Revision | None:
    """What of the operator is in force."""
    if state is None or not state.present or state.generation is None:
        return None
    return Revision(uid=state.uid, generation=state.generation, hash=state.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the sidecar does at one moment, as far as the operator is told.

    Args:
        pools: By name.
        sessions: That are open; None where that is not known.
        busy: Utterances and recognitions under way; None where that is not known.
    """

    pools: Mapping[str, PoolState] = field(default_factory=dict)
    sessions: int | None = None
    busy: int | None = None


NO_USAGE: Final = Usage()


class OperatorSource:
    """Brings what the operator offers into the store: one at a time, always the newest, never an older one.

    What is refused leaves the last good in force.

    Args:
        store: The settings in force; `on_update()` must be told of each of its answers.
        last_good: Keeps what is in force on disk; None keeps nothing.
    """

    def __init__(self, store: ConfigStore, last_good: LastGood | None = None) -> None:
        self._store = store
        self._last_good = last_good
        self._waiting: NewSettings | NoSettings | None = None  # the newest alone: a cell, not a queue
        self._offer: NewSettings | None = None
        self._is_applying = False
        self._applied: Revision | None = None
        self._applied_at = ""
        self._has_news = asyncio.Event()
        self._on_change: Callable[[], None] | None = None

    @property
    def applied(self) -> Revision | None:
        """What is in force of the operator."""
        return revision_of(self._store.states.get(Source.OPERATOR))

    @property
    def nacks(self) -> int:
        """How many offers were refused since the start."""
        state = self._store.states.get(Source.OPERATOR)
        return state.rejected_total if state else 0

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call this whenever `state()` says something new of the settings."""
        self._on_change = callback

    def state(self, usage: Usage = NO_USAGE) -> State:
        """What became of the newest offer.

        Args:
            usage: What the sidecar does, to be told with it.
        """
        state = self._store.states.get(Source.OPERATOR)
        word = Applying.APPLIED
        if self._waiting is not None or self._is_applying:
            word = Applying.APPLYING
        elif state and not state.ok:
            word = Applying.REJECTED
        return State(
            state=word,
            offered=self._offer.revision if self._offer else None,
            applied=revision_of(state),
            error=bounded(" ".join(state.problems)) if state and word is Applying.REJECTED else "",
            applied_at=self._applied_at,
            pools=usage.pools,
            sessions=usage.sessions,
            busy=usage.busy,
        )

    def offer(self, message: NewSettings | NoSettings) -> None:
        """Take what the operator wants; it replaces what was offered and is not being applied yet."""
        if isinstance(message, NoSettings):
            self._offer = None
        elif is_older(self._offer.revision if self._offer else None, message.revision):
            logger.info("older settings ignored", extra=_facts(message))
            return
        else:
            self._offer = message
        self._waiting = message
        self._has_news.set()

    async def restore(self) -> None:
        """Apply what was in force when the sidecar ran last, where it still fits; the operator may not answer soon."""
        if self._last_good and (message := await self._last_good.read()):
            logger.info("last good settings of the operator read", extra=_facts(message))
            self._offer = message
            await self._apply(message)

    async def run(self) -> NoReturn:
        """Apply what is offered until cancelled; the caller's task group owns the task."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            message, self._waiting = self._waiting, None
            if message is not None:
                await self._apply(message)

    def on_update(self, update: Update) -> None:
        """The store has answered; a change of another source may have made good what was refused before."""
        if update.source is not Source.OPERATOR:
            return
        state, offer = self._store.states.get(Source.OPERATOR), self._offer
        if state and state.ok:
            applied = revision_of(state)
            if applied != self._applied:
                self._applied, self._applied_at = applied, _time(datetime.now(UTC)) if applied else ""
            if self._last_good and (offer.revision if offer else None) == applied:
                self._last_good.keep(offer)
        self._changed()

    async def _apply(self, message: NewSettings | NoSettings) -> None:
        self._is_applying = True
        try:
            if isinstance(message, NoSettings):
                await self._store.remove(Source.OPERATOR)
            else:
                await self._apply_settings(message)
        finally:
            self._is_applying = False
            self._changed()

    async def _apply_settings(self, message: NewSettings) -> None:
        try:
            layer = layer_of(message)
        except SettingsError as error:
            self._store.refuse(Source.OPERATOR, error, location=message.name)
        else:
            await self._store.update(layer)

    def _changed(self) -> None:
        if self._on_change:
            self._on_change()


def _facts(message: NewSettings) -> dict[str, object]:
    return {"object": message.name, "uid": message.revision.uid, "object_generation": message.revision.generation}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
