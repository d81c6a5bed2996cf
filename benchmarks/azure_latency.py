"""First byte with Azure's SDK: without us in three ways, in process, and over the sidecar's socket in every state."""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import report
import uvloop
from azure_bench.bare import BareVoice, first_byte_of_a_new_voice
from azure_bench.emulation import KEY, azure_sidecar, emulator
from sidecar.statistics import quantile
from sidecar.wire import Wire, first_byte
from tests.integration.sidecar import Sidecar

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure import create_engine
from speechpool.speech.engine import AudioChunk, SynthesisProfile, Utterance

TEXT = "Good morning."
LONG_TEXT = "One moment, please, while I look that up for you. " * 20
PATH = "/v1/audio/speech"
VOICE = "en-US-AvaMultilingualNeural"
SESSION = "caller-1"
Call = Callable[[], Awaitable[tuple[float, str]]]
"""Seconds to the first byte, and the tier if there is one."""


def body(text: str, **more: object) -> dict[str, object]:
    return {"model": "azure", "voice": VOICE, "input": text, "response_format": "pcm", **more}


async def in_process(stack: contextlib.AsyncExitStack, url: str) -> Call:
    """The engine's own client, warm, without a pool and without a socket."""
    engine = create_engine({"endpoint": url, "key": KEY})
    await engine.open()
    stack.push_async_callback(engine.close)
    client = await engine.create_synthesizer(SynthesisProfile(format=AudioFormat(Codec.PCM, 24_000)))
    stack.push_async_callback(client.close)
    await client.warm()

    async def call() -> tuple[float, str]:
        begun, took = time.perf_counter(), 0.0
        async for event in client.speak(Utterance(text=TEXT, voice=VOICE)):
            if not took and isinstance(event, AudioChunk):
                took = time.perf_counter() - begun
        await client.clear_session_state()
        return took, ""

    return call


async def bare(url: str) -> Call:
    voice = await asyncio.to_thread(BareVoice, url)

    async def call() -> tuple[float, str]:
        return await asyncio.to_thread(voice.first_byte, TEXT), ""

    return call


async def new_each_time(url: str) -> Call:
    async def call() -> tuple[float, str]:
        return await asyncio.to_thread(first_byte_of_a_new_voice, url, TEXT), ""

    return call


async def over_socket(
    stack: contextlib.AsyncExitStack, sidecar: Sidecar, before: Callable[[Wire], Awaitable[None]] | None, **more: object
) -> Call:
    """One caller of a sidecar; `before` is done before each call, outside of what is timed."""
    wire = await Wire.open(sidecar.socket)
    stack.callback(wire.close)

    async def call() -> tuple[float, str]:
        if before:
            await before(wire)
        took, headers = await first_byte(wire, PATH, body(TEXT, **more))
        return took, headers["x-speechpool-tier"]

    return call


async def barge_in(stack: contextlib.AsyncExitStack, sidecar: Sidecar, cancels: list[float]) -> Call:
    """Each call follows a long utterance of its session that was cancelled after its first audio."""
    control = await Wire.open(sidecar.socket)
    stack.callback(control.close)

    async def interrupt(wire: Wire) -> None:
        headers = await wire.post(PATH, body(LONG_TEXT, session_id=SESSION))
        assert headers[":status"] == "200", headers
        chunks = wire.chunks()
        await anext(chunks)
        begun = time.perf_counter()
        await control.request("POST", f"/v1/sessions/{SESSION}/cancel")
        cancels.append(time.perf_counter() - begun)
        async for _ in chunks:
            pass

    return await over_socket(stack, sidecar, interrupt, session_id=SESSION)


async def after_rotation(stack: contextlib.AsyncExitStack, sidecar: Sidecar, key_file: Path) -> Call:
    """Each call follows a new key in the watched file, and the replacement of every client."""
    made = sidecar.client.get_json("/v1/pools/tts")["metrics"]["items_made"]
    turn = 0

    async def rotate(_: Wire) -> None:
        nonlocal turn, made
        turn += 1
        await asyncio.to_thread(key_file.write_text, f"{KEY[:-4]}{turn:04d}")
        while True:
            facts = await asyncio.to_thread(sidecar.client.get_json, "/v1/pools/tts")
            if facts["metrics"]["items_made"] >= made + 3 and facts["items"]["idle"] == sum(facts["items"].values()):
                made = facts["metrics"]["items_made"]
                return
            await asyncio.sleep(0.02)

    return await over_socket(stack, sidecar, rotate)


def pools(**tts: object) -> dict[str, Any]:
    return {"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": 3, **tts}]}


async def measure(directory: Path, url: str, *, rounds: int, calls: int) -> tuple[list[dict[str, Any]], list[float]]:
    cancels: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        key_file = directory / "key"
        key_file.write_text(KEY)
        at = {
            "warm": azure_sidecar(directory / "warm", url, pools()),
            "cold": azure_sidecar(directory / "cold", url, pools(warmSize=0, backgroundWarmup="Disabled")),
            "recycled": azure_sidecar(directory / "recycled", url, pools(maxLifetimeSeconds=2)),
            "rotated": azure_sidecar(directory / "rotated", url, pools(), {"AZURE_SPEECH_KEY_FILE": str(key_file)}),
        }
        sidecars = {name: stack.enter_context(context) for name, context in at.items()}
        callers: dict[str, tuple[Call, int]] = {
            "SDK, a new synthesizer each call": (await new_each_time(url), calls // 4),
            "SDK, one synthesizer kept open": (await bare(url), calls),
            "engine's client, in process": (await in_process(stack, url), calls),
            "sidecar, warm": (await over_socket(stack, sidecars["warm"], None), calls),
            "sidecar, a session's own client": (
                await over_socket(stack, sidecars["warm"], None, session_id="caller-2"),
                calls,
            ),
            "sidecar, after a barge-in": (await barge_in(stack, sidecars["warm"], cancels), calls),
            "sidecar, clients recycled every 2 s": (await over_socket(stack, sidecars["recycled"], None), calls),
            "sidecar, after a new key": (await after_rotation(stack, sidecars["rotated"], key_file), calls // 8),
            "sidecar, cold": (await over_socket(stack, sidecars["cold"], None), calls // 4),
        }
        took: dict[str, list[float]] = {name: [] for name in callers}
        tiers: dict[str, Counter[str]] = {name: Counter() for name in callers}
        for call, _ in callers.values():  # the first call of each is not counted
            await call()
        for _ in range(rounds):
            for name, (call, count) in callers.items():
                for _ in range(max(1, count // rounds)):
                    seconds, tier = await call()
                    took[name].append(seconds)
                    tiers[name][tier] += 1
    return [row(name, took[name], tiers[name], took[REFERENCE]) for name in callers], cancels


REFERENCE = "SDK, one synthesizer kept open"


def row(name: str, took: list[float], tiers: Counter[str], reference: list[float]) -> dict[str, Any]:
    p50 = quantile(took, 0.5) * 1e3
    return {
        "way": name,
        "calls": len(took),
        "p50 ms": p50,
        "p99 ms": quantile(took, 0.99) * 1e3,
        "more than the SDK kept open, p50 ms": p50 - quantile(reference, 0.5) * 1e3,
        "tiers": ", ".join(f"{count} {tier}" for tier, count in tiers.most_common() if tier) or "-",
    }


NOTE = """Azure's own SDK against the emulator, which takes 150 ms to open a connection and 50 ms to the first audio.
Every row is the first byte of a short utterance in raw 24 kHz PCM; a barge-in or a new key comes before each of its
calls and is not timed. Rounds are interleaved. The SDK polls its socket about every 10 ms, in every row."""


def targets(rows: list[dict[str, Any]], cancels: list[float]) -> list[report.Target]:
    by_name = {row["way"]: row for row in rows}
    bound = [
        report.at_most(
            f"{name}: p50 more than the SDK kept open", by_name[name]["more than the SDK kept open, p50 ms"], 2, " ms"
        )
        for name in ("sidecar, warm", "sidecar, a session's own client", "sidecar, after a barge-in")
    ]
    return [*bound, report.at_most("cancelling a session's utterance, p50", quantile(cancels, 0.5) * 1e3, 5, " ms")]


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as name, emulator(pace=10) as url:
        rows, cancels = uvloop.run(measure(Path(name), url, rounds=5 if quick else 20, calls=40 if quick else 200))
    title = "Azure: first byte"
    report.save("40-azure-latency", rows, title=title, note=NOTE, targets=targets(rows, cancels), quick=quick)
    print(report.text("40-azure-latency"))


if __name__ == "__main__":
    main()
