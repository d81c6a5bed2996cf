"""Codec workers that are shared, killed, stuck, left and closed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest
import uvloop
from tests.integration.codec_fixtures import codecs, patient_codecs, without_pyav
from tests.integration.processes import exists, files_left, gone, open_files, threads
from tests.unit.audio.sounds import decode, noise, tone

from speechpool.audio.codecs import Codecs
from speechpool.audio.formats import response_format
from speechpool.audio.transcoder import Transcoder
from speechpool.errors import EngineFailed, InvalidInput, WorkerDied
from speechpool.formats import AudioFormat, Codec

__all__ = ["codecs", "without_pyav"]

PCM_24K = AudioFormat(Codec.PCM, 24_000)
PCM_16K = AudioFormat(Codec.PCM, 16_000)
MULAW = AudioFormat(Codec.MULAW, 8_000)


async def run(transcoder: Transcoder, audio: bytes, step: int = 960) -> bytes:
    async with transcoder:
        pieces = [await transcoder.feed(audio[start : start + step]) for start in range(0, len(audio), step)]
        return b"".join([*pieces, await transcoder.finish()])


def workers(codecs: Codecs) -> tuple[int, ...]:
    return codecs.snapshot()["worker_pids"]


# --- many streams --------------------------------------------------------------------------------------------------


async def test_fifty_streams_at_once_do_not_mix(codecs):
    async def one(seed: int) -> bool:
        pcm, _ = decode(await run(codecs.transcoder(PCM_24K, response_format("flac")), noise(6_000, seed)))
        return pcm == noise(6_000, seed)

    assert all(await asyncio.gather(*(one(seed) for seed in range(50))))
    snapshot = codecs.snapshot()
    assert (snapshot["workers"], snapshot["streams"]) == (2, 0)


async def test_few_streams_share_one_worker(codecs):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(codecs.converter(PCM_24K, MULAW))
        assert codecs.snapshot() | {"worker_pids": ()} == {
            "workers": 1,
            "streams": 3,
            "decoders": 0,
            "worker_pids": (),
            "decoder_pids": (),
        }


async def test_a_stream_that_is_not_fed_holds_up_no_other(codecs):
    async with codecs.converter(PCM_24K, MULAW) as idle:
        await idle.feed(tone(24_000, 0.5))
        assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000


async def test_a_worker_has_one_thread_however_many_streams(codecs):
    """FFmpeg's filter graphs and numpy's linear algebra would each take a thread for every processor."""
    async with contextlib.AsyncExitStack() as stack:
        for name in ("mp3", "opus", "aac", "flac", "wav") * 2:
            stream = await stack.enter_async_context(codecs.transcoder(PCM_16K, response_format(name)))
            await stream.feed(noise(4_000))
        (pid,) = workers(codecs)[:1]
        assert threads(pid) == 1


# --- failures ------------------------------------------------------------------------------------------------------


async def test_a_killed_worker_fails_its_streams_and_no_later_one(codecs):
    transcoder = codecs.converter(PCM_24K, MULAW)
    await transcoder.feed(tone(24_000, 0.1))
    (pid,) = workers(codecs)
    os.kill(pid, signal.SIGSTOP)  # so that the request is under way when it dies
    feeding = asyncio.create_task(transcoder.feed(tone(24_000, 0.1)))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="codec-1"):
        await feeding
    with pytest.raises(EngineFailed, match="closed"):
        await transcoder.feed(b"12")
    assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000
    assert workers(codecs) != (pid,)
    assert codecs.snapshot()["streams"] == 0
    assert await gone(pid)


async def test_a_worker_killed_between_two_pieces_is_noticed_by_the_next(codecs):
    async with codecs.converter(PCM_24K, MULAW) as transcoder:
        (pid,) = workers(codecs)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await transcoder.feed(tone(24_000, 0.1))
    assert codecs.snapshot()["streams"] == 0


async def test_a_worker_that_does_not_answer_is_killed_and_replaced():
    async with patient_codecs(reply_timeout_seconds=0.3) as codecs, codecs.converter(PCM_24K, PCM_16K) as transcoder:
        (pid,) = workers(codecs)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerDied, match=r"did not answer within 0\.3 s"):
            await transcoder.feed(tone(24_000, 0.1))
        assert await gone(pid)
        assert workers(codecs) == ()


async def test_a_cancelled_feed_frees_its_stream_and_spoils_no_other(codecs):
    async with codecs.transcoder(PCM_24K, response_format("flac")) as other:
        (pid,) = workers(codecs)
        transcoder = codecs.converter(PCM_24K, MULAW)
        await transcoder.feed(tone(24_000, 0.1))
        os.kill(pid, signal.SIGSTOP)
        feeding = asyncio.create_task(transcoder.feed(tone(24_000, 0.5)))
        await asyncio.sleep(0)
        feeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeding
        os.kill(pid, signal.SIGCONT)
        assert codecs.snapshot()["streams"] == 1
        encoded = await other.feed(noise(9_000)) + await other.finish()
        assert decode(encoded)[0] == noise(9_000)
        with pytest.raises(EngineFailed, match="closed"):
            await transcoder.feed(b"12")
        assert workers(codecs) == (pid,)


async def test_streams_left_half_way_do_the_worker_no_harm(codecs):
    for name in ("mp3", "opus", "aac", "flac", "wav") * 10:
        async with codecs.transcoder(PCM_16K, response_format(name)) as transcoder:
            await transcoder.feed(noise(4_000))
    (pid,) = workers(codecs)
    assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000
    assert workers(codecs) == (pid,)


async def test_closing_stops_a_feed_under_way(codecs):
    async with codecs.converter(PCM_24K, MULAW) as transcoder:
        (pid,) = workers(codecs)
        os.kill(pid, signal.SIGSTOP)
        feeding = asyncio.create_task(transcoder.feed(tone(24_000)))
        await asyncio.sleep(0)
        transcoder.close()
        with pytest.raises(EngineFailed, match="closed"):
            await feeding
        os.kill(pid, signal.SIGCONT)
        transcoder.close()
    assert codecs.snapshot()["streams"] == 0


async def test_a_caller_who_leaves_while_the_worker_starts_leaves_it_to_the_next(codecs):
    first = asyncio.create_task(codecs.converter(PCM_24K, MULAW).open())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000
    assert codecs.snapshot()["workers"] == 1
    assert codecs.snapshot()["streams"] == 0


async def test_a_worker_that_cannot_start_is_an_error_and_is_tried_again(codecs, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('no json here')")
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(WorkerDied, match="no json here"):
            await codecs.converter(PCM_24K, MULAW).open()
    assert codecs.snapshot()["streams"] == 0
    assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000


# --- the end -------------------------------------------------------------------------------------------------------


async def test_an_idle_worker_is_ended():
    async with patient_codecs(idle_seconds=0.01) as codecs:
        transcoder = codecs.converter(PCM_24K, MULAW)
        await transcoder.open()
        (pid,) = workers(codecs)
        transcoder.close()
        assert await gone(pid)
        assert workers(codecs) == ()
        assert len(await run(codecs.converter(PCM_24K, MULAW), tone(24_000))) == 8_000


async def test_a_worker_in_use_is_not_idle():
    async with patient_codecs(idle_seconds=0.01) as codecs, codecs.converter(PCM_24K, MULAW) as long:
        codecs.converter(PCM_24K, MULAW).close()
        (pid,) = workers(codecs)
        await run(codecs.converter(PCM_24K, MULAW), tone(24_000))
        await asyncio.sleep(0.03)
        assert len(await long.feed(tone(24_000)) + await long.finish()) == 8_000
        assert exists(pid)


async def test_closing_ends_everything_and_leaves_nothing():
    async with patient_codecs() as codecs:
        await run(codecs.converter(PCM_24K, MULAW), tone(24_000))  # imports of the first use open files for good
    before = open_files()
    codecs = patient_codecs(workers=3)
    streams = [codecs.converter(PCM_24K, MULAW) for _ in range(20)]
    await asyncio.gather(*(stream.open() for stream in streams))
    pids = workers(codecs)
    os.kill(pids[0], signal.SIGSTOP)
    feeding = [asyncio.create_task(stream.feed(tone(24_000))) for stream in streams]
    await asyncio.sleep(0)
    await codecs.close()
    await codecs.close()
    results = await asyncio.gather(*feeding, return_exceptions=True)
    assert {type(result) for result in results} <= {EngineFailed, bytes}
    assert EngineFailed in {type(result) for result in results}
    assert len(pids) == 3
    assert all([await gone(pid) for pid in pids])
    assert await files_left(before) == set()
    with pytest.raises(EngineFailed, match="closed"):
        codecs.converter(PCM_24K, MULAW)


async def test_closing_while_a_worker_starts_leaves_nothing():
    before = open_files()
    codecs = patient_codecs()
    opening = asyncio.create_task(codecs.converter(PCM_24K, MULAW).open())
    await asyncio.sleep(0)
    await codecs.close()
    with pytest.raises(EngineFailed, match="closed"):
        await opening
    assert await files_left(before) == set()


@pytest.mark.parametrize(
    "scenario",
    [
        test_fifty_streams_at_once_do_not_mix,
        test_a_killed_worker_fails_its_streams_and_no_later_one,
        test_a_cancelled_feed_frees_its_stream_and_spoils_no_other,
        test_closing_stops_a_feed_under_way,
        test_a_caller_who_leaves_while_the_worker_starts_leaves_it_to_the_next,
    ],
)
def test_uvloop_makes_no_difference(scenario):
    async def main() -> None:
        async with patient_codecs() as codecs:
            await scenario(codecs)

    uvloop.run(main())


# --- what is installed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "aac"])
async def test_without_the_extra_a_compressed_format_is_refused_with_its_name(codecs, without_pyav, name):
    with pytest.raises(InvalidInput, match=r"speechpool\[codecs\]") as caught:
        await codecs.transcoder(PCM_24K, response_format(name)).open()
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_format")
    assert codecs.snapshot()["streams"] == 0


@pytest.mark.parametrize("name", ["wav", "pcm", "mulaw", "alaw"])
async def test_without_the_extra_uncompressed_formats_work(codecs, without_pyav, name):
    assert len(await run(codecs.transcoder(PCM_24K, response_format(name, 8_000)), tone(24_000))) >= 8_000


async def test_without_soxr_other_rates_are_an_error_that_names_it(codecs, tmp_path, monkeypatch):
    (tmp_path / "soxr.py").write_text("raise ModuleNotFoundError('No module named soxr', name='soxr')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineFailed, match=r"need soxr: install speechpool\[sidecar\]"):
        await codecs.converter(PCM_24K, PCM_16K).open()
    assert len(await run(codecs.transcoder(PCM_24K, response_format("flac")), tone(24_000))) > 1_000


def test_the_sidecars_own_process_loads_none_of_the_libraries():
    code = """
import asyncio, sys
from speechpool.audio.codecs import Codecs
from speechpool.audio.formats import response_format
from speechpool.formats import AudioFormat, Codec
async def main():
    async with Codecs() as codecs, codecs.transcoder(AudioFormat(Codec.PCM, 24000), response_format("mp3", 16000)) as t:
        await t.feed(bytes(9600)) + await t.finish()
asyncio.run(main())
print(sorted({"av", "numpy", "soxr"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
