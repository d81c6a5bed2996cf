"""What the decoding process does with an upload, without the process."""

import io

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.audio.sounds import fit, tone, wav

from speechpool.audio.decoder import decoded
from speechpool.audio.protocol import DecodingSpec, RefusedError

SPEC = DecodingSpec(sample_rate_hz=16_000, max_seconds=10, credit=1, cpu_seconds=1, memory_bytes=1)

CONTAINERS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
    "ogg": ("ogg", "libopus", 48_000),
    "flac": ("flac", "flac", 44_100),
    "aiff": ("aiff", "pcm_s16be", 22_050),
    "alac": ("ipod", "alac", 44_100),
    "mka": ("matroska", "pcm_s24le", 48_000),
    "mpegts": ("mpegts", "mp2", 48_000),
    "adts": ("adts", "aac", 24_000),
    "fast adts": ("adts", "aac", 44_100),
}


def file(kind: str, seconds: float = 1.5, layout: str = "mono") -> bytes:
    """A file as other programs write it, with its length and index where the container has them."""
    muxer, codec, rate_hz = CONTAINERS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=muxer, options={"fflags": "+bitexact"}) as container:  # the same bytes each time
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate_hz)
        frame = av.AudioFrame(format="s16", layout="mono", samples=round(rate_hz * seconds))
        memoryview(frame.planes[0])[: frame.samples * 2] = tone(rate_hz, seconds)
        frame.sample_rate = rate_hz
        frames = [*resampler.resample(frame), *resampler.resample(None), None]
        for packet in (packet for each in frames for packet in stream.encode(each)):
            container.mux(packet)
    return out.getvalue()


def pcm(upload: bytes, spec: DecodingSpec = SPEC) -> bytes:
    return b"".join(decoded(upload, spec))


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_every_usual_container_is_heard(kind, layout):
    heard = pcm(file(kind, layout=layout))
    amplitude, snr = fit(heard, 16_000)
    assert 1.45 < len(heard) / 32_000 < 1.65
    assert amplitude == pytest.approx(16_000 if layout == "mono" else 16_000 / 2**0.5, rel=0.1)  # as FFmpeg spreads it
    assert snr > 20


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_the_rate_is_the_one_asked_for(rate_hz):
    heard = pcm(file("flac"), DecodingSpec(rate_hz, 10, 1, 1, 1))
    assert len(heard) // 2 == round(1.5 * rate_hz)
    assert fit(heard, rate_hz)[1] > 80


def test_a_rate_that_changes_within_a_file_is_followed():
    heard = pcm(file("adts") + file("fast adts"))
    assert 2.9 < len(heard) / 32_000 < 3.3
    assert fit(heard[:40_000], 16_000)[1] > 20
    assert fit(heard[-40_000:], 16_000)[1] > 20


@pytest.mark.parametrize("kind", ["mp3", "m4a", "webm", "flac", "ogg", "adts"])
def test_longer_than_allowed_is_refused(kind):
    with pytest.raises(RefusedError, match=r"longer than 1\.2 s") as caught:
        pcm(file(kind), DecodingSpec(16_000, 1.2, 1, 1, 1))
    assert (caught.value.refusal.code, caught.value.refusal.param) == ("audio_too_long", "file")


@pytest.mark.parametrize("kind", ["m4a", "webm", "flac"])
def test_a_file_that_says_it_is_too_long_is_not_decoded_first(kind):
    with pytest.raises(RefusedError, match="longer than"):
        next(decoded(file(kind), DecodingSpec(16_000, 1.2, 1, 1, 1)))


@pytest.mark.parametrize("kind", ["mp3", "flac", "webm", "ogg", "adts"])
def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes(kind):
    whole = file(kind, 3.0)
    assert 0.5 < len(pcm(whole[: len(whole) // 2])) / 32_000 < 2.5


def test_an_m4a_without_its_index_is_refused():
    with pytest.raises(RefusedError, match="not audio that can be decoded"):
        pcm(file("m4a")[:-200])


def test_tags_need_not_be_utf8():
    title = b"TIT2\0\0\0\7\0\0\3\xff\xfe\xe9abc"
    assert len(pcm(b"ID3\3\0\0\0\0\0" + bytes([len(title)]) + title + file("mp3"))) > 1.4 * 32_000


def test_an_absurd_rate_is_refused():
    upload = bytearray(file("aiff"))
    where = upload.index(b"COMM") + 16  # the rate, as an 80 bit float: exponent first
    upload[where : where + 2] = b"\x40\x1d"  # 2 GHz
    with pytest.raises(RefusedError, match="not audio"):
        pcm(bytes(upload))


def test_a_film_without_sound_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        frame = av.VideoFrame(32, 32, "yuv420p")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(RefusedError, match="not audio"):
        pcm(out.getvalue())


def test_nothing_else_is_opened(tmp_path):
    """A playlist would make FFmpeg read files and addresses of its author's choice."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(tone(16_000), rate_hz=16_000))
    playlists = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 127.0.0.1\na=file:{secret}\n",
        f'<?xml version="1.0"?><MPD type="static"><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>',
        str(secret),
    )
    for playlist in playlists:
        with pytest.raises(RefusedError, match="not audio"):
            pcm(playlist.encode())


def outcome(upload: bytes) -> str | None:
    try:
        return None if len(pcm(upload)) % 2 == 0 else "half a sample"
    except RefusedError as error:
        return None if error.refusal.code in {"invalid_audio", "audio_too_long"} else error.refusal.code


# The same examples each time: these bytes meet C code in the test's own process.


@settings(derandomize=True, max_examples=150)
@given(
    st.binary(max_size=3_000),
    st.sampled_from([b"", b"ID3\4\0\0\0\0\0\0", b"OggS\0", b"fLaC", b"\x1aE\xdf\xa3", b"\xff\xfb\x90\0"]),
)
def test_anything_is_decoded_or_refused(data, start):
    assert outcome(start + data) is None


@pytest.mark.parametrize("kind", ["mp3", "m4a", "webm", "ogg", "flac", "aiff"])
@settings(derandomize=True, max_examples=40)
@given(damage=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_damaged_file_is_decoded_or_refused(kind, damage):
    upload = bytearray(_DAMAGED.setdefault(kind, file(kind, 0.3)))
    for where, value in damage:
        upload[where % len(upload)] = value
    assert outcome(bytes(upload)) is None


_DAMAGED: dict[str, bytes] = {}
