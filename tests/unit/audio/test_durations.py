import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.audio.sounds import tone

from speechpool.audio.durations import counter
from speechpool.audio.layout import SampleLayout
from speechpool.audio.pipeline import Pipeline
from speechpool.audio.protocol import StreamSpec
from speechpool.formats import AudioFormat, Codec


def encoded(codec: Codec, rate_hz: int) -> bytes:
    pipeline = Pipeline(StreamSpec(SampleLayout("s16", 1, rate_hz), codec, rate_hz))
    return pipeline.feed(tone(rate_hz, 2.0))[1] + pipeline.finish()[1]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_mp3_frames_are_counted(rate_hz):
    """Two seconds and the encoder's own delay, at most two frames."""
    count = counter(AudioFormat(Codec.MP3, rate_hz))
    assert 2.0 <= count(encoded(Codec.MP3, rate_hz)) / rate_hz < 2.0 + 3 * 1152 / rate_hz


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_opus_pages_are_counted(rate_hz):
    assert counter(AudioFormat(Codec.OPUS, rate_hz))(encoded(Codec.OPUS, rate_hz)) == 2 * rate_hz


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.OPUS])
@pytest.mark.parametrize("step", [1, 3, 100, 1_000, 5_000])
def test_the_count_does_not_depend_on_the_cuts(codec, step):
    stream = encoded(codec, 24_000)
    count = counter(AudioFormat(codec, 24_000))
    total = sum(count(stream[start : start + step]) for start in range(0, len(stream), step))
    assert total == counter(AudioFormat(codec, 24_000))(stream)


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.OPUS])
def test_a_stream_is_found_behind_other_bytes(codec):
    stream = encoded(codec, 24_000)
    count = counter(AudioFormat(codec, 24_000))
    assert count(b"\0junk" + stream) == counter(AudioFormat(codec, 24_000))(stream)


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.OPUS])
@given(junk=st.binary(max_size=500))
def test_anything_can_be_counted(codec, junk):
    assert counter(AudioFormat(codec, 24_000))(junk) >= 0
