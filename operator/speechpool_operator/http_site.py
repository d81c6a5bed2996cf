"""Answers HTTP at one address while a context is open."""

import contextlib
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from speechpool.settings import Address
from speechpool_operator.listener import listening_socket

__all__ = ["answering"]


@contextlib.asynccontextmanager
async def answering(
    application: web.Application,
    address: Address,
    *,
    tls: ssl.SSLContext | None = None,
    shutdown_seconds: float = 1.0,
    keepalive_seconds: float = 75.0,
) -> AsyncIterator[str]:
    """Answer while the context is open; gives the address that is listened at.

    Args:
        application: What answers.
        address: Where; port 0 for a free one.
        tls: None for plain HTTP.
        shutdown_seconds: Bound for answers that are under way at the end.
        keepalive_seconds: So long an unused connection stays open.

    Raises:
        OSError: It cannot be bound.
    """
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=shutdown_seconds, keepalive_timeout=keepalive_seconds
    )
    await runner.setup()
    try:
        sock = listening_socket(address.host, address.port)
        await web.SockSite(runner, sock, ssl_context=tls).start()
        yield str(Address(address.host, sock.getsockname()[1]))
    finally:
        await runner.cleanup()
