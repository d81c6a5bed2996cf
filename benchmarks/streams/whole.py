"""The whole operator, started as its command starts it, which notes when each acknowledgement came.

Over the Unix socket in STREAMS_SOCKET: a line with how many acknowledgements to wait for is answered with a line as
soon as it counts, and with the times of them all (of the clock that every process shares) as soon as they are there.
"""

import json
import os
import socket
import sys
import threading
import time

from prometheus_client import Histogram

from speechpool_operator.__main__ import main
from speechpool_operator.metrics import Metrics


class Noted:
    """A histogram of acknowledgements that keeps the time of each.

    Args:
        histogram: Is told too.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._times: list[float] = []
        self._wanted = 0
        self._all = threading.Event()
        threading.Thread(target=self._answer, daemon=True).start()

    def observe(self, seconds: float) -> None:
        self._times.append(time.perf_counter())
        if len(self._times) == self._wanted:
            self._all.set()
        self._histogram.observe(seconds)

    def _answer(self) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.environ["STREAMS_SOCKET"])
            listening.listen()
            asking, _ = listening.accept()
            with asking, asking.makefile("rw") as lines:
                for line in lines:
                    self._all.clear()
                    self._times, self._wanted = [], int(line)
                    print("counting", file=lines, flush=True)
                    self._all.wait()
                    print(json.dumps(self._times), file=lines, flush=True)


class NotingMetrics(Metrics):
    """The operator's metrics, with acknowledgements noted."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.apply_seconds = Noted(self.apply_seconds)  # type: ignore[assignment] # only `observe` is called


if __name__ == "__main__":
    from speechpool_operator import program

    program.Metrics = NotingMetrics  # type: ignore[misc] # the program makes its metrics itself
    sys.exit(main())
