"""Samples of any layout to one channel of 16 bit PCM; with numpy, so only in the codec worker."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speechpool.audio.g711 import companding
from speechpool.audio.layout import SampleLayout
from speechpool.formats import Codec

__all__ = ["mixdown", "to_pcm16"]

_Floats = NDArray[np.float32]
_FULL_SCALE = 32_768.0


def mixdown(layout: SampleLayout) -> Callable[[bytes], bytes]:
    """The function from whole frames of `layout` to 16 bit PCM; channels are averaged."""
    floats = _FLOATS[layout.encoding]
    channels = layout.channels
    if channels == 1:
        return lambda frames: to_pcm16(floats(frames))
    return lambda frames: to_pcm16(floats(frames).reshape(-1, channels).mean(axis=1, dtype=np.float32))


def to_pcm16(samples: _Floats) -> bytes:
    """Samples of -32768 to 32767 as 16 bit PCM: rounded, clipped where they are louder, silent where not a number."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=_FULL_SCALE, neginf=-_FULL_SCALE)
    return np.clip(np.rint(finite), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()


def _from_u8(frames: bytes) -> _Floats:
    return (np.frombuffer(frames, "u1").astype(np.float32) - 128.0) * 256.0


def _from_s16(frames: bytes) -> _Floats:
    return np.frombuffer(frames, "<i2").astype(np.float32)


def _from_s24(frames: bytes) -> _Floats:
    # As the upper three bytes of 32 bits, which carry the sign along.
    wide = np.zeros((len(frames) // 3, 4), "u1")
    wide[:, 1:] = np.frombuffer(frames, "u1").reshape(-1, 3)
    return _from_s32(wide.tobytes())


def _from_s32(frames: bytes) -> _Floats:
    return (np.frombuffer(frames, "<i4") / 65_536.0).astype(np.float32)


def _from_f32(frames: bytes) -> _Floats:
    samples: _Floats = np.frombuffer(frames, "<f4")
    return samples.clip(-1.0, 1.0) * np.float32(_FULL_SCALE)


def _from_f64(frames: bytes) -> _Floats:
    samples: NDArray[np.float64] = np.frombuffer(frames, "<f8")
    return (samples.clip(-1.0, 1.0) * _FULL_SCALE).astype(np.float32)


def _from_mulaw(frames: bytes) -> _Floats:
    return _from_s16(companding(Codec.MULAW, Codec.PCM)(frames))


def _from_alaw(frames: bytes) -> _Floats:
    return _from_s16(companding(Codec.ALAW, Codec.PCM)(frames))


_FLOATS: dict[str, Callable[[bytes], _Floats]] = {
    "u8": _from_u8,
    "s16": _from_s16,
    "s24": _from_s24,
    "s32": _from_s32,
    "f32": _from_f32,
    "f64": _from_f64,
    "mulaw": _from_mulaw,
    "alaw": _from_alaw,
}
