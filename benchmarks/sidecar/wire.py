"""The cheapest client there is: HTTP/1.1 on a kept-alive Unix socket, so that little but the server is measured."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

__all__ = ["Wire", "first_byte"]


class Wire:
    """One connection.

    Args:
        reader: The connection's reading half.
        writer: Its writing half.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, socket: Path, *, read_ahead_bytes: int = 1 << 20) -> "Wire":
        return cls(*await asyncio.open_unix_connection(str(socket), limit=read_ahead_bytes))

    async def post(self, path: str, body: dict[str, object]) -> dict[str, str]:
        """Send a request; the reply's headers, lower case, `:status` among them."""
        payload = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}"
        self.writer.write(f"{head}\r\n\r\n".encode() + payload)
        return await self._head()

    async def request(self, method: str, path: str) -> bytes:
        """The body of the reply to a request without one."""
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
        headers = await self._head()
        return await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def _head(self) -> dict[str, str]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        return headers | {":status": lines[0].split()[1]}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body, as the server cut them."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    def close(self) -> None:
        self.writer.close()


async def first_byte(wire: Wire, path: str, body: dict[str, object]) -> tuple[float, dict[str, str]]:
    """Seconds from sending to the first byte of the body; the rest is read too."""
    begun = time.perf_counter()
    headers = await wire.post(path, body)
    if headers[":status"] != "200":
        raise RuntimeError(f"{path}: {headers}")
    took = None
    async for _ in wire.chunks():
        took = took or time.perf_counter() - begun
    if took is None:
        raise RuntimeError(f"{path}: no audio came")
    return took, headers
