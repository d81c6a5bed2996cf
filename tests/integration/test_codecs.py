"""Streams through real codec workers."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.codec_fixtures import patient_codecs
from tests.unit.audio.sounds import decode, fit, noise, snr_db, tone

from speechpool.audio.codecs import Codecs
from speechpool.audio.formats import RESPONSE_FORMATS, response_format
from speechpool.audio.transcoder import Transcoder
from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec

PCM_24K = AudioFormat(Codec.PCM, 24_000)
PCM_16K = AudioFormat(Codec.PCM, 16_000)
MULAW = AudioFormat(Codec.MULAW, 8_000)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[Codecs]:
    """For tests that look at the audio alone."""
    async with patient_codecs() as codecs:
        yield codecs


async def run(transcoder: Transcoder, audio: bytes, step: int = 960) -> bytes:
    async with transcoder:
        pieces = [await transcoder.feed(audio[start : start + step]) for start in range(0, len(audio), step)]
        return b"".join([*pieces, await transcoder.finish()])


# --- what comes out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav"])
async def test_a_player_hears_what_was_said(shared, name, rate_hz):
    transcoder = shared.transcoder(PCM_24K, response_format(name, rate_hz))
    pcm, heard_hz = decode(await run(transcoder, tone(24_000)))
    amplitude, snr = fit(pcm, heard_hz)
    assert amplitude == pytest.approx(16_000, rel=0.1)
    assert snr > 20
    assert (transcoder.seconds_in, transcoder.seconds_out) == (1.0, 1.0)


@pytest.mark.parametrize("name", RESPONSE_FORMATS)
async def test_a_long_piece_gives_what_short_ones_give(shared, name):
    """Odd pieces too, which end within a sample."""
    audio = noise(30_000)
    short, long = [await run(shared.transcoder(PCM_24K, response_format(name)), audio, n) for n in (961, 60_000)]
    if name == "opus":  # each Ogg stream has its own serial number
        short, long = decode(short), decode(long)
    assert short == long


@pytest.mark.parametrize("source", [MULAW, PCM_16K, AudioFormat(Codec.ALAW, 8_000)])
@pytest.mark.parametrize("target", [MULAW, PCM_16K, AudioFormat(Codec.ALAW, 16_000)])
async def test_any_raw_format_becomes_any_other(shared, source, target):
    audio = await run(
        shared.converter(AudioFormat(Codec.PCM, source.sample_rate_hz), source), tone(source.sample_rate_hz)
    )
    converted = await run(shared.converter(source, target), audio)
    assert len(converted) == target.bytes_per_second
    back = await run(shared.converter(target, AudioFormat(Codec.PCM, target.sample_rate_hz)), converted)
    assert snr_db(back, target.sample_rate_hz) > 30


async def test_a_wav_of_a_stream_has_a_header_of_unknown_length_with_the_first_audio(shared):
    async with shared.transcoder(PCM_24K, response_format("wav")) as transcoder:
        first = await transcoder.feed(b"\1\2")
        assert (first[:4], first[40:44], first[44:]) == (b"RIFF", b"\xff" * 4, b"\1\2")
        assert await transcoder.feed(b"\3") == b""
        assert await transcoder.feed(b"\4") == b"\3\4"
        assert await transcoder.finish() == b""


async def test_a_wav_without_audio_is_a_header_that_says_so(shared):
    header = await run(shared.transcoder(PCM_24K, response_format("wav")), b"")
    assert (len(header), header[40:44]) == (44, bytes(4))


async def test_equal_formats_pass_through_without_a_worker():
    codecs = Codecs()
    audio = noise(1_000)
    for name in ("pcm", "wav"):
        transcoder = codecs.transcoder(PCM_24K, response_format(name))
        assert transcoder.passes_through
        assert (await run(transcoder, audio))[-2_000:] == audio
    assert not codecs.transcoder(PCM_24K, response_format("mulaw", 24_000)).passes_through
    await run(codecs.transcoder(PCM_24K, response_format("alaw", 24_000)), audio)
    assert codecs.snapshot()["workers"] == 0


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.OPUS])
async def test_a_compressed_stream_passes_through_and_is_counted(shared, codec):
    target = response_format(str(codec))
    encoded = await run(shared.transcoder(PCM_24K, target), tone(24_000, 2.0))
    transcoder = shared.transcoder(target.audio, target)
    assert await run(transcoder, encoded, 100) == encoded
    assert transcoder.passes_through
    assert 2.0 <= transcoder.seconds_out < 2.1
    assert transcoder.seconds_in == transcoder.seconds_out


async def test_a_compressed_stream_does_not_become_another_format(shared):
    with pytest.raises(InvalidInput, match="wav at 24000 Hz cannot be made from mp3 at 24000 Hz") as caught:
        shared.transcoder(AudioFormat(Codec.MP3, 24_000), response_format("wav"))
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_format")
