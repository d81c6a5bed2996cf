"""Replacing all clients when the engine says that what they were made with has changed."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from speechpool.errors import PoolTimeout

if TYPE_CHECKING:
    from speechpool.service.context import Context
    from speechpool.service.speech_pools import SpeechPool

__all__ = ["Renewal"]

logger = logging.getLogger(__name__)

RENEW_SECONDS = 60.0
"""How long a pool is waited for before its delay is logged; it goes on by itself. A guess, above two creations."""


class Renewal:
    """Lets every pool replace its clients, each replacement first; what is in use goes on until it is given back.

    Args:
        context: The pools, and where work runs and is counted.
    """

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._work: asyncio.Task[None] | None = None
        self._is_wanted = False

    def begin(self, reason: str) -> None:
        """Replace all clients there are now; while that is under way already, all once more afterwards."""
        logger.info("clients are being replaced", extra={"reason": reason})
        self._context.metrics.renewed(reason)
        self._is_wanted = True
        if self._work is None or self._work.done():
            self._work = self._context.background.spawn(self._renew(), "replace clients")

    async def _renew(self) -> None:
        while self._is_wanted:
            self._is_wanted = False
            await asyncio.gather(*(self._renew_pool(pool) for pool in self._context.pools.running))

    async def _renew_pool(self, pool: "SpeechPool[Any]") -> None:
        try:
            await pool.pool.drain(RENEW_SECONDS)
        except PoolTimeout:
            logger.warning("clients are not replaced yet", extra={"pool": pool.name})
