"""The emulator's port: listened at or not, and kept in between."""

import os
import socket

from aiohttp import web

from speechpool.errors import SpeechPoolError

__all__ = ["EmulatorFailed", "Port"]

_BACKLOG = 1024


class EmulatorFailed(SpeechPoolError):
    """The emulator cannot start, or what was waited for did not happen."""


class Port:
    """One port.

    While nobody listens, a bound socket keeps it: nobody else takes it, and a client that tries in vain is not given
    it as its own end, in which case TCP would connect it with itself.

    Args:
        host: Address to listen at.
        number: The port; 0 for a free one.
    """

    def __init__(self, host: str, number: int) -> None:
        self.host, self.number = host, number
        self._keeper: socket.socket | None = None
        self._site: web.TCPSite | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is listened at."""
        return self._site is not None

    async def open(self, runner: web.AppRunner) -> None:
        """Listen.

        Raises:
            EmulatorFailed: The port is in use, or the address is none of this machine's.
        """
        try:
            self._keep()
            site = web.TCPSite(runner, self.host, self.number, reuse_address=True, backlog=_BACKLOG)
            await site.start()
        except OSError as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise EmulatorFailed(
                f"cannot listen at {self.host}:{self.number}: {reason}; choose another port"
            ) from error
        self._site = site

    def _keep(self) -> None:
        if self._keeper:
            return
        family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.number, type=socket.SOCK_STREAM)[0]
        keeper = socket.socket(family, kind, protocol)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            keeper.bind(address)
        except OSError:
            keeper.close()
            raise
        self._keeper, self.number = keeper, keeper.getsockname()[1]

    async def stop(self) -> None:
        """Listen no more; the port stays ours."""
        if self._site:
            site, self._site = self._site, None
            await site.stop()

    async def close(self) -> None:
        """Give it back; safe in every state."""
        await self.stop()
        if self._keeper:
            self._keeper.close()
            self._keeper = None
