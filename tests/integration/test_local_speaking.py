"""espeak-ng in its workers: what it says, when it stops, how it dies."""

import array
import asyncio
import audioop
import itertools
import math
import os
import signal

import numpy as np
import pytest
import pytest_asyncio
from tests.integration.local import PCM_16K, PCM_24K, Said, engine, say, synthesizer, utterance
from tests.integration.processes import children
from tests.waiting import until

from speechpool.errors import EngineFailed, InvalidInput, WorkerDied
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import AudioChunk, SynthesisProfile
from speechpool.speech.local.messages import WINDOW_BYTES
from speechpool.speech.voices import OPENAI_VOICES

__all__ = ["engine"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENTENCE = "The quick brown fox jumps over the lazy dog."
LONG = "This sentence is said again and again. " * 100  # minutes of audio, many times the window


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(engine):
    """One client for all tests that leave it as they found it: each of them proves that the one before did."""
    async with synthesizer(engine) as client:
        yield client
        assert client.is_ready


def seconds(said: Said, audio_format: AudioFormat = PCM_24K) -> float:
    return audio_format.seconds(len(said.audio))


def loudness(audio: bytes, step: int = 480) -> list[float]:
    """How loud each 20 ms is; `step` samples at 24 kHz."""
    samples = array.array("h", audio)
    pieces = [samples[i : i + step] for i in range(0, len(samples) - step, step)]
    return [math.sqrt(sum(x * x for x in piece) / step) for piece in pieces]


def likeness(one: bytes, other: bytes, step: int = 480) -> float:
    """How much alike two utterances sound, 1.0 for the same: the correlation of their loudness."""
    a, b = loudness(one, step), loudness(other, step)
    size = min(len(a), len(b))
    a, b = a[:size], b[:size]
    mean_a, mean_b = sum(a) / size, sum(b) / size
    product = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def pitch_hz(audio: bytes) -> float:
    """The pitch of a voice at 24 kHz: at which lag a part is most like itself; the median over the louder parts."""
    samples = np.frombuffer(audio, dtype=np.int16).astype(float)
    pitches = []
    for start in range(0, len(samples) - 2400, 1200):
        part = samples[start : start + 2400]
        if part.std() > 1000:
            alike = np.correlate(part, part, "full")[len(part) - 1 :]
            pitches.append(24_000 / (80 + np.argmax(alike[80:380])))
    return float(np.median(pitches))


# --- what is said --------------------------------------------------------------------------------------------------


async def test_every_voice_of_openai_speaks_and_no_two_alike(engine, client):
    said = {name: await say(client, SENTENCE, engine.resolve_voice(name)) for name in OPENAI_VOICES}
    assert all(2.0 < seconds(one) < 5.0 for one in said.values())
    assert len({one.audio for one in said.values()}) == len(OPENAI_VOICES)


async def test_listed_voices_speak(engine, client):
    for voice in engine.voices[::12]:
        assert seconds(await say(client, "1 2 3", voice.name)) > 0.3


async def test_an_unknown_voice_is_refused_and_nothing_is_said(client):
    with pytest.raises(InvalidInput) as caught:
        await say(client, SENTENCE, "nobody")
    assert (caught.value.param, caught.value.code) == ("voice", "voice_not_found")


@pytest.mark.parametrize(
    "audio_format", [AudioFormat(Codec.PCM, rate) for rate in (8_000, 16_000, 22_050, 44_100, 48_000)], ids=str
)
async def test_every_rate_has_the_same_duration(engine, client, audio_format):
    async with synthesizer(engine, audio_format) as other:
        said = await say(other, SENTENCE)
    assert seconds(said, audio_format) == pytest.approx(seconds(await say(client, SENTENCE)), abs=0.02)
    assert all(len(chunk) % 2 == 0 and chunk for chunk in said.chunks)


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
async def test_g711_is_the_pcm_of_that_rate(engine, codec):
    decode = audioop.ulaw2lin if codec is Codec.MULAW else audioop.alaw2lin
    async with (
        synthesizer(engine, AudioFormat(codec, 8_000)) as g711,
        synthesizer(engine, AudioFormat(Codec.PCM, 8_000)) as pcm,
    ):
        heard, expected = decode((await say(g711, SENTENCE)).audio, 2), (await say(pcm, SENTENCE)).audio
    assert len(heard) == pytest.approx(len(expected), abs=320)
    assert likeness(heard, expected, step=160) > 0.98


async def test_speed_reaches_from_a_quarter_to_four(client):
    durations = [seconds(await say(client, SENTENCE, speed=speed)) for speed in (4.0, 2.0, 1.0, 0.5, 0.25)]
    ratios = [slower / faster for faster, slower in itertools.pairwise(durations)]
    assert all(1.4 < ratio < 2.9 for ratio in ratios)


async def test_an_hour_is_not_needed_to_hear_the_first_chunk(client):
    """The first chunk comes alone and small; the rest in larger ones."""
    said = await say(client, SENTENCE)
    assert PCM_24K.seconds(len(said.chunks[0])) < 0.1
    assert len(said.chunks) < 30


@pytest.mark.parametrize(
    "text", [" ", "...", "\n", "😀", "日本語", "a", "A.B.C.", "x" * 500, "1" * 200, "[[p@#]] \\ {} <b>"]
)
async def test_odd_texts_end(client, text):
    said = await say(client, text)
    assert all(said.chunks)


async def test_control_characters_are_refused(client):
    with pytest.raises(InvalidInput, match=r"U\+0007 at position 4"):
        await say(client, "ring\x07")


async def test_a_text_longer_than_a_worker_takes_is_refused(client):
    with pytest.raises(InvalidInput, match="1048576"):
        client.speak(utterance("a" * 2_000_000))


# --- events --------------------------------------------------------------------------------------------------------


async def test_words_stand_in_the_text_and_in_the_audio(client):
    text = "Hello, world! It costs $25 — don't pay 3.14."
    said = await say(client, text, word_boundaries=True)
    assert [word.text for word in said.words] == ["Hello", "world", "It", "costs", "$25", "don't", "pay", "3.14"]
    assert all(text[w.text_offset : w.text_offset + w.text_length] == w.text for w in said.words)
    offsets = [word.audio_offset_seconds for word in said.words]
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] < 0.2
    assert offsets[-1] < seconds(said)


async def test_words_are_told_where_they_sound(client):
    """The second word begins after the pause that the markup asks for."""
    document = '<speak>one<break time="2s"/>two</speak>'
    said = await say(client, document, is_ssml=True, word_boundaries=True)
    first, second = said.words
    assert (first.text, second.text) == ("one", "two")
    samples = array.array("h", said.audio)
    silent = [abs(x) < 300 for x in samples]
    gap_end = silent.index(False, int(24_000 * 1.5))
    assert gap_end / 24_000 == pytest.approx(second.audio_offset_seconds, abs=0.1)
    assert document[second.text_offset :].startswith("two<")


async def test_events_come_only_where_they_are_wanted(client):
    said = await say(client, SENTENCE)
    assert (said.words, said.marks, said.visemes) == ([], [], [])


async def test_marks_and_azures_bookmarks_are_told(client):
    document = '<speak><mark name="a"/>one two <bookmark mark="b &amp; c"/>three<mark name="end"/></speak>'
    said = await say(client, document, is_ssml=True)
    assert [mark.name for mark in said.marks] == ["a", "b & c", "end"]
    times = [mark.audio_offset_seconds for mark in said.marks]
    assert times[0] < 0.1 < times[1] < times[2] <= seconds(said) + 0.01


async def test_visemes_follow_the_sounds(client):
    said = await say(client, "Mama.", visemes=True)
    assert [viseme.viseme_id for viseme in said.visemes][:4] == [21, 2, 21, 1]
    assert said.visemes[-1].viseme_id == 0
    times = [viseme.audio_offset_seconds for viseme in said.visemes]
    assert times == sorted(times)
    assert times[-1] <= seconds(said)


# --- SSML ----------------------------------------------------------------------------------------------------------


async def test_ssml_changes_what_is_heard(client):
    async def duration(inner):
        return seconds(await say(client, f"<speak>{inner}</speak>", is_ssml=True))

    plain = await duration("some words to say")
    assert await duration('some words<break time="1s"/> to say') > plain + 0.8
    assert await duration('<prosody rate="fast">some words to say</prosody>') < 0.9 * plain
    assert await duration('<say-as interpret-as="characters">some</say-as> words to say') > plain
    assert await duration('some words to say<sub alias="for a very long time">.</sub>') > plain


async def test_a_voice_element_changes_the_voice_and_times_run_on(engine, client):
    document = f'<speak>{SENTENCE} <voice name="Coral">{SENTENCE}</voice></speak>'
    said = await say(client, document, engine.resolve_voice("echo"), is_ssml=True, word_boundaries=True)
    assert len(said.words) == 18
    middle = round(said.words[9].audio_offset_seconds * 24_000) * 2
    echo, coral = pitch_hz(said.audio[:middle]), pitch_hz(said.audio[middle:])
    assert coral > 1.5 * echo
    assert 0.4 < said.words[9].audio_offset_seconds / seconds(said) < 0.6


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("no markup", "invalid_ssml"),
        ("<speak>a", "invalid_ssml"),
        ("<speak>a & b</speak>", "invalid_ssml"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><speak>&a;</speak>', "invalid_ssml"),
        ("<speak>\x08</speak>", "invalid_characters"),
        ('<speak><voice name="nobody">a</voice></speak>', "voice_not_found"),
        ('<speak><audio src="/etc/passwd"/></speak>', "unsupported_ssml"),
    ],
)
async def test_bad_ssml_is_refused_and_the_client_goes_on(client, document, code):
    with pytest.raises(InvalidInput) as caught:
        await say(client, document, is_ssml=True)
    assert caught.value.code == code
    assert client.is_ready


async def test_ssml_without_words_says_nothing(client):
    assert (await say(client, "<speak> </speak>", is_ssml=True)).audio == b""


# --- stopping ------------------------------------------------------------------------------------------------------


async def test_after_fifty_cancelled_utterances_the_next_is_whole_and_its_own(client):
    reference = await say(client, SENTENCE)
    for i in range(50):
        speaking = client.speak(utterance(LONG, word_boundaries=True))
        for _ in range(i % 7):
            await anext(speaking)
        await speaking.cancel()
        assert client.is_ready
        with pytest.raises(StopAsyncIteration):
            await anext(speaking)
    said = await say(client, SENTENCE)
    assert seconds(said) == pytest.approx(seconds(reference), abs=0.01)
    assert likeness(said.audio, reference.audio) > 0.97
    assert likeness(said.audio, (await say(client, LONG[:200])).audio) < 0.8


async def test_cancelling_wakes_who_waits_for_audio(client):
    speaking = client.speak(utterance(SENTENCE))
    os.kill(client.pid, signal.SIGSTOP)
    waiting = asyncio.ensure_future(anext(speaking, "ended"))
    await asyncio.sleep(0)
    cancelling = asyncio.ensure_future(speaking.cancel())
    assert await waiting == "ended"
    assert not cancelling.done()  # the worker is not free yet, and so is not the client
    assert not client.is_ready
    os.kill(client.pid, signal.SIGCONT)
    await cancelling
    assert client.is_ready


async def test_a_cancelled_consumer_leaves_an_utterance_that_the_reset_stops(client):
    waiting = asyncio.ensure_future(say(client, LONG * 10))
    await asyncio.sleep(0)
    await until(lambda: not client.is_ready)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not client.is_ready
    await client.clear_session_state()
    assert client.is_ready


async def test_a_cancelled_cancel_still_stops(client):
    speaking = client.speak(utterance(LONG))
    await anext(speaking)
    cancelling = asyncio.ensure_future(speaking.cancel())
    await asyncio.sleep(0)
    cancelling.cancel()
    await asyncio.gather(cancelling, return_exceptions=True)
    await until(lambda: client.is_ready)


async def test_cancelling_what_has_ended_is_nothing(client):
    speaking = client.speak(utterance("a"))
    async for _ in speaking:
        pass
    await speaking.cancel()
    await speaking.cancel()
    assert client.is_ready


async def test_two_utterances_at_once_are_refused_and_the_first_goes_on(client):
    speaking = client.speak(utterance(SENTENCE))
    with pytest.raises(EngineFailed, match="in use"):
        client.speak(utterance(SENTENCE))
    assert len([event async for event in speaking]) > 5


# --- back-pressure -------------------------------------------------------------------------------------------------


def buffered_bytes(speaking) -> int:
    return sum(len(event.data) for event in speaking._events if isinstance(event, AudioChunk))


async def test_what_nobody_takes_is_bounded_and_can_be_stopped(client):
    speaking = client.speak(utterance(LONG * 20))  # about an hour of audio
    await until(lambda: buffered_bytes(speaking) > WINDOW_BYTES * 0.8)
    for _ in range(20):  # some more of it would be here, if it came
        await asyncio.sleep(0.001)
    assert buffered_bytes(speaking) <= WINDOW_BYTES
    await speaking.cancel()
    assert client.is_ready


async def test_a_slow_consumer_gets_everything_in_order(client):
    fast = await say(client, LONG[:2000], word_boundaries=True)
    slow = Said()
    async for event in client.speak(utterance(LONG[:2000], word_boundaries=True)):
        slow.take(event)
        await asyncio.sleep(0)
    assert len(fast.audio) > 4 * WINDOW_BYTES
    assert seconds(slow) == pytest.approx(seconds(fast), abs=0.01)
    assert [word.text_offset for word in slow.words] == [word.text_offset for word in fast.words]


# --- dying ---------------------------------------------------------------------------------------------------------


async def test_a_worker_killed_while_idle_is_told_at_once(engine):
    async with synthesizer(engine) as client:
        lost = asyncio.Event()
        client.on_lost(lost.set)
        os.kill(client.pid, signal.SIGKILL)
        await lost.wait()
        assert not client.is_ready
        assert not client.is_reusable
        with pytest.raises(WorkerDied, match="worker tts"):
            client.speak(utterance("a"))
        with pytest.raises(WorkerDied, match="worker tts"):
            await client.clear_session_state()


async def test_a_worker_killed_while_speaking_ends_the_utterance_with_an_error(engine):
    async with synthesizer(engine) as client:
        lost = []
        client.on_lost(lambda: lost.append(client.is_ready))
        speaking = client.speak(utterance(LONG))
        await anext(speaking)
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="worker tts"):
            async for _ in speaking:
                pass
        assert lost == [False]
        await speaking.cancel()
    assert client.pid not in children()


async def test_a_worker_killed_while_it_warms_up_fails_the_warm_up(engine):
    client = await engine.create_synthesizer(SynthesisProfile(format=PCM_16K))
    os.kill(client.pid, signal.SIGSTOP)
    warming = asyncio.ensure_future(client.warm())
    await asyncio.sleep(0)
    assert not client.is_ready
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="worker tts"):
        await warming
    assert not client.is_ready
    await client.close()
    assert client.pid not in children()


async def test_closing_while_speaking_ends_the_utterance(engine):
    async with synthesizer(engine) as client:
        lost = []
        client.on_lost(lambda: lost.append(True))
        speaking = client.speak(utterance(LONG))
        await anext(speaking)
        await client.close()
        with pytest.raises(WorkerDied, match="worker tts"):
            async for _ in speaking:
                pass
        with pytest.raises(EngineFailed, match="closed"):
            client.speak(utterance("a"))
        await client.close()
        assert not lost
    assert client.pid not in children()
