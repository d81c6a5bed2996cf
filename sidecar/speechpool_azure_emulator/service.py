"""The service's HTTP paths: the upgrade to each kind of WebSocket, the list of voices, tokens for keys."""

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from speechpool_azure_emulator.connection import Connection, ConnectionOver, reset
from speechpool_azure_emulator.faults import Fault
from speechpool_azure_emulator.recognition import RecognitionConnection
from speechpool_azure_emulator.state import State
from speechpool_azure_emulator.synthesis import SynthesisConnection
from speechpool_azure_emulator.voices import voice_list

__all__ = ["Service"]

_SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie"})
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_GOODBYE_SECONDS = 1.0  # how long a client may take to answer a close frame; guess
_LOOK_SECONDS = 0.05  # how often an upgrade that is never answered looks whether its client is gone


class Service:
    """Handles every request that is not for the control API.

    Args:
        state: The emulator's.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._connections: set[Connection] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.path.rstrip("/")
        if path.endswith("/voices/list"):
            return await self._answer_voices(request)
        if path.lower().endswith("/issuetoken"):
            return self._answer_token(request)
        kind = kind_of(path)
        if kind is None or request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response({"error": {"code": "404", "message": "Resource not found"}}, status=404)
        return await self._upgrade(request, kind)

    # --- plain HTTP ------------------------------------------------------------------------------------------------

    async def _answer_voices(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "voices", None)
        if refused is not None:
            return refused
        self._state.ledger.count("voice_lists")
        return web.json_response(voice_list())

    def _answer_token(self, request: web.Request) -> web.StreamResponse:
        if not self._admits(request):
            return _denied()
        self._state.ledger.count("tokens_issued")
        return web.Response(text=self._state.credentials.issue_token(), content_type="application/jwt")

    # --- the upgrade -----------------------------------------------------------------------------------------------

    async def _upgrade(self, request: web.Request, kind: str) -> web.StreamResponse:
        asked_at = time.monotonic()
        self._state.ledger.count("upgrades")
        await asyncio.sleep(self._state.options.upgrade_seconds)
        refused = await self._refused(request, "upgrade", kind)
        if refused is not None:
            self._state.ledger.upgrade_refused(refused.status)
            return refused
        ws = web.WebSocketResponse(
            protocols=("USP",),
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=_MAX_MESSAGE_BYTES,
            timeout=_GOODBYE_SECONDS,
        )
        try:
            await ws.prepare(request)
        except ConnectionResetError:  # the client went while its upgrade took its time
            return web.Response(status=408)
        await self._serve(ws, request, kind, asked_at)
        return ws

    async def _refused(self, request: web.Request, point: str, kind: str | None) -> web.Response | None:
        """The answer of a request that is not let in; None for one that is."""
        for fault in self._state.faults.take(point, kind):
            answer = await _suffer(fault, request)
            if answer is not None:
                return answer
        return None if self._admits(request) else _denied()

    def _admits(self, request: web.Request) -> bool:
        return self._state.credentials.admits(*_credentials(request))

    # --- the connection --------------------------------------------------------------------------------------------

    async def _serve(self, ws: web.WebSocketResponse, request: web.Request, kind: str, asked_at: float) -> None:
        record = self._state.ledger.connection_opened(
            kind=kind,
            path=request.path,
            query=dict(request.query),
            credential=self._state.credentials.name_of(*_credentials(request)),
            headers=_public(request.headers),
            asked_at=asked_at,
        )
        connection = Connection(ws, request, record, self._state)
        self._connections.add(connection)
        try:
            await _converse(connection)
        except* ConnectionOver:
            pass
        finally:
            connection.leave()
            self._connections.discard(connection)
            self._state.ledger.connection_closed(record, *connection.ended_with)

    # --- all connections -------------------------------------------------------------------------------------------

    def stir_all(self) -> None:
        """Faults or options changed."""
        for connection in self._connections:
            connection.stir()

    def freeze_all(self) -> None:
        """Nothing is answered any more on the connections there are."""
        for connection in self._connections:
            connection.freeze()

    def abort_all(self) -> None:
        """Reset the connections there are."""
        for connection in tuple(self._connections):
            connection.abort()

    async def close_all(self, code: int, reason: str, limit_seconds: float) -> None:
        """Close the connections there are, in `limit_seconds` at most."""
        closing = [asyncio.ensure_future(connection.close(code, reason)) for connection in self._connections]
        if closing:
            await asyncio.wait(closing, timeout=limit_seconds)
            await asyncio.gather(*closing, return_exceptions=True)
        self.abort_all()


def kind_of(path: str) -> str | None:
    """Which kind of WebSocket a path is for: "tts", "stt", or None for neither."""
    if "/tts/" in path or "/cognitiveservices/websocket/" in path:
        return "tts"
    if "/stt/" in path or "/speech/" in path:
        return "stt"
    return None


async def _converse(connection: Connection) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(connection.watch())
        tasks.create_task(connection.reach("opened"))  # beside reading, which a frozen connection goes on with
        protocol = _PROTOCOLS[connection.kind](connection, tasks)
        async for message in connection.messages():
            protocol.take(message)
        raise ConnectionOver  # ends what still runs


_PROTOCOLS: dict[str, type[SynthesisConnection] | type[RecognitionConnection]] = {
    "tts": SynthesisConnection,
    "stt": RecognitionConnection,
}


async def _suffer(fault: Fault, request: web.Request) -> web.Response | None:
    """Let a fault strike before the upgrade; the answer, if it is one."""
    match fault.action:
        case "refuse":
            return _refusal(fault)
        case "delay":
            await asyncio.sleep(fault.seconds)
        case "ignore":
            await _wait_until_gone(request)
            return web.Response(status=408)
        case "reset":
            reset(request.transport)
            return web.Response(status=408)
        case "hang_up":
            if request.transport:
                request.transport.close()
            return web.Response(status=408)
    return None


def _refusal(fault: Fault) -> web.Response:
    headers = {}
    if fault.retry_after_seconds is not None:
        headers["Retry-After"] = f"{fault.retry_after_seconds:g}"
    if fault.location is not None:
        headers["Location"] = fault.location
    return web.Response(status=fault.status, text=fault.body, headers=headers)


async def _wait_until_gone(request: web.Request) -> None:
    while request.transport and not request.transport.is_closing():  # noqa: ASYNC110 - nothing calls when it closes
        await asyncio.sleep(_LOOK_SECONDS)


def _denied() -> web.Response:
    message = "Access denied due to invalid subscription key or wrong API endpoint."
    return web.json_response({"error": {"code": "401", "message": message}}, status=401)


def _credentials(request: web.Request) -> tuple[str | None, str | None]:
    return request.headers.get("Ocp-Apim-Subscription-Key"), request.headers.get("Authorization")


def _public(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
