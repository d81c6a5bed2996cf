"""The application: its routes, and how it is run."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from speechpool.web.access import TcpAccess, allow_origin, guard
from speechpool.web.discretion import discreet_logger
from speechpool.web.docs import get_docs, get_openapi
from speechpool.web.middleware import answer
from speechpool.web.models import get_model, list_models, list_voices
from speechpool.web.sessions import cancel_session, delete_session, get_session, list_sessions, put_session
from speechpool.web.speech import create_speech
from speechpool.web.state import STATE, WebState
from speechpool.web.status import get_config, get_pool, list_pools, readyz
from speechpool.web.transcriptions import create_transcription
from speechpool.web.ws_recognize import stream_recognition
from speechpool.web.ws_speech import stream_speech

__all__ = ["ROUTES", "make_app", "make_runner"]

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Handle], ...] = (
    ("POST", "/v1/audio/speech", create_speech),
    ("POST", "/v1/audio/transcriptions", create_transcription),
    ("GET", "/v1/audio/voices", list_voices),
    ("GET", "/v1/models", list_models),
    ("GET", "/v1/models/{model}", get_model),
    ("GET", "/v1/speech/stream", stream_speech),
    ("GET", "/v1/recognize/stream", stream_recognition),
    ("GET", "/v1/sessions", list_sessions),
    ("GET", "/v1/sessions/{session_id}", get_session),
    ("PUT", "/v1/sessions/{session_id}", put_session),
    ("DELETE", "/v1/sessions/{session_id}", delete_session),
    ("POST", "/v1/sessions/{session_id}/cancel", cancel_session),
    ("GET", "/v1/pools", list_pools),
    ("GET", "/v1/pools/{name}", get_pool),
    ("GET", "/v1/config", get_config),
    ("GET", "/readyz", readyz),
    ("GET", "/openapi.json", get_openapi),
    ("GET", "/docs", get_docs),
)
"""Everything the API serves; /openapi.json documents each, which a test compares."""


_UPGRADES = frozenset({stream_speech, stream_recognition})


def make_app(state: WebState, *, access: TcpAccess | None = None) -> web.Application:
    """The application of one listener.

    Args:
        state: What all listeners of the process share.
        access: Who may use a TCP listener; None for the Unix socket, where any `Authorization` is tolerated.
    """
    app = web.Application(middlewares=[answer] if access is None else [answer, guard(access)])
    app[STATE] = state
    for method, path, handler in ROUTES:
        if method == "GET" and handler not in _UPGRADES:
            app.router.add_get(path, handler)  # and HEAD
        else:
            app.router.add_route(method, path, handler)
    app.on_shutdown.append(_drain_sockets)
    if access is not None:
        _let_pages_read(app, access)
    return app


def make_runner(app: web.Application, *, shutdown_timeout_seconds: float) -> web.AppRunner:
    """What serves an application, with the options it relies on.

    Args:
        app: From `make_app` or `make_telemetry_app`.
        shutdown_timeout_seconds: How long `cleanup()` waits for requests under way before it cancels them.
    """
    # handler_cancellation: a client that disconnects cancels its handler, and so gives back what it held
    return web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        logger=discreet_logger(),
        handler_cancellation=True,
        shutdown_timeout=shutdown_timeout_seconds,
    )


async def _drain_sockets(app: web.Application) -> None:
    for conversation in list(app[STATE].sockets):
        conversation.drain()


def _let_pages_read(app: web.Application, access: TcpAccess) -> None:
    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        allow_origin(access, request, response)

    app.on_response_prepare.append(prepare)
