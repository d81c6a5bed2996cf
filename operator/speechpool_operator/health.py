"""The telemetry listener: plain HTTP for the kubelet, Prometheus, and people who want to know what is wrong."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from speechpool.settings import Address
from speechpool_operator.http_site import answering
from speechpool_operator.kube_watch import INACTIVITY_SECONDS

__all__ = ["SILENT_SECONDS", "Health", "Watched", "telemetry"]

SILENT_SECONDS: Final = INACTIVITY_SECONDS + 20
"""A watch older than this is silent: by then it was begun anew, and that did not help."""


SIDECARS_AT_ONCE: Final = 64
"""Told of between two turns of the loop: about a millisecond's work."""


ANSWER_SECONDS: Final = 30.0
"""Bound of that answer, for one who does not read it."""


class Watched(Protocol):
    """A watch, ours or kopf's."""

    @property
    def is_listed(self) -> bool:
        """Whether all is known that it tells of."""

    @property
    def age_seconds(self) -> float:
        """Since it was last proved true."""

    @property
    def restarts(self) -> int:
        """How often it was begun anew."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes tell.

    Args:
        watches: By name; each with the age from which on it is silent, in seconds.
        is_known: Whether every object and every pod is known.
        leads: Whether this operator leads.
        is_serving: Whether sidecars can connect; there is a certificate.
        is_stopping: Whether it was asked to stop.
    """

    watches: Mapping[str, tuple[Watched, float]]
    is_known: Callable[[], bool]
    leads: Callable[[], bool]
    is_serving: Callable[[], bool]
    is_stopping: Callable[[], bool]

    def silent(self) -> list[str]:
        """Each watch that is silent, with its age."""
        return [
            f"watch {name}: not true for {watch.age_seconds:.0f} s" if watch.is_listed else f"watch {name}: no list yet"
            for name, (watch, limit) in self.watches.items()
            if watch.age_seconds > limit
        ]

    def unready(self) -> list[str]:
        """Each reason for which no sidecar should come here."""
        reasons = {
            "stopping": self.is_stopping(),
            "another operator leads": not self.leads(),
            "not every SpeechPool and pod is known yet": not self.is_known(),
            "sidecars cannot connect: there is no certificate yet": self.leads() and not self.is_serving(),
        }
        return [reason for reason, holds in reasons.items() if holds]


def telemetry(
    address: Address,
    health: Health,
    *,
    metrics: Callable[[], tuple[bytes, str]],
    sidecars: Callable[[], Iterator[str]],
) -> AbstractAsyncContextManager[str]:
    """Answer while the context is open; gives the address that is listened at.

    Args:
        address: Where; port 0 for a free one.
        health: What the probes tell.
        metrics: Gives the metrics' text and its content type.
        sidecars: Gives what is known of every sidecar, as pieces of JSON.

    Raises:
        OSError: It cannot be bound.
    """
    return answering(_application(health, metrics, sidecars), address)


def _application(
    health: Health, metrics: Callable[[], tuple[bytes, str]], sidecars: Callable[[], Iterator[str]]
) -> web.Application:
    async def answer_metrics(_: web.Request) -> web.Response:
        body, content_type = metrics()
        return web.Response(body=body, headers={"content-type": content_type})

    async def answer_sidecars(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"content-type": "application/json"})
        await reply.prepare(request)
        pieces = sidecars()
        async with asyncio.timeout(ANSWER_SECONDS):
            while batch := "".join(itertools.islice(pieces, SIDECARS_AT_ONCE)):
                await reply.write(batch.encode())
                await asyncio.sleep(0)
        return reply

    application = web.Application()
    application.router.add_get("/livez", _probe(list))
    application.router.add_get("/healthz", _probe(health.silent))
    application.router.add_get("/readyz", _probe(health.unready))
    application.router.add_get("/metrics", answer_metrics)
    application.router.add_get("/sidecars", answer_sidecars)
    return application


def _probe(problems: Callable[[], list[str]]) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        found = problems()
        return web.Response(status=503 if found else 200, text="\n".join(found or ["ok"]) + "\n")

    return answer
