"""What Prometheus is told of the injector."""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    platform_collector,
    process_collector,
)

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)


class Metrics:
    """Counters of one process.

    Args:
        not_after: When the certificate ends, in seconds since 1970; None while there is none.
        failures: How many parts of the process are not as they should be, by part.
    """

    def __init__(self, *, not_after: Callable[[], float | None], failures: Callable[[], dict[str, bool]]) -> None:
        self._registry = CollectorRegistry()
        self._failures = failures
        process_collector.ProcessCollector(registry=self._registry)
        platform_collector.PlatformCollector(registry=self._registry)
        self.admissions = Counter(
            "speechpool_injector_admissions",
            "Pods that were looked at, by what became of them.",
            ["outcome"],
            registry=self._registry,
        )
        self.warnings = Counter(
            "speechpool_injector_warnings", "Warnings that whoever made a pod was told.", registry=self._registry
        )
        self.errors = Counter(
            "speechpool_injector_errors",
            "Requests that could not be answered as asked, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "speechpool_injector_admission_seconds",
            "From the request's body to its answer.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._failing = Gauge(
            "speechpool_injector_failing",
            "1 where a part is not as it should be, and what held before still holds.",
            ["part"],
            registry=self._registry,
        )
        end = Gauge(
            "speechpool_injector_certificate_not_after_seconds",
            "When the certificate ends, in seconds since 1970; 0 while there is none.",
            registry=self._registry,
        )
        end.set_function(lambda: not_after() or 0.0)

    def text(self) -> bytes:
        """All of it, in Prometheus' format."""
        for part, is_failing in self._failures().items():
            self._failing.labels(part).set(is_failing)
        return generate_latest(self._registry)
