"""What goes down the streams: newest settings and heartbeats, for all of them by one timer and without a task each.

Nothing here waits. A message is written out once for all streams that get it, and handed to a transport only when that
has sent everything before: a sidecar that does not read costs one message, and holds up nobody.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable

from speechpool.settings.wire import (
    MISSED_HEARTBEATS,
    Applying,
    Bye,
    FromOperator,
    Heartbeat,
    NewSettings,
    Revision,
    State,
    WireError,
    encode,
)
from speechpool_operator.streams import Cell, Ending, Limits

__all__ = ["Counts", "Dispatch", "Frames", "Sender", "text_frame"]

logger = logging.getLogger(__name__)

SLOTS = 64
"""Turns of the wheel in one heartbeat's time: 10,000 streams are 157 a turn, which takes a few milliseconds."""

AT_ONCE = 64
"""Streams that are written to between two looks at what came in; about a millisecond's work."""

_FRAMES = 256  # as many objects may be pushed in turns before one is written out again; a guess
_ANSWERS = 4  # to one message: that settings are being applied, that they are, and what the pools became


def text_frame(text: str) -> bytes:
    """A server's WebSocket frame of a whole text (RFC 6455, 5.2): final, not masked, not compressed."""
    data = text.encode()
    if len(data) < 126:
        return bytes((0x81, len(data))) + data
    if len(data) < 2**16:
        return b"\x81\x7e" + len(data).to_bytes(2, "big") + data
    return b"\x81\x7f" + len(data).to_bytes(8, "big") + data


class Frames:
    """Messages as WebSocket frames; one that goes to many streams is written out once."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[FromOperator, bytes]] = OrderedDict()

    def __call__(self, message: FromOperator) -> bytes:
        """The message as a frame.

        Raises:
            WireError: It is larger than a sidecar takes.
        """
        if isinstance(message, Bye):
            return text_frame(encode(message))
        # a heartbeat by its content; else the id of an object that is kept, so that no other gets the same meanwhile
        key = message if isinstance(message, Heartbeat) else id(message)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = message, text_frame(encode(message))
            if len(self._known) > _FRAMES:
                self._known.popitem(last=False)
        return known[1]


class Counts:
    """What all streams of a server add up to.

    Args:
        applied: Called with the seconds from a push to its acknowledgement.
    """

    def __init__(self, applied: Callable[[float], None]) -> None:
        self.pushed = 0
        self.answers: Counter[Applying] = Counter()
        self.applied = applied


class Dispatch:
    """Who is to be written to now, and whose heartbeat is due.

    Args:
        heartbeat_seconds: In so much time each stream has one turn, all of them spread over it; > 0. Only a new
            stream's first turn may come later, as turns that nobody has are left out; within twice the time.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self.frames = Frames()
        self._step_seconds = heartbeat_seconds / SLOTS
        self._slots: list[dict[Sender, None]] = [{} for _ in range(SLOTS)]
        self._size = 0
        self._fill = 0
        self._turn = 0
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ready: deque[Sender] = deque()  # each stream once at most

    def enrol(self, sender: "Sender") -> int:
        """Give a stream its heartbeats; returns its slot."""
        slot = self._fill = (self._fill + 1) % SLOTS
        self._slots[slot][sender] = None
        self._size += 1
        if self._timer is None:
            self._due_at = asyncio.get_running_loop().time()
            self._set_timer()
        return slot

    def leave(self, sender: "Sender", slot: int) -> None:
        """Give it no more of them; with nobody left no timer runs."""
        del self._slots[slot][sender]
        self._size -= 1
        if not self._size and self._timer:
            self._timer.cancel()
            self._timer = None

    def ready(self, sender: "Sender") -> None:
        """Flush it at the end of this turn of the loop, or soon after where there are many."""
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._flush)
        self._ready.append(sender)

    def _flush(self) -> None:
        try:
            for _ in range(min(AT_ONCE, len(self._ready))):
                self._ready.popleft().flush()
        finally:
            if self._ready:
                asyncio.get_running_loop().call_soon(self._flush)

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        steps = next(step for step in range(1, SLOTS + 1) if self._slots[(self._turn + step) % SLOTS])
        self._turn = (self._turn + steps) % SLOTS
        # after a standstill of the process the turns go on from here: those that it missed are nobody's silence
        is_late = loop.time() - self._due_at > SLOTS * self._step_seconds
        self._due_at = (loop.time() if is_late else self._due_at) + steps * self._step_seconds
        self._timer = loop.call_at(self._due_at, self._tick, self._turn)

    def _tick(self, turn: int) -> None:
        self._set_timer()
        for sender in list(self._slots[turn]):
            sender.beat()


class Sender:
    """The way down of one stream.

    Args:
        cell: What is to be sent.
        transport: Of the stream's connection.
        is_open: Whether messages may be written: no closing frame was, by either side.
        part: Called when the farewell was written; the WebSocket is to be closed then.
        dispatch: The server's.
        counts: The server's.
        limits: The bounds.
        expires_at: When the stream has to end, by the loop's clock.
    """

    def __init__(
        self,
        cell: Cell,
        transport: asyncio.Transport,
        *,
        is_open: Callable[[], bool],
        part: Callable[[], None],
        dispatch: Dispatch,
        counts: Counts,
        limits: Limits,
        expires_at: float,
    ) -> None:
        self._cell = cell
        self._transport = transport
        self._is_open = is_open
        self._part = part
        self._dispatch = dispatch
        self._counts = counts
        self._limits = limits
        self._expires_at = expires_at
        self._time = asyncio.get_running_loop().time
        self._is_ready = False
        self._unheard = 0
        self._allowance = limits.messages_per_heartbeat
        self._blocked_at: float | None = None
        self._put_at = 0.0
        self._unanswered: Revision | None = None
        self._slot = dispatch.enrol(self)
        cell.bind(self._news)

    def stop(self) -> None:
        """Send nothing more; the cell takes no notice of anybody."""
        self._cell.bind(None)
        self._is_open = _never
        self._dispatch.leave(self, self._slot)

    # --- what the sidecar says ---

    def heard(self) -> bool:
        """Note that a frame came; whether that is no more than the sidecar may send."""
        self._unheard = 0
        self._allowance -= 1
        return self._allowance >= 0

    def answered(self, state: State) -> None:
        """Note what became of the settings that were sent."""
        if self._unanswered is None or state.state is Applying.APPLYING or state.offered != self._unanswered:
            return
        self._unanswered = None
        self._counts.answers[state.state] += 1
        if state.state is Applying.APPLIED:
            self._counts.applied(self._time() - self._put_at)

    # --- what the sidecar is told ---

    def _news(self) -> None:
        self._put_at = self._time()
        self.drained()

    def drained(self) -> None:
        """Send what waits, if anything does: the transport has room, or there is something new."""
        if not self._is_ready:
            self._is_ready = True
            self._dispatch.ready(self)

    def flush(self) -> None:
        """Send the newest, unless what was sent before is still on its way."""
        self._is_ready = False
        if self._is_open() and not self._cell.is_empty and not self._is_blocked():
            message = self._cell.take()
            assert message, "it was not empty"
            self._send(message)

    def beat(self) -> None:
        """Send a heartbeat, and look whether the sidecar is alive."""
        self._allowance = self._limits.messages_per_heartbeat
        if not self._is_open():
            return
        if self._unheard >= MISSED_HEARTBEATS:
            self._break_off(Ending.SILENT)
        elif self._time() >= self._expires_at:
            self._cell.close(Ending.TOKEN_EXPIRED)
        elif not self._is_blocked():
            self._send(Heartbeat(hash=self._cell.hash, interval_seconds=self._limits.heartbeat_seconds))
        self._unheard += 1

    def _is_blocked(self) -> bool:
        if not self._transport.get_write_buffer_size():
            self._blocked_at = None
            return False
        now = self._time()
        if self._blocked_at is None:
            self._blocked_at = now
        elif now - self._blocked_at > self._limits.send_seconds:
            self._break_off(Ending.STUCK)
        return True

    def _break_off(self, why: Ending) -> None:
        self._cell.close(why)
        self._transport.abort()

    def _send(self, message: FromOperator) -> None:
        try:
            frame = self._dispatch.frames(message)
        except WireError as error:  # it is not to be sent; its sidecar keeps what it has
            logger.error("settings not sent", extra={"reason": str(error)})  # noqa: TRY400 -- the reason is all
            return
        self._transport.write(frame)
        if isinstance(message, Bye):
            self._is_open = _never
            self._part()
        elif not isinstance(message, Heartbeat):
            self._allowance += _ANSWERS
            self._unanswered = message.revision if isinstance(message, NewSettings) else None
            self._counts.pushed += 1


def _never() -> bool:
    return False
