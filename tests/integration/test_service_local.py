"""The service with the real local engine: real workers, real codecs, real deaths."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.integration import services
from tests.virtual import run

from speechpool.errors import InvalidInput, WorkerDied
from speechpool.formats import AudioFormat, Codec
from speechpool.service.events import AudioBytes, SpeechSummary
from speechpool.service.requests import RecognizeRequest, SpeakOptions, SpeakRequest, TranscribeRequest
from speechpool.service.service import SpeechService
from speechpool.speech.engine import Final, Partial, WordBoundary

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
SENTENCE = "The quick brown fox jumps over the lazy dog."
LONG = SENTENCE * 40


@asynccontextmanager
async def serving(*, speaking: int = 1, listening: int = 1, **values: Any) -> AsyncIterator[SpeechService]:
    pools = (services.speaking(speaking), services.listening(listening))
    async with services.running_service("local", {}, *pools, **values) as service:
        yield service
    assert not workers()


def workers() -> set[int]:
    """The worker processes that this one started and that still are there."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
        if "_worker" in command_of(int(pid))  # a sidecar of other tests may be there too
    }


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def speakers() -> set[int]:
    return {pid for pid in workers() if "espeak_worker" in command_of(pid)}


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


async def said(service: SpeechService, text: str = SENTENCE, **values: Any) -> bytes:
    async with service.speak(SpeakRequest(text=text, **{"response_format": "pcm", **values})) as stream:
        return b"".join(event.data for event in await collect(stream) if isinstance(event, AudioBytes))


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_sentence_is_said_and_understood_on_either_loop(loop_factory) -> None:
    async def main() -> None:
        async with serving() as service:
            async with service.speak(
                SpeakRequest(text=SENTENCE, response_format="wav", sample_rate_hz=16000)
            ) as stream:
                assert stream.tier == "warm"
                *audio, summary = await collect(stream)
            assert isinstance(summary, SpeechSummary)
            assert summary.audio_seconds > 1.5
            upload = b"".join(event.data for event in audio)
            sentences = (SENTENCE.lower().rstrip("."), "something else entirely")
            transcript = await service.transcribe(TranscribeRequest(upload=upload, grammar=sentences)).result()
            assert transcript.text.lower() == sentences[0]

    run(main(), loop_factory())


async def test_every_format_comes_out_of_one_pool() -> None:
    beginnings = {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS"}
    async with serving(listening=0) as service:
        for name in ("pcm", "wav", "mulaw", "alaw", "mp3", "opus", "flac", "aac"):
            async with service.speak(SpeakRequest(text=SENTENCE, response_format=name)) as stream:
                events = await collect(stream)
            audio = b"".join(event.data for event in events if isinstance(event, AudioBytes))
            assert audio.startswith(beginnings.get(name, b"")), name
            assert 2.0 < events[-1].audio_seconds < 5.0, name
            assert events[-1].played.text == SENTENCE, name


async def test_words_have_times_and_barge_in_knows_them() -> None:
    async with serving(listening=0) as service:
        request = SpeakRequest(text=LONG, response_format="pcm", word_boundaries=True)
        async with service.speak(request) as stream:
            words: list[str] = []
            while len(words) < 12:
                if isinstance(event := await anext(stream), WordBoundary):
                    words.append(event.text)
            played = await stream.cancel()
            assert [event.outcome for event in await collect(stream)] == ["canceled"]
        assert words[:4] == ["The", "quick", "brown", "fox"]
        assert LONG.startswith(played.text)
        assert not played.estimated
        assert service.pool("tts")["items"]["out"] == 0
        assert await said(service)


async def test_a_text_that_comes_piece_by_piece_is_said_by_one_client() -> None:
    async with serving(listening=0) as service:
        options = SpeakOptions(response_format="pcm", session_id="call-1")
        async with service.speak_text(options) as stream:
            for piece in SENTENCE.split(" "):
                await stream.add(piece + " ")
            await stream.finish()
            events = await collect(stream)
        assert events[-1].played.text.split() == SENTENCE.split()
        async with service.speak(SpeakRequest(text=SENTENCE, session_id="call-1")) as stream:
            assert stream.tier == "dedicated"


async def test_a_worker_killed_while_idle_is_never_handed_out() -> None:
    async with serving(speaking=2, listening=0) as service:
        before = speakers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for _ in range(3):
            assert await said(service)
        await service.wait_ready()
        assert not before & speakers()


async def test_a_worker_killed_while_it_speaks_ends_the_utterance_with_an_error() -> None:
    async with serving(listening=0) as service:
        async with service.speak(SpeakRequest(text=LONG, response_format="pcm")) as stream:
            assert isinstance(await anext(stream), AudioBytes)
            for pid in speakers():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerDied):
                await collect(stream)
        assert await said(service)


async def test_a_consumer_that_leaves_leaves_a_client_that_speaks_on() -> None:
    async with serving(listening=0) as service:
        before = speakers()
        for _ in range(10):
            async with service.speak(SpeakRequest(text=LONG, response_format="mp3")) as stream:
                await anext(stream)
        assert len(await said(service)) > 50_000
        assert before & speakers(), "the worker is worth keeping"


async def test_a_recording_of_a_human_voice_is_transcribed() -> None:
    async with serving(speaking=0) as service:
        recording = sorted(RECORDINGS.glob("*.wav"))[0].read_bytes()
        transcript = await service.transcribe(TranscribeRequest(upload=recording, words=True)).result()
    assert len(transcript.text.split()) > 5
    assert len(transcript.words) == len(transcript.text.split())
    assert transcript.duration_seconds > 3
    assert all(word.start_seconds < word.end_seconds for word in transcript.words)


async def test_telephone_audio_is_heard_as_it_comes() -> None:
    telephone = AudioFormat(Codec.MULAW, 8_000)
    async with serving() as service:
        audio = await said(service, response_format="mulaw")
        grammar = (SENTENCE.lower().rstrip("."), "hello there")
        async with service.recognize(RecognizeRequest(format=telephone, grammar=grammar)) as stream:
            for begin in range(0, len(audio), 160):
                await stream.write(audio[begin : begin + 160])
            await stream.finish()
            events = await collect(stream)
    assert any(isinstance(event, Partial) for event in events)
    assert grammar[0] in " ".join(event.text.lower() for event in events if isinstance(event, Final))


@pytest.mark.parametrize("upload", [b"", b"not audio at all" * 100, b"RIFF\x00\x00\x00\x00WAVE", os.urandom(4096)])
async def test_what_is_no_audio_is_refused_and_harms_nothing(upload) -> None:
    async with serving(speaking=0, listening=0) as service:
        with pytest.raises(InvalidInput) as caught:
            await service.transcribe(TranscribeRequest(upload=upload)).result()
        assert caught.value.param == "file"
        assert service.pool("stt")["metrics"]["allocations_total"] == 0


@pytest.mark.parametrize("text", ["<speak>not closed", "<speak><voice name='nobody'>x</voice></speak>"])
async def test_ssml_that_cannot_be_said_is_refused_before_any_audio(text) -> None:
    async with serving(listening=0) as service:
        async with service.speak(SpeakRequest(text=text, is_ssml=True, response_format="pcm")) as stream:
            with pytest.raises(InvalidInput):
                await anext(stream)
        assert await said(service)
