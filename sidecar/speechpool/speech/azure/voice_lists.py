"""Keeps the lists of voices of all endpoints up to date, behind everything else."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import NoReturn

from speechpool.errors import AuthenticationFailed, SpeechError
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.site import Site
from speechpool.speech.engine import Voice

__all__ = ["VoiceLists"]

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 24 * 3600.0
"""Azure adds voices every few weeks."""

FIRST_RETRY_SECONDS = 2.0
MAX_RETRY_SECONDS = 60.0


class VoiceLists:
    """Asks each endpoint that synthesizes for its voices, until each has answered, and then once a day.

    Args:
        sites: All endpoints.
        on_lists: Called with the lists that are known, each time one is new.
        rng: Source of the jitter.
    """

    def __init__(
        self, sites: Sequence[Site], on_lists: Callable[[Sequence[Sequence[Voice]]], None], rng: random.Random
    ) -> None:
        self._sites = [site for site in sites if Work.SYNTHESIS in site.probes]
        self._on_lists = on_lists
        self._rng = rng
        self._lists: dict[str, Sequence[Voice]] = {}
        self._task: asyncio.Task[NoReturn] | None = None

    async def open(self, wait_seconds: float) -> None:
        """Begin, and wait so long at most for the first round."""
        first = asyncio.Event()
        self._task = asyncio.create_task(self._run(first), name="speechpool-azure-voices")
        try:
            async with asyncio.timeout(wait_seconds):
                await first.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Ask no more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, first: asyncio.Event) -> NoReturn:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            await asyncio.gather(*(self._ask(site) for site in self._sites if _may_ask(site)))
            first.set()
            if len(self._lists) == len(self._sites):
                pause_seconds, retry_seconds = REFRESH_SECONDS, FIRST_RETRY_SECONDS
            else:
                pause_seconds, retry_seconds = retry_seconds, min(MAX_RETRY_SECONDS, retry_seconds * 2)
            await asyncio.sleep(pause_seconds * self._rng.uniform(0.5, 1.0))

    async def _ask(self, site: Site) -> None:
        try:
            voices = await site.probes[Work.SYNTHESIS].voices()
        except SpeechError as error:
            logger.info("voices not listed", extra={"endpoint": site.place.name, "reason": str(error)})
            if isinstance(error, AuthenticationFailed):  # clients would only find out by waiting in vain
                for endpoint in site.endpoints.values():
                    endpoint.failed(error)
            return
        if voices != self._lists.get(site.place.name):
            self._lists[site.place.name] = voices
            self._on_lists(tuple(self._lists.values()))


def _may_ask(site: Site) -> bool:
    """Not while an endpoint is left alone: a client finds out first that it works again."""
    return site.endpoints[Work.SYNTHESIS].problem is None
