"""One stream: what is still to be sent on it, what comes up, and how it ends."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from speechpool.settings.wire import (
    DEFAULT_HEARTBEAT_SECONDS,
    MISSED_HEARTBEATS,
    Bye,
    FromOperator,
    FromSidecar,
    Heartbeat,
    Hello,
    NewSettings,
    WireError,
    encode,
    from_sidecar,
)
from speechpool_operator.listener import EntryLimits

__all__ = ["Cell", "Ended", "Ending", "Limits", "Stream", "Texts"]

logger = logging.getLogger(__name__)

_NEVER_WAITS_CHARACTERS = 8192
"""A shorter text fits an empty write buffer, whose limit is 64 KiB: it is sent at once, and needs no bound."""

_ANSWERS = 4
"""A sidecar may answer settings with so many messages: that it applies them, that it did, and what its pools became."""

_TEXTS = 64  # as many objects may be pushed in turns before one is written out again; a guess


class Ending(StrEnum):
    """Why a stream ended; the first word of what the sidecar is told, where it is told."""

    PEER_CLOSED = "PeerClosed"
    """The sidecar closed it, or its connection broke."""
    REPLACED = "Replaced"
    """The pod has a newer stream."""
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 -- a reason's name
    """The token that it began with ends."""
    POD_GONE = "PodGone"
    """The pod is deleted."""
    STOPPING = "Stopping"
    """The operator stops."""
    SILENT = "Silent"
    """Nothing was heard of the sidecar for three heartbeats."""
    STUCK = "Stuck"
    """The sidecar does not read."""
    NO_HELLO = "NoHello"
    """There was no hello in time."""
    MALFORMED = "Malformed"
    """A message was not what it must be, or too large."""
    FLOODED = "Flooded"
    """The sidecar sends far more than it has to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the server.

    Args:
        streams: Most streams at once.
        streams_per_namespace: Of these for one namespace.
        hello_seconds: For the first message.
        send_seconds: For one message to be taken; after that the sidecar is stuck.
        close_seconds: For the WebSocket's closing handshake.
        heartbeat_seconds: Most time between two messages to a sidecar; it answers each heartbeat, and after three
            without a word its stream is closed.
        messages_per_heartbeat: Most messages of a sidecar in that time, above the answers to what it was sent.
        least_life_seconds: Shortest life of a stream whose token is about to end, or has by this clock.
        entry: Of connections that have not proved who they are.
    """

    streams: int = 20_000
    streams_per_namespace: int = 12_000
    hello_seconds: float = 5.0
    send_seconds: float = 10.0
    close_seconds: float = 2.0
    heartbeat_seconds: float = DEFAULT_HEARTBEAT_SECONDS
    messages_per_heartbeat: int = 100
    least_life_seconds: float = 30.0
    entry: EntryLimits = field(default_factory=EntryLimits)


class Cell:
    """Holds the newest settings of one stream until its writer takes them.

    There is no queue: what was not taken when newer settings come is never sent, so a sidecar that reads slowly costs
    one message, and nobody waits for it. All of it belongs to one event loop, and one writer takes.
    """

    def __init__(self) -> None:
        self._newest: FromOperator | None = None
        self._bye: Bye | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.hash: str | None = None
        """Of the settings that were taken last."""

    def __repr__(self) -> str:
        state = "closed" if self._bye else "waiting" if self._newest else "empty"
        return f"<Cell {state} hash={self.hash}>"

    @property
    def reason(self) -> str:
        """Why it was closed; empty while it is open."""
        return self._bye.reason if self._bye else ""

    def put(self, message: FromOperator) -> None:
        """Send this, and nothing older; at once, and never waiting. Without effect on a closed cell."""
        self._newest = message
        self._wake()

    def close(self, reason: str, *, retry_seconds: tuple[float, float] = (0.0, 1.0)) -> None:
        """End the stream; what was not sent yet is dropped. The first reason stays.

        Args:
            reason: For people, an `Ending` first.
            retry_seconds: The sidecar comes back after a random time between these, in seconds.
        """
        if self._bye is None:
            self._bye = Bye(reason=reason, retry_after_seconds=random.uniform(*retry_seconds))
            self._wake()

    async def take(self, seconds: float) -> FromOperator | None:
        """Wait for what to send next.

        Args:
            seconds: At most so long.

        Returns:
            The farewell if there is one, or the newest settings; None after `seconds` without either.
        """
        if not (self._newest or self._bye):
            await self._wait(seconds)
        if self._bye:
            return self._bye
        message, self._newest = self._newest, None
        if message:
            self.hash = message.revision.hash if isinstance(message, NewSettings) else None
        return message

    async def _wait(self, seconds: float) -> None:
        # a bare future and timer: this is the path from a change to every sidecar, and asyncio.timeout() costs twice it
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Texts:
    """Messages as text; one that goes to many streams is written out once."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[FromOperator, str]] = OrderedDict()

    def __call__(self, message: FromOperator) -> str:
        """The message as text.

        Raises:
            WireError: It is larger than a sidecar takes.
        """
        if not isinstance(message, NewSettings):
            return encode(message)
        key = id(message)  # of an object that is kept, so that no other gets the same id meanwhile
        if key not in self._known:
            self._known[key] = message, encode(message)
            if len(self._known) > _TEXTS:
                self._known.popitem(last=False)
        return self._known[key][1]


_UNREAD = {Ending.PEER_CLOSED, Ending.STUCK}


class Ended(Exception):
    """The stream ends.

    Args:
        why: The reason.
        more: What to add for people; never a message's content.
    """

    def __init__(self, why: Ending, more: str = "") -> None:
        super().__init__(f"{why}: {more}" if more else why.value)
        self.why = why


class Stream:
    """The messages of one WebSocket, each with its bound.

    Args:
        socket: Prepared.
        transport: Of its connection; aborted where a farewell would not be read.
        limits: The bounds.
        texts: Writes messages out.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, limits: Limits, texts: Texts
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._limits = limits
        self._texts = texts
        self._heard_at = asyncio.get_running_loop().time()
        self._window_ends_at = 0.0
        self._frames = 0

    # --- from the sidecar ---

    async def hello(self) -> Hello:
        """The first message.

        Raises:
            Ended: It did not come in time, or is another.
        """
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                message = await self.next()
        except TimeoutError:
            raise Ended(Ending.NO_HELLO) from None
        if not isinstance(message, Hello):
            raise Ended(Ending.MALFORMED, "the first message must be hello")
        return message

    async def next(self) -> FromSidecar | None:
        """The next message; None where its type is not known.

        Raises:
            Ended: There is none any more.
        """
        frame = await self._frame()
        if frame.type is WSMsgType.BINARY:
            raise Ended(Ending.MALFORMED, "messages must be text")
        if isinstance(frame.data, WebSocketError):  # too large, no UTF-8, no WebSocket: aiohttp has closed it
            raise Ended(Ending.MALFORMED, "a frame is malformed or too large")
        if frame.type is not WSMsgType.TEXT:
            raise Ended(Ending.PEER_CLOSED)
        try:
            return from_sidecar(frame.data)
        except WireError as error:
            raise Ended(Ending.MALFORMED, str(error)) from None

    async def _frame(self) -> WSMessage:
        while True:
            frame = await self._socket.receive()  # `write` bounds the silence of all frames, with no timer for each
            self._allow()
            if frame.type is WSMsgType.PING:
                await self._bounded(self._socket.pong(frame.data))
            elif frame.type is not WSMsgType.PONG:
                return frame

    def _allow(self) -> None:
        # frames that are here already are read without a pause, so their number is bounded and not only their rate
        now = self._heard_at = asyncio.get_running_loop().time()
        if now >= self._window_ends_at:
            self._window_ends_at, self._frames = now + self._limits.heartbeat_seconds, 0
        self._frames += 1
        if self._frames > self._limits.messages_per_heartbeat:
            raise Ended(Ending.FLOODED)

    # --- to the sidecar ---

    async def write(self, cell: Cell, pushed: Callable[[], None]) -> None:
        """Send what comes into the cell, and heartbeats between, until there is a farewell or the peer is dead.

        Args:
            cell: The stream's.
            pushed: Called after each settings message.
        """
        try:
            while not await self._send_next(cell, pushed):
                pass
            await self._close(WSCloseCode.GOING_AWAY)
        except Ended as ended:
            cell.close(str(ended))
            self._transport.abort()

    async def _send_next(self, cell: Cell, pushed: Callable[[], None]) -> bool:
        """Send one message; whether it was the farewell."""
        silence = asyncio.get_running_loop().time() - self._heard_at
        if silence > MISSED_HEARTBEATS * self._limits.heartbeat_seconds:
            raise Ended(Ending.SILENT)
        # spread, so that the heartbeats of all do not come between a change and its push
        pause = self._limits.heartbeat_seconds * random.uniform(0.6, 1.0)
        message = await cell.take(pause) or Heartbeat(hash=cell.hash, interval_seconds=self._limits.heartbeat_seconds)
        try:
            await self._send(message)
        except WireError as error:  # it is not to be sent; its sidecar keeps what it has
            logger.error("settings not sent", extra={"reason": str(error)})  # noqa: TRY400 -- the reason is all
            return False
        if not isinstance(message, Heartbeat | Bye):
            self._frames -= _ANSWERS
            pushed()
        return isinstance(message, Bye)

    async def end(self, ended: Ended) -> None:
        """Close the connection, with a farewell where it may be read."""
        try:
            if ended.why in _UNREAD:
                raise ended
            if not self._socket.closed:
                await self._send(Bye(reason=str(ended), retry_after_seconds=random.uniform(5.0, 30.0)))
            await self._close(WSCloseCode.POLICY_VIOLATION)
        except Ended:
            self._transport.abort()

    async def _send(self, message: FromOperator) -> None:
        text = self._texts(message)
        if len(text) < _NEVER_WAITS_CHARACTERS and not self._transport.get_write_buffer_size():
            await self._translated(self._socket.send_str(text))
        else:
            await self._bounded(self._socket.send_str(text))

    async def _close(self, code: WSCloseCode) -> None:
        await self._bounded(self._socket.close(code=code))
        self._transport.abort()

    async def _bounded(self, sending: Coroutine[None, None, object]) -> None:
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._translated(sending)
        except TimeoutError:
            raise Ended(Ending.STUCK) from None

    async def _translated(self, sending: Coroutine[None, None, object]) -> None:
        try:
            await sending
        except (ConnectionError, RuntimeError):  # closed, or closing
            raise Ended(Ending.PEER_CLOSED) from None
