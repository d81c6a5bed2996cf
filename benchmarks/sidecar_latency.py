"""What the sidecar adds to the engine's own first byte: the same in process, over the socket, and the limit."""

import asyncio
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import report
import uvloop
from sidecar.statistics import quantile
from sidecar.wire import Wire, first_byte
from tests.integration.sidecar import running_sidecar

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import AudioChunk, Engine, SynthesisClient, SynthesisProfile, Utterance
from speechpool.speech.local import create_engine

TEXT = "Good morning."
PATH = "/v1/audio/speech"
BODY: dict[str, object] = {"model": "local", "voice": "alloy", "input": TEXT, "response_format": "pcm"}
Caller = Callable[[], Awaitable[float]]


async def in_process_callers(stack: contextlib.AsyncExitStack, engine: Engine, count: int) -> list[Caller]:
    """The engine's own clients, warm, called without a pool and without a socket."""
    voice = engine.resolve_voice("alloy")
    profile = SynthesisProfile(format=AudioFormat(Codec.PCM, 24_000))

    async def caller() -> Caller:
        client: SynthesisClient = await engine.create_synthesizer(profile)
        stack.push_async_callback(client.close)
        await client.warm()

        async def call() -> float:
            begun, took = time.perf_counter(), None
            async for event in client.speak(Utterance(text=TEXT, voice=voice)):
                if took is None and isinstance(event, AudioChunk):
                    took = time.perf_counter() - begun
            await client.clear_session_state()
            assert took
            return took

        return call

    return list(await asyncio.gather(*(caller() for _ in range(count))))


async def wire_callers(stack: contextlib.AsyncExitStack, socket: Path, count: int) -> list[Caller]:
    async def caller() -> Caller:
        wire = await Wire.open(socket)
        stack.callback(wire.close)

        async def call() -> float:
            return (await first_byte(wire, PATH, BODY))[0]

        return call

    return [await caller() for _ in range(count)]


async def sample(callers: list[Caller], calls: int, *, pause: float) -> list[float]:
    """Every caller makes its calls; between two it pauses for 0.5 to 1.5 times `pause` seconds, as people do."""
    rng = random.Random(7)

    async def run(call: Caller) -> list[float]:
        took = []
        for _ in range(calls):
            await asyncio.sleep(pause * rng.uniform(0.5, 1.5))
            took.append(await call())
        return took

    return [seconds for one in await asyncio.gather(*(run(call) for call in callers)) for seconds in one]


@contextlib.contextmanager
def bare_server(directory: Path) -> Iterator[Path]:
    path = directory / "bare.sock"
    words = [sys.executable, str(Path(__file__).parent / "sidecar" / "bare.py"), str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield path
        finally:
            process.terminate()


async def measure(
    directory: Path, socket: Path, count: int, *, rounds: int, calls: int, pause: float
) -> dict[str, list[float]]:
    """Interleaved rounds of all three, so that the machine's mood is shared."""
    took: dict[str, list[float]] = {"engine": [], "sidecar": [], "bare": []}
    async with contextlib.AsyncExitStack() as stack:
        bare = stack.enter_context(bare_server(directory))
        engine = create_engine({})
        await engine.open()
        stack.push_async_callback(engine.close)
        callers = {
            "engine": await in_process_callers(stack, engine, count),
            "sidecar": await wire_callers(stack, socket, count),
            "bare": await wire_callers(stack, bare, count),
        }
        for group in callers.values():  # the first call of each is not counted
            await sample(group, 2, pause=0)
        for _ in range(rounds):
            for name, group in callers.items():
                took[name] += await sample(group, calls, pause=pause)
    return took


SHARES = (("p50", 0.5), ("p99", 0.99))


def row(count: int, pause: float, took: dict[str, list[float]]) -> dict[str, float | str]:
    ms = {f"{name} {label}": quantile(times, share) * 1e3 for name, times in took.items() for label, share in SHARES}
    added = {f"added {label}": ms[f"sidecar {label}"] - ms[f"engine {label}"] for label, _ in SHARES}
    ratio = added["added p50"] / ms["bare p50"]
    pauses = f"{pause * 500:g}-{pause * 1500:g} ms" if pause else "none"
    return {"callers": count, "pause": pauses, "calls": len(took["sidecar"]), **ms, **added, "added p50 / bare": ratio}


BOUNDS_MS = {1: (0.5, 2.0), 20: (1.0, 5.0)}
BARE_MS = 0.09
"""The bare round trip of the machine that the bounds were set on; the same bounds as multiples of it hold anywhere."""


def targets(rows: list[dict[str, Any]]) -> list[report.Target]:
    wanted = []
    for row in rows:
        callers, bounds = row["callers"], BOUNDS_MS[row["callers"]]
        what = f"added to the engine's first byte, callers: {callers}, pause: {row['pause']}"
        for (label, _), bound in zip(SHARES, bounds, strict=True):
            wanted.append(report.at_most(f"{what}, {label}", row[f"added {label}"], bound, " ms"))
        wanted.append(
            report.at_most(f"{what}, p50 in bare round trips", row["added p50 / bare"], round(bounds[0] / BARE_MS, 1))
        )
    return wanted


NOTE = """First byte of a short utterance in milliseconds (raw 24 kHz PCM, warm clients): the engine's client called in
process, the same over the sidecar's Unix socket, and a bare aiohttp + uvloop server that answers a chunk at once (the
limit of the way itself). After a pause every process on the way is woken from sleep and finds its caches cold, which
costs most of what is added: the row without a pause is what the programs themselves cost. Rounds are interleaved."""


def voices(count: int) -> dict[str, object]:
    """Settings with so many warm voices."""
    return {"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": count}]}


def main() -> None:
    quick = "--quick" in sys.argv
    rows = []
    for count, calls, pause in ((1, 40, 0.0), (1, 40, 0.005), (20, 10, 0.4)):
        with tempfile.TemporaryDirectory() as name, running_sidecar(Path(name), config=voices(count)) as sidecar:
            took = uvloop.run(
                measure(Path(name), sidecar.socket, count, rounds=3 if quick else 10, calls=calls, pause=pause)
            )
        rows.append(row(count, pause, took))
    report.save(
        "30-sidecar-latency", rows, title="Sidecar: added latency", note=NOTE, targets=targets(rows), quick=quick
    )
    print(report.text("30-sidecar-latency"))


if __name__ == "__main__":
    main()
