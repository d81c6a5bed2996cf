"""One upload of any container to PCM, by PyAV; only in the decoding process.

What it reads comes from anyone: only the containers and codecs listed here are opened, and nothing beside the upload.
PyAV itself is BSD; its wheel carries FFmpeg with GPL codecs.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from speechpool.audio.ffmpeg import forgo_threads
from speechpool.audio.protocol import DecodingSpec, Refusal, RefusedError
from speechpool.audio.wav import wav_header
from speechpool.formats import AudioFormat, Codec

__all__ = ["decoded", "load"]

forgo_threads()

_DEMUXERS = "aac,aiff,amr,asf,au,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,w64,wav"
"""What is opened. Above all no playlist (hls, dash, concat, sdp): those make FFmpeg read other files and addresses."""

_DECODERS = (
    "aac,aac_fixed,ac3,alac,amrnb,amrwb,eac3,flac,libopus,libspeex,libvorbis,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,"
    "pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,"
    "pcm_s32le,pcm_s8,pcm_u8,speex,vorbis,wmav1,wmav2"
)

_GUESSED_LENGTHS = frozenset({"aac", "mp3", "amr", "mpeg", "mpegts"})  # by FFmpeg, from the bit rate
# Titles in whatever encoding are no fault; from PyAV 19 on they never are, and there is no such argument.
_OPEN_ARGUMENTS: Any = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
_RATES_HZ = range(4_000, 192_001)  # as in WAV; a resampler for absurd ones takes seconds and much memory (measured)
_PCM_BYTES = 2
_NOT_AUDIO = "file is not audio that can be decoded; send wav, mp3, m4a, mp4, mpeg, mpga, ogg, webm or flac"

_Shape = tuple[str, str, int]


def load() -> None:
    """Have PyAV load everything it loads at first use: later this process can open no file, not even a module's."""
    audio = AudioFormat(Codec.PCM, 8_000)
    silence = bytes(audio.bytes_per_second // 100)
    spec = DecodingSpec(sample_rate_hz=16_000, max_seconds=1, credit=1, cpu_seconds=1, memory_bytes=1)
    for _ in decoded(wav_header(audio, len(silence)) + silence, spec):
        pass


def decoded(upload: bytes, spec: DecodingSpec) -> Iterator[bytes]:
    """The audio, piece by piece.

    Raises:
        RefusedError: Not audio, broken, without audio, or too long.
    """
    try:
        yield from _bounded(_resampled(_frames(upload, spec), spec.sample_rate_hz), spec)
    except (av.FFmpegError, ValueError, LookupError, MemoryError):  # PyAV's own slips on broken files among them
        raise _refused(_NOT_AUDIO) from None


def _frames(upload: bytes, spec: DecodingSpec) -> Iterator[AudioFrame]:
    """The frames of the first audio stream; broken packets are passed over while most are whole."""
    options = {"format_whitelist": _DEMUXERS, "codec_whitelist": _DECODERS, "protocol_whitelist": ""}
    with av.open(io.BytesIO(upload), "r", options=options, **_OPEN_ARGUMENTS) as container:
        stream = _audio_stream(container)
        _check_declared(container, stream, spec.max_seconds)
        whole = broken = 0
        for packet in container.demux(stream):
            try:
                frames = stream.decode(packet)
            except av.error.InvalidDataError:
                broken += 1
                continue
            whole += len(frames)
            yield from frames
    if broken > whole:
        raise _refused(_NOT_AUDIO)


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise _refused(_NOT_AUDIO)
    stream = container.streams.audio[0]
    # Without a context where FFmpeg does not know the codec, whatever PyAV's type says.
    if getattr(stream.codec_context, "name", None) not in _DECODERS.split(","):
        raise _refused(_NOT_AUDIO)
    return stream


def _check_declared(container: InputContainer, stream: AudioStream, max_seconds: float) -> None:
    """Refuse at once what says that it is too long, where a container really says it."""
    if container.format.name in _GUESSED_LENGTHS:
        return
    seconds = (container.duration or 0) / av.time_base
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    if seconds > max_seconds:
        raise _too_long(max_seconds)


def _resampled(frames: Iterable[AudioFrame], sample_rate_hz: int) -> Iterator[bytes]:
    """Mono PCM at the rate asked for; FFmpeg's resampler, because it is here already (SNR 87 dB and more, measured)."""
    shape: _Shape | None = None
    resampler: AudioResampler | None = None
    for frame in frames:
        if shape != _shape(frame):  # chained streams may change it
            if frame.sample_rate not in _RATES_HZ:
                raise _refused(_NOT_AUDIO)
            yield from _flushed(resampler)
            shape, resampler = _shape(frame), AudioResampler(format="s16", layout="mono", rate=sample_rate_hz)
        assert resampler is not None
        frame.pts = None  # samples follow one another, whatever times a file claims
        yield from _pcm(resampler.resample(frame))
    yield from _flushed(resampler)


def _shape(frame: AudioFrame) -> _Shape:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _flushed(resampler: AudioResampler | None) -> Iterator[bytes]:
    return _pcm(resampler.resample(None) if resampler else ())


def _pcm(frames: Iterable[AudioFrame]) -> Iterator[bytes]:
    for frame in frames:
        yield bytes(memoryview(frame.planes[0])[: frame.samples * _PCM_BYTES])


def _bounded(pieces: Iterable[bytes], spec: DecodingSpec) -> Iterator[bytes]:
    most = int(spec.max_seconds * spec.sample_rate_hz) * _PCM_BYTES
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > most:
            raise _too_long(spec.max_seconds)
        yield piece
    if not total:
        raise _refused("file holds no audio")


def _too_long(max_seconds: float) -> RefusedError:
    return _refused(f"file is longer than {max_seconds:g} s; send shorter pieces", "audio_too_long")


def _refused(message: str, code: str = "invalid_audio") -> RefusedError:
    return RefusedError(Refusal(message, code=code, param="file"))
