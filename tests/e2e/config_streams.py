"""A config server before a real API server, and sidecars that dial it, for the tests of streams."""

import asyncio
import contextlib
import dataclasses
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import uvloop
from tests.cluster.apiserver import ApiServer

from speechpool.settings.wire import (
    PATH,
    SUBPROTOCOL,
    Applying,
    FromOperator,
    Hello,
    NewSettings,
    Revision,
    State,
    encode,
    from_operator,
)
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.identity import Identities, PodIdentity
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.listener import EntryLimits, listening_socket
from speechpool_operator.streams import Cell, Limits
from speechpool_operator.tls import Certificates

PATIENCE_SECONDS = 60.0
NAME = "speechpool-operator.test"

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

APPLIED = State(state=Applying.APPLIED)


@pytest.fixture
def namespace(api: ApiServer) -> str:
    """A namespace of the test's own."""
    return api.namespace()


@pytest.fixture
def sidecar_token(api: ApiServer, namespace: str) -> str:
    """A token of a new pod."""
    api.pod(namespace, "voice")
    return api.token(namespace, "voice")


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test of its own for each event loop."""

    def run(loop_name: str, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(test(**fixtures))

    signature = inspect.signature(test)
    name = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(parameters=[name, *signature.parameters.values()])  # type: ignore[attr-defined] # pytest reads it
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return pytest.mark.parametrize("loop_name", list(LOOPS))(run)


def settings(generation: int, warm: int = 3, padding: str = "") -> NewSettings:
    """A message as the operator sends it."""
    spec: dict[str, Any] = {"warmSize": warm} | ({"lexicon": padding} if padding else {})
    revision = Revision(uid="an-object", generation=generation, hash=f"hash-{generation}")
    return NewSettings(name="calls/voice", revision=revision, spec=spec)


class Roll:
    """A fleet that notes what it is told, and sends each sidecar what was set for its pod."""

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.pods: dict[str, PodIdentity] = {}
        self.hellos: list[tuple[str, Hello]] = []
        self.states: dict[str, list[State]] = {}
        self.left: list[str] = []
        self.first: dict[str, FromOperator] = {}
        self.happened = asyncio.Event()

    def connected(self, pod: PodIdentity, hello: Hello, cell: Cell) -> None:
        self.cells[pod.uid] = cell
        self.pods[pod.uid] = pod
        self.hellos.append((pod.uid, hello))
        if first := self.first.get(pod.uid):
            cell.put(first)
        self.happened.set()

    def said(self, uid: str, cell: Cell, state: State) -> None:
        self.states.setdefault(uid, []).append(state)
        self.happened.set()

    def gone(self, uid: str, cell: Cell) -> None:
        if self.cells.get(uid) is cell:
            del self.cells[uid]
            self.left.append(uid)
        self.happened.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to have happened."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self.happened.clear()
                await self.happened.wait()


@dataclasses.dataclass
class Served:
    """A config server that runs."""

    server: ConfigServer
    fleet: Roll
    port: int
    authority: trustme.CA
    certificates: Certificates
    directory: Path

    def trust(self) -> ssl.SSLContext:
        """The TLS of a sidecar, which trusts the server's authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    @contextlib.asynccontextmanager
    async def connect(
        self, *, tls: bool = True, **options: Any
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that says nothing by itself, and is broken off at the end."""
        named = {"ssl": self.trust(), "server_hostname": NAME} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **named, **options)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def dial(self, token: str | None, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket as a sidecar opens it; raises aiohttp.WSServerHandshakeError where it is refused."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(ssl=self.trust())
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"https://127.0.0.1:{self.port}{options.pop('path', PATH)}"
            async with session.ws_connect(
                url,
                headers=headers,
                protocols=options.pop("protocols", (SUBPROTOCOL,)),
                server_hostname=NAME,
                max_msg_size=2**21,
                **options,
            ) as stream:
                yield stream

    @contextlib.asynccontextmanager
    async def sidecar(self, token: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A sidecar that has said hello and is known to the fleet."""
        before = len(self.fleet.hellos)
        async with self.dial(token) as stream:
            await say(stream, Hello(version="1.0"))
            await self.fleet.until(lambda: len(self.fleet.hellos) > before)
            yield stream

    async def ended(self, why: str) -> None:
        """Wait until a stream has ended for this reason, once."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.server.endings[why]:  # noqa: ASYNC110 -- a count, which the server tells nobody of
                await asyncio.sleep(0.01)
        assert self.server.endings[why] == 1

    async def refused(self, token: str | None, **options: Any) -> int:
        """The HTTP status that a token is refused with."""
        try:
            async with self.dial(token, **options):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def request_head(token: str) -> bytes:
    """A request for a stream, as a sidecar's HTTP library writes it."""
    return (
        f"GET /v1/stream HTTP/1.1\r\nhost: {NAME}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"sec-websocket-protocol: speechpool.v1\r\nauthorization: Bearer {token}\r\n\r\n"
    ).encode()


async def say(stream: aiohttp.ClientWebSocketResponse, message: Hello | State) -> None:
    await stream.send_str(encode(message))


async def hear(stream: aiohttp.ClientWebSocketResponse, kind: type = object) -> Any:
    """The next message of a kind; None when the stream is closed."""
    while True:
        frame = await stream.receive(PATIENCE_SECONDS)
        if frame.type is not aiohttp.WSMsgType.TEXT:
            return None
        message = from_operator(frame.data)
        if isinstance(message, kind):
            return message


def issue(authority: trustme.CA, directory: Path, name: str = NAME) -> tuple[Path, Path]:
    """A new certificate where the server looks for it."""
    made = authority.issue_cert(name)
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


@contextlib.asynccontextmanager
async def serving(
    api: ApiServer,
    directory: Path,
    *,
    judged: Callable[[PodIdentity], PodIdentity] = lambda pod: pod,
    entry: EntryLimits | None = None,
    identify: Callable[[str], Awaitable[PodIdentity]] | None = None,
    **limits: Any,
) -> AsyncIterator[Served]:
    """A config server on a free port, whose identities a real API server judges.

    Args:
        api: The API server.
        directory: For the certificate.
        judged: Changes an identity after it was found out, as its end.
        entry: Bounds of those who entered not yet.
        identify: In place of the API server.
        **limits: Other bounds.
    """
    authority, fleet = trustme.CA(), Roll()
    certificates = Certificates(*issue(authority, directory))
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient(from_kubeconfig(api.kubeconfig())))
        identities = Identities(client)

        async def find_out(token: str) -> PodIdentity:
            return judged(await identities.identify(token))

        sock = stack.enter_context(listening_socket("127.0.0.1", 0))
        server = ConfigServer(
            sock,
            tls=lambda: certificates.current.context,
            identify=identify or find_out,
            fleet=fleet,
            limits=Limits(entry=entry or EntryLimits(), **limits),
        )
        running = asyncio.ensure_future(server.run())
        try:
            async with server:
                yield Served(server, fleet, sock.getsockname()[1], authority, certificates, directory)
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled() or not running.exception()
