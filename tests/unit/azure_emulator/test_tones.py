import pytest

from speechpool.formats import AudioFormat, Codec
from speechpool_azure_emulator.tones import mark_of, marks_in, tone

FORMATS = [AudioFormat(Codec.PCM, rate) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)]
FORMATS += [AudioFormat(Codec.MULAW, 8_000), AudioFormat(Codec.ALAW, 8_000)]


def whole(mark: int, audio: AudioFormat, *, chunk_bytes: int = 1_000, total_bytes: int = 20_000) -> bytes:
    return b"".join(tone(mark, audio, chunk_bytes, total_bytes))


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_every_sample_carries_the_mark(audio: AudioFormat) -> None:
    assert marks_in(whole(77, audio), audio.codec) == {77}


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_one_foreign_sample_is_found(audio: AudioFormat) -> None:
    sample_bytes = audio.bytes_per_second // audio.sample_rate_hz
    mixed = whole(77, audio)[:-sample_bytes] + whole(78, audio)[:sample_bytes]

    assert marks_in(mixed, audio.codec) == {77, 78}


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_chunks_are_the_same_audio_however_it_is_cut(audio: AudioFormat) -> None:
    assert whole(5, audio, chunk_bytes=640) == whole(5, audio, chunk_bytes=7_000)


def test_it_has_as_many_bytes_as_asked_for() -> None:
    chunks = [len(chunk) for chunk in tone(1, FORMATS[0], 3_200, 8_000)]

    assert chunks == [3_200, 3_200, 1_600]


def test_nothing_to_say_is_nothing() -> None:
    assert whole(1, FORMATS[0], total_bytes=0) == b""


def test_it_is_a_tone_and_not_silence() -> None:
    samples = memoryview(whole(0, FORMATS[3])).cast("h")

    assert max(samples) > 2_000
    assert min(samples) < -2_000


def test_marks_fit_their_samples() -> None:
    assert mark_of(257, AudioFormat(Codec.PCM, 8_000)) == 1
    assert mark_of(257, AudioFormat(Codec.MULAW, 8_000)) == 1
    assert mark_of(200, AudioFormat(Codec.MULAW, 8_000)) == 72
