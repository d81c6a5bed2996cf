"""The whole operator as its command starts it, with times a few seconds long, and a clock that may be wrong.

Whoever waits for a lost watch, a silent sidecar or a Lease waits for as little as a loaded machine allows. How long
the operator's own times are is asserted elsewhere; here it is what happens when they are over.
"""

import os
import sys
import time
from functools import partial
from typing import Any

from speechpool_operator import (
    config_server,
    kopf_thread,
    kube,
    kube_watch,
    leader,
    ledger,
    pods_watch,
    program,
    status_writer,
)
from speechpool_operator.__main__ import main

__all__ = ["CLOCK_ERROR", "PROGRAM"]

PROGRAM = "tests.e2e.hasty_operator"
CLOCK_ERROR = "HASTY_CLOCK_ERROR_SECONDS"
"""The variable that says how far its clock is ahead of everybody else's."""

HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 4.0
WATCH_SECONDS = 3.0
INACTIVITY_SECONDS = 4.0
SILENT_SECONDS = 6.0
LAG_SECONDS = 4.0
BACKOFF_SECONDS = 1.0


class HastyWatch(kube_watch.Watch[Any]):
    """A watch that takes its orderly end for a sign of life: one so short gets no bookmark."""

    async def _watch(self) -> None:
        await super()._watch()
        self._heard()


def hurry() -> None:
    config_server.Limits = partial(  # type: ignore[assignment,misc] # made without arguments, by the program
        config_server.Limits, heartbeat_seconds=HEARTBEAT_SECONDS, least_life_seconds=2.0
    )
    program.Fleet = partial(program.Fleet, silence_seconds=SILENCE_SECONDS)  # type: ignore[assignment,misc] # likewise
    leader.Timing = partial(leader.Timing, lease=6.0, renew=4.5, retry=0.3)  # type: ignore[assignment,misc] # likewise
    hasty_watch = partial(HastyWatch, inactivity_seconds=INACTIVITY_SECONDS)
    ledger.Watch = pods_watch.Watch = hasty_watch  # type: ignore[assignment,misc] # likewise
    kube_watch.SERVER_SECONDS = WATCH_SECONDS
    kube_watch.MAX_BACKOFF_SECONDS = status_writer.MAX_BACKOFF_SECONDS = BACKOFF_SECONDS
    kube.ATTEMPT_SECONDS = 2.0
    program.SILENT_SECONDS = SILENT_SECONDS  # type: ignore[misc] # final, but for tests
    ledger.LAG_SECONDS = kopf_thread.LAG_SECONDS = program.LAG_SECONDS = LAG_SECONDS  # type: ignore[misc] # likewise
    ledger.FETCH_AFTER_SECONDS = 1.0  # type: ignore[misc] # likewise


def set_clock_ahead(seconds: float) -> None:
    true = time.time
    time.time = lambda: true() + seconds


if __name__ == "__main__":
    hurry()
    set_clock_ahead(float(os.environ.get(CLOCK_ERROR, "0")))
    sys.exit(main())
