"""One WebSocket: JSON objects and audio in, events and audio out, every wait bounded."""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from aiohttp import WSMsgType, web

from speechpool.errors import InvalidInput, RequestError
from speechpool.web.fields import Fields, parse_object
from speechpool.web.middleware import REQUEST_ID, request_id
from speechpool.web.problems import HttpError, Problem, problem_of
from speechpool.web.replies import SEND_STALL_SECONDS, max_message_bytes
from speechpool.web.state import STATE

__all__ = ["BrokenProtocol", "Channel", "message_kind", "open_channel"]

MIN_MESSAGE_BYTES = 1024 * 1024
"""The largest message, where the settings need none larger: 32 s of 16 kHz PCM."""

_HEARTBEAT_SECONDS = 60.0
"""Between two pings; a client that answers none for half of it is gone. A guess: a player on pause answers late."""

_CLOSE_SECONDS = 5.0
"""How long the client's own close frame is waited for."""


class BrokenProtocol(RequestError):
    """A message that no later one can mend; the socket closes.

    Args:
        message: What is wrong.
        code: A stable identifier in snake_case.
        close_code: The WebSocket close code: 1003, 1008 or 1009.
    """

    def __init__(self, message: str, *, code: str, close_code: int) -> None:
        super().__init__(message, code=code)
        self.close_code = close_code


async def open_channel(request: web.Request) -> "Channel":
    """Upgrade a request to a WebSocket.

    Raises:
        HttpError: 426, the request asks for no upgrade.
    """
    if request.headers.get("Upgrade", "").lower() != "websocket":
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        raise HttpError(
            426, "this route is a WebSocket: send Upgrade: websocket", code="upgrade_required", headers=headers
        )
    limit_bytes = max(MIN_MESSAGE_BYTES, max_message_bytes(request.app[STATE].settings))
    # aiohttp closes without a word at its own limit, so ours is lower: a client is told what was too large
    socket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS, heartbeat=_HEARTBEAT_SECONDS, compress=False, max_msg_size=4 * limit_bytes
    )
    socket.headers[REQUEST_ID] = request_id(request)
    await socket.prepare(request)
    return Channel(request, socket, limit_bytes)


def message_kind(fields: Fields, known: Iterable[str]) -> str:
    """The `type` of a message.

    Raises:
        InvalidInput: It is missing, or none that is known (code `unknown_type`).
    """
    kind = fields.text("type", required=True)
    if kind not in (kinds := list(known)):
        raise InvalidInput(
            f"type must be one of {', '.join(kinds)}; got {kind[:64]!r}", param="type", code="unknown_type"
        )
    return kind


class Channel:
    """Sends and receives whole messages.

    Args:
        request: The request that was upgraded.
        socket: What became of it.
        limit_bytes: The largest message taken.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, limit_bytes: int) -> None:
        self._request = request
        self.response = socket
        self._limit_bytes = limit_bytes
        self.is_closing = False

    async def receive(self, timeout_seconds: float) -> dict[str, Any] | bytes | None:
        """The next message: an object, audio, or None when the client closed, or we did.

        Raises:
            InvalidInput: A text message is not a JSON object.
            BrokenProtocol: A message is too large.
            TimeoutError: None came in time.
        """
        message = await self.response.receive(timeout_seconds)
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return None
        if len(message.data) > self._limit_bytes:
            text = f"a message may have at most {self._limit_bytes} bytes"
            raise BrokenProtocol(text, code="message_too_large", close_code=1009)
        return parse_object(message.data) if message.type is WSMsgType.TEXT else message.data

    async def send(self, event: dict[str, Any]) -> None:
        """Send an event: a JSON object with its `type`.

        Raises:
            ConnectionError: The client is gone, or takes nothing.
        """
        await self._bounded(self.response.send_str(json.dumps(event, separators=(",", ":"))))

    async def send_audio(self, data: bytes) -> None:
        """Send a binary message; waits while the client is slow to take the last ones.

        Raises:
            ConnectionError: The client is gone, or takes nothing.
        """
        await self._bounded(self.response.send_bytes(data))

    async def refuse(
        self, error: Exception, turn_id: str | None = None, sent: Mapping[str, Any] | None = None
    ) -> Problem:
        """Send an error event: what is wrong, as an HTTP reply would say it.

        Args:
            error: What is wrong.
            turn_id: The utterance that it ends, or None.
            sent: Further fields of the event: what of the utterance went out.
        """
        problem = problem_of(error, request_id=request_id(self._request))
        event: dict[str, Any] = {"type": "error", "id": turn_id, "error": problem.body, **(sent or {})}
        if problem.retry_after_seconds is not None:
            event["retry_after_ms"] = round(problem.retry_after_seconds * 1000)
        await self.send(event)
        return problem

    async def close(self, code: int, reason: str = "") -> None:
        """Close, and wait a little for the client to do the same; safe more than once."""
        if not self.is_closing:
            self.is_closing = True
            # RFC 6455, 5.5: 125 bytes with the code
            await self.response.close(code=code, message=reason.encode()[:123])

    async def _bounded(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SEND_STALL_SECONDS):
                await sending
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client reads nothing") from None
