"""Accepts connections, and bounds what those may take that have not proved yet who they are.

A connection enters in a turn (`turns`): TLS, the request's head, the identity, all within one bound.
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

from speechpool_operator.turns import Turns

__all__ = ["Connection", "EntryLimits", "Listener", "listening_socket", "raise_file_limit"]

logger = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted: a whole fleet may dial at once."""

_RETRY_ACCEPT_SECONDS = 0.5  # with no file descriptor left, until one may be free


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLimits:
    """Bounds of what is not authenticated yet. The numbers are guesses above what a fleet of 10,000 needs.

    Args:
        turns: Connections that enter beside each other.
        turns_per_address: Of these from one address.
        waiting: Connections that wait for a turn; more stay in the kernel's backlog.
        waiting_per_address: Those of one address, with those that have a turn; more are closed at once.
        wait_seconds: For a turn.
        turn_seconds: For TLS, the request's head and the identity.
    """

    turns: int = 256
    turns_per_address: int = 64
    waiting: int = 4096
    waiting_per_address: int = 1024
    wait_seconds: float = 15.0
    turn_seconds: float = 10.0


class Connection(asyncio.Protocol):
    """A protocol that tells when its turn is over."""

    __slots__ = ()
    entered: asyncio.Event
    """Set when the connection has proved who it is, and when it is lost."""


class _Entrant:
    """A connection on its way in, as `Turns` has it."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        self.connection = connection
        self.address = address
        self.gave_way = False
        self.called = asyncio.Event()

    def begin(self) -> None:
        self.called.set()

    def give_way(self) -> None:
        self.gave_way = True
        self.called.set()
        with contextlib.suppress(OSError):  # it is gone already
            self.connection.shutdown(socket.SHUT_RDWR)  # whoever reads from it finds that it has ended


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
        self._turns = Turns(turns=limits.turns, turns_per_address=limits.turns_per_address, places=limits.waiting)
        self._has_room = asyncio.Event()
        self.refused: Counter[str] = Counter()
        """How many were closed before they entered, by reason."""

    async def run(self) -> NoReturn:
        """Accept until cancelled; those who entered stay, the others are closed."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wait_for_room()
                connection, address = await self._accept()
                if self._turns.of(address) >= self._limits.waiting_per_address:
                    self.refused["TooManyOfAnAddress"] += 1
                    connection.close()
                else:
                    entrant = _Entrant(connection, address)
                    group.create_task(self._admit(entrant))
                    self._turns.come(entrant)

    async def _wait_for_room(self) -> None:
        # accepting does not wait where somebody is there: in a flood nothing else would have a turn
        await asyncio.sleep(0)
        while self._turns.is_full:
            self._has_room.clear()
            await self._has_room.wait()  # at most as long as one may wait for its turn

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

    async def _admit(self, entrant: _Entrant) -> None:
        try:
            refusal = await self._await_turn(entrant) or await self._enter(entrant.connection)
        finally:
            self._turns.leave(entrant)
            self._has_room.set()
        if refusal or entrant.gave_way:
            self.refused["GaveWay" if entrant.gave_way else refusal] += 1

    async def _await_turn(self, entrant: _Entrant) -> str:
        """Wait for the turn; why it does not come, or empty."""
        refusal = "Ended"  # so that it is closed too where this is cancelled
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await entrant.called.wait()
            refusal = "GaveWay" if entrant.gave_way else ""
        except TimeoutError:
            refusal = "NoTurn"
        finally:
            if refusal:
                entrant.connection.close()
        return refusal

    async def _enter(self, connection: socket.socket) -> str:
        """Wait until it has proved who it is, or is lost; why it is not let in, or empty."""
        transport: asyncio.BaseTransport | None = None
        protocol = self._protocol()  # made here: uvloop answers with its own in place of ours
        refusal = "Ended"  # likewise
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._tls(), ssl_handshake_timeout=self._limits.turn_seconds
                )
                await protocol.entered.wait()
            refusal = ""
        except TimeoutError:
            refusal = "TooSlow"
        except OSError:  # ssl.SSLError too: no TLS, another version, a CA that the client does not know, gone
            refusal = "NoTls"
        finally:
            if refusal:
                _abort(connection, transport)
        return refusal


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
