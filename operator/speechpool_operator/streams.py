"""One stream: what is still to be sent on it, what comes up, and how it ends."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from speechpool.settings.wire import (
    Bye,
    FromOperator,
    FromSidecar,
    Hello,
    NewSettings,
    WireError,
    encode,
    from_sidecar,
)
from speechpool_operator.listener import EntryLimits

__all__ = ["Cell", "Ended", "Ending", "Limits", "Readings", "Receiver"]

HEARTBEAT_SECONDS = 4.0
"""Three missed ones and a second for the way are 13 seconds, so that a frozen sidecar is seen within 15."""

_READINGS = 1024  # texts that are kept; a guess
_READING_CHARACTERS = 2048  # of a longer text nobody else says the same


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
        send_seconds: For one message to be taken; after that the sidecar is stuck. Where nothing newer is to be sent,
            that is seen at the next heartbeat.
        close_seconds: For the WebSocket's closing handshake.
        heartbeat_seconds: Between two heartbeats to a sidecar; it answers each, and at the fourth without a word
            since the first its stream is closed.
        messages_per_heartbeat: Most messages of a sidecar in that time, above the answers to what it was sent.
        least_life_seconds: Shortest life of a stream whose token is about to end, or has by this clock; up to a fifth
            less as jitter. After a minute a sidecar takes a connection for a good one and comes back at once, so that
            a clock that is wrong keeps nobody away.
        entry: Of connections that have not proved who they are.
    """

    streams: int = 20_000
    streams_per_namespace: int = 12_000
    hello_seconds: float = 5.0
    send_seconds: float = 10.0
    close_seconds: float = 2.0
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    messages_per_heartbeat: int = 100
    least_life_seconds: float = 80.0
    entry: EntryLimits = field(default_factory=EntryLimits)


class Cell:
    """Holds the newest settings of one stream until they are taken.

    There is no queue: what was not taken when newer settings come is never sent, so a sidecar that reads slowly costs
    one message, and nobody waits for it. All of it belongs to one event loop, and one taker.
    """

    def __init__(self) -> None:
        self._newest: FromOperator | None = None
        self._bye: Bye | None = None
        self._notify: Callable[[], None] | None = None
        self.hash: str | None = None
        """Of the settings that were taken last."""

    def __repr__(self) -> str:
        state = "closed" if self._bye else "waiting" if self._newest else "empty"
        return f"<Cell {state} hash={self.hash}>"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not (self._newest or self._bye)

    @property
    def reason(self) -> str:
        """Why it was closed; empty while it is open."""
        return self._bye.reason if self._bye else ""

    def bind(self, notify: Callable[[], None] | None) -> None:
        """Call `notify` whenever there is something to take, now too if there is; None for nobody."""
        self._notify = notify
        if not self.is_empty:
            self._wake()

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

    def take(self) -> FromOperator | None:
        """What to send next: the farewell if there is one, or the newest settings; None without either."""
        if self._bye:
            return self._bye
        message, self._newest = self._newest, None
        if message:
            self.hash = message.revision.hash if isinstance(message, NewSettings) else None
        return message

    def _wake(self) -> None:
        if self._notify:
            self._notify()


class Readings:
    """Messages of sidecars, each text read once: most of them say what others say, or what they said before."""

    def __init__(self) -> None:
        self._known: dict[str, FromSidecar | None] = {}

    def __call__(self, text: str) -> FromSidecar | None:
        """Read a message, as `from_sidecar()`; the same object for the same text, while it is remembered.

        Raises:
            WireError: It is not what it must be.
        """
        if text in self._known:
            return self._known[text]
        message = from_sidecar(text)
        if len(text) <= _READING_CHARACTERS:
            if len(self._known) >= _READINGS:
                del self._known[next(iter(self._known))]
            self._known[text] = message
        return message


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


class Receiver:
    """The messages that come up one WebSocket, and its end.

    Args:
        socket: Prepared.
        transport: Of its connection; aborted where a farewell would not be read.
        limits: The bounds.
        readings: The server's.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, limits: Limits, readings: Readings
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._limits = limits
        self._readings = readings
        self._last: tuple[str, FromSidecar | None] = "", None
        self._parting = asyncio.timeout(None)

    @property
    def is_open(self) -> bool:
        """Whether messages may be written."""
        return not (self._socket.closed or self._transport.is_closing())

    async def hello(self) -> Hello:
        """The first message.

        Raises:
            Ended: It did not come in time, or is another.
        """
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                message = await self._next(_any_number)
        except TimeoutError:
            raise Ended(Ending.NO_HELLO) from None
        if not isinstance(message, Hello):
            raise Ended(Ending.MALFORMED, "the first message must be hello")
        return message

    async def listen(self, heard: Callable[[], bool], said: Callable[[FromSidecar], None]) -> Ended | None:
        """Hand on what the sidecar says until the stream ends.

        Args:
            heard: Called for each frame; whether the sidecar may send as many.
            said: Called for each message.

        Returns:
            Why it ended; None where it was `part()` that ended it.
        """
        try:
            async with self._parting:
                while True:
                    message = await self._next(heard)
                    if message is not None:
                        said(message)
        except Ended as ended:
            return ended
        except TimeoutError:
            return None

    def part(self) -> None:
        """Let `listen()` end: the farewell is written."""
        self._parting.reschedule(asyncio.get_running_loop().time())

    async def end(self, ended: Ended | None) -> None:
        """Close the connection, with a farewell where it may be read; None where that is written already."""
        try:
            if ended is None:
                await self._bounded(self._socket.close(code=WSCloseCode.GOING_AWAY))
            elif ended.why not in _UNREAD:
                await self._refuse(ended)
        except Ended:
            pass  # then nobody is there to be told
        finally:
            self._transport.abort()

    async def _refuse(self, ended: Ended) -> None:
        if not self._socket.closed:
            bye = Bye(reason=str(ended), retry_after_seconds=random.uniform(5.0, 30.0))
            await self._bounded(self._socket.send_str(encode(bye)))
        await self._bounded(self._socket.close(code=WSCloseCode.POLICY_VIOLATION))

    async def _next(self, heard: Callable[[], bool]) -> FromSidecar | None:
        """The next message; None where its type is not known."""
        frame = await self._frame(heard)
        if frame.type is WSMsgType.BINARY:
            raise Ended(Ending.MALFORMED, "messages must be text")
        if isinstance(frame.data, WebSocketError):  # too large, no UTF-8, no WebSocket: aiohttp has closed it
            raise Ended(Ending.MALFORMED, "a frame is malformed or too large")
        if frame.type is not WSMsgType.TEXT:
            raise Ended(Ending.PEER_CLOSED)
        try:
            return self._read(frame.data)
        except WireError as error:
            raise Ended(Ending.MALFORMED, str(error)) from None

    def _read(self, text: str) -> FromSidecar | None:
        if text != self._last[0]:
            self._last = text, self._readings(text)
        return self._last[1]

    async def _frame(self, heard: Callable[[], bool]) -> WSMessage:
        while True:
            frame = await self._socket.receive()  # whoever sends the heartbeats bounds the silence
            # frames that are here already are read without a pause, so their number is bounded and not only their rate
            if not heard():
                raise Ended(Ending.FLOODED)
            if frame.type is WSMsgType.PING:
                await self._bounded(self._socket.pong(frame.data))
            elif frame.type is not WSMsgType.PONG:
                return frame

    async def _bounded(self, sending: Coroutine[None, None, object]) -> None:
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await sending
        except TimeoutError:
            raise Ended(Ending.STUCK) from None
        except (ConnectionError, RuntimeError):  # closed, or closing
            raise Ended(Ending.PEER_CLOSED) from None


def _any_number() -> bool:
    return True
