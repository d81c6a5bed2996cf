"""Load at real-time pace: 50 listeners at once, and 20 live recognitions."""

import asyncio
import contextlib
import json
import re
import sys
import tempfile
import time
import wave
from pathlib import Path

import aiohttp
import report
import uvloop
from sidecar.statistics import quantile
from sidecar.wire import Wire
from tests.integration.sidecar import Sidecar, running_sidecar

RECORDINGS = Path(__file__).parents[1] / "tests" / "data" / "recordings"
SENTENCES_READ = """\
and mister john dashwood had then leisure to consider how much there might be prudently in his power to do for them
he was not an ill disposed young man
unless to be rather cold hearted and rather selfish is to be ill disposed
had he married a more amiable woman he might have been made still more respectable than he was
he might even have been made amiable himself""".splitlines()  # what the recordings say, by the order of their names
SENTENCES = "The road runs along the river and then up into the hills. Nobody had walked there since the winter. "
FRAME_SECONDS = 0.02
PCM_BYTES_PER_SECOND = 48_000


async def listen(socket: Path, text: str, start: float) -> tuple[int, float]:
    """Play one utterance as a telephone would, a frame each 20 ms; (late frames, seconds played)."""
    wire = await Wire.open(socket, read_ahead_bytes=PCM_BYTES_PER_SECOND)
    with contextlib.closing(wire):
        await asyncio.sleep(start)
        body = {"model": "local", "voice": "alloy", "input": text, "response_format": "pcm"}
        assert (await wire.post("/v1/audio/speech", body))[":status"] == "200"
        loop = asyncio.get_running_loop()
        frame, have, played, late, due = int(PCM_BYTES_PER_SECOND * FRAME_SECONDS), 0, 0, 0, 0.0
        async for chunk in wire.chunks():
            due = due or loop.time()  # playing starts with the first chunk, without a buffer before it
            while have < played + frame and have + len(chunk) >= played + frame and loop.time() > due + FRAME_SECONDS:
                late, due = late + 1, loop.time()
            have += len(chunk)
            while have >= played + frame:
                played, due = played + frame, due + FRAME_SECONDS
                await asyncio.sleep(max(0.0, due - loop.time()))
        return late, have / PCM_BYTES_PER_SECOND


async def speak_at_once(sidecar: Sidecar, count: int) -> dict[str, object]:
    before = await lag_buckets(sidecar)
    done = await asyncio.gather(*(listen(sidecar.socket, SENTENCES * 4, index * 0.02) for index in range(count)))
    return {
        "what": f"{count} utterances at real-time pace",
        "audio s": sum(seconds for _, seconds in done),
        "underruns": sum(late for late, _ in done),
        "loop lag p99 ms": lag_quantile(before, await lag_buckets(sidecar), 0.99) * 1e3,
    }


async def lag_buckets(sidecar: Sidecar) -> dict[float, float]:
    """The cumulative buckets of the sidecar's own event-loop lag."""
    url = f"http://{sidecar.listening('telemetryAddress')}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        text = await reply.text()
    found = re.findall(r'^speechpool_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', text, re.MULTILINE)
    return {float(bound.replace("+Inf", "inf")): float(count) for bound, count in found}


def lag_quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The bound of the bucket that holds the quantile of what came between."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    total = counts[float("inf")]
    return min(bound for bound, count in counts.items() if count >= share * total)


async def recognise(socket: Path, audio: bytes, start: float, *, grammar: list[str]) -> float:
    """Send a recording as it was spoken; seconds from its last sample to its last final."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.ws_connect("http://speechpool/v1/recognize/stream") as ws,
    ):
        await ws.send_json({"type": "config", "sample_rate": 16_000, "grammar": grammar})
        await asyncio.sleep(start)
        begun, step = time.perf_counter(), 3_200  # 100 ms
        for index, offset in enumerate(range(0, len(audio), step)):
            await asyncio.sleep(max(0.0, begun + (index + 1) * 0.1 - time.perf_counter()))
            await ws.send_bytes(audio[offset : offset + step])
        await ws.send_json({"type": "end"})
        ended = time.perf_counter()
        last = ended
        async for message in ws:
            event = json.loads(message.data)
            last = time.perf_counter() if event["type"] == "final" else last
            if event["type"] == "error":
                raise RuntimeError(event)
            if event["type"] == "closed":
                break
        return last - ended


def samples_of(path: Path) -> bytes:
    with wave.open(str(path)) as recording:
        return recording.readframes(recording.getnframes())


async def recognise_at_once(sidecar: Sidecar, count: int, *, closed: bool) -> dict[str, object]:
    before = await lag_buckets(sidecar)
    audio = [samples_of(path) for path in sorted(RECORDINGS.glob("*.wav"))]
    jobs = (
        recognise(sidecar.socket, audio[i % len(audio)], i * 0.05, grammar=SENTENCES_READ if closed else [])
        for i in range(count)
    )
    finals = await asyncio.gather(*jobs)
    return {
        "what": f"{count} live recognitions, {'a grammar' if closed else 'free dictation'}",
        "audio s": sum(len(audio[i % len(audio)]) for i in range(count)) / 32_000,
        "final after the end p50 ms": quantile(finals, 0.5) * 1e3,
        "final after the end max ms": max(finals) * 1e3,
        "loop lag p99 ms": lag_quantile(before, await lag_buckets(sidecar), 0.99) * 1e3,
    }


async def run(sidecar: Sidecar) -> list[dict[str, object]]:
    spoken = await speak_at_once(sidecar, 50)
    return [spoken, *[await recognise_at_once(sidecar, 20, closed=closed) for closed in (True, False)]]


CONFIG = {
    "pools": [
        {"name": "tts", "kind": "TextToSpeech", "warmSize": 50},
        {"name": "stt", "kind": "SpeechToText", "warmSize": 20},
    ],
    "telemetryAddress": "127.0.0.1:0",
}
NOTE = """Everybody at once on one sidecar, all clients warm. A listener takes 20 ms of audio each 20 ms, without a
buffer before it; a frame that comes more than 20 ms late is an underrun. A recognition gets a recording of a human
voice at the speed it was spoken. The lag is the sidecar's own measure of its event loop: a histogram bucket's bound."""


def targets(rows: list[dict[str, object]]) -> list[report.Target]:
    speaking = rows[0]
    return [
        report.at_most("underruns of 50 utterances at real-time pace", float(str(speaking["underruns"])), 0),
        report.at_most("event-loop lag p99 with them", float(str(speaking["loop lag p99 ms"])), 20, " ms"),
    ]


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as name, running_sidecar(Path(name), config=CONFIG) as sidecar:
        rows = uvloop.run(run(sidecar))
    columns = {column: None for row in rows for column in row}
    rows = [columns | row for row in rows]
    report.save("31-sidecar-load", rows, title="Sidecar: at once", note=NOTE, targets=targets(rows), quick=quick)
    print(report.text("31-sidecar-load"))


if __name__ == "__main__":
    main()
