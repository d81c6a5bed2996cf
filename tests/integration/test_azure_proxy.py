"""Azure behind an HTTP proxy, and with TLS: the SDK and our own requests go the same way."""

import asyncio
import base64
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.azure_patience import asks_soon, patient

from speechpool.errors import EngineUnavailable
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.engine import AzureEngine
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.engine import SynthesisProfile
from speechpool_azure_emulator import running_emulator

__all__ = ["asks_soon", "patient"]

SPEAKS = SynthesisProfile(format=AudioFormat(Codec.PCM, 24_000))
KEY = "a" * 32
LIMIT_SECONDS = 30.0


class Proxy:
    """An HTTP proxy that knows CONNECT."""

    def __init__(self, user: str | None = None) -> None:
        self._wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else None
        self.targets: list[str] = []
        self.refused = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if self._wanted and self._wanted not in head:
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        target = head.split()[1]
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        async with connected(host, int(port)) as (far_reader, far_writer):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is closed afterwards, to the last."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **options: Any
) -> AsyncIterator[int]:
    """A server at the port that it yields; at the end no connection of it is left."""
    running: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            await closed(writer)
            running.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]
    ending = list(running)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


@asynccontextmanager
async def proxy(user: str | None = None) -> AsyncIterator[Proxy]:
    one = Proxy(user)
    async with listening(one.serve) as one.port:
        yield one


@asynccontextmanager
async def opened(options: dict[str, Any], **environ: str) -> AsyncIterator[AzureEngine]:
    engine = AzureEngine(AzureOptions.parse({"key": KEY, "connectTimeoutSeconds": LIMIT_SECONDS, **options}, environ))
    try:
        await engine.open()
        yield engine
    finally:
        await engine.close()


async def test_voices_and_clients_go_through_the_proxy() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with (
            proxy() as way,
            opened({"endpoint": emulator.url, "proxy": f"http://127.0.0.1:{way.port}"}) as engine,
        ):
            assert engine.voices
            client = await engine.create_synthesizer(SPEAKS)

            assert client.is_ready
            assert set(way.targets) == {emulator.url.removeprefix("ws://")}
            assert len(way.targets) == 2
            await client.close()
            await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


async def test_a_proxy_gets_its_user_and_password() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with proxy("me:hunter2") as way:
            options = {
                "endpoint": emulator.url,
                "proxy": f"http://me@127.0.0.1:{way.port}",
                "proxyPasswordEnv": "PROXY_PASSWORD",
            }
            async with opened(options, PROXY_PASSWORD="hunter2") as engine:
                assert engine.voices
                client = await engine.create_synthesizer(SPEAKS)
                await client.close()
                await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
            assert not way.refused


@pytest.mark.usefixtures("asks_soon")
async def test_a_proxy_that_refuses_is_the_reason_that_is_told() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with (
            proxy("me:hunter2") as way,
            opened({"endpoint": emulator.url, "proxy": f"http://127.0.0.1:{way.port}"}) as engine,
        ):
            with pytest.raises(EngineUnavailable, match="the proxy wants a user and password"):
                await engine.create_synthesizer(SPEAKS)
            assert emulator.counts.upgrades == 0


@pytest.mark.parametrize("bypassed", [False, True])
async def test_the_environment_s_proxy_is_the_way_of_all_but_those_it_excepts(tmp_path: Path, bypassed: bool) -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with with_tls(tmp_path, emulator.port) as (url, trusted), proxy() as way:
            options = {"endpoint": url, "properties": {"OPENSSL_SINGLE_TRUSTED_CERT": trusted}}
            environ = {"HTTPS_PROXY": f"http://127.0.0.1:{way.port}", "NO_PROXY": "localhost" if bypassed else ""}
            async with opened(options, **environ) as engine:
                assert engine.voices
                client = await engine.create_synthesizer(SPEAKS)
                assert client.is_ready
                assert bool(way.targets) is not bypassed
                await client.close()
                await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


# --- TLS -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def with_tls(folder: Path, far_port: int) -> AsyncIterator[tuple[str, str]]:
    """A server with TLS before a port: its URL, and the certificate to trust."""
    certificate, key = self_signed()
    (folder / "server.pem").write_text(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with connected("127.0.0.1", far_port) as (far_reader, far_writer):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async with listening(serve, ssl=context, ssl_shutdown_timeout=1.0) as port:
        yield f"https://localhost:{port}", certificate


def self_signed() -> tuple[str, str]:
    """A certificate for localhost that is its own CA, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


async def test_a_private_certificate_is_trusted_where_the_settings_say_so(tmp_path: Path) -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with with_tls(tmp_path, emulator.port) as (url, certificate):
            trust = {"OPENSSL_SINGLE_TRUSTED_CERT": certificate, "OPENSSL_DISABLE_CRL_CHECK": "true"}
            async with opened({"endpoint": url, "properties": trust}) as engine:
                assert engine.voices
                client = await engine.create_synthesizer(SPEAKS)

                assert client.is_ready
                assert emulator.counts.upgrades_by_path == {"/tts/cognitiveservices/websocket/v1": 1}
                await client.close()
                await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


@pytest.mark.usefixtures("asks_soon")
async def test_a_certificate_that_nobody_trusts_is_the_reason_that_is_told(tmp_path: Path) -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with with_tls(tmp_path, emulator.port) as (url, _), opened({"endpoint": url}) as engine:
            with pytest.raises(EngineUnavailable, match=r"certificate is not trusted .* set SSL_CERT_FILE"):
                await engine.create_synthesizer(SPEAKS)


@pytest.mark.usefixtures("asks_soon")
async def test_tls_to_a_port_without_it_is_told_apart() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened({"endpoint": emulator.url.replace("ws://", "wss://")}) as engine:
            with pytest.raises(EngineUnavailable, match=r"TLS failed .* are for endpoints without TLS"):
                await engine.create_synthesizer(SPEAKS)
