"""Recognitions that are fed faster than they can listen, and many that are left half way."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.integration.faults import pool, until, workers
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar
from websockets.asyncio.client import ClientConnection, unix_connect

Start = Callable[..., Sidecar]

CONFIG = {
    "pools": [{"name": "stt", "kind": "SpeechToText", "warmSize": 1, "maxSize": 1}],
    "chunkGapTimeoutSeconds": 120,
}
RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "austen-0880.wav"
SECOND_BYTES = 48_000 * 2
OFFERED_SECONDS = 300
UNHEARD_SECONDS = 60
"""The audio on its way at most: 10 s in the service, 3 s at the engine, some in each of the sockets' buffers."""
MEMORY_BYTES = 10 * 2**20
"""Growth of the main process that 300 s of waiting audio (29 MB) would go far beyond."""


@contextlib.asynccontextmanager
async def listening(sidecar: Sidecar, **config: object) -> AsyncIterator[ClientConnection]:
    """A recognition that is ready for audio."""
    async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/recognize/stream") as socket:
        await socket.send(json.dumps({"type": "config"} | config))
        assert json.loads(await socket.recv())["type"] == "ready"
        yield socket


async def send_seconds(socket: ClientConnection, sent: list[int]) -> None:
    """Silence as fast as the socket takes it, then the end."""
    for second in range(OFFERED_SECONDS):
        await socket.send(bytes(SECOND_BYTES))
        sent.append(second)
    await socket.send(json.dumps({"type": "end"}))


async def stands_still(sent: list[int]) -> None:
    """Wait until nothing was sent for half a second."""
    before = 0
    while before != len(sent) or not sent:
        before = len(sent)
        await asyncio.sleep(0.5)


async def told(socket: ClientConnection) -> list[dict[str, Any]]:
    """Every event until the socket closes."""
    return [json.loads(message) async for message in socket]


async def test_audio_faster_than_it_is_heard_waits_with_the_sender(start_sidecar: Start) -> None:
    """The recogniser is held; what was accepted until then is bounded, and all of it is heard once it goes on."""
    sidecar = start_sidecar(config=CONFIG)
    async with asyncio.timeout(PATIENCE_SECONDS), listening(sidecar, sample_rate=48_000) as first:
        await first.send(bytes(SECOND_BYTES))  # starts the converter's process, which stays
        await first.send(json.dumps({"type": "end"}))
        assert [event["type"] for event in await told(first)] == ["closed"]
    sidecar.settled()
    before = sidecar.rss_bytes()
    (recogniser,) = workers(sidecar, "sphinx")

    async with asyncio.timeout(PATIENCE_SECONDS), listening(sidecar, sample_rate=48_000) as socket:
        os.kill(recogniser, signal.SIGSTOP)
        sent: list[int] = []
        sender = asyncio.create_task(send_seconds(socket, sent))
        await stands_still(sent)
        accepted, held = len(sent), sidecar.rss_bytes()
        os.kill(recogniser, signal.SIGCONT)
        events = await told(socket)
        await sender

    assert accepted <= UNHEARD_SECONDS
    assert max(held, sidecar.rss_bytes()) - before < MEMORY_BYTES
    assert {event["type"] for event in events} <= {"behind", "closed"}
    assert all(event["behind_ms"] <= 10_000 for event in events[:-1])
    assert (events[-1]["type"], events[-1]["audio_ms"]) == ("closed", OFFERED_SECONDS * 1000)


async def test_who_leaves_while_the_recogniser_is_far_behind_gives_it_back(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=CONFIG)
    speech = RECORDING.read_bytes()[44:]
    async with listening(sidecar):
        pass
    sidecar.settled()
    descriptors, processes = sidecar.open_fds(), len(sidecar.worker_pids())

    for _ in range(3):
        async with listening(sidecar) as socket:
            for _ in range(5):
                await socket.send(speech)

    sidecar.settled()
    until(lambda: sidecar.open_fds() <= descriptors, "the sockets are closed")
    assert len(sidecar.worker_pids()) == processes
    assert pool(sidecar, "stt")["items"]["idle"] == 1
