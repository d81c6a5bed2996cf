"""What Prometheus is told. Labels never name a pod or an object; what the parts count is read when it is asked for."""

import contextlib
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from speechpool.settings.wire import Applying
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.events import Recorder
from speechpool_operator.fleet import Fleet
from speechpool_operator.health import Watched
from speechpool_operator.identity import IdentityRefused, PodIdentity
from speechpool_operator.objects import SpeechPool
from speechpool_operator.selection import is_ignored
from speechpool_operator.status_writer import StatusWriter

__all__ = ["Metrics", "Parts"]

PREFIX: Final = "speechpool_operator"

# around the targets: 12 ms half of the time for one sidecar, 50 ms, and 150 ms for a thousand
_APPLIES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PLANS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_REVIEWS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

_REASONS: Final = 32  # of one metric; what others say of themselves (an API server, a proxy) is not endless here
_OTHER: Final = "Other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who is asked at each scrape.

    Args:
        fleet: For objects and sidecars.
        server: For streams; None while sidecars cannot connect.
        watches: By a name of few.
        writer: For statuses.
        recorder: For events.
        is_leading: Whether this operator leads.
        not_after: When the serving certificate ends, in seconds since 1970; None without one.
    """

    fleet: Fleet
    server: Callable[[], ConfigServer | None]
    watches: Mapping[str, Watched]
    writer: StatusWriter
    recorder: Recorder
    is_leading: Callable[[], bool]
    not_after: Callable[[], float | None]


class Metrics:
    """Everything that is measured; belongs to the main loop's thread.

    Args:
        version: Of this program.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Build(version))
        self.apply_seconds = Histogram(
            f"{PREFIX}_apply_seconds",
            "From settings being due for a sidecar to its acknowledgement that they are in force.",
            buckets=_APPLIES,
            registry=registry,
        )
        self._plan_seconds = Histogram(
            f"{PREFIX}_plan_seconds", "Deciding what is to be sent and written.", buckets=_PLANS, registry=registry
        )
        self._plan_failures = Counter(
            f"{PREFIX}_plan_failures", "Plans that failed, and were made again.", registry=registry
        )
        self._review_seconds = Histogram(
            f"{PREFIX}_token_review_seconds",
            "Finding out whose a token is, with the look at its pod, by outcome: believed, refused or unknown.",
            ["outcome"],
            buckets=_REVIEWS,
            registry=registry,
        )

    def collect(self, parts: Parts) -> None:
        """Ask these too, at each scrape from now on."""
        self._registry.register(_Lazy(parts))

    def text(self) -> tuple[bytes, str]:
        """The answer to a scrape, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    @contextlib.contextmanager
    def planning(self) -> Iterator[None]:
        """Measure one plan."""
        began = time.perf_counter()
        try:
            yield
        except Exception:  # whatever it is, it is counted here and told by the planner
            self._plan_failures.inc()
            raise
        finally:
            self._plan_seconds.observe(time.perf_counter() - began)

    def timed(self, identify: Callable[[str], Awaitable[PodIdentity]]) -> Callable[[str], Awaitable[PodIdentity]]:
        """`identify`, measured."""

        async def measured(token: str) -> PodIdentity:
            began, outcome = time.perf_counter(), "unknown"
            try:
                found = await identify(token)
                outcome = "believed"
            except IdentityRefused:
                outcome = "refused"
                raise
            else:
                return found
            finally:
                self._review_seconds.labels(outcome).observe(time.perf_counter() - began)

        return measured


class _Build(Collector):
    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}_build", "The program.", value={"version": self._version})


class _Lazy(Collector):
    """Reads what the parts know anyway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is told depends on the parts, and no other collector has these names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield _gauge("leader", "Whether this operator leads: 1 or 0.", self._parts.is_leading())
        yield from self._objects()
        if server := self._parts.server():
            yield from _streams(server)
        yield from self._watches()
        yield from self._writes()
        yield from self._events()
        if (not_after := self._parts.not_after()) is not None:
            yield _gauge("certificate_not_after_seconds", "When the serving certificate ends, since 1970.", not_after)

    def _objects(self) -> Iterator[Metric]:
        entries = self._parts.fleet.entries.values()
        accepted = Counts(self._is_accepted(entry.pool) for entry in entries)
        objects = GaugeMetricFamily(f"{PREFIX}_objects", "SpeechPool objects, by whether valid.", labels=["accepted"])
        for value in (True, False):
            objects.add_metric([str(value).lower()], accepted[value])
        yield objects
        sidecars = GaugeMetricFamily(
            f"{PREFIX}_sidecars", "Sidecars that follow an object, as the statuses count them.", labels=["state"]
        )
        tallies = [entry.tally for entry in entries]
        sidecars.add_metric(["matched"], sum(one.matched for one in tallies))
        sidecars.add_metric(["connected"], sum(one.connected for one in tallies))
        sidecars.add_metric(["synced"], sum(one.synced for one in tallies))
        sidecars.add_metric(["failed"], sum(len(one.failed) for one in tallies))
        sidecars.add_metric(["missing"], sum(len(one.missing) for one in tallies))
        sidecars.add_metric(["silent"], sum(len(one.silent) for one in tallies))
        yield sidecars

    def _is_accepted(self, pool: SpeechPool) -> bool:
        return not pool.problems and not is_ignored(pool, self._parts.fleet.operator_namespace)

    def _watches(self) -> Iterator[Metric]:
        ages = GaugeMetricFamily(
            f"{PREFIX}_watch_age_seconds",
            "Since the API server last proved that what is known is true; +Inf before the first list.",
            labels=["watch"],
        )
        restarts = CounterMetricFamily(
            f"{PREFIX}_watch_restarts", "How often a watch was begun anew.", labels=["watch"]
        )
        for name, watch in self._parts.watches.items():
            ages.add_metric([name], watch.age_seconds)
            restarts.add_metric([name], watch.restarts)
        yield ages
        yield restarts

    def _writes(self) -> Iterator[Metric]:
        writer = self._parts.writer
        yield _counter("status_writes", "Statuses that were written.", writer.written)
        yield _reasons("status_write_failures", "Statuses that could not be written, and why.", writer.failed)
        yield _gauge("status_writes_waiting", "Objects whose newest status is not written yet.", writer.waiting)

    def _events(self) -> Iterator[Metric]:
        recorder = self._parts.recorder
        yield _counter("events", "Kubernetes Events that were written.", recorder.written)
        yield _reasons("event_failures", "Events that could not be written, and why.", recorder.failed)
        yield _reasons("events_dropped", "Events that were not tried, and why.", recorder.dropped)


def _streams(server: ConfigServer) -> Iterator[Metric]:
    yield _gauge("streams", "Connected sidecars.", server.streams)
    yield _counter("pushes", "Settings that were sent to a sidecar.", server.counts.pushed)
    answers = CounterMetricFamily(
        f"{PREFIX}_answers", "What became of settings that were sent: applied or rejected.", labels=["answer"]
    )
    for word in (Applying.APPLIED, Applying.REJECTED):
        answers.add_metric([word.value], server.counts.answers[word])
    yield answers
    yield _reasons("refused_connections", "Connections that got no stream, and why.", server.refused)
    yield _reasons("streams_ended", "Streams that ended, and why.", server.endings)


def _gauge(name: str, doc: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", doc, value=value)


def _counter(name: str, doc: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", doc, value=value)


def _reasons(name: str, doc: str, counts: Counts[str]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", doc, labels=["reason"])
    told = list(counts.items())  # in the order in which they came, so that a reason that is told stays
    for reason, count in told[:_REASONS]:
        family.add_metric([reason], count)
    if rest := sum(count for _, count in told[_REASONS:]):
        family.add_metric([_OTHER], rest)
    return family
