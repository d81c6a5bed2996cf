"""What an engine makes of settings that are right by themselves; no engine is opened for that."""

import time
from collections.abc import Callable, Iterator
from functools import partial

from speechpool.errors import SettingsError
from speechpool.service.lexicon import check_lexicon
from speechpool.service.speech_pools import make_pool
from speechpool.settings import Settings
from speechpool.speech.loading import load_engine

__all__ = ["engine_problems"]


def engine_problems(settings: Settings) -> Iterator[str]:
    """Each thing for which a sidecar with these settings would end at its start.

    Raises:
        EngineUnavailable: The engine's package is broken or lacks a dependency.
    """
    try:
        engine = load_engine(settings.engine, settings.engine_options())
    except SettingsError as error:
        yield from error.problems
        return
    for pool in settings.pools:
        yield from _refused(partial(make_pool, engine, pool, clock=time.monotonic, observe=_nobody))
    able = engine.capabilities
    yield from _refused(partial(check_lexicon, settings.lexicon, phonemes=able.phonemes, engine=engine.name))


def _refused(attempt: Callable[[], object]) -> tuple[str, ...]:
    try:
        attempt()
    except SettingsError as error:
        return error.problems
    return ()


def _nobody(*_: object, **__: object) -> None:
    """Hears of nothing: the pools are never filled."""
