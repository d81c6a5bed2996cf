"""Uploads through real decoding processes."""

import asyncio
import contextlib
import functools
import os
import signal
from pathlib import Path

import pytest
import uvloop
from tests.integration.codec_fixtures import codecs, patient_codecs, without_pyav
from tests.integration.processes import exists, files_left, gone, open_files, threads
from tests.program import PATIENCE_SECONDS
from tests.unit.audio.sounds import fit, noise, tone, wav

from speechpool.audio import decoding
from speechpool.audio.codecs import Codecs
from speechpool.audio.layout import SampleLayout
from speechpool.audio.pipeline import Pipeline
from speechpool.audio.protocol import DECODING_STREAM, DecodingSpec, Reply, Request, StreamSpec
from speechpool.errors import EngineFailed, InvalidInput, QuotaExceeded, WorkerDied
from speechpool.formats import AudioFormat, Codec
from speechpool.workers.process import WorkerProcess

__all__ = ["codecs", "without_pyav"]

PCM_16K = AudioFormat(Codec.PCM, 16_000)
NOT_AUDIO = "file is not audio that can be decoded; send wav, mp3, m4a, mp4, mpeg, mpga, ogg, webm or flac"


def encoded(codec: Codec, audio: bytes, rate_hz: int = 16_000) -> bytes:
    pipeline = Pipeline(StreamSpec(SampleLayout("s16", 1, rate_hz), codec, rate_hz))
    pieces = [pipeline.feed(audio[start : start + 65_536])[1] for start in range(0, len(audio), 65_536)]
    return b"".join([*pieces, pipeline.finish()[1]])


@functools.cache
def silent_flac(seconds: int) -> bytes:
    """Hours in few bytes, and without a length in the header."""
    return encoded(Codec.FLAC, bytes(2 * 8_000 * seconds), 8_000)


async def decode(codecs: Codecs, upload: bytes, max_seconds: float = 60.0, target: AudioFormat = PCM_16K) -> bytes:
    async with contextlib.aclosing(codecs.decode(upload, target=target, max_seconds=max_seconds)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def decoders(codecs: Codecs) -> tuple[int, ...]:
    return codecs.snapshot()["decoder_pids"]


def limits_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[0] for line in lines}


# --- what is heard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.OPUS, Codec.FLAC, Codec.AAC])
async def test_a_compressed_upload_is_heard(codecs, codec):
    heard = await decode(codecs, encoded(codec, tone(16_000)))
    amplitude, snr = fit(heard, 16_000)
    assert 1.0 <= len(heard) / 32_000 < 1.3
    assert amplitude == pytest.approx(16_000, rel=0.1)
    assert snr > 20


async def test_a_wav_that_fits_is_taken_as_it_is_without_a_process(codecs):
    audio = noise(100_000)
    assert await decode(codecs, wav(audio)) == audio
    assert codecs.snapshot()["workers"] == 0


@pytest.mark.parametrize(("tag", "bits", "rate_hz"), [(1, 16, 44_100), (3, 32, 16_000), (7, 8, 8_000)])
async def test_another_wav_is_converted_by_a_codec_worker(codecs, tag, bits, rate_hz):
    samples = bytes(range(1, 121)) * (bits // 8) * (rate_hz // 120)
    assert len(await decode(codecs, wav(samples, tag=tag, bits=bits, rate_hz=rate_hz))) == 2 * round(
        len(samples) * 8 // bits * 16_000 / rate_hz
    )
    assert (codecs.snapshot()["workers"], codecs.snapshot()["streams"]) == (1, 0)


async def test_a_stereo_wav_is_heard_in_one_channel(codecs):
    left = tone(16_000)
    stereo = b"".join(left[start : start + 2] * 2 for start in range(0, len(left), 2))
    assert await decode(codecs, wav(stereo, channels=2)) == left


async def test_many_uploads_at_once_do_not_mix(monkeypatch):
    monkeypatch.setattr(decoding, "_WAIT_SECONDS", PATIENCE_SECONDS)

    async def one(codecs: Codecs, seed: int) -> bool:
        return await decode(codecs, encoded(Codec.FLAC, noise(20_000, seed))) == noise(20_000, seed)

    async with patient_codecs(decoders=3) as codecs:
        assert all(await asyncio.gather(*(one(codecs, seed) for seed in range(8))))
        assert codecs.snapshot()["decoders"] == 0


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upload", "message"),
    [
        (b"", NOT_AUDIO),
        (b"my secret text " * 200, NOT_AUDIO),
        (b"\x89PNG\r\n\x1a\n" + noise(2_000), NOT_AUDIO),
        (noise(50_000), NOT_AUDIO),
        (wav(noise(100))[:-1], "file is a WAV file that is cut off: it announces 200 bytes of samples and has 199"),
        (wav(noise(100), channels=0, frame_bytes=2), "file is a WAV file that has 0 channels; 1 to 8 are possible"),
    ],
)
async def test_what_is_not_audio_is_refused_in_constant_words(codecs, upload, message):
    with pytest.raises(InvalidInput) as caught:
        await decode(codecs, upload)
    assert (str(caught.value), caught.value.param, caught.value.code) == (message, "file", "invalid_audio")


@pytest.mark.parametrize(
    "upload", [silent_flac(300), wav(bytes(2_000_000)), wav(bytes(999_999), bits=8, rate_hz=8_000)]
)
async def test_audio_longer_than_allowed_is_refused(codecs, upload):
    with pytest.raises(InvalidInput, match="file is longer than 60 s") as caught:
        await decode(codecs, upload)
    assert (caught.value.param, caught.value.code) == ("file", "audio_too_long")


async def test_audio_just_as_long_as_allowed_is_heard(codecs):
    assert len(await decode(codecs, silent_flac(60))) == 60 * 32_000
    assert len(await decode(codecs, wav(bytes(60 * 32_000)))) == 60 * 32_000


async def test_only_pcm_can_be_decoded_to(codecs):
    with pytest.raises(ValueError, match="mulaw"):
        codecs.decode(b"", target=AudioFormat(Codec.MULAW, 8_000), max_seconds=1)


async def test_without_the_extra_only_wav_is_decoded(codecs, without_pyav):
    assert len(await decode(codecs, wav(noise(44_100), rate_hz=44_100))) == 32_000
    with pytest.raises(InvalidInput, match=r"speechpool\[codecs\]") as caught:
        await decode(codecs, encoded(Codec.MP3, noise(16_000)))
    assert (caught.value.param, caught.value.code) == ("file", "unsupported_format")


# --- back-pressure and places --------------------------------------------------------------------------------------


async def test_a_decoder_sends_no_more_than_it_may():
    frames: asyncio.Queue[int] = asyncio.Queue()
    process = WorkerProcess(
        "speechpool.audio.decode_worker", name="d", on_frame=lambda _, kind, __: frames.put_nowait(kind)
    )
    await process.start()
    spec = DecodingSpec(sample_rate_hz=8_000, max_seconds=60, credit=2, cpu_seconds=60, memory_bytes=1 << 29)
    for kind, payload in ((Request.OPEN, spec.encode()), (Request.FEED, silent_flac(8)), (Request.FINISH, b"")):
        process.post(DECODING_STREAM, kind, payload)
    received = [await frames.get(), await frames.get()]  # 8 s are 128,000 bytes: three full chunks and the rest
    for _ in range(2):
        await asyncio.sleep(0.02)  # what came without credit would come now
        assert frames.empty()
        process.post(DECODING_STREAM, Request.CREDIT)
        received.append(await frames.get())
    received.append(await frames.get())
    assert received == [Reply.AUDIO] * 4 + [Reply.DONE]
    await process.close()


async def test_a_slow_consumer_gets_everything_and_a_short_upload_needs_no_process_meanwhile(codecs):
    async with contextlib.aclosing(codecs.decode(silent_flac(10), target=PCM_16K, max_seconds=60)) as chunks:
        total = len(await anext(chunks))
        while decoders(codecs):  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.005)
        total += sum([len(chunk) async for chunk in chunks])
    assert total == 10 * 32_000


async def test_a_long_upload_waits_in_its_process_for_a_slow_consumer(codecs):
    async with contextlib.aclosing(codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)) as chunks:
        total = len(await anext(chunks))
        await asyncio.sleep(0.02)
        assert len(decoders(codecs)) == 1
        total += sum([len(chunk) async for chunk in chunks])
    assert total == 300 * 32_000
    assert decoders(codecs) == ()


async def test_a_place_is_waited_for_and_free_when_an_upload_is_left():
    async with patient_codecs(decoders=1) as codecs:
        chunks = codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)
        await anext(chunks)
        (pid,) = decoders(codecs)
        second = asyncio.create_task(decode(codecs, encoded(Codec.FLAC, noise(1_000))))
        await asyncio.sleep(0.02)
        assert decoders(codecs) == (pid,)
        await chunks.aclose()
        assert await second == noise(1_000)
        assert await gone(pid)


async def test_waiting_for_a_place_has_an_end(monkeypatch):
    monkeypatch.setattr(decoding, "_WAIT_SECONDS", 0.02)
    async with patient_codecs(decoders=1) as codecs:
        chunks = codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)
        await anext(chunks)
        with pytest.raises(
            QuotaExceeded, match=r"1 uploads are being decoded, and none ended within 0\.02 s"
        ) as caught:
            await decode(codecs, b"1")
        assert caught.value.code == "too_many_uploads"
        assert caught.value.retry_after_seconds > 0
        await chunks.aclose()
        assert await decode(codecs, encoded(Codec.FLAC, noise(1_000))) == noise(1_000)


async def test_an_upload_that_is_left_before_its_start_takes_no_place():
    async with patient_codecs(decoders=1) as codecs:
        for _ in range(3):
            await codecs.decode(silent_flac(1), target=PCM_16K, max_seconds=60).aclose()
        assert await decode(codecs, encoded(Codec.FLAC, noise(1_000))) == noise(1_000)


# --- failures ------------------------------------------------------------------------------------------------------


async def killed(codecs: Codecs, number: signal.Signals) -> None:
    """A long upload whose process gets a signal while its consumer waits."""
    async with contextlib.aclosing(codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)) as chunks:
        await anext(chunks)
        os.kill(decoders(codecs)[0], number)
        async for _ in chunks:
            pass


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU, signal.SIGBUS])
async def test_an_upload_that_brings_its_decoder_down_is_refused(codecs, number):
    with pytest.raises(InvalidInput, match="its decoder failed or needed too much time or memory") as caught:
        await killed(codecs, number)
    assert caught.value.code == "invalid_audio"
    assert await decode(codecs, encoded(Codec.FLAC, noise(1_000))) == noise(1_000)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_decoder_ended_from_outside_is_not_the_uploads_fault(codecs, number):
    with pytest.raises(WorkerDied, match=f"was killed by {number.name}"):
        await killed(codecs, number)


async def test_a_decoder_that_gives_nothing_is_ended():
    async with patient_codecs(reply_timeout_seconds=0.3) as codecs:
        with pytest.raises(InvalidInput, match=r"no audio came for 0\.3 s") as caught:
            await killed(codecs, signal.SIGSTOP)
        assert caught.value.code == "invalid_audio"
        assert decoders(codecs) == ()


async def test_a_decoder_is_held_by_the_kernel(codecs):
    async with contextlib.aclosing(codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)) as chunks:
        await anext(chunks)
        (pid,) = decoders(codecs)
        limits = limits_of(pid)
        assert threads(pid) == 1
    assert (limits["Max open files"], limits["Max file size"], limits["Max core file size"]) == ("0", "0", "0")
    assert 60 <= int(limits["Max cpu time"]) < 70
    assert 512 << 20 < int(limits["Max address space"]) < 2 << 30


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_consumer_leaves_no_process_and_no_file(codecs, steps):
    """At the first suspension points of the start, and while it waits for audio."""
    await decode(codecs, encoded(Codec.FLAC, noise(1_000)))
    before = open_files()
    task = asyncio.create_task(decode(codecs, silent_flac(300), 600))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert decoders(codecs) == ()
    assert await files_left(before) == set()


async def test_closing_ends_every_upload():
    before = open_files()
    codecs = patient_codecs(decoders=2)
    chunks = codecs.decode(silent_flac(300), target=PCM_16K, max_seconds=600)
    await anext(chunks)
    starting = asyncio.create_task(decode(codecs, silent_flac(1)))
    waiting = asyncio.create_task(decode(codecs, silent_flac(1)))
    await asyncio.sleep(0)
    (pid, *_) = decoders(codecs)
    await codecs.close()
    with pytest.raises(EngineFailed, match="closed"):
        async for _ in chunks:
            pass
    for task in (starting, waiting):
        with pytest.raises(EngineFailed, match="closed"):
            await task
    assert not exists(pid)
    assert await files_left(before) == set()


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_long_upload_waits_in_its_process_for_a_slow_consumer,
        test_a_slow_consumer_gets_everything_and_a_short_upload_needs_no_process_meanwhile,
    ],
)
def test_uvloop_makes_no_difference(scenario):
    async def main() -> None:
        async with patient_codecs() as codecs:
            await scenario(codecs)

    uvloop.run(main())
