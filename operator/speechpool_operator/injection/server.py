"""The webhook: answers the API server, and nobody ever waits for more than this process.

While a pod is admitted nothing is asked, written or remembered: an answer needs the question alone, so that a dry run
is like any other.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web

from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.injecting import Injection, inject
from speechpool_operator.injection.metrics import Metrics
from speechpool_operator.injection.outcomes import Outcome
from speechpool_operator.injection.reviews import BadReview, Review, answered, read_review

__all__ = ["NAMESPACE_PATH", "POD_PATH", "Webhook"]

logger = logging.getLogger(__name__)

POD_PATH: Final = "/inject/pod"
"""Asked about pods with a label of their own."""

NAMESPACE_PATH: Final = "/inject/namespace"
"""Asked about the pods of namespaces whose label asks for all of them."""

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Largest question: the API server takes no pod of more than 3 MB, which is larger as JSON."""

BODY_SECONDS: Final = 5.0
"""Bound for the body to come, as long as the API server waits for an answer."""

AT_ONCE: Final = 32
"""Questions that are read beside each other, which bounds the memory; a guess."""

_BROKEN: Final = "no sidecar: the injector failed; its log says why. Make the pod anew once that is mended"


class Webhook:
    """Answers questions about pods.

    Args:
        config: How sidecars are made now.
        ca: Certificates that vouch for the operator now, in PEM.
        metrics: Counts.
    """

    def __init__(self, *, config: Callable[[], InjectorConfig], ca: Callable[[], str], metrics: Metrics) -> None:
        self._config = config
        self._ca = ca
        self._metrics = metrics
        self._room = asyncio.Semaphore(AT_ONCE)
        self.application = web.Application(client_max_size=MAX_BODY_BYTES)
        self.application.router.add_post(POD_PATH, self._of_pod)
        self.application.router.add_post(NAMESPACE_PATH, self._of_namespace)

    async def _of_pod(self, request: web.Request) -> web.Response:
        return await self._answer(request, namespace_asks=False)

    async def _of_namespace(self, request: web.Request) -> web.Response:
        return await self._answer(request, namespace_asks=True)

    async def _answer(self, request: web.Request, *, namespace_asks: bool) -> web.Response:
        async with self._room:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await request.read()
            except TimeoutError:
                return self._refuse(408, "TooSlow", f"the body must come within {BODY_SECONDS:g} s")
            except web.HTTPRequestEntityTooLarge:
                return self._refuse(413, "TooLarge", f"the body must be at most {MAX_BODY_BYTES} bytes")
            with self._metrics.seconds.time():
                try:
                    review = read_review(body)
                except BadReview as error:
                    return self._refuse(400, "BadReview", str(error))
                answer = answered(review, self._injection(review, namespace_asks=namespace_asks))
            return web.Response(body=answer, content_type="application/json")

    def _injection(self, review: Review, *, namespace_asks: bool) -> Injection | None:
        if review.pod is None:
            return None
        try:
            made = inject(review.pod, self._config(), namespace_asks=namespace_asks, ca=self._ca())
        except Exception:  # no fault of ours may keep a pod from starting
            logger.exception("pod not looked at")
            self._metrics.errors.labels("Internal").inc()
            return Injection(outcome=Outcome.NOT_ASKED_FOR, warnings=(_BROKEN,))
        self._metrics.admissions.labels(made.outcome.value).inc()
        self._metrics.warnings.inc(len(made.warnings))
        return made

    def _refuse(self, status: int, reason: str, text: str) -> web.Response:
        self._metrics.errors.labels(reason).inc()
        return web.Response(status=status, text=f"{text}\n")
