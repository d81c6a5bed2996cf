"""The steps inside the codec worker, without the process."""

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.audio.sounds import decode, fit, noise, snr_db, tone

from speechpool.audio.g711 import companding
from speechpool.audio.layout import SAMPLE_BYTES, SampleLayout
from speechpool.audio.pipeline import Pipeline
from speechpool.audio.protocol import StreamSpec
from speechpool.formats import Codec

RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


def pipeline(
    source_hz: int, target_hz: int, codec: Codec = Codec.PCM, encoding: str = "s16", channels: int = 1
) -> Pipeline:
    return Pipeline(StreamSpec(SampleLayout(encoding, channels, source_hz), codec, target_hz))


def converted(line: Pipeline, audio: bytes, step: int | None = None) -> bytes:
    step = step or max(len(audio), 1)
    pieces = [line.feed(audio[start : start + step])[1] for start in range(0, len(audio), step)]
    return b"".join(pieces) + line.finish()[1]


# --- resampling ----------------------------------------------------------------------------------------------------

PAIRS = [pair for pair in itertools.product(RATES_HZ, RATES_HZ) if pair[0] != pair[1]]


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
def test_a_tone_keeps_its_pitch_and_loudness_and_gains_no_noise(source_hz, target_hz):
    amplitude, snr = fit(converted(pipeline(source_hz, target_hz), tone(source_hz)), target_hz)
    assert amplitude == pytest.approx(16_000, rel=0.01)
    assert snr > 80


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
def test_a_tone_near_the_edge_of_the_band_is_kept(source_hz, target_hz):
    hz = 0.85 * min(source_hz, target_hz) / 2
    assert fit(converted(pipeline(source_hz, target_hz), tone(source_hz, hz=hz)), target_hz, hz)[0] > 15_000


@pytest.mark.parametrize(("source_hz", "target_hz"), [(a, b) for a, b in PAIRS if a > 1.3 * b])
def test_what_the_lower_rate_cannot_hold_does_not_come_back_as_another_tone(source_hz, target_hz):
    out = converted(pipeline(source_hz, target_hz), tone(source_hz, hz=1.2 * target_hz / 2))
    middle = np.frombuffer(out, "<i2")[target_hz // 5 : -target_hz // 5]
    assert np.abs(middle.astype(int)).max() < 16_000 / 1_000  # -60 dB


@settings(max_examples=60)
@given(st.sampled_from(PAIRS), st.integers(0, 3_000), st.integers(1, 700))
def test_lengths_are_exact_and_cuts_do_not_matter(pair, samples, step):
    source_hz, target_hz = pair
    audio = noise(samples)
    whole = converted(pipeline(source_hz, target_hz), audio)
    assert len(whole) // 2 == int(samples * target_hz / source_hz + 0.5)
    assert converted(pipeline(source_hz, target_hz), audio, 2 * step) == whole


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
def test_the_first_samples_come_within_60_ms_of_audio(source_hz, target_hz):
    line = pipeline(source_hz, target_hz)
    audio = tone(source_hz, 0.06)
    step = source_hz // 100 * 2
    assert any(line.feed(audio[start : start + step])[1] for start in range(0, len(audio), step))


def test_loud_audio_is_clipped_not_wrapped():
    square = struct.pack("<h", 32_767) * 50 + struct.pack("<h", -32_768) * 50
    out = np.frombuffer(converted(pipeline(24_000, 48_000), square * 100), "<i2").astype(int)
    assert np.abs(np.diff(out)).max() < 65_535
    assert out.max() == 32_767
    assert out.min() == -32_768


# --- layouts -------------------------------------------------------------------------------------------------------


def laid_out(pcm: bytes, encoding: str, channels: int) -> bytes:
    """The same sound in another layout, in every channel."""
    samples = np.repeat(np.frombuffer(pcm, "<i2").astype(np.float64), channels)
    if encoding in {"mulaw", "alaw"}:
        return companding(Codec.PCM, Codec(encoding))(samples.astype("<i2").tobytes())
    if encoding == "s24":
        wide = (samples * 65_536).astype("<i4").view("u1").reshape(-1, 4)
        return wide[:, 1:].tobytes()
    kinds = {"u8": ("u1", 1 / 256, 128), "s16": ("<i2", 1, 0), "s32": ("<i4", 65_536, 0)}
    kinds |= {"f32": ("<f4", 1 / 32_768, 0), "f64": ("<f8", 1 / 32_768, 0)}
    kind, factor, offset = kinds[encoding]
    return (samples * factor + offset).astype(kind).tobytes()


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_every_layout_becomes_the_same_pcm(encoding, channels):
    audio = laid_out(tone(16_000), encoding, channels)
    assert len(audio) == 16_000 * channels * SAMPLE_BYTES[encoding]
    out = converted(pipeline(16_000, 16_000, encoding=encoding, channels=channels), audio, 960 * channels * 4)
    amplitude, snr = fit(out, 16_000)
    assert amplitude == pytest.approx(16_000, rel=0.02)
    assert snr > (35 if encoding in {"u8", "mulaw", "alaw"} else 85)


def test_channels_are_averaged():
    stereo = struct.pack("<hh", 1_000, 3_000) * 10
    assert converted(pipeline(16_000, 16_000, channels=2), stereo) == struct.pack("<h", 2_000) * 10


def test_floats_that_are_no_numbers_are_silent_and_those_beyond_full_scale_are_clipped():
    floats = struct.pack("<5f", float("nan"), float("inf"), float("-inf"), 9.0, -1.0)
    out = converted(pipeline(16_000, 16_000, encoding="f32"), floats)
    assert struct.unpack("<5h", out) == (0, 32_767, -32_768, 32_767, -32_768)


# --- codecs --------------------------------------------------------------------------------------------------------

COMPRESSED = (Codec.MP3, Codec.OPUS, Codec.FLAC, Codec.AAC)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("codec", COMPRESSED)
def test_what_is_encoded_is_heard(codec, rate_hz):
    audio = tone(rate_hz, 1.5)
    pcm, heard_hz = decode(converted(pipeline(rate_hz, rate_hz, codec), audio, rate_hz // 25))
    amplitude, snr = fit(pcm, heard_hz)
    assert heard_hz == (48_000 if codec is Codec.OPUS else rate_hz)
    assert 1.5 <= len(pcm) / 2 / heard_hz < 1.9
    assert amplitude == pytest.approx(16_000, rel=0.06)  # LAME scales by 0.95
    assert snr > 20


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_flac_is_lossless(rate_hz):
    audio = noise(rate_hz)
    assert decode(converted(pipeline(rate_hz, rate_hz, Codec.FLAC), audio, 1_000)) == (audio, rate_hz)


def test_flac_begins_without_padding():
    """The marker, STREAMINFO flagged as the last metadata block, then a frame (RFC 9639, 8)."""
    out = converted(pipeline(24_000, 24_000, Codec.FLAC), tone(24_000))
    assert out[:4] == b"fLaC"
    assert (out[4], int.from_bytes(out[5:8], "big")) == (0x80, 34)
    assert int.from_bytes(out[42:44], "big") >> 2 == 0b11111111111110


def first_bytes_ms(line: Pipeline, rate_hz: int, is_audio) -> int:
    """Milliseconds of audio fed when the first audio is out."""
    audio = noise(rate_hz)
    step = rate_hz // 50 * 2
    out = b""
    for fed in itertools.count(1):
        out += line.feed(audio[(fed - 1) * step : fed * step])[1]
        if is_audio(out):
            line.close()
            return fed * 20
    raise AssertionError


@pytest.mark.parametrize("rate_hz", [22_050, 24_000, 44_100, 48_000])
def test_mp3_is_out_within_100_ms_of_audio(rate_hz):
    assert first_bytes_ms(pipeline(rate_hz, rate_hz, Codec.MP3), rate_hz, bool) <= 100


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_flac_is_out_within_100_ms_of_audio(rate_hz):
    line = pipeline(rate_hz, rate_hz, Codec.FLAC)
    assert first_bytes_ms(line, rate_hz, lambda out: len(out) > 42) <= 100  # 42: the header


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_opus_is_out_within_60_ms_of_audio(rate_hz):
    line = pipeline(rate_hz, rate_hz, Codec.OPUS)
    assert first_bytes_ms(line, rate_hz, lambda out: out.count(b"OggS") > 2) <= 60  # 2: OpusHead, OpusTags


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_opus_pages_hold_20_ms(rate_hz):
    out = converted(pipeline(rate_hz, rate_hz, Codec.OPUS), tone(rate_hz), 1_000)
    positions = [struct.unpack_from("<q", page, 2)[0] for page in out.split(b"OggS")[3:]]  # after OpusHead, OpusTags
    steps = np.diff(positions)
    assert set(steps[:-1]) == {960}  # of 48 kHz, whatever the rate: RFC 7845, 4
    assert 0 < steps[-1] <= 960
    assert len(positions) >= 50


@pytest.mark.parametrize("codec", COMPRESSED)
def test_cuts_do_not_matter_to_encoders(codec):
    audio = noise(24_000)
    pieces, whole = (converted(pipeline(24_000, 24_000, codec), audio, step) for step in (334, 9_998))
    assert decode(pieces) == decode(whole)  # the bytes of Ogg differ: each stream has its own serial number


@pytest.mark.parametrize("codec", list(Codec))
def test_the_samples_told_are_the_samples_fed(codec):
    line = pipeline(16_000, 24_000, codec)
    told = [line.feed(noise(400, seed))[0] for seed in range(40)] + [line.finish()[0]]
    assert all(samples >= 0 for samples in told)
    assert sum(told) == 24_000


@pytest.mark.parametrize("codec", list(Codec))
def test_nothing_in_is_nothing_out(codec):
    assert pipeline(16_000, 24_000, codec).finish() == (0, b"")


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_a_telephone_hears_the_tone(codec):
    coded = converted(pipeline(24_000, 8_000, codec), tone(24_000), 960)
    assert len(coded) == 8_000
    assert snr_db(companding(codec, Codec.PCM)(coded), 8_000) > 36
