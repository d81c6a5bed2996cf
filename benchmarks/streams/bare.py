"""The limit: an aiohttp + uvloop server with TLS that sends to all and counts the answers, and nothing else."""

import asyncio
import ssl
import sys
from pathlib import Path

import uvloop
from aiohttp import WSMsgType, web
from streams.rounds import Rounds

from speechpool.settings.wire import PATH, SUBPROTOCOL, NewSettings, encode
from speechpool_operator.listener import raise_file_limit


class Bare:
    """Streams, and nothing about them."""

    def __init__(self) -> None:
        self.sockets: set[web.WebSocketResponse] = set()
        self.rounds = Rounds(self.push, lambda: len(self.sockets))
        self.sending: asyncio.Task[None] | None = None

    def push(self, message: NewSettings) -> None:
        self.sending = asyncio.ensure_future(self.send(encode(message)))

    async def send(self, text: str) -> None:
        for each in self.sockets:
            await each.send_str(text)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        made = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False)
        await made.prepare(request)
        await made.receive()  # hello
        self.sockets.add(made)
        while (await made.receive()).type is WSMsgType.TEXT:
            self.rounds.acknowledged()
        self.sockets.discard(made)
        return made


async def main(directory: Path) -> None:
    raise_file_limit()
    bare, app = Bare(), web.Application()
    app.router.add_get(PATH, bare.stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context, backlog=4096)
    await site.start()
    await bare.rounds.run(runner.addresses[0][1])


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
