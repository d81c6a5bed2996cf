"""The whole service in this process with a real engine, which has the time of a busy machine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.program import PATIENCE_SECONDS

from speechpool.service.service import SpeechService
from speechpool.settings import PoolKind, PoolSettings, Settings, default_pool
from speechpool.speech.loading import load_engine

__all__ = ["listening", "running_service", "speaking"]

_PATIENT_POOL = {"acquire_timeout": PATIENCE_SECONDS, "create_timeout": PATIENCE_SECONDS}
_PATIENT = {"first_chunk_timeout_seconds": PATIENCE_SECONDS, "chunk_gap_timeout_seconds": PATIENCE_SECONDS}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"local": {}, "azure": {"connectTimeoutSeconds": PATIENCE_SECONDS}}


def speaking(warm: int, name: str = "tts", **changes: Any) -> PoolSettings:
    """A pool of voices, so many of them warm; `changes` are other settings by Python name."""
    return default_pool(PoolKind.TEXT_TO_SPEECH, name, {"warm_pool_size": warm, **_PATIENT_POOL, **changes})


def listening(warm: int, name: str = "stt", **changes: Any) -> PoolSettings:
    """A pool of listeners, as `speaking`."""
    return default_pool(PoolKind.SPEECH_TO_TEXT, name, {"warm_pool_size": warm, **_PATIENT_POOL, **changes})


@asynccontextmanager
async def running_service(
    engine: str, options: Mapping[str, Any], *pools: PoolSettings, ready: bool = True, **settings: Any
) -> AsyncIterator[SpeechService]:
    """A service with the engine of this name and these pools; waits until it is `ready`, where that is wanted."""
    loaded = load_engine(engine, {**_OPTIONS[engine], **options})
    async with SpeechService(loaded, Settings(engine=engine, pools=pools, **_PATIENT, **settings)) as service:
        if ready:
            await service.wait_ready()
        yield service
