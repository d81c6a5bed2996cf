"""Following the operator: a connection for as long as there can be one, and the next after a pause.

Nothing waits for it: the sidecar starts, serves and ends without an operator.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from speechpool.config.operator_backoff import Backoff
from speechpool.config.operator_connection import Connection, Limits, Lost, Place, dialled
from speechpool.config.operator_last_good import LastGood
from speechpool.config.operator_source import OperatorSource, Usage
from speechpool.config.operator_threads import SideThreads
from speechpool.config.store import ConfigStore, Update
from speechpool.settings import Source

__all__ = ["OperatorStream"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Facts:
    """How the connection is."""

    connected: bool = False
    since: datetime | None = None
    contact_at: float = 0.0
    problem: str = "not connected yet"
    reconnects: int = 0


class OperatorStream:
    """Brings the operator's settings into the store, and tells the operator what became of them.

    Args:
        store: The settings in force.
        place: Where the operator is.
        usage: Tells what the sidecar does.
        version: Of this program.
        state_directory: Where the last good settings are kept; None keeps nothing.
        limits: How long things may take.
        backoff: When to connect again.
    """

    def __init__(
        self,
        store: ConfigStore,
        place: Place,
        *,
        usage: Callable[[], Usage],
        version: str,
        state_directory: str | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._place = place
        self._usage = usage
        self._version = version
        self._limits = limits or Limits()
        self._backoff = backoff or Backoff()
        self._threads = SideThreads()
        self._last_good = LastGood(state_directory, self._threads) if state_directory else None
        self._source = OperatorSource(store, self._last_good)
        self._facts = _Facts()
        store.link(Source.OPERATOR, self.describe)

    @property
    def connected(self) -> bool:
        """Whether the operator is there now."""
        return self._facts.connected

    def describe(self) -> dict[str, Any]:
        """How the connection is, for `GET /v1/config`."""
        facts = self._facts
        return {
            "address": str(self._place.address),
            "connected": facts.connected,
            "since": _time(facts.since),
            "lastContact": _time(datetime.fromtimestamp(facts.contact_at, UTC)) if facts.contact_at else None,
            "problem": facts.problem or None,
            "reconnectsTotal": facts.reconnects,
        }

    def register(self, registry: CollectorRegistry) -> None:
        """Tell Prometheus how the connection is."""
        registry.register(_Metrics(self._facts, self._source))

    def on_update(self, update: Update) -> None:
        """The store has answered; to be called for each of its answers."""
        self._source.on_update(update)

    async def restore(self) -> None:
        """Apply what was in force when the sidecar ran last, if anything."""
        await self._source.restore()

    async def run(self) -> NoReturn:
        """Follow the operator until cancelled; the caller's task group owns the task."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.run(), name="apply the operator's settings")
            if self._last_good:
                tasks.create_task(self._last_good.run(), name="keep the last good settings")
            await self._follow()
        raise AssertionError("the group ends with its tasks only")

    async def _follow(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            opened_at: float | None = None
            try:
                async with dialled(self._place, self._threads, self._limits) as socket:
                    opened_at = loop.time()
                    self._opened()
                    connection = Connection(socket, self._source, self._usage, self._limits, self._contact)
                    await connection.run(self._version)
            except Lost as lost:
                lasted_seconds = 0.0 if opened_at is None else loop.time() - opened_at
                self._lost(lost)
                pause_seconds = self._backoff.pause_seconds(
                    lasted_seconds=lasted_seconds, retry_after_seconds=lost.retry_after_seconds
                )
                await asyncio.sleep(pause_seconds)
                self._facts.reconnects += 1

    def _opened(self) -> None:
        facts = self._facts
        facts.connected, facts.since, facts.problem = True, datetime.now(UTC), ""
        logger.info("operator connected", extra={"address": str(self._place.address)})

    def _contact(self, at: float) -> None:
        self._facts.contact_at = at

    def _lost(self, lost: Lost) -> None:
        facts, reason = self._facts, str(lost)
        is_news = facts.connected or reason != facts.problem
        if facts.connected or facts.since is None:
            facts.since = datetime.now(UTC)
        facts.connected, facts.problem = False, reason
        level = (logging.INFO if lost.is_bye else logging.WARNING) if is_news else logging.DEBUG
        logger.log(level, "operator not connected", extra={"address": str(self._place.address), "reason": reason})


class _Metrics(Collector):
    """Reads how the connection is when Prometheus asks."""

    def __init__(self, facts: _Facts, source: OperatorSource) -> None:
        self._facts = facts
        self._source = source

    def describe(self) -> Iterator[Metric]:
        """The metrics themselves: asking costs nothing."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        facts, name = self._facts, "speechpool_operator"
        yield GaugeMetricFamily(f"{name}_connected", "1 while the operator is connected", value=facts.connected)
        yield GaugeMetricFamily(
            f"{name}_last_contact_seconds", "When the operator said something last, since 1970", value=facts.contact_at
        )
        yield CounterMetricFamily(f"{name}_reconnects", "Further attempts to connect", value=facts.reconnects)
        yield CounterMetricFamily(f"{name}_nacks", "Settings of the operator refused", value=self._source.nacks)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
