"""From espeak-ng's samples to the format that a pool holds, piece by piece; only for worker processes (numpy, soxr)."""

import os
import warnings
from collections.abc import Callable

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.local.espeak import SAMPLE_RATE_HZ

__all__ = ["PcmConverter"]

_SAMPLE_BYTES = 2


class PcmConverter:
    """Resamples and encodes a stream of 16 bit samples at 22,050 Hz.

    Args:
        target: A raw format.
    """

    def __init__(self, target: AudioFormat) -> None:
        self._encode = _encoder(target.codec)
        self._resample = (
            _no_resampling if target.sample_rate_hz == SAMPLE_RATE_HZ else _resampler(target.sample_rate_hz)
        )

    def feed(self, samples: bytes) -> bytes:
        """Convert the next samples; what comes out lags behind by some milliseconds of audio."""
        return self._encode(self._resample(samples, False))

    def finish(self) -> bytes:
        """The rest of this stream; the next `feed` begins another."""
        return self._encode(self._resample(b"", True))


def _no_resampling(samples: bytes, _last: bool) -> bytes:
    return samples


def _resampler(target_hz: int) -> Callable[[bytes, bool], bytes]:
    # The buffers are small: threads of the linear algebra library would only cost memory and start time.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import numpy as np  # noqa: PLC0415 - 0.1 s and 18 MB that a pool at 22,050 Hz does not need
    import soxr  # noqa: PLC0415 - likewise

    stream = soxr.ResampleStream(SAMPLE_RATE_HZ, target_hz, 1, dtype="int16")

    def resample(samples: bytes, last: bool) -> bytes:
        converted: bytes = stream.resample_chunk(np.frombuffer(samples, dtype="<i2"), last=last).tobytes()
        if last:
            stream.clear()
        return converted

    return resample


def _encoder(codec: Codec) -> Callable[[bytes], bytes]:
    if codec is Codec.PCM:
        return bytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the standard library's until 3.12, audioop-lts from 3.13
        import audioop  # noqa: PLC0415 - only these two codecs need it
    encode = audioop.lin2ulaw if codec is Codec.MULAW else audioop.lin2alaw
    return lambda samples: bytes(encode(samples, _SAMPLE_BYTES))
