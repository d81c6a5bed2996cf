"""The parent's side of a worker: a Python child process, spoken to in frames over a socket pair, owned by one loop.

No thread and no task is needed to watch a worker. Its end of the socket closes when it dies, however it dies; the loop
sees that at once. It is then reaped by a timer that looks again at short, growing intervals.
"""

import asyncio
import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import cast

from speechpool.errors import WorkerDied
from speechpool.workers.frames import READY, WORKER_STREAM, FrameDecoder, encode_header

__all__ = ["FrameCallback", "WorkerProcess"]

FrameCallback = Callable[[int, int, bytes], None]
"""Called on the loop with stream, kind and payload of each frame; must not raise and must not block."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What a worker keeps of the environment, with PYTHON*: no key and no token, whatever it is asked to decode."""

_STDERR_BYTES = 1 << 16  # a pipe's default capacity on Linux; what does not fit is lost to the writer, not waited for
_STDERR_LINE_CHARACTERS = 500
_WRITE_HIGH_BYTES = 1 << 18  # unsent bytes at which `send` waits
_EXIT_GRACE_SECONDS = 0.2  # guess: from a closed socket to the end of a process that is ending
_KILLED_SECONDS = 5.0  # from SIGKILL to a reaped process; longer only where the kernel itself is stuck
_REAP_FIRST_SECONDS = 0.001
_REAP_MAX_SECONDS = 0.05


class WorkerProcess(asyncio.Protocol):
    """One worker: `start` it once, use it on the loop that started it, `close` it.

    `alive` turns False, and `on_exit` callbacks run, in the iteration of the loop in which the process's end of the
    socket is found closed.

    Args:
        module: The worker's module, importable by a fresh interpreter; ends with `speechpool.workers.child.run(main)`.
        arguments: Given to its `main`; never secrets, `ps` shows them.
        name: For messages and logs: "tts", "codec".
        on_frame: Called for every frame from the child, `READY` excepted; not after `close`.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), *, name: str, on_frame: FrameCallback) -> None:
        self._command = (module, *arguments)
        self._name = name
        self._on_frame = on_frame
        self._decoder = FrameDecoder()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = -1
        self._transport: asyncio.Transport | None = None
        self._connected = False
        self._closing = False
        self._reaping = False
        self._was_late_to_end = False  # it hung up and was killed for not being gone
        self._greeting: bytes | None = None
        self._changed = asyncio.Event()  # ready, hung up or reaped
        self._writable = asyncio.Event()
        self._writable.set()
        self._exit_callbacks: list[Callable[[], None]] = []

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def pid(self) -> int:
        """The process id; 0 before the start, perhaps another process's once this one is reaped."""
        return 0 if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is ready, its end of the socket is open and `close` was not called."""
        return self._connected and self._greeting is not None and not self._closing

    @property
    def greeting(self) -> bytes:
        """What the child gave to `ready()`; empty before."""
        return self._greeting or b""

    @property
    def state(self) -> str:
        """For people: "not started", "running", "has ended", "exited with code 1", "was killed by SIGKILL"."""
        if self._process is None:
            return "not started"
        code = self._process.poll()
        if code is None:
            return "running" if self._connected else "has ended"
        if self._was_late_to_end:
            return "has ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def __repr__(self) -> str:
        return f"<WorkerProcess {self._name} pid={self.pid} {self.state}>"

    def died(self) -> WorkerDied:
        """The error for whoever used the worker, with what is known of its end."""
        return WorkerDied(f"worker {self._name} (pid {self.pid}) {self.state}")

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once when the worker dies by itself after it was ready; soon, if it is dead already.

        Not called for a worker that `close` ends.
        """
        if self._connected or self._process is None:
            self._exit_callbacks.append(callback)
        elif not self._closing:
            asyncio.get_running_loop().call_soon(callback)

    # --- the start ------------------------------------------------------------------------------------------------

    async def start(self, timeout_seconds: float = 30.0) -> None:
        """Start the process and wait until it is ready; once.

        Safe to cancel: the process is killed and reaped before the cancellation goes on.

        Args:
            timeout_seconds: From here to the child's `ready()`; > 0.

        Raises:
            WorkerDied: It could not be started, ended before it was ready (the message has the last line that it wrote
                to stderr), or was not ready in time.
        """
        connection = self._spawn()
        made = False
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=connection)
                made = True
                await self._wait_ready()
        except BaseException as error:
            # uvloop closes the transport of a cancelled connection without telling its protocol.
            self._connected = self._connected and made
            await self._kill_and_reap()
            connection.close()  # the transport's by now, unless the cancellation came before it
            if isinstance(error, TimeoutError):
                raise WorkerDied(f"worker {self._name} was not ready within {timeout_seconds:g} s") from None
            raise
        finally:
            os.close(self._stderr)

    def _spawn(self) -> socket.socket:
        """Start the process; returns our end of its socket."""
        # On the loop's own thread, because the kernel's "die with the parent" means the thread that spawned.
        ours, childs = socket.socketpair()
        self._stderr, childs_stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        os.set_blocking(childs_stderr, False)  # nobody reads while it runs: a full pipe must not hold it up
        module, *arguments = self._command
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(childs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=childs_stderr,
                pass_fds=(childs.fileno(),),
                env=_environment(),
                process_group=0,  # Ctrl-C in a terminal goes to the parent's group alone
            )
        except OSError as error:
            ours.close()
            os.close(self._stderr)
            raise WorkerDied(f"worker {self._name} could not be started: {error.strerror}") from error
        finally:
            childs.close()
            os.close(childs_stderr)
        ours.setblocking(False)
        return ours

    async def _wait_ready(self) -> None:
        while self._greeting is None and self._process is not None and self._process.poll() is None:
            self._changed.clear()
            await self._changed.wait()
        if self._greeting is None:
            reason = f"worker {self._name} {self.state} before it was ready"
            raise WorkerDied(": ".join(filter(None, (reason, self._stderr_last_line()))))

    def _stderr_last_line(self) -> str:
        try:
            written = os.read(self._stderr, _STDERR_BYTES)
        except BlockingIOError:
            return ""
        return written.decode(errors="replace").strip().rpartition("\n")[2][:_STDERR_LINE_CHARACTERS]

    # --- use ------------------------------------------------------------------------------------------------------

    async def send(self, stream: int, kind: int, payload: bytes = b"") -> None:
        """Send a frame; waits first while the child is behind by more than 256 KiB. A cancelled send sent nothing.

        Raises:
            WorkerDied: The worker is dead or closed.
            ValueError: The payload is too long for a frame.
        """
        while not self._writable.is_set() and self.alive:
            await self._writable.wait()
        self.post(stream, kind, payload)

    def post(self, stream: int, kind: int, payload: bytes = b"") -> None:
        """Send a small frame without waiting; for the few that begin, end or steer a stream.

        Raises:
            WorkerDied: The worker is dead or closed.
            ValueError: The payload is too long for a frame.
        """
        if not self.alive or self._transport is None:
            raise self.died()
        self._transport.write(b"".join((encode_header(stream, kind, len(payload)), payload)))

    # --- the end --------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process now (SIGKILL); `on_exit` callbacks run unless `close` was called. Safe when it is dead."""
        if self._process is not None:
            self._process.kill()

    async def close(self, timeout_seconds: float = 1.0) -> None:
        """Close the socket, wait for the process to end, kill it if it does not; returns when it is reaped.

        Safe to call again, at once and when the worker is dead. If cancelled, the process is killed at once and
        reaped in the background.

        Args:
            timeout_seconds: How long it may take to end by itself; > 0.
        """
        self._hang_up()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._wait_ended()
        except TimeoutError:
            await self._kill_and_reap()
        except asyncio.CancelledError:
            self.kill()
            raise

    def _hang_up(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        self._writable.set()

    async def _kill_and_reap(self) -> None:
        self._hang_up()
        self.kill()
        with contextlib.suppress(TimeoutError):  # the timer goes on looking
            async with asyncio.timeout(_KILLED_SECONDS):
                await self._wait_ended()

    async def _wait_ended(self) -> None:
        self._reap()
        while self._connected or (self._process is not None and self._process.poll() is None):
            self._changed.clear()
            await self._changed.wait()

    def _reap(self, kill_after_seconds: float = math.inf) -> None:
        """Look for the process's end until it is there; kill it after a while."""
        if not self._reaping:
            self._reaping = True
            self._look(_REAP_FIRST_SECONDS, asyncio.get_running_loop().time() + kill_after_seconds)

    def _look(self, pause_seconds: float, kill_at: float) -> None:
        if self._process is None or self._process.poll() is not None:
            self._changed.set()
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= kill_at:
            self._was_late_to_end = True
            self.kill()
        loop.call_later(pause_seconds, self._look, min(2 * pause_seconds, _REAP_MAX_SECONDS), kill_at)

    # --- the loop calls these (asyncio.Protocol) ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop watches the socket."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self._connected = True
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        if self._closing:  # the start was cancelled meanwhile
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on each whole frame."""
        for stream, kind, payload in self._decoder.feed(data):
            if self._closing:
                return
            if stream == WORKER_STREAM and kind == READY:
                self._greeting = payload
                self._changed.set()
            else:
                self._on_frame(stream, kind, payload)

    def pause_writing(self) -> None:
        """The child is behind."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The child caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the process's end tells more
        """The process ended, is ending, or broke the protocol: nothing more comes from it."""
        was_alive = self.alive
        self._connected = False
        self._changed.set()
        self._writable.set()
        self._reap(kill_after_seconds=_EXIT_GRACE_SECONDS)
        if was_alive:
            callbacks, self._exit_callbacks = self._exit_callbacks, []
            for callback in callbacks:
                callback()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("PYTHON")}
