"""A list that stays true: listed once, then watched, listed again when the watch cannot go on."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import aiohttp

from speechpool_operator.kube import METADATA, METADATA_LIST, KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_list import pages

__all__ = ["Sink", "Watch"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

SERVER_SECONDS = 300.0
"""After that the API server ends a watch, and another begins where it ended."""

INACTIVITY_SECONDS = 70.0
"""Longest silence of a watch: the API server sends a bookmark every minute. kopf's number too."""

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 5.0  # there is one operator, not a herd, and until then it hears of no change
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Largest event: the API server takes no object of more than about 3 MB."""


class Sink(Protocol[T]):
    """Who wants to know. Each method is plain and quick: the watch waits for it."""

    def listed(self, items: list[T]) -> None:
        """These are all there are; what is not among them is gone."""

    def changed(self, item: T) -> None:
        """This one is new, or is now so."""

    def deleted(self, item: T) -> None:
        """This one is gone; it is given as it was last."""


class _Expired(Exception):
    """The API server does not remember so far back: list again."""


class Watch(Generic[T]):
    """Keeps a sink true to a collection of objects, of which only the metadata is asked for.

    Args:
        client: The API client.
        path: Of the collection, as `/api/v1/pods`.
        read: Makes an object's metadata small at once: a page of them is never kept whole.
        sink: Who wants to know.
        label_selector: As kubectl's `-l`; empty for all.
        field_selector: As kubectl's `--field-selector`; empty for all.
        inactivity_seconds: Longest silence before a new watch is begun.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        *,
        read: Callable[[Mapping[str, Any]], T],
        sink: Sink[T],
        label_selector: str = "",
        field_selector: str = "",
        inactivity_seconds: float = INACTIVITY_SECONDS,
    ) -> None:
        self._client = client
        self._path = path
        self._read = read
        self._sink = sink
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._selector = {name: value for name, value in selectors.items() if value}
        self._inactivity_seconds = inactivity_seconds
        self._version: str | None = None
        self._failures = 0
        self._heard_at: float | None = None
        self.restarts = 0

    @property
    def is_listed(self) -> bool:
        """Whether the sink knows the whole, from the first list on."""
        return self._heard_at is not None

    @property
    def age_seconds(self) -> float:
        """Since the API server last proved that the sink is true: by a list, an event or a bookmark; infinite before.

        More than `INACTIVITY_SECONDS` and a restart's time mean that the watch is not healthy.
        """
        if self._heard_at is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._heard_at

    async def run(self) -> NoReturn:
        """List and watch until cancelled; whatever the API server does is outlived."""
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                await self._pace()
            except _Expired:
                self._version = None
                logger.info("watch expired", extra={"path": self._path})
                await self._pace()
            except (KubeFailure, aiohttp.ClientError, OSError, ValueError) as error:
                await self._back_off(error)
            self.restarts += 1

    async def _back_off(self, error: Exception) -> None:
        if isinstance(error, KubeError) and error.status == 410:
            self._version = None
        asked = error.retry_after_seconds if isinstance(error, KubeFailure) else None
        bound = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, 10))
        pause = (asked or 0.0) + random.uniform(0, bound)
        self._failures += 1
        logger.warning("watch failed", extra={"path": self._path, "reason": str(error) or type(error).__name__})
        await asyncio.sleep(pause)

    async def _pace(self) -> None:
        # an API server, or what stands before it, that ends each watch at once must not be asked without a pause
        await asyncio.sleep(random.uniform(0, FIRST_BACKOFF_SECONDS))

    async def _list(self) -> None:
        items: list[T] = []
        async for page in pages(self._client, self._path, accept=METADATA_LIST, **self._selector):
            items.extend(self._read(each) for each in page.get("items") or ())
        self._version = str(page["metadata"]["resourceVersion"])
        self._heard()
        self._sink.listed(items)

    async def _watch(self) -> None:
        seconds = random.uniform(0.8, 1.0) * SERVER_SECONDS
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(int(seconds)),
            **self._selector,
        }
        async with asyncio.timeout(self._inactivity_seconds) as silence:
            async with self._client.open("GET", self._path, headers={"accept": METADATA}, params=params) as reply:
                self._rest(silence)
                async for line in _lines(reply.content):
                    self._handle(json.loads(line))
                    self._rest(silence)

    def _rest(self, silence: asyncio.Timeout) -> None:
        silence.reschedule(asyncio.get_running_loop().time() + self._inactivity_seconds)

    def _handle(self, event: Mapping[str, Any]) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise _failure(item)
        self._version = str(item["metadata"]["resourceVersion"])
        self._heard()
        if kind == "DELETED":
            self._sink.deleted(self._read(item))
        elif kind != "BOOKMARK":
            self._sink.changed(self._read(item))

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._failures = 0


def _failure(status: Mapping[str, Any]) -> Exception:
    code = int(status.get("code") or 500)
    if code == 410:
        return _Expired()
    return KubeError(code, str(status.get("reason") or ""), str(status.get("message") or "")[:1024])


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # not readline(): its limit is the read buffer's, which an object's annotations exceed
    rest = b""
    async for part in content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"an event must be at most {MAX_LINE_BYTES} bytes")
        for line in _filled(lines):
            yield line


def _filled(lines: list[bytes]) -> Iterator[bytes]:
    return (line for line in lines if line.strip())
