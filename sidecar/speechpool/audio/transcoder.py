"""One stream of audio on its way from the format it is made in to the format it is asked for in."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from speechpool.audio.formats import ResponseFormat
from speechpool.audio.layout import SampleLayout
from speechpool.audio.protocol import SLICE_BYTES
from speechpool.audio.wav import wav_header
from speechpool.errors import EngineFailed

__all__ = ["Coded", "InProcess", "Stage", "Transcoder"]

T = TypeVar("T")

Coded = tuple[int, bytes]
"""Samples of the target, and the bytes that hold them."""


class Stage(Protocol):
    """What changes the audio. Used by one `Transcoder`, one call at a time."""

    async def open(self) -> None:
        """Get ready; once."""

    async def feed(self, audio: bytes) -> Coded:
        """Take whole frames, at most `SLICE_BYTES`; give what is ready."""

    async def finish(self) -> Coded:
        """Give the rest; nothing is fed after it."""

    def close(self) -> None:
        """Let go of what is held, whatever is under way; safe to repeat."""


class InProcess:
    """A stage without a worker.

    Args:
        convert: From whole frames of the source to samples and bytes of the target; holds nothing back.
    """

    def __init__(self, convert: Callable[[bytes], Coded]) -> None:
        self._convert = convert

    async def open(self) -> None:
        """Nothing to get ready."""

    async def feed(self, audio: bytes) -> Coded:
        """Convert."""
        return self._convert(audio)

    async def finish(self) -> Coded:
        """Nothing was held back."""
        return 0, b""

    def close(self) -> None:
        """Nothing is held."""


class Transcoder:
    """Takes audio in pieces of any size and gives the same audio in another format; made by `Codecs`.

    Used by one task: `open` (or the first `feed`), `feed` as often as there is audio, `finish` once; `close` at any
    time, from anywhere. A call that was cancelled or failed closes it: what came out is then cut off.

    Args:
        source: How the audio comes; None where it is compressed.
        target: What it becomes.
        stage: What does it.
        passes_through: Whether the audio stays as it is.
    """

    def __init__(
        self, source: SampleLayout | None, target: ResponseFormat, stage: Stage, *, passes_through: bool = False
    ) -> None:
        self._source = source
        self._frame_bytes = source.frame_bytes if source else 1
        self._target = target
        self._stage = stage
        self._passes_through = passes_through
        self._rest = b""  # an unfinished frame
        self._bytes_in = 0
        self._samples_out = 0
        self._needs_header = target.name == "wav"
        self._opened = self._closed = False

    @property
    def passes_through(self) -> bool:
        """Whether the audio stays as it is, but for a header."""
        return self._passes_through

    @property
    def seconds_in(self) -> float:
        """Audio taken so far, in seconds."""
        if self._source is None:
            return self.seconds_out
        return self._bytes_in / (self._frame_bytes * self._source.sample_rate_hz)

    @property
    def seconds_out(self) -> float:
        """Audio in the bytes given so far, in seconds; no more than was taken."""
        return self._samples_out / self._target.audio.sample_rate_hz

    async def open(self) -> None:
        """Get ready: find or start a worker. The first `feed` does it otherwise; nothing happens when done again.

        Raises:
            InvalidInput: The target needs a library that is not installed (code `unsupported_format`).
            WorkerDied: No worker could be started.
            EngineFailed: Closed.
        """
        self._refuse_closed()
        if not self._opened:
            await self._closing_on_failure(self._stage.open())
            self._opened = True

    async def feed(self, audio: bytes) -> bytes:
        """Take a piece of audio, perhaps ending within a sample; give what is ready, perhaps nothing.

        Raises:
            WorkerDied: The worker died, or did not answer in time.
            EngineFailed: The codec failed, or the transcoder is closed.
            InvalidInput: As `open`.
        """
        if self._closed or not self._opened:
            await self.open()
        audio = self._whole_frames(audio)
        if len(audio) <= SLICE_BYTES:
            return self._with_header(await self._coded(audio)) if audio else b""
        step = SLICE_BYTES - SLICE_BYTES % self._frame_bytes
        coded = []
        for start in range(0, len(audio), step):
            coded.append(await self._coded(audio[start : start + step]))
            # A long piece shall not hold the loop where no worker is waited for.
            await self._closing_on_failure(asyncio.sleep(0))
        return self._with_header(b"".join(coded))

    async def finish(self) -> bytes:
        """No more audio; give the rest. An unfinished sample is dropped; nothing but `close` may follow.

        Raises:
            WorkerDied: As `feed`.
            EngineFailed: As `feed`.
            InvalidInput: As `open`.
        """
        await self.open()
        samples, rest = await self._closing_on_failure(self._stage.finish())
        self._samples_out += samples
        self.close()
        # Where nothing went out before, the length is known.
        return self._with_header(rest, size_bytes=len(rest))

    def close(self) -> None:
        """Free the worker's stream; safe in every state and to repeat."""
        if not self._closed:
            self._closed = True
            self._stage.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    async def _coded(self, frames: bytes) -> bytes:
        self._refuse_closed()
        try:  # as _closing_on_failure does, for each piece of audio without a coroutine of its own
            samples, audio = await self._stage.feed(frames)
        except BaseException:
            self.close()
            raise
        self._bytes_in += len(frames)
        self._samples_out += samples
        return audio

    async def _closing_on_failure(self, step: Awaitable[T]) -> T:
        try:
            return await step
        except BaseException:
            self.close()
            raise

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineFailed("the transcoder is closed")

    def _whole_frames(self, audio: bytes) -> bytes:
        if self._rest:
            audio = self._rest + audio
        unfinished = len(audio) % self._frame_bytes
        self._rest = audio[len(audio) - unfinished :] if unfinished else b""
        return audio[: len(audio) - unfinished] if unfinished else audio

    def _with_header(self, audio: bytes, *, size_bytes: int | None = None) -> bytes:
        if not self._needs_header or (not audio and size_bytes is None):
            return audio
        self._needs_header = False
        return wav_header(self._target.audio, size_bytes) + audio
