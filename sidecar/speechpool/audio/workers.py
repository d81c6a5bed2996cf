"""The sidecar's side of the codec workers: a few processes, each shared by many streams, started when first needed."""

import asyncio
import itertools
import logging
from collections.abc import Callable

from speechpool.audio.protocol import Refusal, Reply, Request, StreamSpec, unpack_audio
from speechpool.audio.transcoder import Coded
from speechpool.errors import EngineFailed, WorkerDied
from speechpool.workers.process import WorkerProcess

__all__ = ["CodecWorkers", "WorkerStage"]

logger = logging.getLogger(__name__)

_MODULE = "speechpool.audio.codec_worker"
_STREAMS_PER_WORKER = 8  # from here on another is started, if there may be: each takes about 50 MB (measured)
_START_SECONDS = 30.0


class CodecWorkers:
    """The processes, and which stream is where.

    Args:
        limit: Most processes; 1 or more.
        idle_seconds: A process that has had no stream for so long is ended.
        reply_timeout_seconds: Longest time for one answer; a process that takes longer is killed, and replaced.
    """

    def __init__(self, limit: int, idle_seconds: float, reply_timeout_seconds: float) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._reply_timeout_seconds = reply_timeout_seconds
        self._workers: list[_CodecWorker] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run."""
        return tuple(worker.process.pid for worker in self._workers if worker.process.alive)

    @property
    def streams(self) -> int:
        """The streams that are open."""
        return sum(worker.streams for worker in self._workers)

    def join(self) -> "_CodecWorker":
        """A worker for one more stream, perhaps still starting; give it back by `leave`.

        Raises:
            EngineFailed: Closed.
        """
        if self._closed:
            raise EngineFailed("the codecs are closed")
        emptiest = min(self._workers, key=lambda worker: worker.streams, default=None)
        if emptiest is None or (emptiest.streams >= _STREAMS_PER_WORKER and len(self._workers) < self._limit):
            emptiest = _CodecWorker(f"codec-{next(self._numbers)}", self._reply_timeout_seconds, self._retire)
            self._workers.append(emptiest)
        emptiest.join()
        return emptiest

    def leave(self, worker: "_CodecWorker") -> None:
        """A stream has ended; the last one lets the worker end too, after a while."""
        worker.leave()
        if worker.streams == 0 and worker in self._workers:
            worker.end_later(self._idle_seconds, self._retire)

    async def close(self) -> None:
        """End every process; what streams wait for fails."""
        self._closed = True
        for worker in tuple(self._workers):
            self._retire(worker)
        await asyncio.gather(*self._ending)

    def _retire(self, worker: "_CodecWorker") -> None:
        """Give it no further stream; end it, or collect it where it is dead."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        task = asyncio.get_running_loop().create_task(worker.close(), name=f"close {worker.process.name}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _CodecWorker:
    """One process and the answers that its streams wait for."""

    def __init__(self, name: str, reply_timeout_seconds: float, on_lost: Callable[["_CodecWorker"], None]) -> None:
        self.process = WorkerProcess(_MODULE, name=name, on_frame=self._on_frame)
        self.streams = 0
        self._reply_timeout_seconds = reply_timeout_seconds
        self._on_lost = on_lost
        self._replies: dict[int, asyncio.Future[Coded]] = {}
        self._numbers = itertools.count(1)
        self._ending: asyncio.TimerHandle | None = None
        # A task, because it goes on when the stream that came first goes away.
        self._starting = asyncio.get_running_loop().create_task(self._start(), name=f"start {name}")
        self._starting.add_done_callback(self._started)

    def join(self) -> None:
        """One more stream."""
        self.streams += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def leave(self) -> None:
        """One stream fewer."""
        self.streams -= 1

    def end_later(self, seconds: float, end: Callable[["_CodecWorker"], None]) -> None:
        """Call `end` with this worker unless a stream joins before."""
        self._ending = asyncio.get_running_loop().call_later(seconds, end, self)

    async def open(self, spec: StreamSpec) -> int:
        """Begin a stream once the process is ready; its number."""
        await self._wait_started()
        stream = next(self._numbers)
        try:
            await self._ask_within(_START_SECONDS, stream, Request.OPEN, spec.encode())  # may load libraries
        except BaseException:
            self.forget(stream)
            raise
        return stream

    async def ask(self, stream: int, kind: Request, payload: bytes = b"") -> Coded:
        """Send a request and wait for its answer.

        Raises:
            WorkerDied: The process died, or did not answer in time and was killed.
            InvalidInput: What is asked for needs a library that is not installed.
            EngineFailed: The codec failed, or the stream was closed meanwhile.
        """
        return await self._ask_within(self._reply_timeout_seconds, stream, kind, payload)

    def forget(self, stream: int) -> None:
        """End a stream, whatever is under way."""
        self._fail(stream, EngineFailed("the transcoder is closed"))
        if self.process.alive:
            self.process.post(stream, Request.CLOSE)

    async def close(self) -> None:
        """End the process; what is waited for fails."""
        if self._ending is not None:
            self._ending.cancel()
        self._starting.cancel()
        for stream in tuple(self._replies):
            self._fail(stream, EngineFailed("the codecs are closed"))
        await asyncio.wait([self._starting])
        await self.process.close()

    async def _wait_started(self) -> None:
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise EngineFailed("the codecs are closed") from None  # not the caller was cancelled but the start

    async def _ask_within(self, seconds: float, stream: int, kind: Request, payload: bytes) -> Coded:
        reply: asyncio.Future[Coded] = asyncio.get_running_loop().create_future()
        self._replies[stream] = reply
        try:
            async with asyncio.timeout(seconds):
                await self.process.send(stream, kind, payload)
                return await reply
        except TimeoutError:
            self.process.kill()
            raise WorkerDied(f"worker {self.process.name} did not answer within {seconds:g} s") from None
        finally:
            self._replies.pop(stream, None)

    async def _start(self) -> None:
        await self.process.start(_START_SECONDS)
        self.process.on_exit(self._died)

    def _started(self, starting: asyncio.Task[None]) -> None:
        """Where the start failed, the next stream tries again; whoever waits is told by the task itself."""
        if not starting.cancelled() and starting.exception() is not None:
            logger.warning("codec worker did not start", extra={"worker": self.process.name})
            self._on_lost(self)

    def _died(self) -> None:
        reason = {"worker": self.process.name, "pid": self.process.pid, "reason": self.process.state}
        logger.warning("codec worker died", extra=reason | {"streams": self.streams})
        for stream in tuple(self._replies):
            self._fail(stream, self.process.died())
        self._on_lost(self)

    def _fail(self, stream: int, error: Exception) -> None:
        reply = self._replies.get(stream)
        if reply is not None and not reply.done():
            reply.set_exception(error)

    def _on_frame(self, stream: int, kind: int, payload: bytes) -> None:
        reply = self._replies.get(stream)
        if reply is None or reply.done():  # the stream is closed, or its caller was cancelled
            return
        if kind == Reply.AUDIO:
            reply.set_result(unpack_audio(payload))
        else:
            reply.set_exception(Refusal.decode(payload))


class WorkerStage:
    """A transcoder's stream in a codec worker.

    Args:
        workers: Where to find a worker.
        spec: What the stream shall do.
    """

    def __init__(self, workers: CodecWorkers, spec: StreamSpec) -> None:
        self._workers = workers
        self._spec = spec
        self._worker: _CodecWorker | None = None
        self._stream = 0

    async def open(self) -> None:
        """Find or start a worker and begin the stream there."""
        self._worker = self._workers.join()
        self._stream = await self._worker.open(self._spec)

    async def feed(self, audio: bytes) -> Coded:
        """Have the worker take a slice."""
        return await self._ask(Request.FEED, audio)

    async def finish(self) -> Coded:
        """Have the worker give the rest."""
        return await self._ask(Request.FINISH)

    def close(self) -> None:
        """Leave the worker."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            if self._stream:
                worker.forget(self._stream)
            self._workers.leave(worker)

    async def _ask(self, kind: Request, audio: bytes = b"") -> Coded:
        assert self._worker is not None, "opened before it is fed, not fed after it is closed"
        return await self._worker.ask(self._stream, kind, audio)
