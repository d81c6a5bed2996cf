"""The API in this process: the real server on a real Unix socket, with the fake engine behind the real service."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import websockets
from aiohttp import web
from tests.fakes import FakeEngine
from tests.integration.sidecar import PATIENT

from speechpool.config import ConfigStore, load
from speechpool.service.service import SpeechService
from speechpool.speech.engine import Engine
from speechpool.web.access import TcpAccess
from speechpool.web.app import make_app, make_runner
from speechpool.web.state import WebState
from speechpool.web.telemetry import make_telemetry_app

__all__ = ["PATIENCE_SECONDS", "Api", "eventually", "fast_engine", "serving"]

PATIENCE_SECONDS = 30.0
"""The bound of every wait: far above what any of them takes."""


@dataclass
class Api:
    """A server that runs."""

    socket: Path
    engine: Any  # a FakeEngine, where the test gave no other
    service: SpeechService
    store: ConfigStore
    state: WebState
    runner: web.AppRunner
    http: httpx.AsyncClient
    tcp: httpx.AsyncClient | None
    telemetry: httpx.AsyncClient

    def websocket(self, path: str, **options: Any) -> Any:
        """A WebSocket of the websockets library."""
        return websockets.unix_connect(str(self.socket), uri=f"ws://speechpool{path}", **options)


def fast_engine(**dials: Any) -> FakeEngine:
    """A fake engine that is as fast as the machine."""
    return FakeEngine(**{"create_seconds": 0.0, "first_chunk_seconds": 0.0, "chunk_seconds": 0.0, **dials})


@contextlib.asynccontextmanager
async def serving(
    engine: Engine | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    access: TcpAccess | None = None,
    is_ready: bool = True,
) -> AsyncIterator[Api]:
    """Run the API; every client that the engine made is closed at the end."""
    engine = engine or fast_engine()
    voice = "one" if isinstance(engine, FakeEngine) else "alloy"
    store = load({"SPEECH_POOL_WARM_SIZE": "1", "SPEECHPOOL_DEFAULT_VOICE": voice, **PATIENT, **(environ or {})})
    service = SpeechService(engine, store.current)
    store.bind(service.apply)
    state = WebState(service, store)
    async with contextlib.AsyncExitStack() as stack:
        # the path of a Unix socket is short (108 bytes), that of pytest's tmp_path need not be
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechpool-"))
        socket = Path(folder) / "api.sock"
        runner = make_runner(make_app(state), shutdown_timeout_seconds=PATIENCE_SECONDS)
        await _serve(stack, runner, lambda: web.UnixSite(runner, str(socket)))
        http = await stack.enter_async_context(_client(socket))
        telemetry_runner = make_runner(make_telemetry_app(state), shutdown_timeout_seconds=0)
        telemetry_socket = Path(folder) / "telemetry.sock"
        await _serve(stack, telemetry_runner, lambda: web.UnixSite(telemetry_runner, str(telemetry_socket)))
        telemetry = await stack.enter_async_context(_client(telemetry_socket))
        tcp = await _tcp(stack, state, access) if access else None
        await service.open()
        stack.push_async_callback(service.close, 0)
        if is_ready:
            assert await service.wait_started()
        yield Api(socket, engine, service, store, state, runner, http, tcp, telemetry)
    if isinstance(engine, FakeEngine):
        engine.check(all_closed=True)


async def _serve(stack: contextlib.AsyncExitStack, runner: web.AppRunner, site: Callable[[], web.BaseSite]) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await site().start()


def _client(socket: Path) -> httpx.AsyncClient:
    # no TLS on a Unix socket: loading certificates for it takes longer than most tests
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    return httpx.AsyncClient(transport=transport, base_url="http://speechpool", timeout=PATIENCE_SECONDS)


async def _tcp(stack: contextlib.AsyncExitStack, state: WebState, access: TcpAccess) -> httpx.AsyncClient:
    runner = make_runner(make_app(state, access=access), shutdown_timeout_seconds=PATIENCE_SECONDS)
    await _serve(stack, runner, lambda: web.TCPSite(runner, "127.0.0.1", 0))
    host, port = runner.addresses[0][:2]
    client = httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE_SECONDS, verify=False)
    return await stack.enter_async_context(client)


async def eventually(holds: Callable[[], Any]) -> None:
    """Wait until something holds that has no event of its own."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.001)
