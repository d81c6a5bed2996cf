"""Server-sent events, as OpenAI's clients read them: `data:` lines of JSON, errors among them."""

import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from aiohttp import web

from speechpool.web.middleware import request_id
from speechpool.web.problems import problem_of
from speechpool.web.replies import StreamedResponse, write

__all__ = ["SSE_HEADERS", "resumed", "send_events"]

_Event = TypeVar("_Event")

SSE_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def resumed(first: _Event, rest: AsyncIterator[_Event]) -> AsyncIterator[_Event]:
    """A stream whose first event was taken already, whole again."""
    yield first
    async for event in rest:
        yield event


async def send_events(
    request: web.Request, response: StreamedResponse, events: AsyncIterator[dict[str, Any]]
) -> web.StreamResponse:
    """Send events until they end; an error becomes the last event, because the status is sent already.

    Args:
        request: The request.
        response: With its headers, beside `SSE_HEADERS`.
        events: Each a JSON object; errors before the first should have been raised before.
    """
    response.headers.update(SSE_HEADERS)
    await response.prepare(request)
    try:
        async for event in events:
            await write(request, response, _line(event))
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - the status is sent: what is left is to say it in the body
        problem = problem_of(error, request_id=request_id(request))
        await write(request, response, _line({"error": problem.body}))
    await response.write_eof()
    return response


def _line(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"
