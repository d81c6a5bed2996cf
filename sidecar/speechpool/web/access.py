"""Who may use the loopback TCP listener; the Unix socket is guarded by its file mode instead.

A page in the user's browser can reach loopback too, directly or through a name that its owner points there (DNS
rebinding). So a request needs the token, a Host that is a loopback name, and, from a browser, an Origin that is
allowed.
"""

import hmac
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from speechpool.web.problems import HttpError

__all__ = ["TcpAccess", "allow_origin", "guard"]

# They hold nothing of the user's, and a browser that opens a page sends no token.
_OPEN_PATHS = frozenset({"/docs", "/openapi.json"})
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type, x-request-id",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "x-request-id, retry-after, server-timing, x-speechpool-tier, x-speechpool-wait-ms, x-speechpool-warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAccess:
    """Who may use a TCP listener.

    Args:
        token: What `Authorization: Bearer` must carry; not empty.
        allowed_origins: Origins of pages that may call, beside the listener's own, as browsers write them
            (`http://localhost:3000`).
    """

    token: str = field(repr=False)
    allowed_origins: tuple[str, ...] = ()

    def check(self, request: web.BaseRequest) -> None:
        """Pass a request, or refuse it.

        Raises:
            HttpError: 403 for a Host or an Origin that is not allowed, 401 for a token that is missing or wrong.
        """
        if not _is_loopback(request.headers.get("Host", "")):
            raise HttpError(403, "Host must be localhost or a loopback address", code="host_not_allowed")
        if (origin := request.headers.get("Origin")) is not None and not self.allows(origin, request):
            message = "Origin is not allowed; add it to listenAllowedOrigins"
            raise HttpError(403, message, code="origin_not_allowed")
        if not self._is_open(request) and not self._has_token(request):
            message = "Authorization must be 'Bearer' and the listener's token (SPEECHPOOL_LISTEN_TOKEN)"
            headers = {"www-authenticate": 'Bearer realm="speechpool"'}
            raise HttpError(401, message, code="invalid_token", headers=headers)

    def allows(self, origin: str, request: web.BaseRequest) -> bool:
        """Whether a page of that origin may call."""
        host = request.headers.get("Host", "")
        return origin in self.allowed_origins or (_is_loopback(host) and origin == f"http://{host}")

    @staticmethod
    def _is_open(request: web.BaseRequest) -> bool:
        return request.method == "OPTIONS" or (request.method in {"GET", "HEAD"} and request.path in _OPEN_PATHS)

    def _has_token(self, request: web.BaseRequest) -> bool:
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        # surrogateescape: a header may hold any bytes, and comparing must not fail on them
        equal = hmac.compare_digest(sent.strip().encode(errors="surrogateescape"), self.token.encode())
        return scheme.lower() == "bearer" and equal


def guard(access: TcpAccess) -> Middleware:
    """A middleware that checks every request, and answers the questions browsers ask before one (CORS preflight)."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        access.check(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204, headers=_PREFLIGHT)
        return await handler(request)

    return check


def allow_origin(access: TcpAccess, request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Let the page that called read the response, where its origin is allowed."""
    origin = request.headers.get("Origin")
    if origin is not None and access.allows(origin, request):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        response.headers["Vary"] = "Origin"


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
