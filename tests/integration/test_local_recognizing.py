"""pocketsphinx in its workers: what it understands of people and of espeak-ng, when it stops, how it dies."""

import asyncio
import os
import random
import signal

import pytest
import pytest_asyncio
from tests.integration.local import (
    PCM_16K,
    RECORDINGS,
    engine,
    hear,
    listen,
    recognizer,
    recording,
    say,
    synthesizer,
)
from tests.integration.processes import children
from tests.waiting import until

from speechpool.errors import EngineFailed, InvalidInput, WorkerDied
from speechpool.speech.engine import Final, Partial, RecognitionOptions, SpeechEnded, SpeechStarted
from speechpool.speech.local.messages import WINDOW_BYTES

__all__ = ["engine"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMANDS = (
    "turn on the light",
    "turn off the light",
    "what time is it in london",
    "book a table for two people",
    "hello how are you today",
    "call my mother",
    "stop the music",
    "play the next song",
    "what is the weather tomorrow",
    "open the window",
)


def silence(seconds: float) -> bytes:
    return bytes(PCM_16K.bytes_per_second * round(seconds * 1000) // 1000)


def noise(seconds: float) -> bytes:
    return random.Random(1).randbytes(len(silence(seconds)))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(engine):
    """One client for all tests that leave it as they found it: each of them proves that the one before did."""
    async with recognizer(engine) as client:
        yield client
        assert client.is_ready
        assert client.is_reusable


def wrong_words(said: str, heard: str) -> int:
    """How many words must be changed, added or left out to get from one to the other."""
    row = list(range(len(heard.split()) + 1))
    for i, word in enumerate(said.split(), start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard.split(), start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


# --- what is understood --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("partials", "share"), [(False, 0.7), (True, 0.6)], ids=["whole", "as it comes"])
async def test_most_of_what_a_person_reads_is_understood(client, partials, share):
    """Measured: 79 % of the words when a segment is decoded whole, 66 % as it comes."""
    heard = {name: (await hear(client, recording(name), partials=partials)).text for name in RECORDINGS}
    wrong = sum(wrong_words(RECORDINGS[name], text) for name, text in heard.items())
    assert wrong <= (1 - share) * sum(len(said.split()) for said in RECORDINGS.values())


async def test_a_sentence_comes_as_started_partials_ended_final(client):
    heard = await hear(client, silence(1) + recording("0920") + silence(1), words=True)
    kinds = [type(event) for event in heard.events]
    assert kinds[0] is SpeechStarted
    assert kinds[-2:] == [SpeechEnded, Final]
    assert set(kinds[1:-2]) == {Partial}
    started, ended, final = heard.events[0], heard.events[-2], heard.events[-1]
    assert 1.0 <= started.offset_seconds < 1.6
    assert final.offset_seconds == started.offset_seconds
    assert ended.offset_seconds == pytest.approx(final.offset_seconds + final.duration_seconds)
    assert final.language == "en-US"
    assert 0 < final.confidence <= 1


async def test_partials_grow_towards_the_final(client):
    heard = await hear(client, recording("0920"))
    assert len(heard.partials) >= 8
    assert all(partial.text for partial in heard.partials)
    assert len(heard.partials[-1].text.split()) > 10


async def test_words_have_times_within_the_audio_and_confidences(client):
    audio = silence(2) + recording("0920")
    (final,) = (await hear(client, audio, words=True, partials=False)).finals
    assert " ".join(word.text for word in final.words) == final.text
    assert all(0 <= word.confidence <= 1 for word in final.words)
    times = [moment for word in final.words for moment in (word.start_seconds, word.end_seconds)]
    assert times == sorted(times)
    assert 2.0 < times[0] < 2.5
    assert times[-1] <= PCM_16K.seconds(len(audio))
    married = next(word for word in final.words if word.text == "married")
    assert married.start_seconds == pytest.approx(2.53, abs=0.1)


async def test_words_and_partials_come_only_where_they_are_wanted(client):
    heard = await hear(client, recording("0880"), partials=False)
    assert not heard.partials
    assert heard.finals[0].words == ()


@pytest.mark.parametrize(
    "audio", [b"", silence(3), silence(0.01), b"\x01"], ids=["nothing", "silence", "a moment", "a byte"]
)
async def test_without_speech_there_is_no_final(client, audio):
    assert (await hear(client, audio)).events == []


async def test_noise_ends(client):
    heard = await hear(client, noise(2), partials=False)
    assert len(heard.finals) <= 1


async def test_two_sentences_are_two_finals(client):
    audio = recording("0880") + silence(1.5) + recording("0930") + silence(1)
    heard = await hear(client, audio, partials=False)
    assert len(heard.finals) == 2
    assert heard.finals[1].offset_seconds == pytest.approx(4.5, abs=0.5)


async def test_the_silence_that_ends_a_segment_is_the_callers(client):
    audio = recording("0880") + silence(1.5) + recording("0930") + silence(1)
    heard = await hear(client, audio, partials=False, segmentation_silence_ms=5000)
    assert len(heard.finals) == 1


async def test_audio_may_be_cut_anywhere(client):
    audio = recording("0880")
    whole = await hear(client, audio, partials=False)
    recognizing = client.recognize(RecognitionOptions(partials=False))
    sizes = random.Random(1)
    while audio:
        size = sizes.randrange(1, 999)
        await recognizing.write(audio[:size])
        audio = audio[size:]
    await recognizing.finish()
    assert (await listen(recognizing)).events == whole.events


# --- a grammar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partials", [False, True], ids=["whole", "as it comes"])
async def test_a_grammar_makes_a_persons_sentences_exact(client, partials):
    for name, said in RECORDINGS.items():
        heard = await hear(client, recording(name), grammar=tuple(RECORDINGS.values()), partials=partials)
        assert heard.text == said


async def test_a_grammar_makes_espeaks_sentences_exact(engine, client):
    async with synthesizer(engine, PCM_16K) as speaker:
        for command in COMMANDS:
            said = await say(speaker, command, engine.resolve_voice("alloy"), speed=0.95)
            assert (await hear(client, said.audio, grammar=COMMANDS)).text == command


async def test_a_grammar_is_taken_as_people_write_it(client):
    sentences = (
        "He was not an ill-disposed young man.",
        "“Stop”, he said!",
        "It\N{RIGHT SINGLE QUOTATION MARK}s five a.m.",
    )
    assert (await hear(client, recording("0880"), grammar=sentences)).text == RECORDINGS["0880"]


async def test_with_a_grammar_words_have_times_too(client):
    (final,) = (await hear(client, recording("0880"), grammar=(RECORDINGS["0880"],), words=True)).finals
    assert [word.text for word in final.words] == RECORDINGS["0880"].split()


@pytest.mark.parametrize("param", ["grammar", "phrases"])
async def test_words_outside_the_dictionary_are_refused_by_name(client, param):
    recognizing = client.recognize(
        RecognitionOptions(**{param: ("hello wurld", "Frobnicate the wurld, (2) <s>", "yes")})
    )
    with pytest.raises(InvalidInput, match="wurld, frobnicate") as caught:
        await listen(recognizing)
    assert (caught.value.param, caught.value.code) == (param, "unknown_words")
    assert "hello" not in str(caught.value)
    assert client.is_ready
    with pytest.raises(InvalidInput):
        await recognizing.write(silence(0.1))


async def test_a_long_list_of_unknown_words_is_cut(client):
    words = " ".join(f"wurld{chr(97 + i)}" for i in range(26))
    with pytest.raises(InvalidInput, match=r"wurldt and 6 more"):
        await hear(client, b"", grammar=(words,))


@pytest.mark.parametrize(
    ("options", "param", "message"),
    [
        ({"language": "de-DE"}, "language", r"must be en-US .*got 'de-DE'"),
        ({"segmentation_silence_ms": 99}, "segmentation_silence_ms", "from 100 to 5000; got 99"),
        ({"segmentation_silence_ms": 5001}, "segmentation_silence_ms", "from 100 to 5000; got 5001"),
        ({"phrases": ("a",), "grammar": ("b",)}, "phrases", "cannot go with a grammar"),
        ({"grammar": ("a",) * 501}, "grammar", "501 entries; at most 500"),
        ({"grammar": ("yes", "")}, "grammar", "grammar entry 2 has no words"),
        ({"phrases": ("...",)}, "phrases", "phrases entry 1 has no words"),
        ({"phrases": ("a " * 51,)}, "phrases", "more than 50 words"),
        ({"phrases": ("a" * 20_001,)}, "phrases", "20001 characters; at most 20000"),
    ],
)
async def test_wrong_options_are_refused_with_their_bounds(client, options, param, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        client.recognize(RecognitionOptions(**options))
    assert caught.value.param == param
    assert client.is_ready


# --- hints ---------------------------------------------------------------------------------------------------------


async def test_phrases_help_and_spend_the_client(engine):
    """Without the hint other words are heard, with it the right ones; the worker that learnt them serves no other."""
    async with recognizer(engine) as client:
        without = await hear(client, recording("0880"), partials=False)
        assert "ill disposed" not in without.text
        assert client.is_reusable
        (final,) = (await hear(client, recording("0880"), partials=False, words=True, phrases=("ill disposed",))).finals
        assert "ill disposed young man" in final.text
        assert [word.text for word in final.words] == final.text.split()
        times = [moment for word in final.words for moment in (word.start_seconds, word.end_seconds)]
        assert times == sorted(times)
        assert not client.is_reusable


async def test_phrases_are_no_restriction(engine):
    async with recognizer(engine) as client:
        heard = await hear(client, recording("0920"), partials=True, phrases=("ill disposed", "the", "john dashwood"))
        assert "had he married" in heard.text
        assert "_" not in " ".join(partial.text for partial in heard.partials)


# --- one recognition after the other -------------------------------------------------------------------------------


async def test_nothing_of_a_recognition_changes_the_next(client):
    first = await hear(client, recording("0890"), words=True)
    await hear(client, recording("0870"), grammar=tuple(RECORDINGS.values()))
    await hear(client, recording("0870") + silence(1) + recording("0930"))
    await hear(client, noise(1), partials=False)
    await client.clear_session_state()
    assert (await hear(client, recording("0890"), words=True)).events == first.events


async def test_commit_ends_the_segment_under_way_and_audio_may_follow(client):
    recognizing = client.recognize(RecognitionOptions())
    await recognizing.write(recording("0880"))
    await recognizing.commit()
    await recognizing.write(silence(1) + recording("0930"))
    await recognizing.commit()
    await recognizing.commit()
    await recognizing.finish()
    finals = (await listen(recognizing)).finals
    assert len(finals) == 3
    assert "young man" in finals[0].text
    assert "he might even" in finals[1].text
    assert (finals[2].text, finals[2].confidence, finals[2].duration_seconds) == ("", None, 0.0)


async def test_finish_twice_is_once_and_audio_after_it_is_a_mistake(client):
    recognizing = client.recognize(RecognitionOptions())
    await recognizing.finish()
    await recognizing.finish()
    with pytest.raises(EngineFailed, match="after the end"):
        await recognizing.write(silence(0.1))
    assert (await listen(recognizing)).events == []


async def test_after_cancelled_recognitions_the_next_is_its_own(client):
    reference = await hear(client, recording("0880"))
    for i in range(20):
        recognizing = client.recognize(RecognitionOptions(partials=i % 2 == 0))
        await recognizing.write(recording("0930")[: 8_000 * i])
        await recognizing.cancel()
        assert client.is_ready
        assert (await listen(recognizing)).events == []
        await recognizing.write(silence(0.1))  # of no effect
    assert (await hear(client, recording("0880"))).events == reference.events


async def test_cancel_overtakes_the_audio_that_waits(client):
    recognizing = client.recognize(RecognitionOptions())
    os.kill(client.pid, signal.SIGSTOP)
    await recognizing.write(recording("0920")[:WINDOW_BYTES])
    cancelling = asyncio.ensure_future(recognizing.cancel())
    os.kill(client.pid, signal.SIGCONT)
    await cancelling
    assert client.is_ready


async def test_cancel_overtakes_even_the_beginning(client):
    os.kill(client.pid, signal.SIGSTOP)
    recognizing = client.recognize(RecognitionOptions())
    cancelling = asyncio.ensure_future(recognizing.cancel())
    await asyncio.sleep(0)
    os.kill(client.pid, signal.SIGCONT)
    await cancelling
    assert client.is_ready


async def test_a_second_recognition_at_once_is_refused(client):
    recognizing = client.recognize(RecognitionOptions())
    with pytest.raises(EngineFailed, match="in use"):
        client.recognize(RecognitionOptions())
    await recognizing.cancel()


# --- back-pressure -------------------------------------------------------------------------------------------------


async def test_write_waits_for_a_worker_that_is_behind(client):
    recognizing = client.recognize(RecognitionOptions(partials=False))
    os.kill(client.pid, signal.SIGSTOP)
    writing = asyncio.ensure_future(recognizing.write(silence(60)))
    await until(lambda: recognizing._ahead_bytes > WINDOW_BYTES * 0.9)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert recognizing._ahead_bytes <= WINDOW_BYTES
    assert not writing.done()
    os.kill(client.pid, signal.SIGCONT)
    await writing
    await recognizing.finish()
    assert (await listen(recognizing)).events == []


async def test_cancelling_wakes_who_waits_to_write(client):
    recognizing = client.recognize(RecognitionOptions())
    os.kill(client.pid, signal.SIGSTOP)
    writing = asyncio.ensure_future(recognizing.write(silence(60)))
    await until(lambda: recognizing._ahead_bytes > WINDOW_BYTES * 0.9)
    cancelling = asyncio.ensure_future(recognizing.cancel())
    await writing
    os.kill(client.pid, signal.SIGCONT)
    await cancelling
    assert client.is_ready


# --- dying ---------------------------------------------------------------------------------------------------------


async def test_a_worker_killed_while_listening_ends_reading_and_writing_with_an_error(engine):
    async with recognizer(engine) as client:
        lost = []
        client.on_lost(lambda: lost.append(client.is_ready))
        recognizing = client.recognize(RecognitionOptions())
        reading = asyncio.ensure_future(listen(recognizing))
        os.kill(client.pid, signal.SIGSTOP)
        writing = asyncio.ensure_future(recognizing.write(silence(60)))
        await until(lambda: recognizing._ahead_bytes > WINDOW_BYTES * 0.9)
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="worker stt"):
            await reading
        with pytest.raises(WorkerDied, match="worker stt"):
            await writing
        assert lost == [False]
        assert not client.is_reusable
        await recognizing.commit()
        await recognizing.finish()
        await recognizing.cancel()
        with pytest.raises(WorkerDied, match="worker stt"):
            client.recognize(RecognitionOptions())
    assert client.pid not in children()
