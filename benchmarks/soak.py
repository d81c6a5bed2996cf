"""Mixed load for minutes: memory must be steady, no call at constant spacing cold, nothing left behind.

`python benchmarks/soak.py [--minutes 3] [--engine azure]`; exits with 1 where a promise does not hold.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import report
import uvloop
from azure_bench.emulation import azure_sidecar, emulator
from sidecar.wire import Wire, first_byte
from tests.integration.sidecar import Sidecar, running_sidecar

RECORDING = Path(__file__).parents[1] / "tests" / "data" / "recordings" / "austen-0880.wav"
TEXTS = ("Good morning.", "The road runs along the river and then up into the hills.", "One moment, please. " * 4)
FORMATS = ("pcm", "wav", "mp3", "opus", "mulaw")
SPACING_SECONDS = 0.5
SETTLED_SHARE = 0.4
"""The part of the run after which memory counts as settled: caches, arenas and codec workers are there by then."""
GROWTH_MB = 3.0
"""Growth of the main process's memory after it settled that counts as none: an arena of the allocator or two."""


class Soak:
    """One run.

    Args:
        sidecar: What is loaded.
        seconds: For how long.
    """

    def __init__(self, sidecar: Sidecar, seconds: float) -> None:
        self.sidecar = sidecar
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(11)
        self.memory_mb: list[float] = []

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.steady())
            tasks.create_task(self.sessions())
            tasks.create_task(self.hang_ups())
            tasks.create_task(self.recordings())
            tasks.create_task(self.observe())

    async def steady(self) -> None:
        """One call each half second, in every format: none may be cold."""
        wire = await Wire.open(self.sidecar.socket)
        with contextlib.closing(wire):
            while not self.is_over:
                begun = time.monotonic()
                _, headers = await first_byte(wire, "/v1/audio/speech", self.body())
                self.counts[f"steady, {headers['x-speechpool-tier']}"] += 1
                await asyncio.sleep(max(0.0, begun + SPACING_SECONDS - time.monotonic()))

    async def sessions(self) -> None:
        """Calls with a session of their own, some of them interrupted."""
        number = 0
        while not self.is_over:
            number += 1
            wire, other = await Wire.open(self.sidecar.socket), await Wire.open(self.sidecar.socket)
            with contextlib.closing(wire), contextlib.closing(other):
                speaking = asyncio.create_task(first_byte(wire, "/v1/audio/speech", self.body(f"soak-{number}")))
                if self.rng.random() < 0.5:
                    await other.request("POST", f"/v1/sessions/soak-{number}/cancel")
                    self.counts["interruptions"] += 1
                with contextlib.suppress(RuntimeError):
                    await speaking
                await other.request("DELETE", f"/v1/sessions/soak-{number}")
                self.counts["sessions"] += 1
            await asyncio.sleep(self.rng.uniform(0.2, 0.6))

    async def hang_ups(self) -> None:
        """Callers who go away in mid-sentence."""
        while not self.is_over:
            wire = await Wire.open(self.sidecar.socket)
            await wire.post("/v1/audio/speech", self.body(text="Nobody hears the end of this. " * 40))
            wire.close()
            self.counts["hang-ups"] += 1
            await asyncio.sleep(self.rng.uniform(0.3, 0.9))

    async def recordings(self) -> None:
        """A recording of a human voice, again and again."""
        loop = asyncio.get_running_loop()
        while not self.is_over:
            with RECORDING.open("rb") as file:
                await loop.run_in_executor(None, self.transcribe, file)
            self.counts["recordings"] += 1
            await asyncio.sleep(1)

    def transcribe(self, file: BinaryIO) -> None:
        self.sidecar.client.transcribe(file, filename="a.wav")

    async def observe(self) -> None:
        """Memory each second, and a line about it where somebody looks."""
        while not self.is_over:
            self.memory_mb.append(self.sidecar.rss_bytes() / 1e6)
            if sys.stderr.isatty():
                left = self.until - time.monotonic()
                sys.stderr.write(f"\r{left:5.0f} s left, {self.memory_mb[-1]:.1f} MB, {dict(self.counts)}\x1b[K")
            await asyncio.sleep(1)

    def body(self, session: str | None = None, *, text: str | None = None) -> dict[str, object]:
        body: dict[str, object] = {
            "model": "local",
            "voice": "alloy",
            "input": text or self.rng.choice(TEXTS),
            "response_format": self.rng.choice(FORMATS),
        }
        return body | ({"session_id": session} if session else {})

    def targets(self) -> list[report.Target]:
        settled = self.memory_mb[int(len(self.memory_mb) * SETTLED_SHARE) :]
        third = max(1, len(settled) // 3)
        growth = sum(settled[-third:]) / third - sum(settled[:third]) / third
        cold = self.counts["steady, cold"]
        return [
            report.at_most("cold calls at constant spacing", cold, 0),
            report.at_most("growth of the main process after it settled", growth, GROWTH_MB, " MB"),
        ]


@contextlib.contextmanager
def running(directory: Path, engine: str) -> Iterator[Sidecar]:
    """A sidecar with the engine, ready."""
    with contextlib.ExitStack() as stack:
        if engine == "azure":
            yield stack.enter_context(azure_sidecar(directory / "azure", stack.enter_context(emulator()), {}))
        else:
            yield stack.enter_context(running_sidecar(directory))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default: 3)")
    parser.add_argument(
        "--engine",
        choices=("local", "azure"),
        default="local",
        help="the engine; azure is the emulator (default: local)",
    )
    arguments = parser.parse_args()
    minutes, engine = arguments.minutes, arguments.engine
    with tempfile.TemporaryDirectory() as name, running(Path(name), engine) as sidecar:
        fds = sidecar.open_fds()
        soak = Soak(sidecar, minutes * 60)
        uvloop.run(soak.run())
        targets = [*soak.targets(), report.at_most("file descriptors more than before", sidecar.open_fds() - fds, 8)]
    rows = [{"what": what, "count": count} for what, count in sorted(soak.counts.items())]
    note = f"Mixed load for {minutes:g} minutes on a sidecar with its default settings and the engine {engine}"
    note += ", which is the emulator, by Azure's own SDK." if engine == "azure" else "."
    section = {"local": "33-sidecar-soak", "azure": "43-azure-mixed-soak"}[engine]
    report.save(section, rows, title=f"Soak: {engine}", note=note, targets=targets)
    print(report.text(section))
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
