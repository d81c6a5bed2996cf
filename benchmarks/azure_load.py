"""Load with Azure's SDK at real-time pace: 50 listeners at once, 20 live recognitions beside the SDK's own; memory."""

import asyncio
import json
import math
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import azure.cognitiveservices.speech as sdk
import report
import uvloop
from azure_bench.emulation import KEY, azure_sidecar, emulator
from sidecar.statistics import quantile
from sidecar.wire import Wire, first_byte
from sidecar_footprint import cpu_seconds, rss_mb, status
from sidecar_load import speak_at_once
from tests.integration.sidecar import Sidecar

SPEECH_SECONDS = 2.0
TRAILING_SECONDS = 2.0
FRAME_SECONDS = 0.02
SAMPLE_RATE_HZ = 16_000
IDLE_SECONDS = 10.0
PACES = (1.5, 1.0)
"""How fast the service makes audio, against how fast it is played."""


def spoken() -> bytes:
    """A tone that the emulator takes for speech, then silence: the final comes in the midst of the silence."""
    tone = (round(9000 * math.sin(index / 8)) for index in range(int(SPEECH_SECONDS * SAMPLE_RATE_HZ)))
    return b"".join(struct.pack("<h", sample) for sample in tone) + bytes(2 * int(TRAILING_SECONDS * SAMPLE_RATE_HZ))


FRAMES = [spoken()[offset : offset + 640] for offset in range(0, len(spoken()), 640)]


def bare_recognition(url: str, barrier: threading.Barrier) -> float:
    """One recogniser of the SDK, opened before; seconds from the end of the speech to its final. Blocks."""
    config = sdk.SpeechConfig(host=url, subscription=KEY)
    config.output_format = sdk.OutputFormat.Detailed
    stream = sdk.audio.PushAudioInputStream(sdk.audio.AudioStreamFormat(SAMPLE_RATE_HZ, 16, 1))
    recognizer = sdk.SpeechRecognizer(config, sdk.audio.AudioConfig(stream=stream))
    heard, opened = threading.Event(), threading.Event()
    came_at = 0.0

    def final(event: sdk.SpeechRecognitionEventArgs) -> None:
        nonlocal came_at
        if event.result.text and not heard.is_set():
            came_at = time.perf_counter()
            heard.set()

    recognizer.recognized.connect(final)
    connection = sdk.Connection.from_recognizer(recognizer)
    connection.connected.connect(lambda _: opened.set())
    connection.open(True)
    opened.wait(10)
    recognizer.start_continuous_recognition_async().get()
    barrier.wait()
    begun = time.perf_counter()
    for index, frame in enumerate(FRAMES):
        time.sleep(max(0.0, begun + (index + 1) * FRAME_SECONDS - time.perf_counter()))
        stream.write(frame)
    heard.wait(10)
    recognizer.stop_continuous_recognition_async().get()
    return came_at - begun - SPEECH_SECONDS


async def bare_recognitions(url: str, count: int) -> list[float]:
    barrier, took = threading.Barrier(count), [0.0] * count

    def work(index: int) -> None:
        took[index] = bare_recognition(url, barrier)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    return took


async def our_recognition(socket: Path, start: asyncio.Event) -> float:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.ws_connect("http://speechpool/v1/recognize/stream") as ws,
    ):
        await ws.send_json({"type": "config", "sample_rate": SAMPLE_RATE_HZ})
        sending = asyncio.create_task(send(ws, start))
        async for message in ws:
            event = json.loads(message.data)
            if event["type"] == "error":
                raise RuntimeError(event)
            if event["type"] == "final" and event["text"]:
                came_at = time.perf_counter()
                break
        return came_at - await sending - SPEECH_SECONDS


async def send(ws: aiohttp.ClientWebSocketResponse, start: asyncio.Event) -> float:
    await start.wait()
    begun = time.perf_counter()
    for index, frame in enumerate(FRAMES):
        await asyncio.sleep(max(0.0, begun + (index + 1) * FRAME_SECONDS - time.perf_counter()))
        await ws.send_bytes(frame)
    return begun


async def our_recognitions(socket: Path, count: int) -> list[float]:
    start = asyncio.Event()
    jobs = [asyncio.create_task(our_recognition(socket, start)) for _ in range(count)]
    await asyncio.sleep(1)
    start.set()
    return list(await asyncio.gather(*jobs))


async def recognise(sidecar: Sidecar, url: str, *, rounds: int, count: int = 20) -> dict[str, Any]:
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        bare += await bare_recognitions(url, count)
        ours += await our_recognitions(sidecar.socket, count)
    later = [quantile(ours, share) - quantile(bare, share) for share in (0.5, 0.99)]
    return {
        "what": f"{count} live recognitions, {rounds} rounds",
        "final after the speech p50 ms": quantile(ours, 0.5) * 1e3,
        "with the bare SDK p50 ms": quantile(bare, 0.5) * 1e3,
        "later p50 ms": later[0] * 1e3,
        "later p99 ms": later[1] * 1e3,
    }


async def many_utterances(sidecar: Sidecar, count: int) -> list[float]:
    """RSS in MB after each tenth of so many utterances, eight at once."""
    body: dict[str, object] = {"model": "azure", "voice": "alloy", "input": "Good morning.", "response_format": "pcm"}
    wires = [await Wire.open(sidecar.socket) for _ in range(8)]
    measured = []

    async def some(wire: Wire) -> None:
        for _ in range(count // 80):
            await first_byte(wire, "/v1/audio/speech", body)

    for _ in range(10):
        await asyncio.gather(*map(some, wires))
        measured.append(rss_mb(sidecar.pid))
    for wire in wires:
        wire.close()
    return measured


def footprint(sidecar: Sidecar) -> dict[str, Any]:
    before = cpu_seconds(sidecar.pid)
    time.sleep(IDLE_SECONDS)
    return {
        "what": "idle, 3 + 1 open clients",
        "RSS MB": rss_mb(sidecar.pid),
        "threads": int(status(sidecar.pid)["Threads"]),
        "idle CPU %": (cpu_seconds(sidecar.pid) - before) / IDLE_SECONDS * 100,
    }


async def crowd(sidecar: Sidecar) -> dict[str, Any]:
    return await speak_at_once(sidecar, 50)


def config(tts: int, stt: int) -> dict[str, Any]:
    return {
        "pools": [
            {"name": "tts", "kind": "TextToSpeech", "warmSize": tts, "maxSize": 100},
            {"name": "stt", "kind": "SpeechToText", "warmSize": stt, "maxSize": 100},
        ]
    }


def run(directory: Path, *, quick: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def at(name: str, url: str, settings: dict[str, Any], work: Callable[[Sidecar], None]) -> None:
        with azure_sidecar(directory / name, url, settings) as sidecar:
            work(sidecar)

    def remember(sidecar: Sidecar) -> None:
        rows.append(footprint(sidecar))
        settled = uvloop.run(many_utterances(sidecar, 400 if quick else 1000))
        rows.append(
            {
                "what": "after many utterances, 8 at once",
                "RSS MB": settled[-1],
                "growth in the second half MB": settled[-1] - settled[4],
            }
        )

    with emulator(pace=0) as url:
        at("idle", url, config(3, 1), remember)
    for pace in PACES:
        with emulator(pace=pace) as url:
            at(f"speak-{pace}", url, config(50, 0), lambda sidecar: rows.append(uvloop.run(crowd(sidecar))))
            rows[-1]["what"] += f", from a service {pace:g} times as fast"
    with emulator(pace=1) as url:
        rounds = 2 if quick else 5
        at(
            "listen",
            url,
            config(0, 20),
            lambda sidecar: rows.append(uvloop.run(recognise(sidecar, url, rounds=rounds))),
        )
    return rows


NOTE = """Azure's own SDK against the emulator, which shares the machine. A listener takes 20 ms of audio each 20 ms,
without a buffer before it; a frame that comes more than 20 ms late is an underrun. A service that is exactly as fast as
the player leaves it no buffer ever: there each hiccup of either process counts. Recognitions hear two seconds of
speech in frames of 20 ms at the pace it was spoken; the SDK's own recognisers do the same in threads of one process,
opened before, in alternating rounds. MB are 10^6 bytes."""


def targets(rows: list[dict[str, Any]]) -> list[report.Target]:
    idle, many, *speaking, listening = rows
    return [
        report.at_most("idle RSS of the main process, 3 + 1 open clients", idle["RSS MB"], 80, " MB"),
        report.at_most("growth in the second half of many utterances", many["growth in the second half MB"], 3, " MB"),
        *(report.at_most(f"underruns of {row['what']}", row["underruns"], 0) for row in speaking),
        report.at_most(
            "finals of 20 live recognitions, later than the SDK's, p50", listening["later p50 ms"], 20, " ms"
        ),
    ]


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        rows = run(Path(name), quick=quick)
    wanted = targets(rows)
    columns = {column: None for row in rows for column in row}
    rows = [columns | row for row in rows]
    report.save("41-azure-load", rows, title="Azure: at once, and at rest", note=NOTE, targets=wanted, quick=quick)
    print(report.text("41-azure-load"))


if __name__ == "__main__":
    main()
