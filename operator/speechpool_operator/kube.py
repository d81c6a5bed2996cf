"""A client of the Kubernetes API, as small as this operator needs it.

Why not one of the libraries: measured beside aiohttp and PyYAML (35 MB), which kopf needs anyway, `kubernetes_asyncio`
takes 70 MB more and `kr8s` 20 MB; `lightkube` is small, but has no metadata-only watches, no bookmarks, no limit to a
watch's silence and no retries, and brings a second HTTP stack.
"""

import asyncio
import contextlib
import json
import logging
import random
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from speechpool.errors import SpeechPoolError
from speechpool_operator.kube_access import Access

__all__ = ["METADATA", "METADATA_LIST", "KubeClient", "KubeError", "KubeFailure", "KubeUnavailable"]

logger = logging.getLogger(__name__)

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""`Accept` for an object's metadata alone."""

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""`Accept` for the metadata alone of each object of a list."""

REQUEST_SECONDS = 15.0
"""Bound of a request with all its attempts."""

ATTEMPT_SECONDS = 5.0
"""Bound of one attempt: an answer takes milliseconds, so a silent connection gives way to a new one."""

ATTEMPTS = 5
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 2.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read: a page of 500 objects of a megabyte each would never be sent, 64 MiB are a page's."""

CONNECTIONS = 96
"""Most connections at once: above all that is asked beside each other, so that a Lease's renewal waits for nobody."""


class KubeFailure(SpeechPoolError):
    """A request did not succeed, for whatever reason."""

    reason = "Unavailable"
    """A CamelCase word for programs: Kubernetes' own where it gave one."""

    retry_after_seconds: float | None = None
    """When the API server wants to be asked again; None where it did not say."""


class KubeError(KubeFailure):
    """The API server refused a request.

    Args:
        status: The HTTP status.
        reason: Kubernetes' CamelCase word, as NotFound.
        message: What it said; never a token, for requests with one are answered without it.
        retry_after_seconds: When it wants to be asked again; None where it did not say.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 429 or self.status >= 500


class KubeUnavailable(KubeFailure):
    """The API server gave no usable answer within the bound; the cause is the last attempt's failure."""


class KubeClient:
    """Requests to one API server, over connections that are kept; an asynchronous context manager.

    Args:
        access: Where it is and who this is.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_stamp: object = None

    async def __aenter__(self) -> "KubeClient":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60.0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=ATTEMPT_SECONDS),
            headers={"user-agent": "speechpool-operator"},
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def get(self, path: str, *, accept: str = "application/json", **params: str) -> dict[str, Any]:
        """GET an object or a list.

        Args:
            path: As `/api/v1/namespaces/calls/pods/voice`.
            accept: `METADATA` or `METADATA_LIST` for metadata alone.
            **params: Of the query.

        Raises:
            KubeError: The API server refused it.
            KubeUnavailable: It did not answer in time.
        """
        return await self._request("GET", path, accept=accept, params=params)

    async def create(self, path: str, body: Mapping[str, Any], *, seconds: float = REQUEST_SECONDS) -> dict[str, Any]:
        """POST an object. After a broken connection it is sent again: name what must not be there twice.

        Raises:
            KubeError: The API server refused it.
            KubeUnavailable: It did not answer in time.
        """
        return await self._request("POST", path, body=body, seconds=seconds)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PUT an object; its resourceVersion decides between two who write.

        Raises:
            KubeError: The API server refused it.
            KubeUnavailable: It did not answer in time.
        """
        return await self._request("PUT", path, body=body)

    async def merge_patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object, or with `/status` at the end of the path its status.

        Raises:
            KubeError: The API server refused it.
            KubeUnavailable: It did not answer in time.
        """
        return await self._request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def json_patch(self, path: str, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """JSON-patch (RFC 6902) an object, or with `/status` at the end of the path its status.

        Raises:
            KubeError: The API server refused it; 422 where a "test" did not hold.
            KubeUnavailable: It did not answer in time.
        """
        return await self._request("PATCH", path, body=operations, content_type="application/json-patch+json")

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        headers = {"accept": accept, "content-type": content_type}
        data = None if body is None else json.dumps(body).encode()
        last: BaseException | None = None
        try:
            async with asyncio.timeout(seconds):
                for attempt in range(ATTEMPTS):
                    try:
                        return await self._attempt(method, path, headers, data, params or {})
                    except (KubeError, aiohttp.ClientError, OSError, ValueError) as error:
                        last = error
                        if isinstance(error, KubeError) and not error.may_pass:
                            raise
                    if attempt < ATTEMPTS - 1:
                        await asyncio.sleep(_pause(attempt, last))
        except TimeoutError as error:
            last = last or error
        if isinstance(last, KubeError):
            raise last
        raise KubeUnavailable(f"{method} {path}: no answer of the API server ({type(last).__name__})") from last

    async def _attempt(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes | None, params: Mapping[str, str]
    ) -> dict[str, Any]:
        async with (
            asyncio.timeout(ATTEMPT_SECONDS),
            self.open(method, path, headers=headers, data=data, params=params) as reply,
        ):
            answer = json.loads(await _read(reply))
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")  # noqa: TRY004 -- what a proxy may answer, not a caller's fault
        return answer

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt at a request, whose answer is not read yet; the caller sets the bounds.

        Raises:
            KubeError: The API server refused it.
            aiohttp.ClientError: There was no answer.
            OSError: Likewise, or the token or a certificate could not be read.
        """
        assert self._session, "the client is not open"
        url = self.access.server + path
        async with self._session.request(
            method,
            url,
            headers={**headers, **self._authorization()},
            data=data,
            params=params,
            ssl=self._current_tls(),
            allow_redirects=False,  # a redirect would carry the token elsewhere
        ) as reply:
            if reply.status >= 300:
                raise _refusal(reply, await _read(reply))
            try:
                yield reply
            except BaseException:  # cancelled too: whatever ended it, the answer was not read to its end
                _abort(reply)
                raise

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.access.token()}"} if self.access.token else {}

    def _current_tls(self) -> ssl.SSLContext | bool:
        if not self.access.tls:
            return True
        stamp = tuple(map(_stamp, self.access.tls_files))
        if self._tls is None or stamp != self._tls_stamp:
            self._tls, self._tls_stamp = self.access.tls(), stamp
        return self._tls


def _abort(reply: aiohttp.ClientResponse) -> None:
    # closing would wait for the TLS goodbye of a peer that may be gone or frozen
    connection = reply.connection
    if connection and connection.transport:
        connection.transport.abort()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


def _pause(attempt: int, error: BaseException | None) -> float:
    """Seconds before the next attempt: what the API server asked for, or a random part of a doubling time."""
    if isinstance(error, KubeError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.uniform(0, FIRST_BACKOFF_SECONDS)
    return random.uniform(0, min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempt))


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in reply.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer must be at most {MAX_ANSWER_BYTES} bytes")
    return b"".join(parts)


def _refusal(reply: aiohttp.ClientResponse, body: bytes) -> KubeError:
    reason, message = reply.reason or "", ""
    with contextlib.suppress(ValueError, AttributeError):
        status = json.loads(body)
        reason, message = str(status.get("reason") or reason), str(status.get("message") or "")
    return KubeError(reply.status, reason, message[:1024], _retry_after(reply.headers.get("retry-after", "")))


def _retry_after(text: str) -> float | None:
    return min(float(text), REQUEST_SECONDS) if text.isascii() and text.isdigit() and len(text) < 10 else None
