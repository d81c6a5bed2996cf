"""The child's side of a worker: a blocking channel to the parent, for a process without an event loop.

A worker module ends with `run(main)`. `main(channel, arguments)` loads what it needs, calls `channel.ready()` once and
then receives and sends frames for as long as it likes; the process ends by itself when the parent closes the socket or
dies. An exception that leaves `main` ends the process; before `ready()` its last line reaches the parent's error.

Standard library only and light to import: a worker's start is on a caller's way.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from speechpool.workers.frames import READY, WORKER_STREAM, Frame, FrameDecoder, encode_header

__all__ = ["Channel", "run"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_READ_BYTES = 1 << 16
_NICENESS = 10  # a tenth of the loop's share where both want a core; measured: loop lag p99 from 100 ms to 5 ms


class Channel:
    """Frames from and to the parent. Not thread-safe: one thread uses it.

    When the parent has closed its end, any call ends the process at once with code 0: there is nobody left to tell,
    and a worker has nothing of its own to save.

    Args:
        connection: The child's end of the socket pair; blocking.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = FrameDecoder()
        self._received: deque[Frame] = deque()
        self._queued: list[bytes] = []

    def ready(self, greeting: bytes = b"") -> None:
        """Tell the parent, once, that work can begin; from here on stderr goes nowhere.

        A message written while working could quote what is spoken, so the parent hears only how the process ended.
        """
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device; pathlib is not otherwise imported here
            os.dup2(nowhere.fileno(), 2)
        self.send(WORKER_STREAM, READY, greeting)

    def queue(self, stream: int, kind: int, payload: bytes) -> None:
        """Let a small frame go out before the next that is sent: the parent, once awake, would take the processor.

        Raises:
            ValueError: The payload is too long for a frame.
        """
        self._queued += (encode_header(stream, kind, len(payload)), payload)

    def send(self, stream: int, kind: int, payload: bytes | bytearray | memoryview = b"") -> None:
        """Send a frame, after those that were queued; waits while the socket is full.

        Raises:
            ValueError: The payload is too long for a frame.
        """
        frames = [*self._queued, encode_header(stream, kind, len(payload)), payload]
        self._queued.clear()
        try:
            # One message: a header alone would wake the parent for nothing.
            self._connection.sendall(b"".join(frames))
        except OSError:
            _end()

    def receive(self) -> Frame:
        """The next frame; waits for it."""
        while not self._received:
            self._read()
        return self._received.popleft()

    def poll(self) -> Frame | None:
        """The next frame, or None where none is there; never waits."""
        while not self._received:
            if not select.select([self._connection], [], [], 0)[0]:
                return None
            self._read()
        return self._received.popleft()

    def _read(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES)
        except OSError:
            _end()
        if not data:
            _end()
        self._received.extend(self._decoder.feed(data))


def run(main: Callable[[Channel, list[str]], None]) -> NoReturn:
    """Be a worker: connect to the parent that started this process, call `main`, end the process.

    Args:
        main: Called with the channel and with the arguments given to `WorkerProcess.start`.
    """
    _die_with_parent()
    _yield_to_parent()
    # The parent alone decides when a worker ends; Ctrl-C reaches it first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    main(channel, sys.argv[2:])
    _end()


def _die_with_parent() -> None:
    """Let the kernel kill this process when the parent's thread ends, even while a library call does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _yield_to_parent() -> None:
    """Never take the processor from the event loop that serves everybody: work is done in what it leaves."""
    os.nice(_NICENESS)
    if sys.platform == "linux":
        # A worker that wakes up does not interrupt whoever runs (sched(7)): the loop sends to many in a row.
        with contextlib.suppress(OSError):  # a sandbox may refuse; it is an advantage, no condition
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _end() -> NoReturn:
    # Not sys.exit: it would not leave a ctypes callback, and unloading models takes time that the parent waits for.
    os._exit(0)
