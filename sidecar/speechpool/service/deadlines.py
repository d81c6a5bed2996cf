"""Bounds on what an engine is awaited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from speechpool.errors import EngineFailed, EngineTimeout, EngineUnavailable, SpeechError
from speechpool.service.speech_pools import Use

__all__ = ["MAX_ATTEMPTS", "RETRIED", "STOP_SECONDS", "stop", "within"]

MAX_ATTEMPTS = 2
"""Clients that may try one piece of work, the second only while nothing of it was done."""

RETRIED = (EngineTimeout, EngineFailed, EngineUnavailable)
"""What another client may do better; any other failure would be the same there."""

STOP_SECONDS = 1.0
"""How long an engine may take to stop speaking; it promises 50 ms. A client that takes longer is closed."""


class Stoppable(Protocol):
    """An utterance or a recognition of an engine."""

    async def cancel(self) -> None:
        """Stop now."""


@asynccontextmanager
async def within(seconds: float, message: str) -> AsyncIterator[None]:
    """Bound the body's time.

    Raises:
        EngineTimeout: It took longer; with `message`.
    """
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        raise EngineTimeout(message) from None


async def stop(work: Stoppable, use: Use[Any], seconds: float = STOP_SECONDS) -> None:
    """Stop `work`; a client that does not within `seconds` is closed when its use ends, instead of serving again."""
    has_stopped = False
    try:
        async with asyncio.timeout(seconds):
            await work.cancel()
        has_stopped = True
    except (TimeoutError, SpeechError):
        return  # why it was to stop is what the caller tells
    finally:
        if not has_stopped:
            use.discard()
