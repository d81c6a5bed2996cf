"""One WebSocket of the emulator: messages in and out, and the faults that befall it."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import NoReturn

from aiohttp import ClientConnectionError, WSMsgType, web

from speechpool_azure_emulator.faults import Fault
from speechpool_azure_emulator.frames import Message, parse_binary, parse_text, text_message
from speechpool_azure_emulator.ledger import ConnectionRecord
from speechpool_azure_emulator.state import State

__all__ = ["Connection", "ConnectionOver", "reset"]

_LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER with 0 seconds: close sends RST
_LOOK_SECONDS = 0.05  # how often a frozen connection looks whether its client is gone
_GARBAGE_TEXT = (
    "neither headers nor a body",
    "Path:turn.start\nX-RequestId:nobody\n\n{",
    "Path:no.such.path\r\n\r\n{}",
)
# Not among them: a header block longer than its frame. SDK 1.53 ends its process on one, with a segmentation fault.
_GARBAGE_BYTES = (b"", b"\x00", b"\x00\x0bPath:audio\xff", bytes(256))
_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of them are the code
_ABNORMAL = 1006  # RFC 6455, 7.4.1: ended without a close frame


class ConnectionOver(Exception):
    """The connection has ended, or shall end now."""


class Connection:
    """One WebSocket.

    Args:
        ws: Upgraded.
        request: Its request.
        record: Its record in the ledger.
        state: The emulator's.
    """

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, record: ConnectionRecord, state: State) -> None:
        self.state = state
        self.record = record
        self.kind = record.kind
        self._ws = ws
        self._request = request
        self._frozen = False
        self._turns = 0
        self._quiet_since = time.monotonic()
        self._stirred = asyncio.Event()
        self._ended_with: tuple[int, str] | None = None
        self._closing: asyncio.Event | None = None

    # --- what comes in ---------------------------------------------------------------------------------------------

    async def messages(self) -> AsyncIterator[Message]:
        """The client's messages, until the connection ends; a frozen connection reads them and is silent."""
        while True:
            received = await self._ws.receive()
            if received.type is WSMsgType.PING and not self._frozen:
                await self._ws.pong(received.data)
            elif received.type is WSMsgType.TEXT:
                self._count_in(len(received.data))
                if not self._frozen:
                    yield parse_text(received.data)
            elif received.type is WSMsgType.BINARY:
                self._count_in(len(received.data))
                message = None if self._frozen else parse_binary(received.data)
                if message:
                    yield message
            elif received.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                await self._end(received.type)
                return

    def _count_in(self, size: int) -> None:
        self.record.bytes_in += size
        self.state.ledger.count("bytes_in", size)

    async def _end(self, kind: WSMsgType) -> None:
        while self._frozen and not self.is_gone:  # noqa: ASYNC110 - nothing calls when a transport closes
            await asyncio.sleep(_LOOK_SECONDS)
        if self._ended_with is None:
            code = self._ws.close_code if kind is WSMsgType.CLOSE else None
            self._ended_with = (code or _ABNORMAL, "client")
        if self._closing:
            # Who closes waits for the client's answer: an end of TCP before that could overtake the close frame.
            await self._closing.wait()
        elif not self._frozen:
            await self._ws.close()

    @property
    def is_gone(self) -> bool:
        """Whether TCP's connection is closed, or closing."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    @property
    def ended_with(self) -> tuple[int, str]:
        """The close code, and who closed."""
        return self._ended_with or (_ABNORMAL, "client")

    # --- what goes out ---------------------------------------------------------------------------------------------

    async def send(self, path: str, request_id: str, body: str) -> None:
        """Send a text message; waits for ever on a frozen connection.

        Raises:
            ConnectionOver: There is nobody to send to.
        """
        await self._send_text(text_message(path, request_id, body))

    async def send_audio(self, prefix: bytes, payload: bytes | memoryview) -> None:
        """Send an audio message; as `send`."""
        await self._send_bytes(b"".join((prefix, payload)))

    async def _send_text(self, text: str) -> None:
        await self._thaw()
        try:
            await self._ws.send_str(text)
        except (ClientConnectionError, RuntimeError) as error:
            raise ConnectionOver from error
        self._count_out(len(text))

    async def _send_bytes(self, data: bytes) -> None:
        await self._thaw()
        try:
            await self._ws.send_bytes(data)
        except (ClientConnectionError, RuntimeError) as error:
            raise ConnectionOver from error
        self._count_out(len(data))

    async def _thaw(self) -> None:
        if self._frozen:
            await asyncio.get_running_loop().create_future()  # nothing ends this but the connection's own end

    def _count_out(self, size: int) -> None:
        self.record.bytes_out += size
        self.state.ledger.count("bytes_out", size)

    # --- faults ----------------------------------------------------------------------------------------------------

    async def reach(self, point: str) -> bool:
        """Suffer the faults of a point; returns whether what is due there is to be left out.

        Raises:
            ConnectionOver: A fault ended the connection.
        """
        omitted = False
        for fault in self.state.faults.take(point, self.kind):
            omitted |= await self.suffer(fault)
        return omitted

    async def suffer(self, fault: Fault) -> bool:
        """Let one fault strike; as `reach`."""
        match fault.action:
            case "delay":
                await asyncio.sleep(fault.seconds)
            case "close":
                await self.close(fault.code, fault.reason)
            case "reset":
                self._ended_with = (_ABNORMAL, "emulator")
                reset(self._request.transport)
                raise ConnectionOver
            case "hang_up":
                self._ended_with = (_ABNORMAL, "emulator")
                if self._request.transport:
                    self._request.transport.close()
                raise ConnectionOver
            case "freeze":
                self.freeze()
                await self._thaw()
            case "garbage":
                await self._send_garbage()
        return fault.action == "omit"

    def freeze(self) -> None:
        """Answer nothing any more; the client is not told."""
        self._frozen = True

    def abort(self) -> None:
        """Reset TCP's connection at once."""
        self._ended_with = self._ended_with or (_ABNORMAL, "emulator")
        reset(self._request.transport)

    async def close(self, code: int, reason: str) -> NoReturn:
        """Close with a code and a reason.

        Raises:
            ConnectionOver: Always.
        """
        self._ended_with = self._ended_with or (code, "emulator")
        if not self._frozen and self._closing is None:
            self._closing = asyncio.Event()
            try:
                await self._ws.close(code=code, message=reason.encode()[:_REASON_BYTES])
            finally:
                self._closing.set()
        raise ConnectionOver

    def leave(self) -> None:
        """The last step: a frozen peer says no good-bye."""
        if self._frozen:
            self.abort()

    async def _send_garbage(self) -> None:
        for text in _GARBAGE_TEXT:
            await self._send_text(text)
        for data in _GARBAGE_BYTES:
            await self._send_bytes(data)

    # --- age and idleness ------------------------------------------------------------------------------------------

    def turn_began(self) -> None:
        """A request is under way."""
        self._turns += 1
        self.stir()

    def turn_ended(self) -> None:
        """A request has ended."""
        self._turns -= 1
        self._quiet_since = time.monotonic()
        self.stir()

    def stir(self) -> None:
        """Look again when the connection is due: faults or options changed."""
        self._stirred.set()

    async def watch(self) -> None:
        """Close the connection at its age, and let faults of idleness strike.

        Raises:
            ConnectionOver: It was closed.
        """
        while True:
            self._stirred.clear()
            idle_seconds = time.monotonic() - self._quiet_since
            if self._turns == 0:
                for fault in self.state.faults.take_idle(self.kind, idle_seconds):
                    await self.suffer(fault)
            age_left_seconds = self._age_left_seconds()
            if age_left_seconds <= 0:
                options = self.state.options
                await self.close(options.max_connection_code, "Connection reached its maximum age.")
            await self._rest(age_left_seconds, idle_seconds)

    def _age_left_seconds(self) -> float:
        return self.record.opened_at + self.state.options.max_connection_seconds - time.monotonic()

    async def _rest(self, age_left_seconds: float, idle_seconds: float) -> None:
        due_seconds = self.state.faults.idle_seconds(self.kind) if self._turns == 0 else None
        rest_seconds = age_left_seconds
        if due_seconds is not None:
            rest_seconds = min(rest_seconds, max(due_seconds - idle_seconds, 0.001))
        try:
            async with asyncio.timeout(rest_seconds):
                await self._stirred.wait()
        except TimeoutError:
            return


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End TCP's connection with a reset instead of an orderly end."""
    if transport is None or transport.is_closing():
        return
    # A copy of the descriptor: uvloop's own socket object refuses setsockopt, and the option belongs to the connection.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()  # type: ignore[attr-defined] # TCP's transports are WriteTransports
