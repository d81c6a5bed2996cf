"""Many sidecars in one process: each dials, says hello, and acknowledges every message at once."""

import asyncio
import ssl
import sys
from pathlib import Path

import aiohttp
import uvloop

from speechpool.settings.wire import PATH, SUBPROTOCOL, Applying, Hello, PoolState, State, encode
from speechpool_operator.listener import raise_file_limit

POOLS = {f"voice-{number}": PoolState(warm=4, wanted=4, ready=True) for number in range(4)}
APPLIED = encode(State(state=Applying.APPLIED, pools=POOLS))
ANSWER = encode(State(state=Applying.APPLYING, pools=POOLS))
HELLO = encode(Hello(version="1.0"))
DIALS_AT_ONCE = 64


async def sidecar(session: aiohttp.ClientSession, url: str, name: str, room: asyncio.Semaphore) -> None:
    async with room:
        stream = await session.ws_connect(
            url, headers={"authorization": f"Bearer {name}"}, protocols=(SUBPROTOCOL,), server_hostname="bench.test"
        )
        await stream.send_str(HELLO)
    async for message in stream:
        await stream.send_str(APPLIED if '"type":"settings"' in message.data else ANSWER)


async def main(directory: Path, port: str, count: int) -> None:
    raise_file_limit()
    context = ssl.create_default_context(cafile=directory / "ca.crt")
    room = asyncio.Semaphore(DIALS_AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        url = f"https://127.0.0.1:{port}{PATH}"
        await asyncio.gather(*(sidecar(session, url, f"pod-{number}", room) for number in range(count)))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
