"""The telemetry listener: what the kubelet and Prometheus ask."""

from aiohttp import web

from speechpool.web.middleware import answer
from speechpool.web.state import STATE, WebState
from speechpool.web.status import readyz

__all__ = ["make_telemetry_app"]


def make_telemetry_app(state: WebState) -> web.Application:
    """The application of the telemetry listener: /startupz, /readyz, /healthz and /metrics."""
    app = web.Application(middlewares=[answer])
    app[STATE] = state
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


async def startupz(request: web.Request) -> web.Response:
    """200 once the pools were warm, or once `startup_wait_seconds` passed; 503 before."""
    readiness = request.app[STATE].service.readiness()
    return web.json_response(readiness.as_dict(), status=200 if readiness.started else 503)


async def healthz(_request: web.Request) -> web.Response:
    """200: the event loop answers. Pools that are not warm are no reason to kill the process."""
    return web.json_response({"status": "ok"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text."""
    body, content_type = request.app[STATE].service.metrics.render()
    return web.Response(body=body, headers={"Content-Type": content_type})
