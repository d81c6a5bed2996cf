"""The config server's certificate: read again when its files change, and how long it is still good."""

import asyncio
import base64
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from speechpool.errors import SettingsError

__all__ = ["Certificate", "Certificates", "not_after"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 10.0
"""Between two looks at the files: the kubelet takes up to 90 s to bring a new certificate, so this adds little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate in use.

    Args:
        context: For connections that are accepted from now on.
        not_after: When it ends, in seconds since 1970.
    """

    context: ssl.SSLContext
    not_after: float


class Certificates:
    """The newest certificate that could be used.

    A connection keeps the one it began with. A pair that cannot be used (half written, key and certificate of two
    issues) changes nothing: the last good one stays, the reason is logged once, and the next look tries again.

    Args:
        certificate: PEM file with the certificate and those that lead to its CA.
        key: PEM file with its key.

    Raises:
        SettingsError: They cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._seen: object = None
        self._failure = ""
        try:
            self._seen = self._stamp()
            self.current = _read(certificate, key)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{certificate}, {key}: the certificate and its key cannot be used ({_why(error)})"
            ) from error

    def refresh(self) -> bool:
        """Read the files again if they changed; whether there is a new certificate now."""
        try:
            if (stamp := self._stamp()) == self._seen:
                return False
            self.current = _read(*self._files)
        except (OSError, ValueError) as error:
            self._complain(_why(error))
            return False
        self._seen, self._failure = stamp, ""
        logger.info("certificate renewed", extra={"not_after": self.current.not_after})
        return True

    async def run(self) -> NoReturn:
        """Look at the files again and again, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.refresh()

    def _stamp(self) -> object:
        # a Secret volume swaps a link: the files behind it are others then, whatever their times say
        return tuple((status.st_mtime_ns, status.st_ino, status.st_size) for status in (f.stat() for f in self._files))

    def _complain(self, failure: str) -> None:
        if failure != self._failure:
            logger.error("certificate not renewed", extra={"file": str(self._files[0]), "reason": failure})
        self._failure = failure


def _why(error: Exception) -> str:
    return (getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)) or type(error).__name__


def _read(certificate: Path, key: Path) -> Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # both ends are ours
    # nobody resumes: streams last for an hour, and each ticket is one more write and one more session to remember
    context.num_tickets = 0
    context.load_cert_chain(certificate, key, password=_no_password)
    return Certificate(context=context, not_after=not_after(certificate.read_text(encoding="ascii")))


def _no_password() -> str:
    raise ValueError("the key is encrypted; it must not be")  # OpenSSL would ask on the terminal, and wait


# --- when a certificate ends -----------------------------------------------------------------------------------------
# The ssl module tells it only of a peer's certificate; a library that reads X.509 weighs more than these few lines.

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def not_after(pem: str) -> float:
    """When the first certificate of a PEM text ends, in seconds since 1970.

    Raises:
        ValueError: There is none, or it is no X.509 certificate.
    """
    _, found, rest = pem.partition(_BEGIN)
    if not found:
        raise ValueError("the file holds no certificate")
    try:
        der = base64.b64decode("".join(rest.partition(_END)[0].split()), validate=True)
        return _validity_end(der)
    except (IndexError, ValueError) as error:
        raise ValueError("the file holds no X.509 certificate") from error


def _validity_end(der: bytes) -> float:
    certificate = _inner(der, 0, _SEQUENCE)
    fields = _inner(der, certificate, _SEQUENCE)
    if der[fields] == _VERSION:
        fields = _next(der, fields)
    for _ in ("serial number", "signature algorithm", "issuer"):
        fields = _next(der, fields)
    end = _next(der, _inner(der, fields, _SEQUENCE))
    text = der[_content(der, end) : _next(der, end)].decode("ascii")
    if der[end] == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text  # RFC 5280, 4.1.2.5.1
    elif der[end] != _GENERALIZED_TIME:
        raise ValueError
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _inner(der: bytes, at: int, tag: int) -> int:
    if der[at] != tag:
        raise ValueError
    return _content(der, at)


def _content(der: bytes, at: int) -> int:
    return at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)


def _next(der: bytes, at: int) -> int:
    start = _content(der, at)
    length = int.from_bytes(der[at + 2 : start], "big") if der[at + 1] & 0x80 else der[at + 1]
    return start + length
