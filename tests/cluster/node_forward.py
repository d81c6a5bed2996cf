"""Carries connections from the machine's network into a node's: `python -m tests.cluster.node_forward FD PORT`.

FD is a listening socket of the machine's; the process itself is in the node's network, and connects to PORT there.
"""

import asyncio
import contextlib
import socket
import sys


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
        writer.write_eof()


async def _serve(descriptor: int, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inside, outside = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_carry(reader, outside), _carry(inside, writer))
            finally:
                outside.close()
        writer.close()

    server = await asyncio.start_server(connected, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
