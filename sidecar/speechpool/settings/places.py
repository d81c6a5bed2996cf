# ruff: noqa: D102 -- the methods of each kind are Kind's, documented there
"""Kinds of values that say where something is and who may use it: paths, permissions, groups, addresses."""

import ipaddress
import re
from dataclasses import dataclass

from speechpool.settings.kinds import Kind, Refused

__all__ = ["Address", "FileMode", "FilePath", "GroupName", "HostPort"]

OFF = "off"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address; to listen at port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class FilePath(Kind[str]):
    """A path.

    Args:
        maximum_bytes: The most bytes it may have.
    """

    maximum_bytes: int = 4096

    @property
    def expected(self) -> str:
        return f"a path of 1 to {self.maximum_bytes} bytes"

    def of_text(self, text: str) -> str:
        size = len(text.encode("utf-8", "surrogateescape"))
        if not text or size > self.maximum_bytes or "\0" in text:
            raise Refused
        return text


@dataclass(frozen=True, slots=True)
class FileMode(Kind[int]):
    """Permission bits, written in octal; the owner can always read and write."""

    @property
    def expected(self) -> str:
        return 'an octal mode from 0600 to 0777 that lets the owner read and write, as "0660"'

    def of_text(self, text: str) -> int:
        if not re.fullmatch(r"0?[0-7]{3}", text):
            raise Refused
        mode = int(text, 8)
        if mode & 0o600 != 0o600:
            raise Refused
        return mode

    def to_value(self, value: int) -> str:
        return f"{value:04o}"


@dataclass(frozen=True, slots=True)
class GroupName(Kind[str]):
    """A group by its name or its number; text in Python."""

    @property
    def expected(self) -> str:
        return "a group's name (at most 32 characters) or its number from 0 to 4294967294"

    def of_text(self, text: str) -> str:
        if text.isascii() and text.isdigit():
            return str(self._number(int(text[:12])))
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?", text):
            raise Refused
        return text

    def of_value(self, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(self._number(value))
        return Kind.of_value(self, value)

    @staticmethod
    def _number(number: int) -> int:
        if not 0 <= number <= 4_294_967_294:
            raise Refused
        return number


_HOST = r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"


@dataclass(frozen=True, slots=True)
class HostPort(Kind[Address | None]):
    """An address to listen at or to connect to, or off.

    Args:
        loopback: Whether only this machine may reach it.
        remote: Whether it is connected to, so that it needs a port of its own.
    """

    loopback: bool = False
    remote: bool = False

    @property
    def expected(self) -> str:
        if self.loopback:
            return "a loopback address as 127.0.0.1:8080, [::1]:8080 or localhost:8080 (port 0 to 65535), or off"
        if self.remote:
            return "host:port, as speechpool-operator.speechpool.svc:8443 (port 1 to 65535), or off"
        return "host:port, as 0.0.0.0:9090, [::]:9090 or 127.0.0.1:9090 (port 0 to 65535), or off"

    def of_text(self, text: str) -> Address | None:
        if text.lower() == OFF:
            return None
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^:\[\]\s]{1,253})):([0-9]{1,5})", text)
        if not match or not self.remote <= int(match[3]) <= 65535:
            raise Refused
        return Address(self._host(match[1], match[2]), int(match[3]))

    def to_value(self, value: Address | None) -> str:
        return OFF if value is None else str(value)

    def _host(self, bracketed: str | None, plain: str | None) -> str:
        host = _ip_address(bracketed) if bracketed else _plain_host(plain or "")
        if self.loopback and not _is_loopback(host):
            raise Refused
        return host


def _ip_address(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise Refused from None


def _plain_host(host: str) -> str:
    if re.fullmatch(r"[0-9.]+", host):
        return _ip_address(host)
    if not re.fullmatch(_HOST, host):
        raise Refused
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
