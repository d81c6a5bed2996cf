"""The limit: an aiohttp + uvloop server that answers one chunk of audio-sized bytes at once, and nothing else."""

import sys

import uvloop
from aiohttp import web

CHUNK = bytes(2_880)  # 60 ms of 24 kHz PCM, as the local engine's first chunk


async def speech(request: web.Request) -> web.StreamResponse:
    await request.json()
    reply = web.StreamResponse()
    reply.enable_chunked_encoding()
    await reply.prepare(request)
    await reply.write(CHUNK)
    await reply.write_eof()
    return reply


def main() -> None:
    app = web.Application()
    app.router.add_post("/v1/audio/speech", speech)
    uvloop.install()
    web.run_app(app, path=sys.argv[1], print=lambda *_: print("ready", flush=True), access_log=None)


if __name__ == "__main__":
    main()
