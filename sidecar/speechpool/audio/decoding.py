"""Uploads to PCM: a process for each upload, because its bytes come from anyone."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from speechpool.audio.protocol import DECODING_STREAM, DecodingSpec, Refusal, Reply, Request, unpack_audio
from speechpool.errors import EngineFailed, InvalidInput, QuotaExceeded, SpeechPoolError, WorkerDied
from speechpool.formats import AudioFormat
from speechpool.workers.process import WorkerProcess

__all__ = ["Decoders"]

logger = logging.getLogger(__name__)

_MODULE = "speechpool.audio.decode_worker"
_UPLOAD_FRAME_BYTES = 1 << 18
_CREDIT = 64  # chunks of 32 KiB decoded ahead: 65 s at 16 kHz, so that most processes end long before their consumer
_CPU_SECONDS = 60  # of decoding; an hour of audio takes 3 to 6 (measured)
_MEMORY_BYTES = 512 << 20  # twenty times the largest upload; guess
_WAIT_SECONDS = 10.0  # for a free decoder
_START_SECONDS = 30.0
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP", "has ended", "code 0")
"""Ends that say nothing about the upload; the kernel's memory killer sends SIGKILL too."""


class Decoders:
    """The decoding processes: at most so many at once, none between uploads.

    Args:
        limit: Most processes; further uploads wait, first come first served, for 10 s.
        reply_timeout_seconds: Longest pause of a process that has something to do.
    """

    def __init__(self, limit: int, reply_timeout_seconds: float) -> None:
        self._free = asyncio.Semaphore(limit)
        self._limit = limit
        self._reply_timeout_seconds = reply_timeout_seconds
        self._running: set[_Decoding] = set()
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run; none any more for uploads that are decoded and wait for their consumer."""
        return tuple(decoding.process.pid for decoding in self._running if decoding.process.alive)

    async def decode(self, upload: bytes, target: AudioFormat, max_seconds: float) -> AsyncGenerator[bytes]:
        """The upload's audio as PCM, chunk by chunk; decoded some way ahead of the consumer, then at its pace.

        Raises:
            InvalidInput: Not audio, too long, or PyAV is not installed.
            QuotaExceeded: No process was free in time.
            WorkerDied: The process was ended from outside.
            EngineFailed: `close` was called.
        """
        spec = DecodingSpec(target.sample_rate_hz, max_seconds, _CREDIT, _CPU_SECONDS, _MEMORY_BYTES)
        async with self._decoding() as decoding:
            await decoding.begin(upload, spec)
            while (chunk := await decoding.next_chunk()) is not None:
                yield chunk

    async def close(self) -> None:
        """End every process; decodings under way fail."""
        self._closed = True
        await asyncio.gather(*(decoding.abort() for decoding in self._running))

    @asynccontextmanager
    async def _decoding(self) -> AsyncGenerator["_Decoding"]:
        await self._acquire()
        decoding = _Decoding(self._free.release, self._reply_timeout_seconds)
        self._running.add(decoding)
        try:
            yield decoding
        finally:
            decoding.release()
            try:
                await decoding.end()
            finally:
                self._running.discard(decoding)

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            message = f"{self._limit} uploads are being decoded, and none ended within {_WAIT_SECONDS:g} s; try again"
            raise QuotaExceeded(message, retry_after_seconds=_WAIT_SECONDS, code="too_many_uploads") from None
        if self._closed:
            self._free.release()
            raise _closed()


class _Decoding:
    """One upload in one process."""

    def __init__(self, free: Callable[[], None], reply_timeout_seconds: float) -> None:
        self.process = WorkerProcess(_MODULE, name="decoder", on_frame=self._on_frame)
        self._free = free
        self._reply_timeout_seconds = reply_timeout_seconds
        self._frames: deque[tuple[int, bytes]] = deque()
        self._changed = asyncio.Event()
        self._released = self._aborted = False

    async def begin(self, upload: bytes, spec: DecodingSpec) -> None:
        """Start the process and give it the upload."""
        try:
            await self.process.start(_START_SECONDS)
        except WorkerDied:
            if self._aborted:
                raise _closed() from None
            raise
        self.process.on_exit(self._changed.set)
        try:
            async with asyncio.timeout(self._reply_timeout_seconds):
                await self._send_upload(upload, spec)
        except WorkerDied:
            raise await self._death() from None
        except TimeoutError:
            raise self._stuck() from None

    async def next_chunk(self) -> bytes | None:
        """The next PCM; None after the last."""
        try:
            async with asyncio.timeout(self._reply_timeout_seconds):
                kind, payload = await self._next_frame()
        except TimeoutError:
            raise self._stuck() from None
        if kind == Reply.AUDIO:
            if self.process.alive:
                self.process.post(DECODING_STREAM, Request.CREDIT)
            return unpack_audio(payload)[1]
        if kind == Reply.DONE:
            return None
        raise Refusal.decode(payload)

    def release(self) -> None:
        """Give the place to the next upload; once."""
        if not self._released:
            self._released = True
            self._free()

    async def abort(self) -> None:
        """End the process; whoever waits for audio is told."""
        self._aborted = True
        self._changed.set()
        await self.end()

    async def end(self) -> None:
        """End the process and collect it."""
        self.process.kill()
        await self.process.close()

    async def _send_upload(self, upload: bytes, spec: DecodingSpec) -> None:
        self.process.post(DECODING_STREAM, Request.OPEN, spec.encode())
        for start in range(0, len(upload), _UPLOAD_FRAME_BYTES):
            await self.process.send(DECODING_STREAM, Request.FEED, upload[start : start + _UPLOAD_FRAME_BYTES])
        self.process.post(DECODING_STREAM, Request.FINISH)

    async def _next_frame(self) -> tuple[int, bytes]:
        while not self._frames:
            if self._aborted or not self.process.alive:
                raise await self._death()
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()

    def _on_frame(self, stream: int, kind: int, payload: bytes) -> None:  # noqa: ARG002 - there is only one stream
        self._frames.append((kind, payload))
        self._changed.set()
        if kind != Reply.AUDIO:  # it has done its work: its memory and its place are of use to others
            self.process.kill()
            self.release()

    async def _death(self) -> SpeechPoolError:
        """Why there is no process any more."""
        if self._aborted:
            return _closed()
        await self.process.close()
        logger.warning("decoder died", extra={"pid": self.process.pid, "reason": self.process.state})
        if self.process.state.endswith(_FROM_OUTSIDE):
            return self.process.died()
        message = "file could not be decoded: its decoder failed or needed too much time or memory"
        return InvalidInput(message, param="file", code="invalid_audio")

    def _stuck(self) -> InvalidInput:
        message = f"file could not be decoded: no audio came for {self._reply_timeout_seconds:g} s"
        return InvalidInput(message, param="file", code="invalid_audio")


def _closed() -> EngineFailed:
    return EngineFailed("the codecs are closed")
