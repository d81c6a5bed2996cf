"""Every conversion of audio, for the rest of the sidecar: streams from format to format, uploads to PCM."""

import functools
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Any, Self

from speechpool.audio.decoding import Decoders
from speechpool.audio.durations import COUNTED_CODECS, counter
from speechpool.audio.formats import ResponseFormat
from speechpool.audio.g711 import companding
from speechpool.audio.layout import SampleLayout
from speechpool.audio.protocol import StreamSpec
from speechpool.audio.transcoder import Coded, InProcess, Stage, Transcoder
from speechpool.audio.wav import find_samples, is_wav
from speechpool.audio.workers import CodecWorkers, WorkerStage
from speechpool.errors import EngineFailed, InvalidInput
from speechpool.formats import AudioFormat, Codec

__all__ = ["Codecs"]

_CHUNK_BYTES = 32_768  # of PCM from a WAV: 1 s at 16 kHz
_IN_PROCESS_ENCODINGS = {"s16": Codec.PCM, "mulaw": Codec.MULAW, "alaw": Codec.ALAW}


class Codecs:
    """Converts audio. What is cheap happens here; the rest in worker processes, which start when first needed.

    Args:
        workers: Most processes that resample and encode; 1 or more.
        idle_seconds: A worker without a stream for so long is ended; > 0.
        decoders: Most uploads that are decoded at once, each in a process of its own; 1 or more.
        reply_timeout_seconds: Longest time for one answer of a process, then it is killed; > 0.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        idle_seconds: float = 300.0,
        decoders: int = 8,
        reply_timeout_seconds: float = 10.0,
    ) -> None:
        self._workers = CodecWorkers(workers, idle_seconds, reply_timeout_seconds)
        self._decoders = Decoders(decoders, reply_timeout_seconds)
        self._closed = False

    async def __aenter__(self) -> Self:
        """Nothing starts yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def transcoder(self, source: AudioFormat, target: ResponseFormat) -> Transcoder:
        """A stream from an engine's format to a reply's; nothing is started yet.

        Args:
            source: Raw, or exactly the target's compressed format.
            target: What is replied.

        Raises:
            InvalidInput: The source is compressed, and not what is replied (code `unsupported_format`).
            EngineFailed: Closed.
        """
        self._refuse_closed()
        if not source.is_raw:
            return _compressed_transcoder(source, target)
        return self._from_layout(SampleLayout.of(source), target)

    def converter(self, source: AudioFormat, target: AudioFormat) -> Transcoder:
        """A stream from one raw format to another.

        Raises:
            ValueError: The target is compressed.
            InvalidInput: The source is compressed.
            EngineFailed: Closed.
        """
        return self.transcoder(source, _raw(target))

    def decode(self, upload: bytes, *, target: AudioFormat, max_seconds: float) -> AsyncGenerator[bytes]:
        """An upload's audio, chunk by chunk, at the consumer's pace; to be closed by `contextlib.aclosing`.

        Args:
            upload: The whole file, in any container.
            target: The PCM to make.
            max_seconds: Longest audio.

        Raises:
            ValueError: The target is not PCM.
            EngineFailed: Closed.
            InvalidInput: While iterating (param `file`): not audio, broken or cut off (code `invalid_audio`), longer
                than allowed (`audio_too_long`), PyAV is not installed (`unsupported_format`).
            QuotaExceeded: While iterating: too many uploads are being decoded.
            WorkerDied: While iterating: a process was ended from outside.
        """
        self._refuse_closed()
        if target.codec is not Codec.PCM:
            raise ValueError(f"uploads are decoded to pcm, not to {target.codec}")
        if is_wav(upload):
            return self._decode_wav(upload, target, max_seconds)
        return self._decoders.decode(upload, target, max_seconds)

    def snapshot(self) -> dict[str, Any]:
        """What runs now: `workers`, `streams`, `decoders` (numbers), `worker_pids`, `decoder_pids`."""
        workers, decoders = self._workers.pids, self._decoders.pids
        return {
            "workers": len(workers),
            "streams": self._workers.streams,
            "decoders": len(decoders),
            "worker_pids": workers,
            "decoder_pids": decoders,
        }

    async def close(self) -> None:
        """End every process and collect it; what is under way fails with `EngineFailed`. Safe to repeat."""
        self._closed = True
        await self._workers.close()
        await self._decoders.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineFailed("the codecs are closed")

    def _from_layout(self, source: SampleLayout, target: ResponseFormat) -> Transcoder:
        audio = target.audio
        codec = _IN_PROCESS_ENCODINGS.get(source.encoding)
        if codec is None or source.channels > 1 or source.sample_rate_hz != audio.sample_rate_hz or not audio.is_raw:
            stage: Stage = WorkerStage(self._workers, StreamSpec(source, str(audio.codec), audio.sample_rate_hz))
            return Transcoder(source, target, stage)
        return Transcoder(source, target, _companding_stage(codec, audio), passes_through=codec is audio.codec)

    async def _decode_wav(self, upload: bytes, target: AudioFormat, max_seconds: float) -> AsyncGenerator[bytes]:
        layout, samples = find_samples(upload)
        if len(samples) > max_seconds * layout.sample_rate_hz * layout.frame_bytes:
            message = f"file is longer than {max_seconds:g} s; send shorter pieces"
            raise InvalidInput(message, param="file", code="audio_too_long")
        async with self._from_layout(layout, _raw(target)) as transcoder:
            for piece in _pieces(upload, samples):
                if pcm := await transcoder.feed(piece):
                    yield pcm
            if rest := await transcoder.finish():
                yield rest


def _raw(audio: AudioFormat) -> ResponseFormat:
    if not audio.is_raw:
        raise ValueError(f"{audio.codec} is not a raw format")
    return ResponseFormat(str(audio.codec), audio, "application/octet-stream")


@functools.cache  # it holds nothing of a stream, and there are few formats
def _companding_stage(source: Codec, target: AudioFormat) -> InProcess:
    compand = companding(source, target.codec)
    sample_bytes = SampleLayout.of(target).frame_bytes

    def convert(frames: bytes) -> Coded:
        converted = compand(frames)
        return len(converted) // sample_bytes, converted

    return InProcess(convert)


def _compressed_transcoder(source: AudioFormat, target: ResponseFormat) -> Transcoder:
    if source != target.audio or source.codec not in COUNTED_CODECS:
        made = f"{source.codec} at {source.sample_rate_hz} Hz"
        message = f"response_format {target.name} at {target.audio.sample_rate_hz} Hz cannot be made from {made}"
        raise InvalidInput(message, param="response_format", code="unsupported_format")
    count = counter(source)
    return Transcoder(None, target, InProcess(lambda audio: (count(audio), audio)), passes_through=True)


def _pieces(upload: bytes, samples: range) -> Iterator[bytes]:
    for start in range(samples.start, samples.stop, _CHUNK_BYTES):
        yield upload[start : min(start + _CHUNK_BYTES, samples.stop)]
