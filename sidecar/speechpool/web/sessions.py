"""/v1/sessions: a session holds clients of its own, and can be interrupted."""

from aiohttp import web

from speechpool.errors import NotFound
from speechpool.web.fields import Fields
from speechpool.web.replies import json_body
from speechpool.web.state import STATE

__all__ = ["cancel_session", "delete_session", "get_session", "list_sessions", "put_session"]


async def put_session(request: web.Request) -> web.Response:
    """Open a session, or find it open: its clients are acquired before the reply."""
    fields = Fields(await json_body(request, optional=True))
    options = {name: fields.text(name) for name in ("tts_pool", "stt_pool", "language", "response_format")}
    fields.refuse_unknown()
    sessions = request.app[STATE].service.sessions
    session_id = request.match_info["session_id"]
    try:
        sessions.get(session_id)
        status = 200
    except NotFound:
        status = 201
    session = await sessions.put(session_id, **options)
    return web.json_response(session.as_dict(), status=status)


async def get_session(request: web.Request) -> web.Response:
    """One session."""
    session = request.app[STATE].service.sessions.get(request.match_info["session_id"])
    return web.json_response(session.as_dict())


async def list_sessions(request: web.Request) -> web.Response:
    """All sessions."""
    sessions = request.app[STATE].service.sessions.list()
    return web.json_response({"object": "list", "data": [session.as_dict() for session in sessions]})


async def delete_session(request: web.Request) -> web.Response:
    """End a session: what it says stops, its clients are cleared and released."""
    await request.app[STATE].service.sessions.delete(request.match_info["session_id"])
    return web.Response(status=204)


async def cancel_session(request: web.Request) -> web.Response:
    """Barge-in: stop what the session says and hears, and tell how much of it went out."""
    result = await request.app[STATE].service.sessions.cancel(request.match_info["session_id"])
    return web.json_response(result.as_dict())
