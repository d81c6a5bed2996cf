"""Many sidecars in one process: each dials, says hello, and answers every message at once, as a sidecar does.

Each answers with words of its own: the revision that it was sent, and how its own pools are.
"""

import asyncio
import contextlib
import functools
import random
import ssl
import sys
from pathlib import Path

import aiohttp
import uvloop

from speechpool.settings.wire import (
    PATH,
    SUBPROTOCOL,
    Applying,
    Hello,
    NewSettings,
    PoolState,
    Revision,
    State,
    encode,
    from_operator,
)
from speechpool_operator.listener import raise_file_limit

HELLO = encode(Hello(version="1.0"))
DIALS_AT_ONCE = 64


class Answers:
    """What one sidecar says of itself; as cheap as can be, for the sidecars of one process are to answer at once."""

    def __init__(self, number: int) -> None:
        pools = {f"voice-{n}": PoolState(warm=3 + (number >> n) % 2, wanted=4, ready=True) for n in range(4)}
        at = f"2026-11-01T00:{number // 60 % 60:02}:{number % 60:02}Z"
        revision = Revision(uid="@uid", generation=987654321, hash="@hash")
        self._template = encode(
            State(state=Applying.APPLIED, offered=revision, applied=revision, applied_at=at, pools=pools)
        )
        self._text = encode(State(state=Applying.APPLIED, pools=pools))

    def to(self, text: str) -> str:
        if revision := revision_of(text):
            filled = self._template.replace("@uid", revision.uid).replace("@hash", revision.hash)
            self._text = filled.replace("987654321", str(revision.generation))
        return self._text


@functools.lru_cache(maxsize=8)
def revision_of(text: str) -> Revision | None:
    message = from_operator(text)
    return message.revision if isinstance(message, NewSettings) else None


def token_of(directory: Path, number: int) -> str:
    """The token of a pod where there are pods, else a name."""
    file = directory / "tokens" / str(number)
    return file.read_text() if file.exists() else f"pod-{number}"


async def sidecar(session: aiohttp.ClientSession, url: str, number: int, token: str, room: asyncio.Semaphore) -> None:
    answers = Answers(number)
    while True:  # on a machine that is loaded a connection may wait for too long, and one may be lost
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with room:
                stream = await session.ws_connect(
                    url,
                    headers={"authorization": f"Bearer {token}"},
                    protocols=(SUBPROTOCOL,),
                    server_hostname="localhost",
                )
                await stream.send_str(HELLO)
            async for message in stream:
                await stream.send_str(answers.to(message.data))
        await asyncio.sleep(random.uniform(0.5, 1.5))


async def main(directory: Path, port: str, count: int) -> None:
    raise_file_limit()
    context = ssl.create_default_context(cafile=directory / "ca.crt")
    room = asyncio.Semaphore(DIALS_AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        url = f"https://127.0.0.1:{port}{PATH}"
        await asyncio.gather(*(sidecar(session, url, n, token_of(directory, n), room) for n in range(count)))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
