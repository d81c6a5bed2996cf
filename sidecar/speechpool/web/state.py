"""What the handlers share: the service, the settings in force, and what is bounded over all requests."""

import time
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from speechpool.service.service import SpeechService
from speechpool.settings import Settings
from speechpool.web.budget import UploadBudget

__all__ = ["STATE", "HttpMetrics", "OpenSocket", "SettingsSource", "WebState"]


class SettingsSource(Protocol):
    """Where the settings in force come from."""

    @property
    def current(self) -> Settings:
        """The settings in force now."""

    def describe(self) -> dict[str, Any]:
        """They, where each came from, and what is wrong with a source; no secrets."""


class OpenSocket(Protocol):
    """A WebSocket conversation under way."""

    def drain(self) -> None:
        """Finish what is under way and take nothing more, then close with 1001."""


class HttpMetrics:
    """Requests by route and status, and how long they took.

    Args:
        registry: Where the service's own metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "speechpool_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "speechpool_http_request_seconds",
            "Time from a request's headers to its last byte",
            ["route"],
            buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class WebState:
    """One a process, shared by the apps of all listeners.

    Args:
        service: What the API serves; it may be opened later.
        store: Where the settings in force are found, at each request.
    """

    def __init__(self, service: SpeechService, store: SettingsSource) -> None:
        self.service = service
        self.store = store
        self.metrics = HttpMetrics(service.metrics.registry)
        self.uploads = UploadBudget()
        self.sockets: set[OpenSocket] = set()
        self.created = int(time.time())

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.store.current


STATE: web.AppKey[WebState] = web.AppKey("state", WebState)
