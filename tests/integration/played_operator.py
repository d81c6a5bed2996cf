"""A server that plays the operator: real TLS, real WebSockets, on a thread of its own."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme
from aiohttp import web
from tests.integration.sidecar import PATIENCE_SECONDS

from speechpool.settings import wire
from speechpool.settings.wire import FromOperator, FromSidecar, Heartbeat, Hello, NewSettings, Revision, State

__all__ = ["PlayedOperator", "settings"]

T = TypeVar("T")

TOKEN = "token-of-a-pod"


def settings(generation: int = 1, *, uid: str = "uid-1", name: str = "calls/voice", **spec: Any) -> NewSettings:
    """What an object of this generation sets."""
    revision = Revision(uid=uid, generation=generation, hash=wire.spec_hash(spec))
    return NewSettings(name=name, revision=revision, spec=spec)


class PlayedOperator:
    """The operator as a test wants it; it refuses whoever has another token.

    Args:
        directory: Where the files are that a sidecar needs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca_file = directory / "ca.crt"
        self.token_file = directory / "token"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.token_file.write_text(f"{TOKEN}\n")
        self.token = TOKEN
        self.port = 0
        self.greeting: FromOperator | str | bytes | None = None  # to each that connects, after its hello
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.heartbeat_seconds = 20.0  # three of them missed are no reason of a busy machine's
        self.is_beating = True
        self.subprotocols = (wire.SUBPROTOCOL,)
        self.heard: list[FromSidecar | None] = []
        self.refused = 0
        self.connected = 0
        self.close_codes: list[int | None] = []
        self._sent: str | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._changed = threading.Condition()
        self._frozen = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="played operator", daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None

    # --- life ---

    @property
    def env(self) -> dict[str, str]:
        """What a sidecar's environment says of it."""
        return {
            "SPEECHPOOL_OPERATOR": f"localhost:{self.port}",
            "SPEECHPOOL_OPERATOR_CA_FILE": str(self.ca_file),
            "SPEECHPOOL_OPERATOR_TOKEN_FILE": str(self.token_file),
            "SPEECHPOOL_STATE_DIR": str(self.directory / "state"),
        }

    def start(self, names: tuple[str, ...] = ("localhost", "127.0.0.1"), *, heard_from: str = "127.0.0.1") -> None:
        """Listen; at the port of before, if there was one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)

        async def listen() -> None:
            app = web.Application()
            app.router.add_get(wire.PATH, self._stream)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            await web.TCPSite(self._runner, heard_from, self.port, ssl_context=context).start()
            self.port = self._runner.addresses[0][1]

        self._do(listen())

    def freeze(self) -> None:
        """Do nothing from now on, as a process that got SIGSTOP: the kernel still accepts, and nobody answers."""
        self._frozen.clear()
        self._loop.call_soon_threadsafe(self._frozen.wait)

    def thaw(self) -> None:
        """Go on."""
        self._frozen.set()

    def stop(self) -> None:
        """Be gone: connections are cut, new ones are refused."""

        async def leave() -> None:
            for socket in list(self._sockets):
                if socket._req and socket._req.transport:
                    socket._req.transport.abort()
            if self._runner:
                await self._runner.cleanup()
            self._runner = None

        self._do(leave())

    def close(self) -> None:
        """Stop, and end the thread."""
        self.thaw()
        self._do(asyncio.sleep(0.05))  # take what the kernel accepted: asyncio cannot once it stopped listening
        self.stop()
        self._do(self._abandon())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    # --- what it says ---

    def send(self, message: FromOperator | str | bytes) -> None:
        """Tell all who are connected, and whoever comes later."""
        self.greeting = message
        self._do(self._tell_all(message))

    def say(self, message: FromOperator | str | bytes) -> None:
        """Tell all who are connected."""
        self._do(self._tell_all(message))

    # --- what it hears ---

    @property
    def states(self) -> list[State]:
        """The states that sidecars told."""
        return [one for one in self.heard if isinstance(one, State)]

    @property
    def hellos(self) -> list[Hello]:
        """The first messages of sidecars."""
        return [one for one in self.heard if isinstance(one, Hello)]

    def wait_until(self, is_so: Callable[[], T]) -> T:
        """Wait until something that it heard makes this true; what it then is."""
        with self._changed:
            assert self._changed.wait_for(is_so, PATIENCE_SECONDS), f"it did not become so; heard: {self.heard[-5:]}"
            return is_so()

    def wait_for_state(self, message: NewSettings | None, state: str = "applied") -> State:
        """The newest state, as soon as it is this for these settings."""

        def found() -> State | None:
            offered = message.revision if message else None
            last = self.states[-1] if self.states else None
            return last if last and (last.state, last.offered) == (state, offered) else None

        return self.wait_until(found)

    # --- inside ---

    async def _abandon(self) -> None:
        """Leave no half-open connection and no task behind."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for _ in range(10):
            for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined] # no other way
                transport.abort()
            await asyncio.sleep(0.005)

    async def _tell_all(self, message: FromOperator | str | bytes) -> None:
        for socket in list(self._sockets):
            await self._tell(socket, message)

    async def _tell(self, socket: web.WebSocketResponse, message: FromOperator | str | bytes) -> None:
        with contextlib.suppress(ConnectionError):
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            elif isinstance(message, str):
                await socket.send_str(message)
            else:
                if isinstance(message, NewSettings | wire.NoSettings):
                    self._sent = message.revision.hash if isinstance(message, NewSettings) else None
                await socket.send_str(wire.encode(message))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.refusal or request.headers.get("Authorization") != f"Bearer {self.token}":
            status, headers = self.refusal or (401, {})
            self._note(lambda: setattr(self, "refused", self.refused + 1))
            return web.Response(status=status, headers=headers)
        socket = web.WebSocketResponse(protocols=self.subprotocols, max_msg_size=wire.MAX_SIDECAR_MESSAGE_BYTES)
        await socket.prepare(request)
        self._sent = None
        self._note(lambda: setattr(self, "connected", self.connected + 1))
        beating = asyncio.ensure_future(self._beat(socket))
        try:
            await self._listen(socket)
        finally:
            beating.cancel()
            self._sockets.discard(socket)
            self._note(lambda: self.close_codes.append(socket.close_code))
        return socket

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        async for frame in socket:
            message = wire.from_sidecar(frame.data)
            if isinstance(message, Hello):
                self._sockets.add(socket)
                if self.greeting is not None:
                    await self._tell(socket, self.greeting)
            self._note(lambda said=message: self.heard.append(said))

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        while True:
            if self.is_beating:
                await self._tell(socket, Heartbeat(hash=self._sent, interval_seconds=self.heartbeat_seconds))
            await asyncio.sleep(self.heartbeat_seconds)

    def _note(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[PlayedOperator]:
    """An operator that listens, and has no object for anybody yet."""
    played = PlayedOperator(tmp_path)
    played.start()
    try:
        yield played
    finally:
        played.close()
