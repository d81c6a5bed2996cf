"""Ten thousand calls with Azure's SDK, four of ten hung up: nothing is left behind, and no two utterances mix.

`python benchmarks/azure_soak.py [--quick]`; exits with 1 where a promise does not hold.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report
import uvloop
from azure_bench.emulation import azure_sidecar, emulator
from sidecar.wire import Wire
from tests.integration.azure_sidecar import footprint, in_order
from tests.integration.sidecar import Sidecar

from speechpool_azure_emulator import marks_in

PATH = "/v1/audio/speech"
SHORT, LONG = "Yes.", "One moment, please, while I look that up. " * 5
SHORT_BYTES = 4_800
MOST = 8
CALLERS = 12
PATIENCES = ("whole", "first bytes", "none")
SHARES = (6, 3, 1)
STEPS = 5
BRISK = {"upgrade_seconds": 0.15, "first_chunk_seconds": 0.002, "seconds_per_word": 0.1, "chunk_seconds": 0.05}
GROWTH_MB = 3.0
"""Growth of memory over the second half that counts as none: an arena of the allocator or two."""


class Soak:
    """Calls of every kind, on one sidecar."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(10)

    async def calls(self, count: int) -> None:
        """So many of them, `CALLERS` at a time."""
        patiences = iter(self.rng.choices(PATIENCES, SHARES, k=count))
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self.caller(patiences))

    async def caller(self, patiences: Iterator[str]) -> None:
        for patience in patiences:
            wire = await Wire.open(self.sidecar.socket)
            with contextlib.closing(wire):
                self.counts[await self.call(wire, patience)] += 1

    async def call(self, wire: Wire, patience: str) -> str:
        """Hear one utterance for as long as the caller's patience lasts; how it ended."""
        text = SHORT if patience == "whole" else LONG
        asked = asyncio.create_task(wire.post(PATH, {"input": text, "response_format": "pcm"}))
        if patience == "none":
            await asyncio.sleep(self.rng.uniform(0.0, 0.01))
            asked.cancel()
            await asyncio.wait({asked})
            return "hung up before the answer"
        headers = await asked
        if headers[":status"] != "200":
            return f"status {headers[':status']}"
        audio = b""
        async for chunk in wire.chunks():
            audio += chunk
            if patience != "whole":
                break
        if len(marks_in(audio)) != 1 or (patience == "whole" and len(audio) != SHORT_BYTES):
            return "mixed or incomplete"
        return f"whole, {headers['x-speechpool-tier']}" if patience == "whole" else "hung up in the midst"


def least(sidecar: Sidecar) -> dict[str, int]:
    """Threads, sockets and descriptors at the calmest of twenty looks: what callers left behind closes by then."""
    looks = []
    for _ in range(20):
        looks.append(footprint(sidecar))
        time.sleep(0.1)
    return min(looks, key=lambda look: look["descriptors"])


def row(soak: Soak, calls: int, begun: float) -> dict[str, Any]:
    """What the process holds now."""
    in_order(soak.sidecar)
    made = soak.sidecar.client.get_json("/v1/pools/tts")["metrics"]["items_made"]
    return {
        "calls": calls,
        "memory, MB": soak.sidecar.rss_bytes() / 1e6,
        **least(soak.sidecar),
        "clients made": made,
        "seconds": time.monotonic() - begun,
    }


async def run(sidecar: Sidecar, count: int) -> tuple[list[dict[str, Any]], Counter[str]]:
    soak, begun = Soak(sidecar), time.monotonic()
    await soak.calls(20 * MOST)  # every client there can be, and the threads that work for them
    rows = [row(soak, 0, begun)]
    soak.counts.clear()
    for step in range(1, STEPS + 1):
        await soak.calls(count // STEPS)
        rows.append(row(soak, step * count // STEPS, begun))
    return rows, soak.counts


def targets(rows: list[dict[str, Any]], counts: Counter[str]) -> list[report.Target]:
    first, middle, last = rows[0], rows[len(rows) // 2], rows[-1]
    wrong = sum(count for what, count in counts.items() if what.startswith(("mixed", "status")))
    return [
        report.at_most("calls that failed, or whose audio was not all and only theirs", wrong, 0),
        report.at_most("file descriptors more than before", last["descriptors"] - first["descriptors"], 0),
        report.at_most("threads more than before", last["threads"] - first["threads"], 2 * MOST),
        report.at_most("clients made though none was lost", last["clients made"] - first["clients made"], 0),
        report.at_most("growth of memory over the second half", last["memory, MB"] - middle["memory, MB"], GROWTH_MB),
    ]


def main() -> int:
    quick = "--quick" in sys.argv
    count = 1_000 if quick else 10_000
    pool = {"name": "tts", "kind": "TextToSpeech", "warmSize": 3, "maxSize": MOST, "acquireTimeoutSeconds": 60}
    with (
        tempfile.TemporaryDirectory() as name,
        emulator(**BRISK, pace=10) as url,
        azure_sidecar(Path(name) / "azure", url, {"pools": [pool]}) as sidecar,
    ):
        rows, counts = uvloop.run(run(sidecar, count))
    told = "; ".join(f"{what}: {number:,}" for what, number in sorted(counts.items()))
    note = f"{CALLERS} callers at a time on at most {MOST} clients of Azure's SDK, over the sidecar's socket. {told}."
    reached = targets(rows, counts)
    report.save("42-azure-soak", rows, title="Azure: soak", note=note, targets=reached, quick=quick)
    print(report.text("42-azure-soak"))
    return 0 if all(target.reached for target in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
