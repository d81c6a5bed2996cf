"""One stream inside the codec worker: samples as they come, to one channel, to another rate, to another codec."""

from collections.abc import Callable
from typing import Protocol

from speechpool.audio.g711 import companding
from speechpool.audio.layout import SampleLayout
from speechpool.audio.protocol import StreamSpec
from speechpool.formats import RAW_CODECS, Codec

__all__ = ["PCM_BYTES", "Coder", "Pipeline"]

PCM_BYTES = 2
"""Bytes of a sample between the steps: signed 16 bit, little endian, mono."""


class Resampling(Protocol):
    """PCM to PCM of another rate."""

    def feed(self, pcm: bytes) -> bytes:
        """Take samples, give those that can be told already."""

    def finish(self) -> bytes:
        """Give the rest."""


class Coder(Protocol):
    """PCM to bytes of another codec, with the number of samples that they hold."""

    def feed(self, pcm: bytes) -> tuple[int, bytes]:
        """Take samples, give what is coded."""

    def finish(self) -> tuple[int, bytes]:
        """Give the rest."""

    def close(self) -> None:
        """Let go of what is held; safe after `finish`."""


class Pipeline:
    """Takes whole frames of its source and gives its target's bytes; each call says how many samples they hold.

    Args:
        spec: What to do. What it needs is loaded here, so that a missing library is known before audio comes.

    Raises:
        ImportError: A library is not installed.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._to_pcm = _to_pcm(spec.source)
        self._resampling = _resampling(spec.source.sample_rate_hz, spec.sample_rate_hz)
        self._coder = _coder(Codec(spec.codec), spec.sample_rate_hz)

    def feed(self, audio: bytes) -> tuple[int, bytes]:
        """Take whole frames; give samples and bytes, perhaps none yet."""
        return self._coder.feed(self._resampling.feed(self._to_pcm(audio)))

    def finish(self) -> tuple[int, bytes]:
        """Give what was held back: the end of the audio."""
        samples, audio = self._coder.feed(self._resampling.finish())
        last_samples, last_audio = self._coder.finish()
        return samples + last_samples, audio + last_audio

    def close(self) -> None:
        """End without the rest; safe after `finish`."""
        self._coder.close()


class _RawCoder:
    """PCM to a raw codec; holds nothing back."""

    def __init__(self, codec: Codec) -> None:
        self._compand = companding(Codec.PCM, codec)

    def feed(self, pcm: bytes) -> tuple[int, bytes]:
        return len(pcm) // PCM_BYTES, self._compand(pcm)

    def finish(self) -> tuple[int, bytes]:
        return 0, b""

    def close(self) -> None:
        return


class _SameRate:
    def feed(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


def _to_pcm(layout: SampleLayout) -> Callable[[bytes], bytes]:
    if layout.channels == 1 and layout.encoding in {"s16", "mulaw", "alaw"}:
        source = Codec.PCM if layout.encoding == "s16" else Codec(layout.encoding)
        return companding(source, Codec.PCM)
    from speechpool.audio.mixdown import mixdown  # noqa: PLC0415 - loads numpy, which few streams need

    return mixdown(layout)


def _resampling(source_hz: int, target_hz: int) -> Resampling:
    if source_hz == target_hz:
        return _SameRate()
    from speechpool.audio.resampling import Resampler  # noqa: PLC0415 - loads numpy and soxr

    return Resampler(source_hz, target_hz)


def _coder(codec: Codec, sample_rate_hz: int) -> Coder:
    if codec in RAW_CODECS:
        return _RawCoder(codec)
    from speechpool.audio.encoding import Encoder  # noqa: PLC0415 - loads PyAV, an extra

    return Encoder(codec, sample_rate_hz)
