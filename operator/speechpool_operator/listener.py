"""Accepts connections, and bounds what those may take that have not proved yet who they are.

A connection enters in a turn of its own: TLS, the request's head, the identity, all within one bound. Turns are given
to each address by itself, so that one that opens connections and says nothing holds up its own only.
"""

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["Connection", "EntryLimits", "Listener", "listening_socket", "raise_file_limit"]

logger = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted: a whole fleet may dial at once."""

_RETRY_ACCEPT_SECONDS = 0.5  # with no file descriptor left, until one may be free


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLimits:
    """Bounds of what is not authenticated yet. The numbers are guesses above what a fleet of 10,000 needs.

    Args:
        waiting: Connections that entered not yet; more stay in the kernel's backlog.
        waiting_per_address: Of these from one address; more are closed at once.
        turns: Connections that enter beside each other.
        turns_per_address: Of these from one address.
        wait_seconds: For a turn.
        turn_seconds: For TLS, the request's head and the identity.
    """

    waiting: int = 4096
    waiting_per_address: int = 1024
    turns: int = 256
    turns_per_address: int = 64
    wait_seconds: float = 15.0
    turn_seconds: float = 10.0


class Connection(asyncio.Protocol):
    """A protocol that tells when its turn is over."""

    __slots__ = ()
    entered: asyncio.Event
    """Set when the connection has proved who it is, and when it is lost."""


class _Address:
    def __init__(self, turns: int) -> None:
        self.waiting = 0
        self.turns = asyncio.Semaphore(turns)


class Listener:
    """Accepts from one socket.

    Args:
        sock: Listening; not blocking. It stays the caller's.
        tls: Gives the TLS context for a new connection.
        protocol: Makes the protocol of a new connection.
        limits: Of those that entered not yet.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        tls: Callable[[], ssl.SSLContext],
        protocol: Callable[[], Connection],
        limits: EntryLimits,
    ) -> None:
        self._socket = sock
        self._tls = tls
        self._protocol = protocol
        self._limits = limits
        self._room = asyncio.Semaphore(limits.waiting)
        self._turns = asyncio.Semaphore(limits.turns)
        self._addresses: dict[str, _Address] = {}
        self.refused: Counter[str] = Counter()

    @property
    def entering(self) -> int:
        """Connections that are accepted and entered not yet."""
        return sum(address.waiting for address in self._addresses.values())

    async def run(self) -> NoReturn:
        """Accept until cancelled; those who entered stay, the others are closed."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._room.acquire()
                try:
                    connection, name = await self._accept()
                except BaseException:
                    self._room.release()
                    raise
                group.create_task(self._admit(connection, name))

    async def _accept(self) -> tuple[socket.socket, str]:
        while True:
            try:
                connection, name = await asyncio.get_running_loop().sock_accept(self._socket)
            except OSError as error:  # no file descriptor left, or gone before it was accepted
                logger.warning("connection not accepted", extra={"reason": error.strerror})
                await asyncio.sleep(_RETRY_ACCEPT_SECONDS)
            else:
                connection.setblocking(False)
                return connection, str(name[0])

    async def _admit(self, connection: socket.socket, name: str) -> None:
        address = self._addresses.setdefault(name, _Address(self._limits.turns_per_address))
        address.waiting += 1
        try:
            if address.waiting > self._limits.waiting_per_address:
                self.refused["TooManyOfAnAddress"] += 1
                connection.close()
            else:
                await self._await_turn(connection, address)
        finally:
            address.waiting -= 1
            if not address.waiting:
                self._addresses.pop(name, None)
            self._room.release()

    async def _await_turn(self, connection: socket.socket, address: _Address) -> None:
        async with contextlib.AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(self._limits.wait_seconds):
                    await turn.enter_async_context(address.turns)
                    await turn.enter_async_context(self._turns)
            except BaseException as error:
                connection.close()
                if not isinstance(error, TimeoutError):
                    raise
                self.refused["NoTurn"] += 1
                return
            await self._enter(connection)

    async def _enter(self, connection: socket.socket) -> None:
        transport: asyncio.BaseTransport | None = None
        protocol = self._protocol()  # made here: uvloop answers with its own in place of ours
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._tls(), ssl_handshake_timeout=self._limits.turn_seconds
                )
                await protocol.entered.wait()
                return
        except TimeoutError:
            self.refused["TooSlow"] += 1
        except OSError:  # ssl.SSLError too: no TLS, another version, a CA that the client does not know, gone
            self.refused["NoTls"] += 1
        except BaseException:
            _abort(connection, transport)
            raise
        _abort(connection, transport)


def _abort(connection: socket.socket, transport: asyncio.BaseTransport | None) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    elif transport is not None:
        transport.close()
    else:
        connection.close()


def listening_socket(host: str, port: int) -> socket.socket:
    """A listening socket, not blocking.

    Args:
        host: An address; "::" or empty for every address of this machine, of both families where there are both.
        port: 0 for a free one.

    Raises:
        OSError: It cannot be bound.
    """
    host = "" if host == "::" else host
    if host or not socket.has_dualstack_ipv6():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, port), family=family, backlog=BACKLOG)
    else:
        made = socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    made.setblocking(False)
    return made


def raise_file_limit() -> int:
    """Let this process open as many files as it may: each stream is one. Returns how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
