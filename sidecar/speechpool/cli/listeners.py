"""Where the sidecar answers: the Unix socket, the loopback address for who cannot use it, telemetry."""

import asyncio
import logging
import os
import socket

from aiohttp import web

from speechpool.cli.unix_socket import BACKLOG
from speechpool.config import ConfigStore, read_listen_token
from speechpool.errors import SettingsError
from speechpool.service.service import SpeechService
from speechpool.settings import Address
from speechpool.web.access import TcpAccess
from speechpool.web.app import make_app, make_runner
from speechpool.web.state import WebState
from speechpool.web.telemetry import make_telemetry_app

__all__ = ["Listeners"]

logger = logging.getLogger(__name__)

_TELEMETRY_SHUTDOWN_SECONDS = 1.0  # a scrape takes milliseconds


class Listeners:
    """The HTTP servers of one sidecar, opened together and closed in two steps.

    Args:
        service: What they serve.
        store: The settings in force.
        listener: The Unix socket, bound and listening.
    """

    def __init__(self, service: SpeechService, store: ConfigStore, listener: socket.socket) -> None:
        self._state = WebState(service, store)
        self._listener = listener
        self._api: list[web.AppRunner] = []
        self._telemetry: list[web.AppRunner] = []

    async def open(self) -> None:
        """Begin to answer.

        Raises:
            SettingsError: An address cannot be listened at, or the token's file cannot be read.
        """
        settings = self._state.settings
        if settings.telemetry_address:
            app = make_telemetry_app(self._state)
            await self._open_tcp(self._telemetry, app, "telemetryAddress", settings.telemetry_address)
        if settings.listen and (token := read_listen_token(settings)):
            access = TcpAccess(token=token, allowed_origins=settings.listen_allowed_origins)
            app = make_app(self._state, access=access)
            await self._open_tcp(self._api, app, "listen", settings.listen)
        await self._open_unix()

    async def close_api(self, limit_seconds: float) -> None:
        """Refuse new connections, let running requests finish, cancel those that do not.

        Args:
            limit_seconds: How long they may take, in seconds; >= 0.
        """
        for runner in self._api:
            runner._shutdown_timeout = limit_seconds  # noqa: SLF001 # a live setting, which aiohttp takes only at the start
        await asyncio.gather(*(runner.cleanup() for runner in self._api))

    async def close_telemetry(self) -> None:
        """Stop to tell how the sidecar is; the last thing that is closed."""
        for runner in self._telemetry:
            await runner.cleanup()

    async def _open_unix(self) -> None:
        runner = await self._set_up(self._api, make_app(self._state))
        path = self._listener.getsockname()
        await web.SockSite(runner, self._listener, backlog=BACKLOG).start()
        logger.info("listening", extra={"setting": "socket", "address": path})

    async def _open_tcp(self, runners: list[web.AppRunner], app: web.Application, name: str, at: Address) -> None:
        runner = await self._set_up(runners, app)
        try:
            await _site(runner, at).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise SettingsError(f"{name}: cannot listen at {at}: {reason}. Name another address.") from error
        for host, port, *_ in runner.addresses:  # the port that was found, where the setting says 0
            logger.info("listening", extra={"setting": name, "address": str(Address(host, port))})

    async def _set_up(self, runners: list[web.AppRunner], app: web.Application) -> web.AppRunner:
        runner = make_runner(app, shutdown_timeout_seconds=_TELEMETRY_SHUTDOWN_SECONDS)
        runners.append(runner)
        await runner.setup()
        return runner


def _site(runner: web.AppRunner, at: Address) -> web.BaseSite:
    if at.host != "::":
        return web.TCPSite(runner, at.host, at.port, backlog=BACKLOG)
    return web.SockSite(runner, _everywhere(at.port), backlog=BACKLOG)


def _everywhere(port: int) -> socket.socket:
    """A socket for every address of both families, or of the one that there is: asyncio's would leave out IPv4."""
    if socket.has_dualstack_ipv6():
        made = socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    else:
        made = socket.create_server(("", port), backlog=BACKLOG)
    made.setblocking(False)
    return made
