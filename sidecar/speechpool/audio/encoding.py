"""PCM to mp3, opus, flac and aac while it comes, by PyAV; only in the codec worker.

PyAV itself is BSD; its wheel carries FFmpeg with GPL codecs. It is an extra (`codecs`), and never loaded by the
sidecar's own process.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from speechpool.audio.ffmpeg import forgo_threads
from speechpool.formats import Codec

__all__ = ["Encoder"]

forgo_threads()

_PCM_BYTES = 2
_SINK_BUFFER_BYTES = 512  # small: what the muxer has written shall not lie in a buffer


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How FFmpeg makes one format, tuned so that bytes leave early: a caller listens while it is made."""

    muxer: str
    encoder: str
    bit_rate: int | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    encoder_options: dict[str, str] = field(default_factory=dict)


def _mp3(sample_rate_hz: int) -> _Recipe:
    # 96 kbit/s: Azure's Audio24Khz96KBitRateMonoMp3; MPEG-2.5, below 16 kHz, ends at 64. No Xing frame, which would be
    # filled in at the end, and no ID3 tag, which would be bytes without audio.
    bit_rate = 96_000 if sample_rate_hz >= 16_000 else 64_000
    return _Recipe("mp3", "libmp3lame", bit_rate, {"write_xing": "0", "id3v2_version": "0"})


def _opus(sample_rate_hz: int) -> _Recipe:  # noqa: ARG001 - the table below calls all alike
    # 32 kbit/s: RFC 7587 recommends 28 to 40 for full-band mono speech. A page for each packet of 20 ms.
    return _Recipe("ogg", "libopus", 32_000, {"page_duration": "20000"}, {"frame_duration": "20"})


def _flac(sample_rate_hz: int) -> _Recipe:
    # Blocks of about 50 ms at most instead of 100 to 200. The header is ours: FFmpeg's has 8 KiB of padding.
    block_samples = 256 if sample_rate_hz <= 8_000 else 512 if sample_rate_hz <= 16_000 else 1_152
    return _Recipe("flac", "flac", None, {"write_header": "0"}, {"frame_size": str(block_samples)})


def _aac(sample_rate_hz: int) -> _Recipe:
    bit_rate = 32_000 if sample_rate_hz < 16_000 else 64_000  # a frame has at most 6,144 bits: 48 kbit/s at 8 kHz
    return _Recipe("adts", "aac", bit_rate)


_RECIPES = {Codec.MP3: _mp3, Codec.OPUS: _opus, Codec.FLAC: _flac, Codec.AAC: _aac}


class Encoder:
    """One stream in one compressed format.

    The first audio leaves after this much was taken at 24 kHz: opus 40 ms, flac 60 ms, mp3 80 ms, aac 100 ms; the
    frames of mp3 and aac are longer at lower rates (16 kHz: 120 and 140 ms, 8 kHz: 220 and 260 ms). All measured.

    Args:
        codec: mp3, opus, flac or aac.
        sample_rate_hz: The rate of the PCM, and of the result.
    """

    def __init__(self, codec: Codec, sample_rate_hz: int) -> None:
        recipe = _RECIPES[codec](sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._sink = _Sink()
        options = recipe.muxer_options | {"flush_packets": "1"}
        self._container = av.open(self._sink, "w", recipe.muxer, options=options, buffer_size=_SINK_BUFFER_BYTES)
        stream = self._container.add_stream(recipe.encoder, rate=sample_rate_hz, options=recipe.encoder_options)
        self._stream = cast(AudioStream, stream)
        self._stream.codec_context.layout = "mono"
        if recipe.bit_rate:
            self._stream.bit_rate = recipe.bit_rate
        self._taken = self._given = 0
        self._needs_flac_header = codec is Codec.FLAC

    def feed(self, pcm: bytes) -> tuple[int, bytes]:
        """Take samples; give the samples and bytes of the packets that are ready."""
        if not pcm:
            return 0, b""
        return self._mux(self._stream.encode(self._frame(pcm)))

    def finish(self) -> tuple[int, bytes]:
        """Give the rest and the container's end."""
        samples, audio = self._mux(self._stream.encode(None)) if self._taken else (0, b"")
        self.close()
        return samples, audio + self._sink.take()

    def close(self) -> None:
        """End the container, which would otherwise write its end when it is collected; safe to repeat."""
        self._container.close()

    def _frame(self, pcm: bytes) -> AudioFrame:
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // _PCM_BYTES)
        memoryview(frame.planes[0])[: len(pcm)] = pcm
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._taken
        self._taken += len(pcm) // _PCM_BYTES
        return frame

    def _mux(self, packets: "list[Packet[AudioStream]]") -> tuple[int, bytes]:
        held = 0
        for packet in packets:
            if packet.time_base is not None:
                held += round((packet.duration or 0) * packet.time_base * self._rate_hz)
            self._container.mux(packet)
        samples = min(held, self._taken - self._given)  # an encoder adds silence before and after
        self._given += samples
        audio = self._sink.take()
        if audio and self._needs_flac_header:
            self._needs_flac_header = False
            audio = _flac_header(self._stream.codec_context.extradata or b"") + audio
        return samples, audio


def _flac_header(stream_info: bytes) -> bytes:
    """RFC 9639, 8: the marker and one metadata block, STREAMINFO, flagged as the last; the length stays unknown."""
    return b"fLaC" + bytes([0x80]) + len(stream_info).to_bytes(3, "big") + stream_info


class _Sink:
    """What PyAV writes to; not seekable, as a socket is not."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Keep it until taken."""
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
