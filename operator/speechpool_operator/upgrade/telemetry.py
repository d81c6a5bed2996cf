"""The upgrader's telemetry: plain HTTP for the kubelet, Prometheus, and `speechpool check`."""

from contextlib import AbstractAsyncContextManager

from aiohttp import web
from prometheus_client import generate_latest

from speechpool.settings import Address
from speechpool_operator.http_site import answering
from speechpool_operator.upgrade.upgrader import Upgrader

__all__ = ["telemetry"]

_METRICS = "text/plain; version=0.0.4; charset=utf-8"


def telemetry(address: Address, upgrader: Upgrader) -> AbstractAsyncContextManager[str]:
    """Answer while the context is open; gives the address that is listened at.

    Args:
        address: Where; port 0 for a free one.
        upgrader: Of which is told.

    Raises:
        OSError: It cannot be bound.
    """

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=503 if upgrader.complaint else 200, text=(upgrader.complaint or "ok") + "\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(upgrader.measures.registry), headers={"content-type": _METRICS})

    async def upgrades(_: web.Request) -> web.Response:
        return web.json_response(upgrader.measures.as_json())

    application = web.Application()
    application.router.add_get("/livez", live)
    application.router.add_get("/healthz", live)
    application.router.add_get("/readyz", ready)
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/upgrades", upgrades)
    return answering(application, address)
