"""Sounds to test with, and what is measured of them."""

import io
import math
import struct

import av
import numpy as np

TELEPHONE_HZ = 1000


def tone(rate_hz: int, seconds: float = 1.0, hz: float = TELEPHONE_HZ, amplitude: float = 16_000) -> bytes:
    """A sine as 16 bit PCM."""
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.rint(np.sin(2 * math.pi * hz * times) * amplitude).astype("<i2").tobytes()


def noise(samples: int, seed: int = 1) -> bytes:
    """White noise as 16 bit PCM, always the same."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, samples).astype("<i2").tobytes()


def fit(pcm: bytes, rate_hz: int, hz: float = TELEPHONE_HZ) -> tuple[float, float]:
    """Amplitude of the sine of that frequency in the PCM's middle, and its distance to everything else in dB."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    edge = len(samples) // 5
    times = np.arange(len(samples)) / rate_hz
    basis = np.stack([np.sin(2 * math.pi * hz * times), np.cos(2 * math.pi * hz * times)], axis=1)[edge:-edge]
    factors = np.linalg.lstsq(basis, samples[edge:-edge], rcond=None)[0]
    rest = samples[edge:-edge] - basis @ factors
    return float(np.hypot(*factors)), float(10 * np.log10((basis @ factors).var() / max(rest.var(), 1e-12)))


def snr_db(pcm: bytes, rate_hz: int, hz: float = TELEPHONE_HZ) -> float:
    return fit(pcm, rate_hz, hz)[1]


def decode(encoded: bytes) -> tuple[bytes, int]:
    """What a real player hears: 16 bit mono PCM and its rate, by FFmpeg."""
    pcm = bytearray()
    with av.open(io.BytesIO(encoded)) as container:
        rate_hz = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
        for frame in container.decode(audio=0):
            for whole in resampler.resample(frame):
                pcm += bytes(whole.planes[0])[: whole.samples * 2]
        for whole in resampler.resample(None):
            pcm += bytes(whole.planes[0])[: whole.samples * 2]
    return bytes(pcm), rate_hz


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate_hz: int = 16_000,
    bits: int = 16,
    frame_bytes: int | None = None,
    riff_size: int | None = None,
    data_size: int | None = None,
    format_extra: bytes = b"",
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A WAV file with any field wrong."""
    frame_bytes = channels * bits // 8 if frame_bytes is None else frame_bytes
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes & 0xFFFFFFFF, frame_bytes, bits)
    form += format_extra
    chunks = before + b"fmt " + struct.pack("<I", len(form)) + form + b"data"
    chunks += struct.pack("<I", len(data) if data_size is None else data_size) + data + after
    size = 4 + len(chunks) if riff_size is None else riff_size
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks


def chunk(name: bytes, data: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def extensible(tag: int) -> bytes:
    """What follows the first 16 bytes of an extensible format."""
    return struct.pack("<HHIH", 22, 16, 4, tag) + bytes.fromhex("000000001000800000aa00389b71")
