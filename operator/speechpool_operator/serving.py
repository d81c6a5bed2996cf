"""What sidecars connect to, from when this operator leads and has a certificate until it is asked to stop."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, TypeVar

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.leader import Leader
from speechpool_operator.listener import listening_socket
from speechpool_operator.tls import Certificates

__all__ = ["MakeServer", "Serving"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

CERTIFICATE_POLL_SECONDS: Final = 1.0
COMPLAIN_EVERY: Final = 30  # looks for a certificate, between two lines in the log

MakeServer = Callable[..., ConfigServer]
"""Makes the server; called with the listening socket, and `tls` as ConfigServer has it."""


class Serving:
    """Serves sidecars.

    Args:
        address: Where; port 0 for a free one.
        certificate: PEM file; waited for while it is not there.
        key: Likewise.
        leader: Tells when this operator leads; None where it is the only one.
        make: Makes the server.
    """

    def __init__(
        self, address: Address, certificate: Path, key: Path, *, leader: Leader | None, make: MakeServer
    ) -> None:
        self._address = address
        self._files = certificate, key
        self._leader = leader
        self._make = make
        self._certificates: Certificates | None = None
        self.server: ConfigServer | None = None
        """None until sidecars can connect."""

    @property
    def not_after(self) -> float | None:
        """When the certificate ends, in seconds since 1970; None without one."""
        return self._certificates.current.not_after if self._certificates else None

    async def run(self, wait_for_stop: Callable[[], Coroutine[None, None, None]], begin: Callable[[], None]) -> None:
        """Serve until asked to stop; then each sidecar is told to come back.

        Args:
            wait_for_stop: Returns when it is.
            begin: Called when this operator leads and sidecars are about to come.

        Raises:
            OSError: The address cannot be listened at.
        """
        stopping = asyncio.create_task(wait_for_stop())
        try:
            certificates = self._certificates = await _unless(stopping, self._certificate())
            leads = await _unless(stopping, self._until_leading())
            if certificates and leads:
                begin()
                await self._serve(certificates, stopping)
        finally:
            stopping.cancel()

    async def _until_leading(self) -> bool:
        if self._leader:
            await self._leader.until_leading()
        return True

    async def _certificate(self) -> Certificates:
        looks = 0
        while True:
            try:
                return Certificates(*self._files)
            except SettingsError as error:
                if looks % COMPLAIN_EVERY == 0:
                    logger.warning("waiting for a certificate", extra={"reason": str(error)})
            looks += 1
            await asyncio.sleep(CERTIFICATE_POLL_SECONDS)

    async def _serve(self, certificates: Certificates, stopping: "asyncio.Task[None]") -> None:
        def tls() -> ssl.SSLContext:
            return certificates.current.context

        sock = listening_socket(self._address.host, self._address.port)
        with contextlib.closing(sock):
            server = self._make(sock, tls=tls)
            bound = Address(self._address.host, sock.getsockname()[1])
            logger.info("listening", extra={"setting": "listen", "address": str(bound)})
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in (server.run(), certificates.run())]
                async with server:  # left before the server is cancelled, so that everybody is told
                    self.server = server
                    await stopping
                for each in tasks:
                    each.cancel()


async def _unless(stopping: "asyncio.Task[None]", awaited: Coroutine[None, None, T]) -> T | None:
    """What is awaited, or None where it is asked to stop before."""
    task = asyncio.create_task(awaited)
    try:
        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
