"""Waiting for what sets no event: another thread, another process or the kernel counts it."""

import asyncio
from collections.abc import Callable

from tests.program import PATIENCE_SECONDS

__all__ = ["until"]


async def until(holds: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Wait until something holds; after all patience an AssertionError with what is `told` then."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - nothing tells when it does
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"it did not become so: {told()}") from None
