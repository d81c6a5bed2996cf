"""What happens around every request: its id, its error, its place in metrics and log."""

import logging
import os
import re
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from speechpool.web.problems import problem_of, problem_response
from speechpool.web.state import STATE

__all__ = ["REQUEST_ID", "answer", "request_id"]

REQUEST_ID = "x-request-id"
TIER = "X-SpeechPool-Tier"

logger = logging.getLogger("speechpool.access")

_VALID_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_KEY: web.RequestKey[str] = web.RequestKey("request_id", str)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def request_id(request: web.BaseRequest) -> str:
    """The request's id: the client's own where it is harmless in a header and a log, else a new one."""
    if (known := request.get(_KEY)) is None:
        sent = request.headers.get(REQUEST_ID, "")
        known = request[_KEY] = sent if _VALID_ID.fullmatch(sent) else f"req_{os.urandom(12).hex()}"
    return known


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what the handler returns, or with the error it raises."""
    started = time.perf_counter()  # uvloop's own clock goes in steps of a millisecond
    failure = 0
    response: web.StreamResponse
    try:
        response = await handler(request)
    except ConnectionError:
        raise  # the client is gone; nobody reads an answer
    except Exception as error:
        problem = problem_of(error, request_id=request_id(request))
        response, failure = problem_response(problem), problem.status
        if request.writer.output_size > 0:
            _note(request, response, time.perf_counter() - started, failure)
            raise _broken_off(request) from error
    if not response.prepared:
        response.headers[REQUEST_ID] = request_id(request)
    _note(request, response, time.perf_counter() - started, failure)
    return response


def _broken_off(request: web.Request) -> ConnectionError:
    """The status was sent: the client sees the failure by a connection that closes before the body's end."""
    if request.transport is not None:
        request.transport.close()
    return ConnectionResetError("the response was broken off")


def _note(request: web.Request, response: web.StreamResponse, seconds: float, failure: int) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    if (state := request.app.get(STATE)) is not None:
        state.metrics.observe(method, route, response.status, seconds)
    # /readyz answers 503 by design, each time somebody asks too early: that is no failure.
    level = logging.WARNING if failure >= 500 else logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    fields = {
        "method": method,
        "route": route,
        "status": response.status,
        "tier": response.headers.get(TIER),
        "duration_ms": round(seconds * 1000, 3),
        "request_id": request_id(request),
    }
    logger.log(level, "request", extra=fields)
