"""What both servers do: wait for a word on stdin, push to all, say how long each took to acknowledge."""

import asyncio
import json
import sys
import time
from collections.abc import Callable

from speechpool.settings.wire import NewSettings, Revision

__all__ = ["Rounds", "settings"]


def settings(generation: int) -> NewSettings:
    """About one kilobyte, as an object with four pools."""
    pools = [
        {"name": f"voice-{n}", "kind": "TextToSpeech", "outputFormat": "Raw24Khz16BitMonoPcm", "warmSize": 4,
         "maxWarmSize": 8, "maxIdleSeconds": 240, "maxLifetimeSeconds": 480, "warmupIntervalSeconds": 30}
        for n in range(4)
    ]  # fmt: skip
    revision = Revision(uid="5f6b0b56-8f1c-4b7c-a1d9-6f1df1b1b1b1", generation=generation, hash=f"{generation:064x}")
    return NewSettings(name="calls/voice", revision=revision, spec={"warmSize": generation % 64, "pools": pools})


class Rounds:
    """One push after another.

    Args:
        push: Sends settings to all; returns when they are handed over.
        streams: How many there are now.
    """

    def __init__(self, push: Callable[[NewSettings], None], streams: Callable[[], int]) -> None:
        self._push = push
        self._streams = streams
        self._began = 0.0
        self._latencies: list[float] = []
        self._wanted = 0
        self._all = asyncio.Event()

    def acknowledged(self) -> None:
        """One sidecar has it."""
        self._latencies.append(time.perf_counter() - self._began)
        if len(self._latencies) == self._wanted:
            self._all.set()

    async def run(self, port: int) -> None:
        """Do as stdin says until it ends."""
        print(json.dumps({"port": port}), flush=True)
        generation = 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "count":
                print(json.dumps({"streams": self._streams()}), flush=True)
                continue
            generation += 1
            self._latencies, self._wanted = [], self._streams()
            self._all.clear()
            self._began = time.perf_counter()
            self._push(settings(generation))
            await asyncio.wait_for(self._all.wait(), 60)
            print(json.dumps({"seconds": self._latencies}), flush=True)
