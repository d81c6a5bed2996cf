import io
import itertools
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.audio.sounds import chunk, decode, extensible, tone, wav

from speechpool.audio.layout import SampleLayout
from speechpool.audio.wav import WavReader, find_samples, is_wav, wav_header
from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec

PCM_16K = AudioFormat(Codec.PCM, 16_000)


def read(file: bytes, *cuts: int) -> tuple[SampleLayout | None, bytes]:
    reader = WavReader()
    edges = [0, *sorted(cuts), len(file)]
    samples = b"".join(reader.feed(file[a:b]) for a, b in itertools.pairwise(edges))
    reader.finish()
    return reader.layout, samples


# --- headers -------------------------------------------------------------------------------------------------------


def test_a_finished_header_is_read_by_the_standard_library():
    samples = tone(16_000, 0.1)
    with wave.open(io.BytesIO(wav_header(PCM_16K, len(samples)) + samples)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert file.readframes(file.getnframes()) == samples


def test_a_header_of_unknown_length_is_played_to_the_end():
    samples = tone(16_000, 0.1)
    assert decode(wav_header(PCM_16K) + samples) == (samples, 16_000)
    with wave.open(io.BytesIO(wav_header(PCM_16K) + samples)) as file:
        assert file.readframes(16_000) == samples


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
@pytest.mark.parametrize("size", [None, 800])
def test_g711_headers_are_played(codec, size):
    pcm, rate_hz = decode(wav_header(AudioFormat(codec, 8_000), size) + b"\xd5" * 800)
    assert (len(pcm), rate_hz) == (1600, 8_000)


def test_the_riff_size_counts_what_follows_it():
    for codec in (Codec.PCM, Codec.ALAW):
        header = wav_header(AudioFormat(codec, 8_000), 10)
        assert struct.unpack_from("<I", header, 4)[0] == len(header) + 10 - 8


def test_a_compressed_format_has_no_wav_header():
    with pytest.raises(ValueError, match="mp3"):
        wav_header(AudioFormat(Codec.MP3, 24_000))


def test_a_size_beyond_4_gib_is_refused():
    with pytest.raises(ValueError, match="4 GiB"):
        wav_header(PCM_16K, 2**32)


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "bits", "encoding"),
    [
        (1, 8, "u8"),
        (1, 16, "s16"),
        (1, 24, "s24"),
        (1, 32, "s32"),
        (3, 32, "f32"),
        (3, 64, "f64"),
        (6, 8, "alaw"),
        (7, 8, "mulaw"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_encoding_is_told_apart(tag, bits, encoding, channels):
    samples = bytes(range(48)) * channels
    assert read(wav(samples, tag=tag, bits=bits, channels=channels)) == (
        SampleLayout(encoding, channels, 16_000),
        samples,
    )


def test_an_extensible_format_says_what_it_is():
    file = wav(b"\1\2" * 4, tag=0xFFFE, format_extra=extensible(1))
    assert read(file) == (SampleLayout("s16", 1, 16_000), b"\1\2" * 4)


def test_other_chunks_before_and_after_are_passed_over():
    file = wav(b"\1\2\3\4", before=chunk(b"LIST", b"odd"), after=chunk(b"id3 ", b"x" * 99))
    assert read(file)[1] == b"\1\2\3\4"


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_sizes_that_programs_write_into_pipes_mean_until_the_end(size):
    assert read(wav(b"\1\2\3\4", data_size=size, riff_size=size))[1] == b"\1\2\3\4"


@given(st.binary(min_size=2, max_size=64).filter(lambda b: len(b) % 2 == 0), st.lists(st.integers(0, 120), max_size=6))
def test_a_file_may_be_cut_anywhere(samples, cuts):
    file = wav(samples, before=chunk(b"LIST", b"info"), after=chunk(b"LIST", b"more"))
    cuts = [cut for cut in cuts if cut <= len(file)]
    assert read(file, *cuts) == (SampleLayout("s16", 1, 16_000), samples)


@given(
    st.binary(min_size=2, max_size=9000).filter(lambda b: len(b) % 2 == 0),
    st.integers(0, 9000),
    st.sampled_from([None, 0xFFFFFFFF]),
)
def test_finding_the_samples_of_a_whole_file_is_reading_it(samples, before, size):
    file = wav(samples, before=chunk(b"JUNK", bytes(before)), data_size=size)
    layout, where = find_samples(file)
    assert (layout, file[where.start : where.stop]) == read(file)


PCM = b"\1\2" * 100


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "ends before its samples"),
        (b"RIFF", "ends before its samples"),
        (wav(PCM)[:30], "ends before its samples"),
        (wav(PCM)[:44], "cut off: it announces 200 bytes of samples and has 0"),
        (wav(PCM)[:-1], "cut off: it announces 200 bytes of samples and has 199"),
        (wav(PCM, data_size=300), "cut off: it announces 300 bytes"),
        (wav(b""), "holds no audio"),
        (wav(b"\1\2\3"), "middle of a sample"),
        (wav(b"\1\2\3", data_size=0xFFFFFFFF), "middle of a sample"),
        (wav(PCM, tag=2, bits=4, frame_bytes=256), "holds Microsoft ADPCM of 4 bits"),
        (wav(PCM, tag=0x11, bits=4, frame_bytes=256), "holds IMA ADPCM of 4 bits"),
        (wav(PCM, tag=0x55, bits=0, frame_bytes=1), "holds MP3"),
        (wav(PCM, tag=0x1234), "holds format 0x1234"),
        (wav(PCM, bits=12, frame_bytes=2), "PCM of 12 bits"),
        (wav(PCM, tag=0xFFFE), "extended format that is not described"),
        (wav(PCM, tag=0xFFFE, format_extra=extensible(1)[:-1] + b"!"), "extended format that is not described"),
        (wav(PCM, tag=0xFFFE, format_extra=extensible(0xFFFE)), "holds format 0xFFFE"),
        (wav(PCM, channels=0, frame_bytes=2), "has 0 channels; 1 to 8"),
        (wav(PCM, channels=9), "has 9 channels"),
        (wav(PCM, rate_hz=0), "has 0 samples a second; 4000 to 192000"),
        (wav(PCM, rate_hz=4_000_000_000), "has 4000000000 samples a second"),
        (wav(PCM, frame_bytes=3), "says 3 bytes hold one sample of each channel; it takes 2"),
        (wav(PCM, frame_bytes=0), "says 0 bytes"),
        (wav(PCM, format_extra=bytes(400)), "format chunk of 416 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"short"), "format chunk of 5 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", PCM), "samples before their format"),
        (b"RIFF\0\0\0\0WAVE" + wav(PCM)[12:36] * 2, "describes its format twice"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff", "no samples within its first 1048576 bytes"),
        (b"RIFF\0\0\0\0AVI LIST", "does not begin with RIFF and WAVE"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(file, reason):
    with pytest.raises(InvalidInput, match=reason) as caught:
        read(file)
    assert (caught.value.param, caught.value.code) == ("file", "invalid_audio")
    with pytest.raises(InvalidInput, match=reason):
        find_samples(file)


def test_endless_chunks_before_the_samples_are_not_kept():
    reader = WavReader()
    reader.feed(b"RIFF\0\0\0\0WAVE" + chunk(b"junk", bytes(100_000)) * 10)
    with pytest.raises(InvalidInput, match="no samples within"):
        reader.feed(chunk(b"junk", bytes(100_000)))


def outcome(file: bytes) -> tuple[SampleLayout, range] | InvalidInput:
    try:
        return find_samples(file)
    except InvalidInput as error:
        return error


def is_fair(result: tuple[SampleLayout, range] | InvalidInput, size: int) -> bool:
    """Refused for what it is, or whole frames within the file."""
    if isinstance(result, InvalidInput):
        return (result.param, result.code) == ("file", "invalid_audio")
    layout, where = result
    return len(where) > 0 and 0 < where.start < where.stop <= size and len(where) % layout.frame_bytes == 0


@given(st.binary(max_size=400), st.sampled_from([b"", b"RIFF\x24\0\0\0WAVE", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"]))
def test_anything_is_read_or_refused(data, start):
    assert is_fair(outcome(start + data), len(start + data))


@given(st.lists(st.tuples(st.integers(0, 155), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused(damage):
    file = bytearray(wav(bytes(range(100)), before=chunk(b"LIST", b"some")))
    for where, value in damage:
        file[where] = value
    assert is_fair(outcome(bytes(file)), len(file))


def test_only_riff_wave_is_taken_for_wav():
    assert is_wav(wav(PCM))
    assert not any(map(is_wav, (b"", b"RIFF", b"RIFF1234AVI ", b"RIFX1234WAVE", b"ID3")))
