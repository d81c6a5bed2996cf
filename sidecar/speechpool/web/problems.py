"""The one table from errors to HTTP: status, OpenAI's error body, and whether to try again.

Everything else raises; only this module knows a status. OpenAI's clients repeat 408, 409, 429 and 5xx by themselves
unless `x-should-retry: false` says that it is of no use (openai-python 3.54, `_base_client.py`, `_should_retry`).
"""

import logging
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, web

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InputTooLarge,
    InvalidInput,
    NotFound,
    PoolClosed,
    PoolFull,
    PoolNotReady,
    PoolTimeout,
    QuotaExceeded,
    RequestError,
    SessionBusy,
    SessionReleased,
    SpeechPoolError,
    Throttled,
    WorkerDied,
)

__all__ = ["HttpError", "Problem", "problem_of", "problem_response"]

logger = logging.getLogger(__name__)


class HttpError(RequestError):
    """What only HTTP knows: no such route, a method that is not served, a token that is missing.

    Args:
        status: The HTTP status.
        message: What is wrong and what to do.
        code: A stable identifier in snake_case.
        headers: Headers that belong to the status (`allow`, `www-authenticate`).
    """

    def __init__(self, status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as a client sees it.

    Args:
        status: The HTTP status.
        message: For people.
        type: OpenAI's class of errors.
        param: The field at fault, or None.
        code: A stable identifier in snake_case.
        retry_after_seconds: When trying again may help; None where it cannot.
        headers: Further headers.
    """

    status: int
    message: str
    type: str
    param: str | None
    code: str
    retry_after_seconds: float | None
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object, without its envelope."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    @property
    def close_code(self) -> int:
        """The WebSocket close code that says the same: 1008, 1009, 1011 or 1013 (RFC 6455, 7.4.1 and IANA)."""
        if self.status == 413:
            return WSCloseCode.MESSAGE_TOO_BIG
        if self.status in (429, 503):
            return WSCloseCode.TRY_AGAIN_LATER
        return WSCloseCode.POLICY_VIOLATION if self.status < 500 else WSCloseCode.INTERNAL_ERROR

    @property
    def retry_headers(self) -> dict[str, str]:
        """What OpenAI's clients obey: when to try again, or that it is of no use."""
        if self.retry_after_seconds is None:
            return {"x-should-retry": "false"}
        seconds = self.retry_after_seconds
        return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    code: str
    retry_after_seconds: float | None = None


# A subclass stands before its parent: the first match counts. The pauses are guesses: a second is longer than any
# local client takes to warm, and short for a person who waits.
_TABLE: dict[type[SpeechPoolError], _Row] = {
    InvalidInput: _Row(400, "invalid_value"),
    InputTooLarge: _Row(413, "input_too_large"),
    NotFound: _Row(404, "not_found"),
    SessionBusy: _Row(409, "session_busy"),
    SessionReleased: _Row(409, "session_released"),
    QuotaExceeded: _Row(429, "quota_exceeded", 1.0),
    RequestError: _Row(400, "invalid_request"),
    PoolFull: _Row(429, "pool_full", 1.0),
    PoolTimeout: _Row(503, "pool_timeout", 1.0),
    PoolNotReady: _Row(503, "pool_not_ready", 1.0),
    PoolClosed: _Row(503, "pool_closed", 1.0),
    Throttled: _Row(429, "engine_throttled", 1.0),
    WorkerDied: _Row(503, "worker_died", 1.0),
    EngineUnavailable: _Row(503, "engine_unavailable", 1.0),
    EngineTimeout: _Row(504, "engine_timeout", 1.0),
    EngineFailed: _Row(502, "engine_failed", 1.0),
    AuthenticationFailed: _Row(502, "engine_authentication_failed"),
}

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}

_UNEXPECTED = Problem(
    status=500,
    message="SpeechPool failed in a way it does not know. The log names the request id and the error.",
    type="server_error",
    param=None,
    code="internal_error",
    retry_after_seconds=None,
    headers={},
)


def problem_of(error: Exception, *, request_id: str) -> Problem:
    """What a client is told about an error; logs it where it is the server's.

    Args:
        error: Any error that ended a request or an utterance.
        request_id: Joins the log's line to the client's.
    """
    problem = _known(error)
    if problem.status >= 500:
        level = logging.ERROR if problem is _UNEXPECTED else logging.WARNING
        # Only the class, and for an error of our own its message: anything else may quote what was said.
        detail = str(error) if isinstance(error, SpeechPoolError) else ""
        fields: dict[str, object] = {"error_class": type(error).__name__, "detail": detail, "request_id": request_id}
        if problem is _UNEXPECTED:
            fields["where"] = _where(error)
        logger.log(level, "request failed", extra=fields)
    return problem


def _where(error: BaseException) -> list[str]:
    """The lines of code where a defect showed, the last one innermost; no values."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def problem_response(problem: Problem) -> web.Response:
    """An HTTP response that says it, with OpenAI's body."""
    headers = {**problem.retry_headers, **problem.headers}
    return web.json_response({"error": problem.body}, status=problem.status, headers=headers)


def _known(error: Exception) -> Problem:
    if isinstance(error, HttpError):
        return _problem(error.status, error, _Row(error.status, error.code or "http_error"), error.headers)
    if isinstance(error, web.HTTPException):
        return _known(_from_aiohttp(error))
    for kind, row in _TABLE.items():
        if isinstance(error, kind):
            return _problem(row.status, error, row, {})
    return _UNEXPECTED


def _problem(status: int, error: SpeechPoolError, row: _Row, headers: Mapping[str, str]) -> Problem:
    asked = getattr(error, "retry_after_seconds", None)
    return Problem(
        status=status,
        message=str(error),
        type=_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        param=getattr(error, "param", None),
        code=getattr(error, "code", None) or row.code,
        retry_after_seconds=row.retry_after_seconds if asked is None else asked,
        headers=headers,
    )


def _from_aiohttp(error: web.HTTPException) -> Exception:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"this route serves {allowed}; the request's method was {error.method[:16]}"
        return HttpError(405, message, code="method_not_allowed", headers={"allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return InputTooLarge("the body is larger than this route takes", code="body_too_large")
    if error.status == 404:
        return HttpError(404, "no such route; GET /openapi.json lists what there is", code="route_not_found")
    return HttpError(error.status, error.reason, code="http_error")
