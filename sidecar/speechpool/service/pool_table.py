"""The pools in force, by name; replaced make before break when settings change."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool.errors import NotFound, PoolNotReady, SettingsError
from speechpool.service.context import Background
from speechpool.service.speech_pools import (
    PoolObserver,
    RecognitionPool,
    SpeechPool,
    SynthesisPool,
    make_pool,
)
from speechpool.settings import POOL_KNOBS, Effect, PoolKind, PoolSettings
from speechpool.speech.engine import Engine

__all__ = ["PoolTable"]

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2
"""How long after its replacement a pool still serves whoever has just chosen it; a guess, far above a loop's turn."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What new settings mean for the pools."""

    kept: tuple[tuple[SpeechPool[Any], PoolSettings], ...]
    made: tuple[SpeechPool[Any], ...]
    gone: tuple[SpeechPool[Any], ...]


class PoolTable:
    """All pools of the service.

    Args:
        engine: Makes the clients.
        settings: One for each pool.
        background: Runs what nobody waits for.
        clock: Monotonic seconds.
        observe: Called with the pools' events.

    Raises:
        SettingsError: The engine cannot make what a pool is to hold.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Sequence[PoolSettings],
        *,
        background: Background,
        clock: Callable[[], float],
        observe: PoolObserver,
    ) -> None:
        self._engine = engine
        self._background = background
        self._clock = clock
        self._observe = observe
        self._wanted: dict[str, SpeechPool[Any]] = {}  # as the settings say
        self._serving: dict[str, SpeechPool[Any]] = {}  # as requests find them: the old one until the new one is warm
        self._leaving: set[SpeechPool[Any]] = set()
        self._is_open = False
        for each in settings:
            self._wanted[each.name] = self._serving[each.name] = self._make(each)

    # --- what requests see ---

    @property
    def all(self) -> Sequence[SpeechPool[Any]]:
        """The pools that serve, in the order of the settings."""
        return tuple(self._serving.values())

    @property
    def synthesis(self) -> Sequence[SynthesisPool]:
        """Those that speak."""
        return [pool for pool in self._serving.values() if pool.kind is PoolKind.TEXT_TO_SPEECH]

    @property
    def recognition(self) -> Sequence[RecognitionPool]:
        """Those that listen."""
        return [pool for pool in self._serving.values() if pool.kind is PoolKind.SPEECH_TO_TEXT]

    @property
    def running(self) -> Sequence[SpeechPool[Any]]:
        """Those that serve, and those that will once they are warm; none before they are opened."""
        return tuple({*self._serving.values(), *self._wanted.values()}) if self._is_open else ()

    def is_in_force(self, pool: SpeechPool[Any]) -> bool:
        """Whether requests may still be served by it."""
        return self._serving.get(pool.name) is pool

    def __getitem__(self, name: str) -> SpeechPool[Any]:
        """The pool of that name.

        Raises:
            NotFound: There is none.
        """
        try:
            return self._serving[name]
        except KeyError:
            known = ", ".join(self._serving)
            raise NotFound(
                f"there is no pool {name[:64]!r}; known are {known}", param="name", code="pool_not_found"
            ) from None

    @property
    def replacing(self) -> Mapping[str, SpeechPool[Any]]:
        """The pools that will serve once they are warm, by name."""
        return {name: pool for name, pool in self._wanted.items() if self._serving.get(name) is not pool}

    # --- life ---

    async def open(self) -> None:
        """Fill all pools; what cannot be made is tried again by the pools themselves."""
        self._is_open = True
        await asyncio.gather(*(pool.pool.prepare() for pool in self._wanted.values()))

    async def wait_warm(self) -> None:
        """Wait until all pools that serve are ready.

        Raises:
            PoolClosed: One is shut down.
        """
        while cold := [pool for pool in self._serving.values() if not pool.pool.ready]:
            with contextlib.suppress(PoolNotReady):
                await cold[0].pool.wait_ready(timeout=cold[0].settings.create_timeout)

    async def close(self, timeout_seconds: float) -> None:
        """Shut all pools down, within `timeout_seconds`."""
        self._is_open = False
        pools = {*self._wanted.values(), *self._serving.values(), *self._leaving}
        await asyncio.gather(*(pool.pool.shutdown(timeout_seconds) for pool in pools))

    # --- change ---

    def apply(self, settings: Sequence[PoolSettings]) -> None:
        """Let the pools be as `settings` say: running ones changed at once, others replaced, added and removed.

        Raises:
            SettingsError: A pool cannot be so; nothing was changed.
        """
        change = self._plan(settings)
        self._reconfigure(change.kept)
        old = self._wanted
        made = {pool.name: pool for pool in change.made}
        self._wanted = {each.name: made.get(each.name) or old[each.name] for each in settings}
        for pool in change.gone:
            self._supersede(pool)
        for pool in change.made:
            self._background.spawn(self._bring_in(pool), f"bring in pool {pool.name}")
        self._order()

    def _plan(self, settings: Sequence[PoolSettings]) -> _Change:
        kept: list[tuple[SpeechPool[Any], PoolSettings]] = []
        made: list[SpeechPool[Any]] = []
        for each in settings:
            pool = self._wanted.get(each.name)
            if pool and _has_same_shape(pool.settings, each):
                kept.append((pool, each))
            else:
                made.append(self._make(each))
        staying = {pool.name for pool, _ in kept}
        gone = tuple(pool for name, pool in self._wanted.items() if name not in staying)
        return _Change(tuple(kept), tuple(made), gone)

    def _make(self, settings: PoolSettings) -> SpeechPool[Any]:
        return make_pool(self._engine, settings, clock=self._clock, observe=self._observe)

    def _reconfigure(self, kept: Sequence[tuple[SpeechPool[Any], PoolSettings]]) -> None:
        done: list[tuple[SpeechPool[Any], PoolSettings]] = []
        try:
            for pool, settings in kept:
                done.append((pool, pool.reconfigure(settings)))
        except SettingsError:
            for pool, old in done:
                pool.reconfigure(old)
            raise

    def _supersede(self, pool: SpeechPool[Any]) -> None:
        """A pool is in the settings no longer; it serves on while its successor is not warm."""
        is_serving = self._serving.get(pool.name) is pool
        if is_serving and pool.name in self._wanted:
            return
        if is_serving:
            del self._serving[pool.name]
        self._leave(pool)

    async def _bring_in(self, pool: SpeechPool[Any]) -> None:
        """Warm a new pool, then let it serve in place of the old one of its name."""
        if self._is_open:
            await self._warm(pool)
        if self._wanted.get(pool.name) is not pool:
            self._leave(pool)  # newer settings came meanwhile
            return
        old = self._serving.get(pool.name)
        self._serving[pool.name] = pool
        self._order()
        if old:
            self._leave(old)

    async def _warm(self, pool: SpeechPool[Any]) -> None:
        await pool.pool.prepare()
        while pool.name in self._serving and not pool.pool.ready and self._wanted.get(pool.name) is pool:
            try:
                await pool.pool.wait_ready(timeout=pool.settings.create_timeout)
            except PoolNotReady:
                logger.warning("replacement pool is not warm yet", extra={"pool": pool.name})

    def _order(self) -> None:
        """As in the settings; those that leave come last."""
        names = [*(name for name in self._wanted if name in self._serving)]
        names += [name for name in self._serving if name not in self._wanted]
        self._serving = {name: self._serving[name] for name in names}

    def _leave(self, pool: SpeechPool[Any]) -> None:
        if pool not in self._leaving:
            self._leaving.add(pool)
            self._background.spawn(self._see_off(pool), f"drain pool {pool.name}")

    async def _see_off(self, pool: SpeechPool[Any]) -> None:
        """Close what is idle at once, and shut the pool down once nothing of it is in use or waited for."""
        pool.stop_refilling()
        await asyncio.sleep(SETTLE_SECONDS)
        await pool.until_unused()
        await pool.pool.shutdown()
        self._leaving.discard(pool)


def _has_same_shape(old: PoolSettings, new: PoolSettings) -> bool:
    return _shape(old) == _shape(new)


def _shape(settings: PoolSettings) -> tuple[object, ...]:
    """What a client is made with."""
    return (settings.kind, *(getattr(settings, one.name) for one in POOL_KNOBS if one.effect is Effect.REPLACE))
