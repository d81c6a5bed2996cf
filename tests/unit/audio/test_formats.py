import pytest

from speechpool.audio.formats import RESPONSE_FORMATS, SAMPLE_RATES_HZ, input_format, response_format
from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec


def test_every_name_of_openai_and_the_two_of_the_telephone_are_offered():
    assert RESPONSE_FORMATS == ("mp3", "opus", "aac", "flac", "wav", "pcm", "mulaw", "alaw")


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "content_type"),
    [
        ("mp3", Codec.MP3, 24_000, "audio/mpeg"),
        ("opus", Codec.OPUS, 24_000, "audio/ogg;codecs=opus"),
        ("aac", Codec.AAC, 24_000, "audio/aac"),
        ("flac", Codec.FLAC, 24_000, "audio/flac"),
        ("wav", Codec.PCM, 24_000, "audio/wav"),
        ("pcm", Codec.PCM, 24_000, "audio/pcm;rate=24000"),
        ("mulaw", Codec.MULAW, 8_000, "audio/PCMU;rate=8000"),
        ("alaw", Codec.ALAW, 8_000, "audio/PCMA;rate=8000"),
    ],
)
def test_a_format_without_a_rate_has_its_usual_one(name, codec, rate_hz, content_type):
    wanted = response_format(name)
    assert (wanted.name, wanted.audio, wanted.content_type) == (name, AudioFormat(codec, rate_hz), content_type)


@pytest.mark.parametrize("name", RESPONSE_FORMATS)
@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
def test_every_rate_is_given_or_refused_with_those_that_are(name, rate_hz):
    if name == "opus" and rate_hz in {22_050, 44_100}:
        with pytest.raises(
            InvalidInput, match=r"sample_rate of opus must be one of 8000, 16000, 24000, 48000; got"
        ) as e:
            response_format(name, rate_hz)
        assert (e.value.param, e.value.code) == ("sample_rate", "unsupported_sample_rate")
    else:
        assert response_format(name, rate_hz).audio.sample_rate_hz == rate_hz


@pytest.mark.parametrize("rate_hz", [0, -1, 7_999, 24_001, 96_000, 2**40])
def test_another_rate_is_refused(rate_hz):
    with pytest.raises(InvalidInput, match=f"got {rate_hz}") as caught:
        response_format("wav", rate_hz)
    assert caught.value.code == "unsupported_sample_rate"


@pytest.mark.parametrize("name", ["", "MP3", "ogg", "webm"])
def test_another_format_is_refused_with_those_that_exist(name):
    with pytest.raises(InvalidInput, match="mp3, opus, aac, flac, wav, pcm, mulaw, alaw") as caught:
        response_format(name)
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_format")


def test_a_long_wrong_name_is_not_repeated_in_full():
    with pytest.raises(InvalidInput) as caught:
        response_format("x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "rate_hz", "expected"),
    [
        ("pcm", None, AudioFormat(Codec.PCM, 16_000)),
        ("pcm", 44_100, AudioFormat(Codec.PCM, 44_100)),
        ("mulaw", None, AudioFormat(Codec.MULAW, 8_000)),
        ("alaw", 8_000, AudioFormat(Codec.ALAW, 8_000)),
    ],
)
def test_audio_to_recognise_may_come_in_raw_formats(name, rate_hz, expected):
    assert input_format(name, rate_hz) == expected


@pytest.mark.parametrize(("name", "rate_hz", "param"), [("mp3", None, "encoding"), ("mulaw", 16_000, "rate")])
def test_audio_to_recognise_in_another_format_is_refused_by_the_callers_field(name, rate_hz, param):
    with pytest.raises(InvalidInput, match=f"^{param}") as caught:
        input_format(name, rate_hz, format_param="encoding", rate_param="rate")
    assert caught.value.param == param
