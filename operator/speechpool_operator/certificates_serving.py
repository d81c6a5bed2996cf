"""TLS for a server whose certificate changes while it runs, also one that has not any at its start."""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from speechpool_operator.tls import not_after

__all__ = ["MountedFiles", "Serving", "load"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at mounted files; one takes microseconds."""


def load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Let a context serve a certificate.

    Args:
        context: Of a server.
        certificate: PEM, with those that lead to its authority.
        key: PEM, not encrypted.

    Raises:
        ssl.SSLError: They cannot be used together.
        ValueError: The key is encrypted.
    """
    # OpenSSL reads a file only: one in memory, which no directory shows and which needs no volume
    descriptor = os.memfd_create("speechpool-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(f"{certificate}\n{key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    finally:
        os.close(descriptor)


class Serving:
    """What a server presents.

    A connection keeps what it began with. TLS 1.2 is spoken too: an API server under FIPS 140-2 knows no newer one.
    """

    def __init__(self) -> None:
        self.not_after: float | None = None
        """When the certificate ends, in seconds since 1970; None while there is none."""
        self.changed = asyncio.Event()
        """Set when there is a certificate."""
        self._current: ssl.SSLContext | None = None
        self._presented = "", ""
        self.context = _context()
        """For the listener; handshakes fail while there is no certificate."""
        self.context.sni_callback = self._present

    def use(self, certificate: str, key: str) -> None:
        """Present this one to whoever connects from now on.

        Args:
            certificate: PEM, with those that lead to its authority.
            key: PEM, not encrypted.

        Raises:
            ssl.SSLError: They cannot be used together; what was there stays.
            ValueError: Likewise.
        """
        if (certificate, key) == self._presented:
            return
        context = _context()
        load(context, certificate, key)
        self.not_after = not_after(certificate)
        self._current, self._presented = context, (certificate, key)
        self.changed.set()
        logger.info("certificate in use", extra={"seconds_left": round(self.not_after - time.time())})

    def _present(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


class MountedFiles:
    """Certificates that somebody else makes and the kubelet brings, as cert-manager's.

    Args:
        certificate: PEM, with those that lead to its authority.
        key: PEM.
        authority: PEM of whom sidecars shall trust.
        use: Called with the three texts each time that they are others; what it raises is logged, and tried again.
    """

    def __init__(self, certificate: Path, key: Path, authority: Path, *, use: Callable[[str, str, str], None]) -> None:
        self._files = certificate, key, authority
        self._use = use
        self._used: object = None
        self.failure = "the files were not read yet"
        """Why what is in use may be old; empty where the last look was good."""

    async def run(self) -> NoReturn:
        """Look at the files again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the files, and use them where they are others. A few kilobytes: it does not wait."""
        try:
            certificate, key, authority = texts = tuple(one.read_text(encoding="ascii") for one in self._files)
            if texts != self._used:
                self._use(certificate, key, authority)
        except (OSError, ValueError) as error:
            self._complain(error)
        else:
            self._used, self.failure = texts, ""

    def _complain(self, error: OSError | ValueError) -> None:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        failure = f"{', '.join(map(str, self._files))}: {reason}"
        if failure != self.failure:
            logger.error("certificate not renewed", extra={"reason": failure})
        self.failure = failure


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; it must not be")  # OpenSSL would ask on the terminal, and wait
