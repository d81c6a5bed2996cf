"""/openapi.json and /docs."""

from functools import cache
from importlib import metadata, resources

from aiohttp import web

from speechpool.web.openapi import document
from speechpool.web.state import STATE

__all__ = ["get_docs", "get_openapi"]

# Nothing from elsewhere may load: the page works offline, and leaks nothing.
_POLICY = (
    "default-src 'none'; connect-src 'self'; media-src blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def get_openapi(request: web.Request) -> web.Response:
    """The OpenAPI document, with the bounds in force."""
    return web.json_response(document(request.app[STATE].settings, metadata.version("speechpool")))


async def get_docs(_request: web.Request) -> web.Response:
    """One page that needs no other."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return web.Response(text=_page(), content_type="text/html", charset="utf-8", headers=headers)


@cache
def _page() -> str:
    return resources.files("speechpool.web").joinpath("docs.html").read_text(encoding="utf-8")
