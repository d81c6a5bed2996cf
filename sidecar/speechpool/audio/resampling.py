"""PCM to another sample rate, by soxr (LGPL-2.1-or-later); with numpy, so only in the codec worker."""

import numpy as np
import soxr

from speechpool.audio.mixdown import to_pcm16

__all__ = ["Resampler"]

_QUALITY = "HQ"
"""20 bit: flat to 0.9 of the lower rate's band (8 kHz keeps the telephone's 3.4 kHz), alias below -85 dB; measured."""

_PCM_BYTES = 2


class Resampler:
    """One mono stream at another rate; `n` samples in are `n * target / source` out, rounded half up.

    The variable-rate filter, although its rate never varies: it gives the first samples after 20 to 40 ms of audio, the
    fixed one, which works in large blocks, after 40 to 120 ms (8 to 16 kHz), at the same quality. It costs up to twenty
    times as much, which is still 100 times real time at the worst (48 to 16 kHz; all measured). It works on floats,
    because soxr dithers whole numbers: equal audio shall give equal bytes however it is cut.

    Args:
        source_hz: The rate of what comes.
        target_hz: The rate of what goes.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._source_hz, self._target_hz = source_hz, target_hz
        self._stream = soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32", quality=_QUALITY, vr=True)
        self._taken = self._given = 0

    def feed(self, pcm: bytes) -> bytes:
        """Take samples; give those whose surroundings are known."""
        self._taken += len(pcm) // _PCM_BYTES
        return self._give(self._resampled(pcm))

    def finish(self) -> bytes:
        """Give the rest, to the exact length: soxr itself ends within one sample of it."""
        missing = self._total() - self._given
        rest = self._resampled(b"", last=True)[: missing * _PCM_BYTES]
        return self._give(rest + bytes(missing * _PCM_BYTES - len(rest)))

    def _total(self) -> int:
        return (2 * self._taken * self._target_hz + self._source_hz) // (2 * self._source_hz)

    def _resampled(self, pcm: bytes, *, last: bool = False) -> bytes:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        return to_pcm16(self._stream.resample_chunk(samples, last=last))

    def _give(self, pcm: bytes) -> bytes:
        self._given += len(pcm) // _PCM_BYTES
        return pcm
