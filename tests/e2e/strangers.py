"""Connections to an operator by hand: what is sent is what a test says, and all that comes back is kept as it is."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable

from tests.cluster.apiserver import PATIENCE_SECONDS
from tests.cluster.operators import Operator

__all__ = ["HELLO", "Stranger", "counters", "dialled", "frame", "head", "metric", "statuses"]

HELLO = '{"type":"hello","protocol":1,"version":"1"}'


def head(token: str | None) -> bytes:
    """A request for a stream."""
    authorization = "" if token is None else f"authorization: Bearer {token}\r\n"
    return (
        "GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"sec-websocket-protocol: speechpool.v1\r\n{authorization}\r\n"
    ).encode()


def frame(payload: bytes | str, opcode: int = 0x1) -> bytes:
    """A client's frame, masked with zeros."""
    data = payload.encode() if isinstance(payload, str) else payload
    if len(data) < 126:
        size = bytes([0x80 | len(data)])
    elif len(data) < 2**16:
        size = b"\xfe" + len(data).to_bytes(2, "big")
    else:
        size = b"\xff" + len(data).to_bytes(8, "big")
    return bytes([0x80 | opcode]) + size + bytes(4) + data


class Stranger:
    """One connection, whoever is at its end.

    Args:
        reader: From the operator.
        writer: To it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard = b""
        """Everything that came."""
        self.is_closed = False

    def say(self, *frames: bytes) -> None:
        """Send, without waiting for it to be taken."""
        self._writer.write(b"".join(frames))

    async def until(self, is_heard: Callable[[bytes], object]) -> bytes:
        """Listen until this is so; all that was heard then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_heard(self.heard):
                await self._listen()
                assert not self.is_closed or is_heard(self.heard), f"closed after {self.heard[-500:]!r}"
        return self.heard

    async def until_closed(self) -> bytes:
        """Listen until the operator closes; all that was heard then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.is_closed:
                await self._listen()
        return self.heard

    async def _listen(self) -> None:
        try:
            part = await self._reader.read(65_536)
        except OSError:
            part = b""
        self.heard += part
        self.is_closed = not part


@contextlib.asynccontextmanager
async def dialled(operator: Operator, *, tls: bool = True, local: str = "127.0.0.1") -> AsyncIterator[Stranger]:
    """A connection that is broken off at the end.

    Args:
        operator: To whom.
        tls: Whether by TLS.
        local: From which address of this machine.
    """
    host, _, port = operator.address.rpartition(":")
    trust = ssl.create_default_context(cafile=str(operator.ca_file)) if tls else None
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trust, local_addr=(local, 0))
    try:
        yield Stranger(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def statuses(operator: Operator, token: str | None) -> tuple[int, bytes]:
    """The HTTP status that a token is answered with, and all that came."""
    async with dialled(operator) as stranger:
        stranger.say(head(token), frame(HELLO))
        heard = await stranger.until_closed()
    return int(heard.split(None, 2)[1]), heard


def counters(operator: Operator, name: str) -> dict[str, float]:
    """A metric's values by its one label; "" for one without."""
    return metric(operator.get("/metrics")[1], name)


def metric(told: str, name: str) -> dict[str, float]:
    """The same, of what any program told Prometheus."""
    found = re.findall(rf'^{name}(?:{{[^"]*"([^"]*)"}})? (\S+)$', told, re.MULTILINE)
    return {label: float(value) for label, value in found}
