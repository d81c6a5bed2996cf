"""Tokens of Microsoft Entra ID (workload identity, managed identity, a developer's own login), renewed in time."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from speechpool.errors import EngineFailed
from speechpool.speech.azure.credentials import Credential, CredentialSource, Threads
from speechpool.speech.azure.entra_reasons import NoToken, no_token
from speechpool.speech.azure.flight import SingleFlight

__all__ = ["EntraToken", "TokenMaker", "default_token_maker"]

logger = logging.getLogger(__name__)

SCOPES = {
    "azure.cn": "https://cognitiveservices.azure.cn/.default",
    "azure.us": "https://cognitiveservices.azure.us/.default",
    "microsoft.com": "https://cognitiveservices.azure.com/.default",
}
"""What a token is asked for, by the domain of the cloud."""

FETCH_LIMIT_SECONDS = 30.0
"""For one token: the chain of ways to get one tries several."""

RENEW_BEFORE_SECONDS = 300.0
"""azure-identity gives out a cached token until five minutes before its end, then asks for a new one."""

SOONEST_SECONDS = 30.0
LATEST_SECONDS = 3600.0
"""Bounds of the pause between two askings; asking for a token that is cached costs nothing."""

MARGIN_SECONDS = 10.0
"""A token so near its end is no longer shown: opening a connection takes time."""

FIRST_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0

FILE_POLL_SECONDS = 1.0
"""Between two attempts while a file is missing: as a key's file is looked at, and as cheap."""

ALIKE_CHARACTERS = 80
"""As far as the reasons of two failures are compared: behind that each has an id and a time of its own."""


class Token(Protocol):
    """What azure-identity gives."""

    @property
    def token(self) -> str:
        """The token itself."""

    @property
    def expires_on(self) -> int:
        """When it ends, in seconds since 1970."""


class TokenMaker(Protocol):
    """A credential of azure-identity's."""

    def get_token(self, *scopes: str) -> Token:
        """A token for the scopes; blocks, and raises where there is none."""

    def close(self) -> None:
        """Let go of its connections."""


def default_token_maker() -> TokenMaker:
    """Workload identity where a pod has one, else managed identity, else a developer's own login; never a browser.

    Raises:
        ImportError: azure-identity is not installed.
    """
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - only who uses Entra ID needs it

    theirs = logging.getLogger("azure.identity")
    if theirs.level == logging.NOTSET:  # with each failure it warns of all that it tried, and so do we, in a line
        theirs.setLevel(logging.ERROR)
    return DefaultAzureCredential()


class EntraToken(CredentialSource):
    """A token for one resource, in the form that the speech service takes: `aad#resource#token`.

    One request at a time, in a thread; the next well before the end of the one that is there.

    Args:
        setting: The setting's name, for messages.
        resource_id: The resource's id in Azure.
        threads: Where azure-identity is called.
        domain: The domain of the cloud: "microsoft.com", "azure.us" or "azure.cn".
        make: Makes the credential of azure-identity's; in a thread.
        clock: Monotonic seconds.
        wall_clock: Seconds since 1970.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        setting: str,
        resource_id: str,
        threads: Threads,
        *,
        domain: str = "microsoft.com",
        make: Callable[[], TokenMaker] = default_token_maker,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(setting)
        self._resource_id = resource_id
        self._threads = threads
        self._scope = SCOPES[domain]
        self._make = make
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._maker: TokenMaker | None = None
        self._fetching = SingleFlight(
            lambda: threads.run(self._fetch), limit_seconds=FETCH_LIMIT_SECONDS, name="speechpool-azure-fetch-token"
        )
        self._renewing: asyncio.Task[NoReturn] | None = None
        self._failure: NoToken | None = None
        self._failures = 0

    @property
    def problem(self) -> str | None:
        """Why there is no token, or none that still holds."""
        remaining = self.expires_in_seconds
        if remaining is not None and remaining > MARGIN_SECONDS:
            return None
        return self.warning or f"{self.setting}: Microsoft Entra ID gave no token yet"

    @property
    def warning(self) -> str | None:
        """Why the token was not renewed, while the one that is there still holds."""
        return f"{self.setting}: Microsoft Entra ID gave no token: {self._failure}" if self._failure else None

    @property
    def expires_in_seconds(self) -> float | None:
        """How long the token holds still; None before the first."""
        if self._current is None or self._current.expires_at is None:
            return None
        return max(0.0, self._current.expires_at - self._clock())

    async def open(self) -> None:
        """Ask for the first token, and renew it from now on."""
        await self.renew()
        self._renewing = asyncio.create_task(self._keep_renewing(), name="speechpool-azure-token")

    async def close(self) -> None:
        """Renew no more; a request that is under way is left to its thread."""
        if self._renewing:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
        await self._fetching.close()
        maker, self._maker = self._maker, None
        if maker:
            self._threads.dispose(maker.close, name="azure-identity")

    async def renew(self) -> bool:
        """Ask for a token; whether one came. Who asks while a request is under way gets its answer."""
        try:
            token = await self._fetching.answer()
        except TimeoutError:
            self._fail(NoToken(f"none came within {FETCH_LIMIT_SECONDS:g} s"))
            return False
        except NoToken as failure:
            self._fail(failure)
            return False
        except EngineFailed:  # everything ends
            return False
        self._take(token)
        return True

    def _fetch(self) -> Token:
        """In a thread."""
        try:
            if self._maker is None:
                self._maker = self._make()
            return self._maker.get_token(self._scope)
        except Exception as error:  # noqa: BLE001 - azure-identity and its transports raise many kinds; all mean no token
            raise no_token(error, os.environ) from None

    def _take(self, token: Token) -> None:
        self._failures, self._failure = 0, None
        expires_at = self._clock() + (token.expires_on - self._wall_clock())
        self._set(Credential(kind="token", secret=f"aad#{self._resource_id}#{token.token}", expires_at=expires_at))

    def _fail(self, failure: NoToken) -> None:
        is_news = str(self._failure)[:ALIKE_CHARACTERS] != str(failure)[:ALIKE_CHARACTERS]
        self._failures += 1
        self.refresh_failures += 1
        self._failure = failure
        facts = {"reason": self.warning, "expires_in_seconds": self.expires_in_seconds}
        logger.log(logging.WARNING if is_news else logging.DEBUG, "token not renewed", extra=facts)

    async def _keep_renewing(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._pause())
            await self.renew()

    def _pause(self) -> float:
        if self._failure and self._failure.awaits_file:
            return FILE_POLL_SECONDS
        if self._failures:
            longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 10))
            return longest * self._rng.uniform(0.5, 1.0)
        # Halves the time to where a new token can be had: the asking after that comes within seconds of it.
        remaining = (self.expires_in_seconds or 0.0) - RENEW_BEFORE_SECONDS
        return min(LATEST_SECONDS, max(SOONEST_SECONDS, remaining / 2))
