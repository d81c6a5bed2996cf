"""The config server: one long TLS WebSocket for each sidecar, on which its settings go down and its state comes up.

A sidecar proves which pod it is in (`identity`), says hello, and from then on gets what the fleet puts into its cell.
One pod has one stream, and the newest wins. Whatever one sidecar does or does not do, the others never wait for it.
"""

import asyncio
import contextlib
import functools
import logging
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import NoReturn, Protocol, cast

from aiohttp import web

from speechpool.settings.wire import MAX_SIDECAR_MESSAGE_BYTES, PATH, SUBPROTOCOL, FromSidecar, Hello, State
from speechpool_operator.dispatch import Counts, Dispatch, Sender
from speechpool_operator.identity import IdentityRefused, IdentityUnknown, PodIdentity, bearer
from speechpool_operator.listener import Connection, Listener
from speechpool_operator.streams import Cell, Ended, Ending, Limits, Readings, Receiver

__all__ = ["ConfigServer", "StreamSink"]

logger = logging.getLogger(__name__)
# aiohttp's own words about bad requests quote them, and a request holds a token
_silent = logging.getLogger(f"{__name__}.http")
_silent.setLevel(logging.CRITICAL + 1)


class StreamSink(Protocol):
    """Who decides what each sidecar runs. Its methods are plain and quick; all run on the server's event loop."""

    def connected(self, pod: PodIdentity, hello: Hello, cell: Cell) -> None:
        """A sidecar is there, and gets what is put into the cell. Of two of one pod the newer counts."""

    def said(self, uid: str, cell: Cell, state: State) -> None:
        """The sidecar of this pod says how it is: at each change, and in answer to each heartbeat."""

    def gone(self, uid: str, cell: Cell) -> None:
        """This stream ended; another of the same pod may be there already."""


class _Connection(web.RequestHandler, Connection):
    """aiohttp's connection, which tells when it is no stranger any more, and when all that was written is sent."""

    __slots__ = ("drained", "entered")

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, logger=_silent, access_log=None, keepalive_timeout=0)  # type: ignore[arg-type] # None turns it off
        self.entered = asyncio.Event()
        self.drained: Callable[[], None] | None = None

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.drained:
            self.drained()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.entered.set()
        super().connection_lost(exc)


class ConfigServer:
    """Serves every sidecar's stream; an asynchronous context manager, whose end says goodbye to all.

    Args:
        sock: Listening; not blocking. It stays the caller's.
        tls: Gives the TLS context for a new connection.
        identify: Tells whose a token is; raises IdentityRefused or IdentityUnknown.
        fleet: Who decides what each sidecar runs.
        limits: The bounds.
        applied: Called with the seconds from the moment that settings were put into a cell to their acknowledgement.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        tls: Callable[[], ssl.SSLContext],
        identify: Callable[[str], Awaitable[PodIdentity]],
        fleet: StreamSink,
        limits: Limits | None = None,
        applied: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._limits = limits or Limits()
        self._identify = identify
        self._fleet = fleet
        self._http: web.Server = web.Server(self._handle)
        self._listener = Listener(sock, tls=tls, protocol=self._connection, limits=self._limits.entry)
        self._readings = Readings()
        self._dispatch = Dispatch(self._limits.heartbeat_seconds)
        self._cells: dict[str, Cell] = {}
        self._namespaces: Counter[str] = Counter()
        self._is_stopping = False
        self.refused = self._listener.refused
        """How many were refused before they had a stream, by reason."""
        self.endings: Counter[str] = Counter()
        """How many streams ended, by reason."""
        self.counts = Counts(applied)
        """How many settings were sent, and what became of them."""

    @property
    def streams(self) -> int:
        """Streams now."""
        return len(self._cells)

    async def __aenter__(self) -> "ConfigServer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_stopping = True
        for cell in self._cells.values():
            cell.close(Ending.STOPPING, retry_seconds=(0.5, 5.0))
        await self._http.shutdown(self._limits.close_seconds)

    async def run(self) -> NoReturn:
        """Accept sidecars until cancelled."""
        await self._listener.run()

    def _connection(self) -> _Connection:
        return _Connection(self._http, asyncio.get_running_loop())

    # --- before there is a stream ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._admit(request)
        except Exception:  # a mistake of ours, of which aiohttp's own log may not tell
            logger.exception("stream failed")
            raise

    async def _admit(self, request: web.BaseRequest) -> web.StreamResponse:
        socket_ = web.WebSocketResponse(
            autoping=False,  # pings count as the messages that they are
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=MAX_SIDECAR_MESSAGE_BYTES,
            timeout=self._limits.close_seconds,
        )
        if request.path != PATH:
            return self._refuse("NotFound", 404)
        if socket_.can_prepare(request).protocol != SUBPROTOCOL:
            return self._refuse("NoStream", 400)
        pod = await self._identified(request)
        if isinstance(pod, web.Response):
            return pod
        with self._counted(pod):
            await self._open(request, socket_, pod)
        return socket_

    async def _identified(self, request: web.BaseRequest) -> PodIdentity | web.Response:
        """The pod that asks for a stream and may have one; else the refusal."""
        try:
            async with asyncio.timeout(self._limits.entry.turn_seconds):  # the connection has no more time either
                pod = await self._identify(bearer(request.headers.get("authorization")))
        except IdentityRefused as error:
            logger.info("sidecar refused", extra={"reason": error.refusal.value, "address": request.remote})
            return self._refuse(error.refusal.value, error.refusal.status)
        except (IdentityUnknown, TimeoutError) as error:
            logger.warning("sidecar not identified", extra={"reason": str(error) or "no answer in time"})
            return self._refuse("IdentityUnknown", 503)
        if full := self._full(pod):
            logger.warning("sidecar refused", extra={"reason": full, "namespace": pod.namespace})
            return self._refuse(full, 503)
        return pod

    @contextlib.contextmanager
    def _counted(self, pod: PodIdentity) -> Iterator[None]:
        self._namespaces[pod.namespace] += 1
        try:
            yield
        finally:
            self._namespaces[pod.namespace] -= 1
            self._namespaces += Counter()  # forgets the namespaces without a stream

    def _refuse(self, reason: str, status: int) -> web.Response:
        self.refused[reason] += 1
        reply = web.Response(status=status, headers={"retry-after": "2"} if status == 503 else None)
        reply.force_close()
        return reply

    def _full(self, pod: PodIdentity) -> str:
        if self._is_stopping:
            return "Stopping"
        if self._namespaces.total() >= self._limits.streams:
            return "TooManyStreams"
        if self._namespaces[pod.namespace] >= self._limits.streams_per_namespace:
            return "TooManyOfANamespace"
        return ""

    # --- a stream ---

    async def _open(self, request: web.BaseRequest, socket_: web.WebSocketResponse, pod: PodIdentity) -> None:
        try:
            await socket_.prepare(request)
        except ConnectionError:  # it left before it was known who it is
            self.refused["Gone"] += 1
            return
        cast(_Connection, request.protocol).entered.set()
        transport = request.transport
        if transport is None:
            return
        receiver = Receiver(socket_, transport, self._limits, self._readings)
        try:
            hello = await receiver.hello()
        except Ended as ended:
            await receiver.end(ended)
            self._note(pod, str(ended))
            return
        transport.set_write_buffer_limits(high=1, low=0)  # tells when everything is sent, not only much of it
        await self._serve(receiver, pod, hello, cast(_Connection, request.protocol), transport)

    async def _serve(
        self, receiver: Receiver, pod: PodIdentity, hello: Hello, connection: _Connection, transport: asyncio.Transport
    ) -> None:
        cell = self._enrol(pod, hello)
        sender = Sender(
            cell,
            transport,
            is_open=lambda: receiver.is_open,
            part=receiver.part,
            dispatch=self._dispatch,
            counts=self.counts,
            limits=self._limits,
            expires_at=asyncio.get_running_loop().time() + self._life_seconds(pod),
        )
        try:
            connection.drained = sender.drained
            try:
                ended = await receiver.listen(sender.heard, functools.partial(self._said, pod.uid, cell, sender))
            finally:
                connection.drained = None
                sender.stop()
            await receiver.end(ended)
        finally:
            if self._cells.get(pod.uid) is cell:
                del self._cells[pod.uid]
            self._fleet.gone(pod.uid, cell)
        self._note(pod, cell.reason or str(ended))

    def _enrol(self, pod: PodIdentity, hello: Hello) -> Cell:
        if previous := self._cells.get(pod.uid):
            previous.close(Ending.REPLACED, retry_seconds=(20.0, 40.0))
        cell = Cell()
        self._fleet.connected(pod, hello, cell)
        self._cells[pod.uid] = cell
        logger.info("sidecar connected", extra={"namespace": pod.namespace, "pod": pod.name})
        return cell

    def _life_seconds(self, pod: PodIdentity) -> float:
        # a heartbeat less, which is how often it is looked at
        left = pod.expires_at - time.time() - self._limits.heartbeat_seconds
        return max(left, self._limits.least_life_seconds) * random.uniform(0.8, 1.0)

    def _said(self, uid: str, cell: Cell, sender: Sender, message: FromSidecar) -> None:
        if isinstance(message, State):
            sender.answered(message)
            self._fleet.said(uid, cell, message)

    def _note(self, pod: PodIdentity, reason: str) -> None:
        self.endings[reason.partition(":")[0]] += 1
        logger.info("sidecar gone", extra={"namespace": pod.namespace, "pod": pod.name, "reason": reason})
