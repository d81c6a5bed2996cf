"""Headers and bodies that several routes share."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from speechpool.errors import InputTooLarge, InvalidInput
from speechpool.settings import Settings
from speechpool.web.fields import parse_object
from speechpool.web.middleware import REQUEST_ID, TIER, request_id
from speechpool.web.problems import HttpError
from speechpool.web.state import STATE

__all__ = [
    "SEND_STALL_SECONDS",
    "StreamedResponse",
    "json_body",
    "max_message_bytes",
    "note_ignored",
    "speech_headers",
    "upload_too_slow",
    "write",
]

SEND_STALL_SECONDS = 60.0
"""How long a client may read nothing while audio waits for it; then it is gone. A guess: a player on pause."""

_WARNING = "X-SpeechPool-Warning"


async def json_body(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """The request's body as a JSON object, whatever its content type says.

    Args:
        request: The request.
        optional: Whether an empty body counts as an empty object.

    Raises:
        InvalidInput: It is not a JSON object, or its transfer is malformed.
        InputTooLarge: It is larger than any input that the settings allow.
        HttpError: 408, it did not come in time.
    """
    settings = request.app[STATE].settings
    limit_bytes = max_message_bytes(settings)
    try:
        if request.content.is_eof():  # it came with the headers: nothing is waited for
            body = _bounded(request.content.read_nowait(), limit_bytes)
        else:
            async with asyncio.timeout(settings.upload_timeout_seconds):
                body = await _read(request, limit_bytes)
    except TimeoutError:
        raise upload_too_slow(f"the body did not come within {settings.upload_timeout_seconds:g} s") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidInput("the body's transfer is malformed or was cut", code="invalid_body") from None
    if optional and not body:
        return {}
    return parse_object(body)


async def _read(request: web.Request, limit_bytes: int) -> bytes:
    body = bytearray()
    # what the header promises is refused before it comes, what it hides while it comes
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


def _bounded(body: bytes, limit_bytes: int) -> bytes:
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def _too_large(limit_bytes: int) -> InputTooLarge:
    return InputTooLarge(f"the body may have at most {limit_bytes} bytes", code="body_too_large")


def max_message_bytes(settings: Settings) -> int:
    """The largest JSON that can hold an input the settings allow.

    A character is at most 12 bytes, a surrogate pair of escapes; 64 KiB are for the other fields.
    """
    return 12 * max(settings.max_input_characters, settings.max_ssml_characters) + 65_536


def upload_too_slow(message: str) -> HttpError:
    """The error for a body that does not come."""
    return HttpError(408, message, code="upload_timeout", headers={"connection": "close"})


def speech_headers(
    request: web.Request, *, tier: str, wait_seconds: float, timing: Mapping[str, float]
) -> dict[str, str]:
    """What every speech reply says of itself.

    Args:
        request: The request.
        tier: Where the client came from: dedicated, warm or cold; cached where none was needed.
        wait_seconds: How long the request waited for it.
        timing: Durations in seconds by their `Server-Timing` name.
    """
    return {
        REQUEST_ID: request_id(request),
        TIER: tier,
        "X-SpeechPool-Wait-Ms": f"{wait_seconds * 1000:.3f}",
        "Server-Timing": ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in timing.items()),
    }


def note_ignored(headers: dict[str, str], ignored: Sequence[str]) -> None:
    """Say in a header which fields of the request had no effect."""
    if ignored:
        # names come from the client: only what is harmless in a header, and not all of a flood
        names = ("".join(c if c.isascii() and c.isprintable() else "?" for c in name[:64]) for name in ignored[:16])
        headers[_WARNING] = "no effect: " + ", ".join(names)


class StreamedResponse(web.StreamResponse):
    """A response whose headers go out together with its first bytes: one system call less before the first audio."""

    # aiohttp's own Response has the same; a version without the name would only send the headers first
    _send_headers_immediately = False


async def write(request: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
    """Write to a response, but not for ever.

    Raises:
        ConnectionResetError: The client took nothing for `SEND_STALL_SECONDS`.
    """
    if not _may_wait(request.transport, len(data)):
        await response.write(data)
        return
    try:
        async with asyncio.timeout(SEND_STALL_SECONDS):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError("the client reads nothing") from None


def _may_wait(transport: asyncio.Transport | None, size_bytes: int) -> bool:
    """Whether the client might have to read before a write of this size returns.

    Writers wait once the transport holds more than its upper limit, until it holds no more than its lower one.
    """
    if transport is None:
        return False  # the connection is lost, which the write tells at once
    low_bytes, high_bytes = transport.get_write_buffer_limits()
    # half of the limit is left for the head, the framing and what is held
    return transport.get_write_buffer_size() > low_bytes or size_bytes > high_bytes // 2
