"""What Prometheus is told. Labels never hold sessions, voices or text; gauges are computed when they are asked for."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from speechpool.service.process_facts import thread_count

if TYPE_CHECKING:
    from speechpool.service.context import Context
    from speechpool.service.speech_pools import SpeechPool
    from speechpool.speech.engine import Measurement

__all__ = ["Metrics"]

_WAITS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_FIRST_BYTES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_LENGTHS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_RATIOS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2)
_CANCELS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
_LAGS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1)


class Named(Protocol):
    """A pool, as it tells of itself."""

    @property
    def name(self) -> str:
        """Its name."""


class Ended(Protocol):
    """What is told of a use that is over."""

    @property
    def pool(self) -> str:
        """Name of its pool; empty where it never got a client."""

    @property
    def tier(self) -> str:
        """How its client was come by; empty where it never got one."""

    @property
    def outcome(self) -> str:
        """How it ended: "completed" or "canceled"."""

    @property
    def error(self) -> BaseException | None:
        """What it failed with."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    @property
    def wait_seconds(self) -> float:
        """How long its client was waited for."""


class Spoken(Ended, Protocol):
    """An utterance that is over."""

    @property
    def first_byte_seconds(self) -> float | None:
        """Until its first audio."""


class Heard(Ended, Protocol):
    """A recognition that is over."""

    @property
    def first_event_seconds(self) -> float | None:
        """From its first audio to its first event."""


class Metrics:
    """All metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.loop_lag_seconds = 0.0
        ProcessCollector(registry=self.registry)
        self._make_acquires()
        self._make_speech()
        self._make_recognition()
        self._make_process()

    def _make_acquires(self) -> None:
        labels = ["pool", "kind", "tier"]
        self._acquires = self._counter("acquire", "Clients handed out", labels)
        self._waits = self._histogram("acquire_wait_seconds", "How long a client was waited for", labels, _WAITS)
        self._connects = self._histogram("connect_seconds", "How long making a client took", ["pool"], _WAITS)
        self._retries = self._counter("retries", "Work that another client took over", ["pool", "error"])
        self._errors = self._counter("errors", "Work that failed", ["kind", "error"])
        self._warm_misses = self._counter("warm_miss", "Clients handed out as warm that had to connect", ["pool"])
        self._renewals = self._counter("renewals", "Times that all clients were to be replaced", ["reason"])

    def _make_speech(self) -> None:
        self._utterances = self._counter("tts_utterances", "Utterances ended", ["pool", "outcome"])
        self._spoken_seconds = self._histogram("tts_seconds", "From request to end of an utterance", ["pool"], _LENGTHS)
        self._first_bytes = self._histogram(
            "tts_first_byte_seconds", "From request to first audio", ["pool", "tier"], _FIRST_BYTES
        )
        self._rtf = self._histogram("tts_rtf", "Seconds the engine took for a second of audio", ["pool"], _RATIOS)
        self._cancels = self._histogram("tts_cancel_seconds", "How long a barge-in took", ["pool"], _CANCELS)
        self._audio_made = self._counter("tts_audio_seconds", "Seconds of audio made", ["pool"])
        self._characters = self._counter("tts_characters", "Characters spoken", ["pool"])

    def _make_recognition(self) -> None:
        self._recognitions = self._counter("stt_recognitions", "Recognitions ended", ["pool", "outcome"])
        self._first_events = self._histogram(
            "stt_first_event_seconds", "From first audio to first event", ["pool", "tier"], _LENGTHS
        )
        self._audio_heard = self._counter("stt_audio_seconds", "Seconds of audio recognised", ["pool"])

    def _make_process(self) -> None:
        self._lags = self._histogram("loop_lag_seconds", "How late the event loop ran a timer", [], _LAGS)
        self._generations = Gauge(
            "speechpool_config_generation", "Generation of the settings in force", ["source"], registry=self.registry
        )
        self._config_errors = self._counter("config_errors", "Settings refused", ["source"])

    def _counter(self, name: str, text: str, labels: Iterable[str]) -> Counter:
        return Counter(f"speechpool_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Iterable[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"speechpool_{name}", text, labels, buckets=buckets, registry=self.registry)

    def render(self) -> tuple[bytes, str]:
        """All of it as text, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def watch(self, context: "Context") -> None:
        """Tell of this context's pools, sessions and workers from now on."""
        self.registry.register(_StateCollector(context))

    # --- what happened ---

    def acquired(self, pool: str, kind: str, tier: str, wait_seconds: float) -> None:
        """A client was handed out."""
        self._acquires.labels(pool, kind, tier).inc()
        self._waits.labels(pool, kind, tier).observe(wait_seconds)

    def pool_event(self, name: str, pool: Named, **facts: object) -> None:
        """A pool tells something: the `on_event` of all pools."""
        if name == "item_made":
            self._connects.labels(pool.name).observe(cast("float", facts["seconds"]))

    def retried(self, pool: str, error: BaseException) -> None:
        """Another client takes over, because of `error`."""
        self._retries.labels(pool, type(error).__name__).inc()

    def missed_warmth(self, pool: str) -> None:
        """A client that was handed out as warm had to connect."""
        self._warm_misses.labels(pool).inc()

    def renewed(self, reason: str) -> None:
        """All clients are to be replaced."""
        self._renewals.labels(reason).inc()

    def spoke(self, use: Spoken, *, characters: int, audio_seconds: float, rtf: float | None) -> None:
        """An utterance is over."""
        self._ended(use, "tts")
        self._utterances.labels(use.pool, _outcome(use)).inc()
        self._spoken_seconds.labels(use.pool).observe(use.seconds)
        self._audio_made.labels(use.pool).inc(audio_seconds)
        self._characters.labels(use.pool).inc(characters)
        if use.first_byte_seconds is not None:
            self._first_bytes.labels(use.pool, use.tier).observe(use.first_byte_seconds)
        if rtf is not None:
            self._rtf.labels(use.pool).observe(rtf)

    def canceled(self, pool: str, seconds: float) -> None:
        """A barge-in is over; it took so long."""
        self._cancels.labels(pool).observe(seconds)

    def heard(self, use: Heard, *, audio_seconds: float) -> None:
        """A recognition is over."""
        self._ended(use, "stt")
        self._recognitions.labels(use.pool, _outcome(use)).inc()
        self._audio_heard.labels(use.pool).inc(audio_seconds)
        if use.first_event_seconds is not None:
            self._first_events.labels(use.pool, use.tier).observe(use.first_event_seconds)

    def _ended(self, use: Ended, kind: str) -> None:
        if use.error:
            self._errors.labels(kind, type(use.error).__name__).inc()

    def loop_was_late(self, seconds: float) -> None:
        """A timer ran so late."""
        self.loop_lag_seconds = seconds
        self._lags.observe(seconds)

    def set_config_generation(self, source: str, generation: int) -> None:
        """Settings of a source are in force."""
        self._generations.labels(source).set(generation)

    def config_error(self, source: str) -> None:
        """Settings of a source were refused."""
        self._config_errors.labels(source).inc()


def _outcome(use: Ended) -> str:
    return "failed" if use.error else use.outcome


_POOL_GAUGES = {
    "target": ("warm_pool_target", "Warm clients wanted"),
    "recommended_target": ("recommended_warm_pool_size", "Warm clients that the load asks for"),
    "queue_depth": ("waiting", "Callers that wait for a client"),
    "pool_ready": ("ready", "1 while the pool serves as it should"),
    "pool_sessions": ("active_sessions", "Sessions that have a client of the pool"),
}

_POOL_COUNTERS = {
    "connect_attempts": ("creations_started", "Clients begun to be made"),
    "connect_failures": ("creations_failed", "Clients that could not be made"),
    "warmup_failures": ("warmup_failures", "Clients that could not be proved warm"),
    "check_failures": ("checks_failed", "Idle clients found dead"),
    "sessions_expired": ("sessions_expired", "Sessions that went stale"),
    "leaks_suspected": ("leaks_suspected", "Clients out for too long"),
}

_FAILURES = ("timeout", "error", "cancelled", "rejected")


class _StateCollector(Collector):
    """Reads pools, sessions and workers when Prometheus asks."""

    def __init__(self, context: "Context") -> None:
        self._context = context

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: the pools are not open when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All gauges, and the pools' own counters."""
        pools = self._context.pools.all
        told = [(pool, pool.pool.snapshot()) for pool in pools]
        yield from self._gauges(told)
        yield from self._counters(told)
        yield from _engine_metrics(self._context.engine.measurements())
        yield from self._prompts()
        yield from self._process()

    def _gauges(self, told: "list[tuple[SpeechPool[Any], dict[str, Any]]]") -> Iterator[Metric]:
        clients = GaugeMetricFamily("speechpool_clients", "Clients by state", labels=["pool", "kind", "state"])
        for pool, facts in told:
            for state, count in facts["items"].items():
                clients.add_metric([pool.name, _kind(pool), state], count)
        yield clients
        for name, (key, text) in _POOL_GAUGES.items():
            gauge = GaugeMetricFamily(f"speechpool_{name}", text, labels=["pool", "kind"])
            for pool, facts in told:
                gauge.add_metric([pool.name, _kind(pool)], float(facts[key] or 0))
            yield gauge

    def _counters(self, told: "list[tuple[SpeechPool[Any], dict[str, Any]]]") -> Iterator[Metric]:
        failures = _pool_counter("acquire_failures", "Clients that were asked for in vain", "reason")
        closed = _pool_counter("recycle", "Clients closed", "reason")
        for pool, facts in told:
            counts = facts["metrics"]
            for reason in _FAILURES:
                failures.add_metric([pool.name, _kind(pool), reason], counts[f"allocations_{reason}"])
            for reason, count in counts["closed_by_reason"].items():
                closed.add_metric([pool.name, _kind(pool), reason], count)
        yield failures
        yield closed
        for name, (key, text) in _POOL_COUNTERS.items():
            counter = _pool_counter(name, text)
            for pool, facts in told:
                counter.add_metric([pool.name, _kind(pool)], facts["metrics"][key])
            yield counter

    def _prompts(self) -> Iterator[Metric]:
        facts, name = self._context.prompts.facts, "speechpool_prompt_cache"
        yield CounterMetricFamily(f"{name}_hits", "Utterances said from the prompt cache", value=facts.hits)
        yield CounterMetricFamily(f"{name}_misses", "Utterances that were not in the prompt cache", value=facts.misses)
        yield GaugeMetricFamily(f"{name}_bytes", "Memory that the prompt cache holds", value=facts.size_bytes)
        yield GaugeMetricFamily(f"{name}_entries", "Utterances in the prompt cache", value=facts.entries)

    def _process(self) -> Iterator[Metric]:
        context = self._context
        yield GaugeMetricFamily("speechpool_sessions", "Sessions", value=len(context.sessions))
        yield GaugeMetricFamily("speechpool_active_uses", "Utterances and recognitions now", value=len(context.active))
        yield GaugeMetricFamily("speechpool_native_threads", "Threads of the process", value=thread_count())
        codecs = context.codecs.snapshot()
        workers = GaugeMetricFamily("speechpool_codec_processes", "Codec processes", labels=["role"])
        for role in ("workers", "decoders"):
            workers.add_metric([role], codecs[role])
        yield workers
        yield GaugeMetricFamily("speechpool_codec_streams", "Streams being encoded", value=codecs["streams"])


def _engine_metrics(measurements: "Iterable[Measurement]") -> Iterator[Metric]:
    """The engine's own numbers, those of one name together."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for one in measurements:
        if (family := families.get(one.name)) is None:
            kind = CounterMetricFamily if one.is_counter else GaugeMetricFamily
            family = kind(f"speechpool_engine_{one.name}", one.documentation, labels=list(one.labels))
            families[one.name] = family
        family.add_metric(list(one.labels.values()), one.value)
    yield from families.values()


def _kind(pool: "SpeechPool[Any]") -> str:
    return pool.short_kind


def _pool_counter(name: str, text: str, *more: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"speechpool_{name}", text, labels=["pool", "kind", *more])
