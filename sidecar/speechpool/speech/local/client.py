"""What the two kinds of clients share: a worker process of their own, and one stream under way at a time."""

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from speechpool.errors import EngineFailed, InvalidInput, SpeechPoolError
from speechpool.speech.engine import LostCallback, UseReport
from speechpool.speech.local.messages import Ask, Tell, pack, unpack
from speechpool.workers.process import WorkerProcess

__all__ = ["WorkerClient", "WorkerStream"]

E = TypeVar("E")

_CANCEL_SECONDS = 3.0
"""How long a worker may take to say that it stopped; then it is killed. Longest known: pocketsphinx at the end of a
30 s segment (measured: 0.08 of its length)."""


class WorkerStream(Generic[E]):
    """One utterance or one recognition under way: what its worker tells, in order, until it ends.

    Args:
        worker: Does the work.
        number: The stream's own.
    """

    def __init__(self, worker: WorkerProcess, number: int) -> None:
        self._worker = worker
        self._number = number
        self._events: deque[E] = deque()
        self._error: SpeechPoolError | None = None
        self._wanted = True  # not cancelled
        self._ended = False  # the worker has nothing more to do for it
        self._changed = asyncio.Event()

    @property
    def number(self) -> int:
        """The stream's own."""
        return self._number

    @property
    def report(self) -> UseReport:
        """A worker has no connection to open: always warm."""
        return UseReport()

    @property
    def ended(self) -> bool:
        """Whether the worker is done with it, whole, cancelled or failed."""
        return self._ended

    @property
    def spends_client(self) -> bool:
        """Whether its end leaves a worker that must serve no other stream."""
        return isinstance(self._error, EngineFailed)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while self._wanted:
            if self._events:
                event = self._events.popleft()
                self._taken(event)
                return event
            if self._error:
                raise self._error
            if self._ended:
                break
            await self._wait()
        raise StopAsyncIteration

    async def cancel(self) -> None:
        """Stop now: iteration ends without error and without a further event; returns when the worker is free again.

        Safe when already ended. A worker that does not answer is killed.
        """
        if self._wanted and not self._ended and self._worker.alive:
            self._worker.post(self._number, Ask.CANCEL)
        self._wanted = False
        self._events.clear()
        self._changed.set()
        if not self._ended:
            await self._wait_ended()

    async def _wait_ended(self) -> None:
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                while not self._ended:
                    await self._wait()
        except TimeoutError:
            self._worker.kill()

    def lose(self) -> None:
        """The worker died."""
        if not self._ended:
            self._end(self._worker.died())

    def hear(self, kind: int, payload: bytes) -> None:
        """Take a frame from the worker."""
        if self._ended:
            return  # the answer to a cancellation that crossed the end
        if kind == Tell.ENDED:
            self._end(None)
        elif kind == Tell.REFUSED:
            message, param, code = unpack(payload)
            self._end(InvalidInput(message, param=param, code=code))
        elif kind == Tell.FAILED:
            self._end(EngineFailed(f"worker {self._worker.name} failed"))
        else:
            event = self._read(kind, payload)
            if event is not None and self._wanted:
                self._events.append(event)
                self._changed.set()

    def _end(self, error: SpeechPoolError | None) -> None:
        self._ended = True
        self._error = error
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _read(self, kind: int, payload: bytes) -> E | None:
        """The event in a frame, or None where it has none."""
        raise NotImplementedError

    def _taken(self, event: E) -> None:
        """The consumer took an event."""


S = TypeVar("S", bound="WorkerStream[Any]")


class WorkerClient(Generic[S]):
    """A worker process and the stream that it has under way.

    Args:
        module: The worker's module.
        options: What its `main` gets.
        name: For messages and logs.
    """

    def __init__(self, module: str, options: Mapping[str, object], *, name: str) -> None:
        self._worker = WorkerProcess(module, [pack(options).decode()], name=name, on_frame=self._on_frame)
        self._worker.on_exit(self._on_exit)
        self._numbers = itertools.count(1)
        self._stream: S | None = None
        self._warm = False
        self._spent = False  # closed, or its last stream spent it

    async def start(self) -> None:
        """Start the worker.

        Raises:
            WorkerDied: It did not start; the message says why.
        """
        await self._worker.start()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._worker.pid

    @property
    def is_ready(self) -> bool:
        """Whether it is warm, alive and has nothing under way."""
        return self._warm and self._worker.alive and not self._spent and self._idle

    @property
    def endpoint(self) -> None:
        """None: a worker of this machine."""
        return

    @property
    def is_reusable(self) -> bool:
        """Whether it may serve again once its session state is cleared."""
        return self._worker.alive and not self._spent

    @property
    def _idle(self) -> bool:
        return self._stream is None or self._stream.ended

    def __repr__(self) -> str:
        state = "spent" if self._spent else "idle" if self._idle else "busy"
        return f"<{type(self).__name__} {self._worker!r} {state}{' warm' if self._warm else ''}>"

    def on_lost(self, callback: LostCallback) -> None:
        """Call `callback()` once when the worker dies by itself."""
        self._worker.on_exit(callback)

    async def clear_session_state(self) -> None:
        """Stop what is under way; the worker keeps nothing of an utterance or recognition that has ended.

        Raises:
            WorkerDied: The worker is dead.
        """
        if self._stream is not None:
            await self._stream.cancel()
            self._stream = None
        if not self._worker.alive:
            raise self._worker.died()

    async def close(self) -> None:
        """End the worker; within 6 s in the worst case, usually within 2 ms."""
        self._spent = True
        await self._worker.close()
        if self._stream is not None:
            self._stream.lose()

    def _check_free(self) -> None:
        """Refuse a second stream.

        Raises:
            EngineFailed: One is under way, or the client is closed or spent.
            WorkerDied: The worker is dead.
        """
        if self._spent or not self._idle:
            raise EngineFailed(f"{self._worker.name} client is {'closed or spent' if self._spent else 'still in use'}")
        if not self._worker.alive:
            raise self._worker.died()

    def _on_frame(self, number: int, kind: int, payload: bytes) -> None:
        if self._stream is not None and self._stream.number == number:
            self._stream.hear(kind, payload)
            self._spent = self._spent or self._stream.spends_client

    def _on_exit(self) -> None:
        if self._stream is not None:
            self._stream.lose()
