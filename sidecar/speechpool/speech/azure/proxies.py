"""The HTTP proxy on the way to Azure: that of the options, or the one that the environment names for everybody."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["FORM", "Proxy", "environment_proxy"]

FORM = re.compile(
    r"http://(?:(?P<user>[^@:/\s]{1,128})(?::(?P<password>[^@/\s]{0,256}))?@)?"
    r"(?P<host>[A-Za-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})/?"
)
"""A proxy's URL; a password in it is for the environment alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that connects to endpoints with TLS and without.

    Args:
        host: Its name or address.
        port: Its port.
        username: None where it wants none.
        password: From a variable.
        tls_only: Whether only endpoints with TLS are reached through it.
        bypassed: Hosts, domains and networks that are reached without it.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_only: bool = False
    bypassed: tuple[str, ...] = ()

    def serves(self, url: str) -> bool:
        """Whether this URL is reached through it."""
        parts = urlsplit(url)
        if self.tls_only and parts.scheme not in {"https", "wss"}:
            return False
        host = (parts.hostname or "").lower()
        return not any(_covers(one, host) for one in self.bypassed)


def environment_proxy(environ: Mapping[str, str]) -> Proxy | None:
    """The proxy of `HTTPS_PROXY` (or `https_proxy`), for endpoints with TLS, but those of `NO_PROXY`.

    Args:
        environ: The process's variables.

    Raises:
        ValueError: `HTTPS_PROXY` is none that can be used.
    """
    url = (environ.get("HTTPS_PROXY") or environ.get("https_proxy") or "").strip()
    if not url:
        return None
    found = FORM.fullmatch(url)
    if not found or not 1 <= int(found["port"]) <= 65535:
        raise ValueError("HTTPS_PROXY must be http://host:port or http://user:password@host:port")
    bypassed = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").lower().split(",")
    return Proxy(
        host=found["host"],
        port=int(found["port"]),
        username=unquote(found["user"]) if found["user"] else None,
        password=unquote(found["password"]) if found["password"] else None,
        tls_only=True,
        bypassed=tuple(one.strip() for one in bypassed if one.strip()),
    )


def _covers(entry: str, host: str) -> bool:
    """Whether an entry of `NO_PROXY` is this host, its domain or its network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        domain = entry.removeprefix("*").removeprefix(".")
        return host == domain or host.endswith(f".{domain}")
