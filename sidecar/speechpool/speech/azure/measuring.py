"""What the Azure engine exports, in numbers."""

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.site import Site
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.engine import Measurement

__all__ = ["measure"]


def measure(sites: Sequence[Site], threads: SdkThreads, clients: Iterable[Endpoint]) -> Iterator[Measurement]:
    """All measurements, as they are now.

    Args:
        sites: All endpoints.
        threads: Where the SDK is called.
        clients: The endpoint of each client there is.
    """
    alive = Counter(clients)
    for site in sites:
        for endpoint in site.endpoints.values():
            yield from _endpoint(endpoint, alive[endpoint])
    for source in dict.fromkeys(site.credentials for site in sites):
        labels = {"setting": source.setting}
        expires_in = source.expires_in_seconds
        if expires_in is not None:
            yield Measurement(
                name="credential_expires_in_seconds",
                documentation="How long the token holds still",
                value=expires_in,
                labels=labels,
            )
        yield Measurement(
            name="credential_refresh_failures_total",
            documentation="Credentials that could not be read or renewed",
            value=source.refresh_failures,
            is_counter=True,
            labels=labels,
        )
    yield from _process(threads)


def _endpoint(endpoint: Endpoint, clients: int) -> Iterator[Measurement]:
    labels = {"endpoint": endpoint.name, "work": str(endpoint.work)}

    def gauge(name: str, documentation: str, value: float) -> Measurement:
        return Measurement(name=name, documentation=documentation, value=value, labels=labels)

    def counter(name: str, documentation: str, value: float, **more: str) -> Measurement:
        return Measurement(
            name=name, documentation=documentation, value=value, is_counter=True, labels={**labels, **more}
        )

    yield gauge(
        "endpoint_usable",
        "Whether clients may connect to the endpoint (1) or it is left alone (0)",
        float(endpoint.is_usable),
    )
    yield gauge("clients", "Clients that are not released yet", clients)
    yield counter("connects_total", "Connections that clients opened", endpoint.connects)
    yield counter("connect_seconds_total", "Time that opening them took", endpoint.connect_seconds)
    yield counter(
        "reconnects_total", "Connections that the SDK opened by itself in place of lost ones", endpoint.reconnects
    )
    yield counter("throttled_total", "Times the endpoint asked for fewer requests", endpoint.throttled)
    for code, count in sorted(endpoint.failures.items()):
        yield counter("failures_total", "Connections and requests that failed, by error", count, code=code)


def _process(threads: SdkThreads) -> Iterator[Measurement]:
    yield Measurement(
        name="native_threads", documentation="Threads of the process, the SDK's included", value=_native_threads()
    )
    yield Measurement(name="sdk_calls", documentation="Calls into the SDK under way", value=threads.busy)
    yield Measurement(name="disposals", documentation="Clients being stopped and released", value=threads.disposing)
    yield Measurement(
        name="stuck_disposals", documentation="Of those, how many take longer than they should", value=threads.stuck
    )


def _native_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough, and faster
    except OSError:  # not Linux
        return threading.active_count()
