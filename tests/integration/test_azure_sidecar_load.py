"""Interruptions, callers who hang up and an Azure that goes away, again and again, on one sidecar."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.integration.azure_sidecar import azure_sidecar, footprint, in_order, speech_pool, talking
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, eventually
from tests.waiting import until

from speechpool_azure_emulator import RunningEmulator, marks_in, running_emulator

WARM, MOST = 3, 8
TEXT, TEXT_BYTES = "Yes.", 4_800
LONG = "One moment, please, while I look that up. " * 5
BRISK = {"first_chunk_seconds": 0.002, "seconds_per_word": 0.1, "chunk_seconds": 0.05, "pace": 10.0}
"""A short text is two messages, a long one eighty: what is interrupted goes on below what follows."""
INTERRUPTIONS = 100
CALLS = 500
BACK_OFF_SECONDS = 10.0
"""The longest pause between two attempts (docs/azure.md)."""


@dataclass
class Place:
    """A sidecar with its Azure."""

    sidecar: Sidecar
    azure: RunningEmulator

    def is_as(self, before: dict[str, int]) -> bool:
        """Whether nothing is left over, and nothing is missing."""
        return all(now <= before[what] for what, now in footprint(self.sidecar).items())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    limits = {"acquireTimeoutSeconds": PATIENCE_SECONDS, "maxWaiting": 1000}
    pool = speech_pool(warmSize=WARM, maxSize=MOST, **limits)
    with (
        running_emulator(**BRISK) as azure,
        azure_sidecar(tmp_path_factory.mktemp("azure"), azure.url, pool, sessionMaxAgeSeconds=60) as sidecar,
    ):
        yield Place(sidecar, azure)


@pytest.fixture(autouse=True)
def rested(place: Place) -> None:
    """Each test begins with every client idle."""
    in_order(place.sidecar)


def caller(place: Place) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=64)
    transport = httpx.AsyncHTTPTransport(uds=str(place.sidecar.socket), limits=limits, verify=False)
    return httpx.AsyncClient(transport=transport, base_url="http://speechpool", timeout=PATIENCE_SECONDS)


def body(text: str = TEXT) -> dict[str, str]:
    return {"input": text, "response_format": "pcm"}


async def test_a_hundred_interruptions_leave_the_connection_and_no_byte_of_the_old_utterance(place: Place) -> None:
    place.azure.configure(pace=2.0)
    async with talking(place.sidecar) as talk:
        await talk.send("config", session_id="caller", words=False)
        for number in range(INTERRUPTIONS):
            await talk.send("speak", id=f"long-{number}", input=LONG)
            await talk.event("first_audio")
            await talk.send("cancel")
            assert (await talk.event("canceled"))["id"] == f"long-{number}"
            await talk.send("speak", id=f"next-{number}", input=TEXT)
            events, audio = await talk.utterance()

            last = place.azure.utterances[-1]
            assert (events[-1]["type"], events[-1]["warm_miss"], events[-1]["tier"]) == (
                "completed",
                False,
                "dedicated",
            )
            assert marks_in(audio) == {last.mark}
            assert len(audio) == last.audio_bytes
    place.azure.configure(pace=BRISK["pace"])
    place.sidecar.client.delete_session("caller")

    rode = {utterance.connection.number for utterance in list(place.azure.utterances)[-2 * INTERRUPTIONS :]}
    assert len(rode) == 1


async def test_five_hundred_calls_of_which_many_hang_up_leave_nothing_behind(place: Place) -> None:
    rng = random.Random(4)
    seen: Counter[str] = Counter()
    room = asyncio.Semaphore(12)  # more callers than clients: some wait in line, and some hang up there

    async def call(patience: str) -> None:
        async with room:
            seen[await outcome(place, patience)] += 1

    await asyncio.gather(*(call("whole") for _ in range(2 * MOST)))  # every client there can be
    in_order(place.sidecar)
    before, made = footprint(place.sidecar), made_in(place)
    before["threads"] += 2 * MOST  # those that stop what hung up stay for a while
    patiences = rng.choices(["whole", "some", "none"], [6, 3, 1], k=CALLS)
    await asyncio.gather(*map(call, patiences))
    in_order(place.sidecar)

    assert seen == Counter(patiences) + Counter(whole=2 * MOST)
    eventually(lambda: place.azure.counts.utterances_running == 0)
    eventually(lambda: place.is_as(before))
    assert place.azure.counts.open_sockets <= MOST + 1
    assert made_in(place) - made <= CALLS // 100


def made_in(place: Place) -> int:
    """How many clients the pool has made."""
    return int(place.sidecar.client.get_json("/v1/pools/tts")["metrics"]["items_made"])


async def outcome(place: Place, patience: str) -> str:
    """One call: heard to its end, to its first bytes, or given up before its answer."""
    reader, writer = await asyncio.open_unix_connection(str(place.sidecar.socket))
    try:
        payload = json.dumps(body(LONG if patience == "some" else TEXT)).encode()
        # HTTP/1.0: the body is the audio itself, up to the end of the connection
        writer.write(b"POST /v1/audio/speech HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(payload), payload))
        await writer.drain()
        if patience == "none":
            return patience
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        audio = await (reader.readexactly(1000) if patience == "some" else reader.read(-1))
    finally:
        writer.close()
    assert len(marks_in(audio)) == 1
    assert patience == "some" or len(audio) == TEXT_BYTES
    return patience


async def test_when_azure_goes_away_and_comes_back_every_call_ends_and_the_pool_is_whole_again(place: Place) -> None:
    endings: Counter[str] = Counter()
    pauses: list[float] = []
    over = asyncio.Event()

    async def talker(client: httpx.AsyncClient) -> None:
        while not over.is_set():
            how, told = await ending(client)
            endings[how] += 1
            pauses.extend(float(found) for found in re.findall(r"the next attempt is in ([\d.]+) s", told))
            if told:
                await asyncio.sleep(0.05)  # who was refused leaves the processor to what mends it

    async with caller(place) as client, asyncio.TaskGroup() as callers:
        for _ in range(MOST):
            callers.create_task(talker(client))
        await until(lambda: endings["200"] > 20)
        await asyncio.to_thread(place.azure.lose_network)
        await until(lambda: endings["503"] + endings["502"] > 20)
        await asyncio.to_thread(place.azure.restore_network)
        served = endings["200"]
        await until(lambda: endings["200"] > served + 20)
        over.set()
    await asyncio.to_thread(in_order, place.sidecar)

    assert endings.keys() <= {"200", "502", "503", "broken off"}
    assert place.azure.counts.open_sockets >= WARM
    assert pauses
    assert max(pauses) <= BACK_OFF_SECONDS


async def ending(client: httpx.AsyncClient) -> tuple[str, str]:
    """How one call ended, a status or a body that did, and what a refusal said; whole audio where it is 200."""
    try:
        reply = await client.post("/v1/audio/speech", json=body())
    except httpx.RemoteProtocolError:
        return "broken off", ""
    if reply.status_code != 200:
        return str(reply.status_code), reply.json()["error"]["message"]
    assert len(reply.content) == TEXT_BYTES
    assert len(marks_in(reply.content)) == 1
    return "200", ""
