"""WAV: headers for what we send, and a strict incremental reader for what callers upload.

The format is described in Microsoft's "Multiple Channel Audio Data and WAVE Files" and in RFC 2361 (format tags).
"""

import struct
from collections.abc import Callable

from speechpool.audio.layout import SampleLayout
from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec

__all__ = ["WavReader", "find_samples", "is_wav", "wav_header"]

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE

_ENCODINGS = {
    (_PCM, 8): "u8",
    (_PCM, 16): "s16",
    (_PCM, 24): "s24",
    (_PCM, 32): "s32",
    (_FLOAT, 32): "f32",
    (_FLOAT, 64): "f64",
    (_ALAW, 8): "alaw",
    (_MULAW, 8): "mulaw",
}
_TAGS = {Codec.PCM: _PCM, Codec.ALAW: _ALAW, Codec.MULAW: _MULAW}
_TAG_NAMES = {
    _PCM: "PCM",
    0x0002: "Microsoft ADPCM",
    _FLOAT: "floating point",
    _ALAW: "A-law",
    _MULAW: "mu-law",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x00FF: "AAC",
    0x0161: "WMA",
}
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # KSDATAFORMAT_SUBTYPE_*, after the tag

_UNKNOWN_SIZE = 0xFFFFFFFF
_PIPE_SIZE = 0x7FFFF000  # espeak-ng's data size where it writes to a pipe; sizes from here on mean "until the end"

_MIN_RATE_HZ, _MAX_RATE_HZ = 4_000, 192_000  # below, speech cannot be understood; above, nothing records (guess)
_MAX_CHANNELS = 8  # 7.1
_FORMAT_BYTES = range(16, 257)  # 16, 18 and 40 are usual; ADPCM's tables make it longer
_LOOK_BYTES = 4_096
_MAX_HEADER_BYTES = 1 << 20  # chunks before the samples: pictures and edit lists stay below; guess


def wav_header(audio: AudioFormat, size_bytes: int | None = None) -> bytes:
    """The header of a mono WAV file of a raw format.

    Args:
        audio: The format of the samples that follow.
        size_bytes: Bytes of samples; None where they are not known yet. Both sizes are then 0xFFFFFFFF, which
            players take for "until the end", as FFmpeg does when it writes WAV into a pipe.

    Raises:
        ValueError: The format is compressed, or the size does not fit into a WAV file.
    """
    layout = SampleLayout.of(audio)
    tag, bits = _TAGS[audio.codec], layout.frame_bytes * 8
    fields = struct.pack("<HHIIHH", tag, 1, audio.sample_rate_hz, audio.bytes_per_second, layout.frame_bytes, bits)
    if tag != _PCM:  # others have an extension size, and a fact chunk with the number of samples
        samples = _UNKNOWN_SIZE if size_bytes is None else size_bytes // layout.frame_bytes
        fields += struct.pack("<H4sII", 0, b"fact", 4, samples)
    format_bytes = 16 if tag == _PCM else 18
    header_bytes = 4 + 8 + len(fields) + 8
    if size_bytes is None:
        riff_size = data_size = _UNKNOWN_SIZE
    else:
        riff_size, data_size = header_bytes + size_bytes + size_bytes % 2, size_bytes
    if riff_size > _UNKNOWN_SIZE:
        raise ValueError(f"a WAV file holds less than 4 GiB, got {size_bytes} bytes")
    start = struct.pack("<4sI4s4sI", b"RIFF", riff_size, b"WAVE", b"fmt ", format_bytes)
    return start + fields + struct.pack("<4sI", b"data", data_size)


def is_wav(start: bytes) -> bool:
    """Whether a file that starts so claims to be a WAV file; 12 bytes decide."""
    return start[:4] == b"RIFF" and start[8:12] == b"WAVE"


def find_samples(upload: bytes) -> tuple[SampleLayout, range]:
    """How the samples of a whole WAV file lie, and where; they are not copied.

    Raises:
        InvalidInput: As `WavReader`.
    """
    reader = WavReader()
    fed = given = 0
    while not given and fed < len(upload):
        piece = upload[fed : fed + _LOOK_BYTES]
        given = len(reader.feed(piece))
        fed += len(piece)
    reader.skip_samples(len(upload) - fed)
    reader.finish()
    assert reader.layout is not None
    start = reader.header_bytes
    return reader.layout, range(start, start + reader.sample_bytes)


class WavReader:
    """Takes a WAV file piece by piece and gives its samples, as they lie in the file.

    PCM of 8, 16, 24 and 32 bits, floats of 32 and 64, A-law and mu-law, up to 8 channels, 4 to 192 kHz. Sizes must be
    true, but for those that say "until the end" (0, or 2 GiB - 4 KiB and more), which programs write into a pipe.
    Every error is an `InvalidInput` with param `file` and code `invalid_audio`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._read: Callable[[], bool] = self._read_start
        self._header_bytes = 0
        self._to_skip = 0
        self._layout: SampleLayout | None = None
        self._declared_bytes: int | None = None  # of samples; None: until the end
        self._sample_bytes = 0

    @property
    def layout(self) -> SampleLayout | None:
        """How the samples lie in their bytes; None until the header has said so."""
        return self._layout

    @property
    def header_bytes(self) -> int:
        """Bytes of the file before its samples, as far as they were read."""
        return self._header_bytes

    @property
    def sample_bytes(self) -> int:
        """Bytes of samples so far."""
        return self._sample_bytes

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the file, in pieces of any size; give the sample bytes among them.

        Raises:
            InvalidInput: The header is wrong.
        """
        if not self._in_samples:
            data = self._read_header(data)
        samples = data[: self._samples_among(len(data))]
        self._sample_bytes += len(samples)
        return samples

    def skip_samples(self, size_bytes: int) -> None:
        """Count the next bytes of the file as `feed` does, without having them; nothing before the samples begin."""
        if self._in_samples:
            self._sample_bytes += self._samples_among(size_bytes)

    def finish(self) -> None:
        """The file has ended.

        Raises:
            InvalidInput: It ended too early, in the middle of a sample, or holds no audio.
        """
        if not self._in_samples:
            raise _wrong("ends before its samples begin")
        assert self._layout is not None
        if self._declared_bytes is not None and self._sample_bytes < self._declared_bytes:
            raise _wrong(
                f"is cut off: it announces {self._declared_bytes} bytes of samples and has {self._sample_bytes}"
            )
        if self._sample_bytes == 0:
            raise _wrong("holds no audio")
        if self._sample_bytes % self._layout.frame_bytes:
            raise _wrong(f"ends in the middle of a sample (of {self._layout.frame_bytes} bytes)")

    # --- the samples ----------------------------------------------------------------------------------------------

    @property
    def _in_samples(self) -> bool:
        return self._read == self._read_nothing

    def _samples_among(self, size_bytes: int) -> int:
        """How many of the next bytes are samples; what follows the declared ones are further chunks."""
        if self._declared_bytes is None:
            return size_bytes
        return min(size_bytes, self._declared_bytes - self._sample_bytes)

    # --- the header: each step returns whether another may follow --------------------------------------------------

    def _read_header(self, data: bytes) -> bytes:
        """Take bytes up to the samples; give what follows them."""
        self._buffer += data
        while self._read():
            pass
        if not self._in_samples:
            return b""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _read_nothing(self) -> bool:
        return False

    def _read_start(self) -> bool:
        start = self._cut(12)
        if start is None:
            return False
        if not is_wav(start):
            raise _wrong("does not begin with RIFF and WAVE")
        self._read = self._read_chunk
        return True

    def _read_chunk(self) -> bool:
        header = self._cut(8)
        if header is None:
            return False
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            self._begin_samples(size)
        elif name == b"fmt ":
            self._begin_format(size)
        else:
            self._to_skip = size + size % 2
            self._read = self._skip
        return True

    def _skip(self) -> bool:
        if self._header_bytes + self._to_skip > _MAX_HEADER_BYTES:
            raise _wrong(f"has no samples within its first {_MAX_HEADER_BYTES} bytes")
        if self._cut(self._to_skip) is None:
            return False
        self._read = self._read_chunk
        return True

    def _begin_format(self, size: int) -> None:
        if self._layout is not None:
            raise _wrong("describes its format twice")
        if size not in _FORMAT_BYTES:
            raise _wrong(f"has a format chunk of {size} bytes; {_FORMAT_BYTES[0]} to {_FORMAT_BYTES[-1]} are possible")
        self._to_skip = size + size % 2
        self._read = self._read_format

    def _read_format(self) -> bool:
        chunk = self._cut(self._to_skip)
        if chunk is None:
            return False
        self._layout = _layout_of(chunk)
        self._read = self._read_chunk
        return True

    def _begin_samples(self, size: int) -> None:
        if self._layout is None:
            raise _wrong("has samples before their format")
        if 0 < size < _PIPE_SIZE:
            self._declared_bytes = size
        self._read = self._read_nothing

    def _cut(self, size: int) -> bytes | None:
        if len(self._buffer) < size:
            return None
        cut = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._header_bytes += size
        return cut


def _layout_of(chunk: bytes) -> SampleLayout:
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE:
        tag = _extended_tag(chunk)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        name = _TAG_NAMES.get(tag, f"format 0x{tag:04X}")
        raise _wrong(
            f"holds {name} of {bits} bits; PCM of 8, 16, 24 or 32, float of 32 or 64, mu-law and A-law are read"
        )
    if not 1 <= channels <= _MAX_CHANNELS:
        raise _wrong(f"has {channels} channels; 1 to {_MAX_CHANNELS} are possible")
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        raise _wrong(f"has {rate_hz} samples a second; {_MIN_RATE_HZ} to {_MAX_RATE_HZ} are possible")
    layout = SampleLayout(encoding, channels, rate_hz)
    if frame_bytes != layout.frame_bytes:
        raise _wrong(f"says {frame_bytes} bytes hold one sample of each channel; it takes {layout.frame_bytes}")
    return layout


def _extended_tag(chunk: bytes) -> int:
    if len(chunk) < 40 or chunk[26:40] != _SUBFORMAT_TAIL:
        raise _wrong("has an extended format that is not described")
    tag: int = struct.unpack_from("<H", chunk, 24)[0]
    return tag


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(f"file is a WAV file that {what}", param="file", code="invalid_audio")
