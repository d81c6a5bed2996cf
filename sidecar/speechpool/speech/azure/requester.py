"""Plain HTTP requests to an endpoint, as its WebSocket is opened: same credential, same proxy, same trust. Blocks.

The SDK's own request for the voices tells no status, and leaves out an endpoint's port (measured with 1.53).
"""

import base64
import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from speechpool.speech.azure.credentials import Credential
from speechpool.speech.azure.proxies import Proxy

__all__ = ["Reply", "Requester"]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""The list of all voices of a region has about 600 kB."""

_TRUST = "OPENSSL_SINGLE_TRUSTED_CERT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an endpoint answered.

    Args:
        status: HTTP's.
        headers: By name in small letters.
        body: Empty where it was not wanted.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Requester:
    """Makes requests.

    Args:
        timeout_seconds: Of each step: connecting, sending, each reading.
        proxy: Where to connect through; None for none.
        properties: Those of the SDK that say whom to trust.
    """

    def __init__(self, timeout_seconds: float, *, proxy: Proxy | None, properties: Mapping[str, str]) -> None:
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy
        self._trusted = properties.get(_TRUST)

    def get(self, url: str, credential: Credential) -> Reply:
        """Read what is at a URL; follows no redirect, so that the credential goes nowhere else.

        Raises:
            OSError: It cannot be reached, or its certificate is not trusted.
            http.client.HTTPException: It speaks no HTTP.
        """
        return self._ask(url, _shown(credential), wants_body=True)

    def upgrade(self, url: str, credential: Credential) -> Reply:
        """Ask for a WebSocket, and close it again; raises as `get` does."""
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode("ascii"),
            "Sec-WebSocket-Protocol": "USP",
        }
        return self._ask(url, headers | _shown(credential), wants_body=False)

    def _ask(self, url: str, headers: Mapping[str, str], *, wants_body: bool) -> Reply:
        parts = urlsplit(url)
        connection = self._connection(parts)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target or "/", headers={"User-Agent": "speechpool", **headers})
            answer = connection.getresponse()
            known = {name.lower(): value for name, value in answer.getheaders()}
            body = answer.read(MAX_BODY_BYTES) if wants_body and answer.status == 200 else b""
            return Reply(status=answer.status, headers=known, body=body)
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        secure = parts.scheme in {"https", "wss"}
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        proxy = self._proxy if self._proxy and self._proxy.serves(parts.geturl()) else None
        first = (proxy.host, proxy.port) if proxy else (host, port)
        connection = (
            http.client.HTTPSConnection(*first, timeout=self._timeout_seconds, context=self._context())
            if secure
            else http.client.HTTPConnection(*first, timeout=self._timeout_seconds)
        )
        if proxy:
            connection.set_tunnel(host, port, headers=_proxy_headers(proxy))
        return connection

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._trusted:
            context.load_verify_locations(cadata=self._trusted)
        return context


def _shown(credential: Credential) -> dict[str, str]:
    match credential.kind:
        case "key":
            return {"Ocp-Apim-Subscription-Key": credential.secret}
        case "token":
            return {"Authorization": f"Bearer {credential.secret}"}
    return {}


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{proxy.username}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
