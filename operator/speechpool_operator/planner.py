"""From what happens to what is done: plans once for all events of one turn of the loop, and when time alone passes."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from speechpool.settings.wire import Hello, State
from speechpool_operator.fleet import Fleet
from speechpool_operator.identity import PodIdentity
from speechpool_operator.pods_watch import Lookout, pod_of
from speechpool_operator.reconcile import Plan, plan
from speechpool_operator.status_writer import StatusWriter
from speechpool_operator.streams import Cell, Ending

__all__ = ["Planner", "Streams"]

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS: Final = 0.1
MAX_BACKOFF_SECONDS: Final = 10.0

STANDSTILL_SECONDS: Final = 2.0
"""A timer that is so late tells that this process did not run: frozen, or without a processor."""


class Planner:
    """Plans, and hands on what is to be done; none of it waits.

    The first change goes out at the end of the turn of the loop in which it came, and what came with it goes too: there
    is no window before it, and a burst behind it is as many plans as turns.

    Args:
        fleet: What is known.
        writer: Who writes statuses.
        told: Called with each plan, before it is carried out.
        planning: Entered around each plan, as a measure.
    """

    def __init__(
        self,
        fleet: Fleet,
        writer: StatusWriter,
        *,
        told: Callable[[Plan], None] = lambda _: None,
        planning: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._fleet = fleet
        self._writer = writer
        self._told = told
        self._planning = planning
        self._is_on = False
        self._is_called = False
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Plan from now on: this operator leads."""
        self._is_on = True
        self.wake()

    def stop(self) -> None:
        """Plan no more."""
        self._is_on = False
        self._set_timer(None)

    def wake(self) -> None:
        """Something happened: plan at the end of this turn of the loop. After a failure the back-off holds."""
        if self._is_on and not self._is_called and not self._failures:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _due(self, due_at: float) -> None:
        late = self._fleet.clock() - due_at
        if late > STANDSTILL_SECONDS:
            logger.warning("process stood still", extra={"seconds": round(late, 1)})
            self._fleet.excuse()
        self._turn()

    def _turn(self) -> None:
        self._is_called = False
        if not self._is_on:
            return
        try:
            with self._planning():
                made = plan(self._fleet)
                self._carry_out(made)
        except Exception:  # a mistake of ours, which must not end the streams: told, and tried again
            logger.exception("plan failed", extra={"failures": self._failures + 1})
            self._back_off()
        else:
            self._failures = 0
            self._set_timer(made.due_at)

    def _carry_out(self, made: Plan) -> None:
        for cell in made.closing:
            cell.close(f"{Ending.POD_GONE}: its pod is deleted", retry_seconds=(5.0, 30.0))
        for cell, message in made.messages.values():
            cell.put(message)
        self._told(made)
        for key, status in made.statuses.items():
            self._writer.put(key, self._fleet.entries[key].pool.uid, status)

    def _back_off(self) -> None:
        bound = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._fleet.replan()
        self._set_timer(self._fleet.clock() + random.uniform(0.5, 1.0) * bound)

    def _set_timer(self, due_at: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if due_at is not None:
            self._timer = asyncio.get_running_loop().call_at(due_at, self._due, due_at)


class Streams:
    """What the config server tells, for the fleet.

    Args:
        fleet: What is known.
        wake: Called after each change.
        lookout: Who looks at pods that no watch tells of.
    """

    def __init__(self, fleet: Fleet, *, wake: Callable[[], None], lookout: Lookout) -> None:
        self._fleet = fleet
        self._wake = wake
        self._lookout = lookout

    def connected(self, pod: PodIdentity, hello: Hello, cell: Cell) -> None:
        """A sidecar is there."""
        seen = pod_of(pod)
        self._fleet.connected(seen, hello, cell)
        if not self._fleet.members[seen.uid].watched:
            self._lookout.look(seen)  # it may have gone between the look at its token and now, with nobody to tell
        self._wake()

    def said(self, uid: str, cell: Cell, state: State) -> None:
        """A sidecar says how it is."""
        if self._fleet.said(uid, cell, state):
            self._wake()

    def gone(self, uid: str, cell: Cell) -> None:
        """A stream ended."""
        self._fleet.gone(uid, cell)
        self._wake()
