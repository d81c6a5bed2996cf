"""The telemetry listener of the injector: plain HTTP for the kubelet, Prometheus, and people who look for a fault."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from speechpool_operator.injection.metrics import CONTENT_TYPE, Metrics

__all__ = ["telemetry"]


def telemetry(metrics: Metrics, *, unready: Callable[[], list[str]], wrong: Callable[[], list[str]]) -> web.Application:
    """The application.

    Args:
        metrics: Of the process.
        unready: Why nobody should ask this process now.
        wrong: What somebody should mend, though it still works.
    """

    async def answer_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"content-type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/livez", _probe(list))
    application.router.add_get("/healthz", _probe(wrong))
    application.router.add_get("/readyz", _probe(unready))
    application.router.add_get("/metrics", answer_metrics)
    return application


def _probe(problems: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        found = problems()
        return web.Response(status=503 if found else 200, text="\n".join(found or ["ok"]) + "\n")

    return answer
