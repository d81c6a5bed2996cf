"""A client that goes away takes its synthesis with it."""

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.integration.api import Api, eventually, serving

BODY = {"input": "Hello there, this is long enough for several chunks.", "voice": "one", "response_format": "pcm"}


async def begin(api: Api, body: dict[str, object] | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw request, so that nothing between the test and the socket tidies up."""
    payload = json.dumps(body or BODY).encode()
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    await writer.drain()
    return reader, writer


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def leases(api: Api) -> Callable[[], bool]:
    return lambda: api.service.active == 0 and not api.engine.busy_clients


async def test_before_the_first_byte():
    async with serving() as api:
        api.engine.fail(None)  # the engine never makes a chunk
        _, writer = await begin(api)
        await eventually(lambda: api.engine.busy_clients)
        await close(writer)
        await eventually(leases(api))


async def test_between_two_chunks():
    async with serving() as api:
        api.engine.fail(None, after_chunks=2)
        reader, writer = await begin(api)
        await reader.readuntil(b"\r\n\r\n")
        await close(writer)
        await eventually(leases(api))


async def test_while_it_waits_for_a_client():
    async with serving(environ={"SPEECH_POOL_MAX_SIZE": "1"}) as api:
        api.engine.fail(None, after_chunks=1)
        _, first = await begin(api)
        await eventually(lambda: api.engine.busy_clients)
        _, second = await begin(api)
        await eventually(lambda: api.service.pool("tts")["waiting"] == 1)
        await close(second)
        await eventually(lambda: api.service.pool("tts")["waiting"] == 0)
        await close(first)
        await eventually(leases(api))


async def test_while_it_takes_nothing():
    """The reader stands still with a full socket, then dies: writing fails, and that is noticed too."""
    async with serving() as api:
        body = {"input": "a" * 4000, "voice": "one", "response_format": "pcm", "sample_rate": 48000}
        reader, writer = await begin(api, body)
        writer.transport.pause_reading()
        await eventually(lambda: api.engine.busy_clients)
        writer.transport.abort()
        await eventually(leases(api))
        del reader


async def test_the_next_caller_gets_the_client_warm():
    async with serving() as api:
        for _ in range(5):
            api.engine.fail(None, after_chunks=1)
            reader, writer = await begin(api)
            await reader.readuntil(b"\r\n\r\n")
            await close(writer)
            await eventually(leases(api))
            await eventually(lambda: api.service.pool("tts")["warm_pool_size"] >= 1)
        reply = await api.http.post("/v1/audio/speech", json=BODY)
        assert reply.headers["x-speechpool-tier"] == "warm"


@pytest.mark.parametrize("count", [30])
async def test_many_at_once_leave_nothing(count: int):
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "4", "SPEECH_POOL_MAX_SIZE": "8"}) as api:
        api.engine.fail(None, after_chunks=1, times=8)
        writers = [(await begin(api))[1] for _ in range(count)]
        await eventually(lambda: len(api.engine.busy_clients) == 8)
        for writer in writers:
            writer.transport.abort()
        await eventually(leases(api))
        await eventually(lambda: api.state.uploads.held_bytes == 0)
