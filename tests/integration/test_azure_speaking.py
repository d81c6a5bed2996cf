"""Synthesis with Azure's real SDK against the emulator: what works."""

import asyncio
import gc
import subprocess
import sys
import time

import pytest
import uvloop
from tests.integration.azure_patience import patient
from tests.integration.azure_speaking import (
    KEY,
    LIMIT_SECONDS,
    Studio,
    first_audio,
    hear,
    held,
    studio_at,
    utterance,
)
from tests.integration.azure_studio import emulator, service, studio

from speechpool.errors import EngineFailed, EngineUnavailable, InvalidInput
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.azure import synthesizer as synthesizer_module
from speechpool.speech.azure.credentials import Credential, FixedCredential
from speechpool.speech.azure.documents import MAX_SSML_BYTES
from speechpool.speech.engine import SynthesisClient, Utterance
from speechpool_azure_emulator import Fault, marks_in, running_emulator

__all__ = ["emulator", "patient", "service", "studio"]

LONG = "one two three four five six seven eight nine ten " * 4


# --- warm ----------------------------------------------------------------------------------------------------------


async def test_a_client_is_ready_once_its_connection_is_open_and_not_before(studio: Studio, emulator) -> None:
    client: SynthesisClient = studio.client()
    assert not client.is_ready
    with pytest.raises(EngineFailed, match="not open"):
        client.speak(utterance())
    assert await client.warm()
    assert client.is_ready
    assert emulator.counts.upgrades == 1
    assert emulator.counts.utterances == 0
    assert studio.endpoint.connects == 1


async def test_utterances_ride_the_connection_that_was_opened_before(studio: Studio, emulator) -> None:
    client = await studio.warm()
    asked_at = time.monotonic()
    for number in range(1, 4):
        heard = await studio.say(client)
        said = emulator.utterances[-1]
        assert said.connection.opened_at < asked_at
        assert said.nth_on_connection == number
        assert heard.report.was_warm
        assert heard.report.connect_seconds == 0
        assert heard.report.endpoint == studio.endpoint.name
        assert heard.report.reference == said.request_id
        assert client.is_ready
    assert emulator.counts.upgrades == 1


async def test_warming_twice_opens_one_connection(studio: Studio, emulator) -> None:
    client = await studio.warm()
    assert await client.warm()
    assert emulator.counts.upgrades == 1


async def test_a_connection_that_the_sdk_opened_for_itself_is_told(studio: Studio, emulator) -> None:
    client = await studio.warm(sdk_retries=1)
    emulator.configure(upgrade_seconds=0.05)
    emulator.faults.set(Fault(at="request", action="reset", times=1))
    heard = await studio.say(client)
    assert not heard.report.was_warm
    assert heard.report.connect_seconds >= 0.04
    assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
    assert studio.endpoint.reconnects == 1
    assert client.is_ready  # it has a connection again


async def test_a_connection_lost_while_idle_is_told_once(studio: Studio, emulator) -> None:
    client = await studio.warm()
    lost = asyncio.Event()
    calls: list[int] = []
    client.on_lost(lambda: (calls.append(1), lost.set()))
    emulator.faults.set(Fault(at="idle", action="close", code=1001, times=1))
    async with asyncio.timeout(LIMIT_SECONDS):
        await lost.wait()
    assert not client.is_ready
    assert not client.is_reusable
    with pytest.raises(EngineFailed, match="closed or spent"):
        client.speak(utterance())
    await client.close()
    assert calls == [1]


async def test_a_retired_client_is_lost_when_idle_and_serves_to_its_end_when_busy(studio: Studio) -> None:
    idle, busy = await studio.warm(), await studio.warm()
    lost: list[str] = []
    idle.on_lost(lambda: lost.append("idle"))
    busy.on_lost(lambda: lost.append("busy"))
    speaking = busy.speak(utterance())
    idle.retire()
    busy.retire()
    assert lost == ["idle"]
    assert (await hear(speaking)).audio
    assert not busy.is_reusable


# --- what is said --------------------------------------------------------------------------------------------------


async def test_audio_is_whole_and_its_own(studio: Studio, emulator) -> None:
    heard = await studio.say(await studio.warm())
    said = emulator.utterances[-1]
    assert len(heard.audio) == said.audio_bytes
    assert marks_in(heard.audio) == {said.mark}
    assert all(heard.chunks)
    assert (said.text, said.voice, said.format) == (
        "Hello brave new world",
        "en-US-AvaNeural",
        "raw-24khz-16bit-mono-pcm",
    )


@pytest.mark.parametrize("name", list(OUTPUT_FORMATS))
async def test_every_format_is_made_natively(studio: Studio, emulator, name: str) -> None:
    form = OUTPUT_FORMATS[name]
    heard = await studio.say(await studio.warm(form), text="Hello")
    said = emulator.utterances[-1]
    assert len(heard.audio) == said.audio_bytes
    assert heard.audio
    if form.is_raw:
        assert marks_in(heard.audio, form.codec) == {said.mark}
        sample_bytes = 2 if form.codec is Codec.PCM else 1
        assert all(len(chunk) % sample_bytes == 0 for chunk in heard.chunks)


async def test_the_first_audio_does_not_wait_for_more(studio: Studio, emulator) -> None:
    emulator.faults.set(Fault(at="audio", action="freeze", after_bytes=4_800, times=1))
    speaking = (await studio.warm()).speak(utterance(LONG))
    audio = await first_audio(speaking)
    while len(audio) < 4_800:
        audio += await first_audio(speaking)
    assert len(audio) == 4_800
    await speaking.cancel()


async def test_words_are_where_the_callers_text_has_them(studio: Studio) -> None:
    text = "Tom & Jerry's <end>, R&D “now”"
    heard = await studio.say(await studio.warm(), text, word_boundaries=True, speed=1.5, style="cheerful")
    found = [(word.text, text[word.text_offset : word.text_offset + word.text_length]) for word in heard.words]
    assert found
    assert all(said == written for said, written in found)
    assert "Jerry's" in dict(found)
    times = [word.audio_offset_seconds for word in heard.words]
    assert times == sorted(times)
    assert all(word.duration_seconds for word in heard.words)


async def test_words_of_a_document_are_where_the_document_has_them(studio: Studio, emulator) -> None:
    text = '<speak>Hello <emphasis>brave</emphasis> new &lt; world<bookmark mark="here"/></speak>'
    heard = await studio.say(await studio.warm(), text, is_ssml=True, word_boundaries=True)
    found = {word.text: text[word.text_offset : word.text_offset + word.text_length] for word in heard.words}
    assert found["brave"] == "brave"
    assert found["world"] == "world"
    assert emulator.utterances[-1].voice == "en-US-AvaNeural"


async def test_bookmarks_are_told(studio: Studio) -> None:
    text = '<speak>Hello <bookmark mark="here"/> world</speak>'
    heard = await studio.say(await studio.warm(), text, is_ssml=True)
    assert [mark.name for mark in heard.bookmarks] == ["here"]


async def test_the_last_words_come_before_the_end(studio: Studio) -> None:
    client = await studio.warm()
    for _ in range(20):
        heard = await studio.say(client, "one two three four five", word_boundaries=True)
        assert [word.text for word in heard.words] == ["one", "two", "three", "four", "five"]


async def test_the_service_is_asked_only_for_events_that_are_wanted(studio: Studio, emulator) -> None:
    client = await studio.warm()
    wanted: list[tuple[bool, bool]] = []
    for words, visemes in [(True, True), (False, False), (True, False), (False, True), (False, False)]:
        heard = await studio.say(client, word_boundaries=words, visemes=visemes)
        assert (bool(heard.words), bool(heard.visemes)) == (words, visemes)
        options = emulator.utterances[-1].context["synthesis"]["audio"]["metadataOptions"]
        wanted.append((options["wordBoundaryEnabled"], options["visemeEnabled"]))
    assert wanted == [(True, True), (False, False), (True, False), (False, True), (False, False)]


async def test_text_without_words_ends_without_audio_and_without_error(studio: Studio, emulator) -> None:
    emulator.faults.set(Fault(at="audio", action="omit", times=1))
    assert (await studio.say(await studio.warm(), "…")).audio == b""


async def test_voice_is_each_utterances_own(studio: Studio, emulator) -> None:
    client = await studio.warm()
    for voice in ("en-US-AvaNeural", "en-GB-RyanNeural"):
        await studio.say(client, voice=voice)
        assert emulator.utterances[-1].voice == voice


async def test_a_slow_reader_is_waited_for(studio: Studio, emulator) -> None:
    client = await studio.warm(max_buffered_seconds=1.0)
    speaking = client.speak(utterance("word " * 40))
    await first_audio(speaking)
    await emulator.until(lambda: emulator.utterances[-1].state == "complete", seconds=LIMIT_SECONDS)
    assert not speaking.is_over  # the rest waits in the SDK
    heard = await hear(speaking)
    assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
    assert len(heard.audio) > 10 * 48_000


# --- one after the other, and cancelled ----------------------------------------------------------------------------


async def test_one_utterance_at_a_time(studio: Studio) -> None:
    client = await studio.warm()
    speaking = client.speak(utterance())
    assert not client.is_ready
    with pytest.raises(EngineFailed, match="still in use"):
        client.speak(utterance())
    await hear(speaking)
    assert client.is_ready


async def test_a_hundred_barge_ins_keep_the_connection_and_the_next_is_whole_and_its_own(
    studio: Studio, emulator
) -> None:
    client = await studio.warm()
    emulator.configure(pace=1.0)
    for number in range(100):
        speaking = client.speak(utterance(LONG, word_boundaries=True))
        if number % 10:
            await first_audio(speaking)
        await speaking.cancel()
        assert [event async for event in speaking] == []
        await client.clear_session_state()
        assert client.is_ready
    emulator.configure(pace=0.0)
    heard = await studio.say(client, "and now this", word_boundaries=True)
    said = emulator.utterances[-1]
    assert marks_in(heard.audio) == {said.mark}
    assert len(heard.audio) == said.audio_bytes
    assert [word.text for word in heard.words] == ["and", "now", "this"]
    assert heard.report.was_warm
    assert emulator.counts.upgrades == 1


async def test_each_utterance_between_barge_ins_is_its_own(studio: Studio, emulator) -> None:
    client = await studio.warm()
    for _ in range(15):
        emulator.configure(pace=1.0)
        speaking = client.speak(utterance(LONG, word_boundaries=True))
        await first_audio(speaking)
        await speaking.cancel()
        await client.clear_session_state()
        emulator.configure(pace=0.0)
        heard = await studio.say(client, "short", word_boundaries=True)
        assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
        assert [word.text for word in heard.words] == ["short"]
    assert emulator.counts.upgrades == 1


async def test_what_is_said_after_a_slow_stop_rides_the_same_connection(studio: Studio, emulator) -> None:
    emulator.configure(pace=1.0)
    client = await studio.warm()
    with client._synthesizer._lock:  # as long as an SDK that has no time to stop
        for _ in range(3):
            speaking = client.speak(utterance(LONG, word_boundaries=True))
            await speaking.cancel()
            assert not speaking.is_over
            assert client.is_ready
        speaking = client.speak(utterance("and now this", word_boundaries=True))
        assert not client.is_ready
        with pytest.raises(EngineFailed, match="still in use"):
            client.speak(utterance())
    heard = await hear(speaking)
    assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
    assert len(heard.audio) == emulator.utterances[-1].audio_bytes
    assert [word.text for word in heard.words] == ["and", "now", "this"]
    assert heard.report.was_warm
    await client.clear_session_state()
    assert client.is_ready
    assert emulator.counts.upgrades == 1


async def test_a_stop_that_never_ends_fails_what_waits_for_it_and_the_client_is_not_used_again(
    studio: Studio, emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer_module, "_STOP_SECONDS", 0.05)
    emulator.configure(pace=1.0)
    client = await studio.warm()
    first = client.speak(utterance(LONG))
    await first_audio(first)
    with client._synthesizer._lock:
        await first.cancel()
        speaking = client.speak(utterance())
        with pytest.raises(EngineFailed, match="did not stop"):
            await hear(speaking)
        assert not client.is_reusable
        await speaking.cancel()
    assert await speaking.wait_over(LIMIT_SECONDS)
    assert len(emulator.utterances) == 1


async def test_without_keeping_the_connection_a_cancelled_client_is_not_used_again(studio: Studio, emulator) -> None:
    emulator.configure(pace=1.0)
    client = await studio.warm(keep_connection=False)
    speaking = client.speak(utterance(LONG))
    await first_audio(speaking)
    await speaking.cancel()
    with pytest.raises(EngineFailed):
        await client.clear_session_state()
    assert not client.is_ready


async def test_cancelling_is_safe_at_any_time(studio: Studio) -> None:
    client = await studio.warm()
    speaking = client.speak(utterance())
    await asyncio.gather(*(speaking.cancel() for _ in range(3)))
    await client.clear_session_state()
    speaking = client.speak(utterance())
    heard = await hear(speaking)
    assert heard.audio
    await speaking.cancel()
    assert client.is_ready


async def test_a_consumer_that_is_cancelled_leaves_a_client_that_can_be_cleared(studio: Studio, emulator) -> None:
    emulator.configure(pace=1.0)
    client = await studio.warm()
    task = asyncio.create_task(hear(client.speak(utterance(LONG))))
    await emulator.until(lambda: emulator.counts.utterances == 1, seconds=LIMIT_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.clear_session_state()
    assert client.is_ready
    emulator.configure(pace=0.0)
    assert marks_in((await studio.say(client)).audio) == {emulator.utterances[-1].mark}


async def test_many_at_once_are_each_their_own(studio: Studio, emulator) -> None:
    clients = [await studio.warm() for _ in range(20)]
    heards = await asyncio.gather(*(studio.say(client, word_boundaries=True) for client in clients))
    by_reference = {said.request_id: said for said in emulator.utterances}
    for heard in heards:
        assert marks_in(heard.audio) == {by_reference[heard.report.reference].mark}
        assert len(heard.words) == 4


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a" * 20_000, {}),
        ("ä" * (MAX_SSML_BYTES // 2), {"speed": 4.0}),
        ("no document", {"is_ssml": True}),
        ("bell \a", {}),
    ],
)
async def test_what_cannot_be_said_is_refused_before_it_is_sent(studio: Studio, emulator, text: str, options) -> None:
    client = await studio.warm()
    with pytest.raises(InvalidInput) as refused:
        client.speak(utterance(text, **options))
    assert refused.value.param == "input"
    assert client.is_ready
    assert emulator.counts.utterances == 0


async def test_an_unknown_voice_is_the_callers_mistake(studio: Studio) -> None:
    client = await studio.warm()
    with pytest.raises(InvalidInput) as refused:
        await hear(client.speak(utterance(voice="en-US-NobodyNeural")))
    assert refused.value.param == "voice"
    assert studio.endpoint.problem is None


async def test_ssml_that_azure_refuses_comes_with_its_reason(studio: Studio) -> None:
    client = await studio.warm()
    text = '<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-US"><voice>Hi</voice></speak>'
    with pytest.raises(InvalidInput, match="Azure refused the input") as refused:
        await hear(client.speak(utterance(text, is_ssml=True)))
    assert refused.value.param == "input"
    assert studio.endpoint.problem is None
    assert not client.is_reusable or client.is_ready


# --- credentials ---------------------------------------------------------------------------------------------------


async def test_key_and_token_are_shown_and_a_renewed_token_at_the_next_connection() -> None:
    with running_emulator(keys={"main": KEY}, tokens={"old": "token-old", "new": "token-new"}) as emulator:
        async with studio_at(emulator.url, FixedCredential("AZURE_SPEECH_KEY", KEY)) as studio:
            await studio.say(await studio.warm())
            assert emulator.connections[-1].credential == "key:main"
        source = FixedCredential("token", None)
        source._set(Credential(kind="token", secret="token-old"))
        async with studio_at(emulator.url, source) as studio:
            client = await studio.warm(sdk_retries=1)
            assert emulator.connections[-1].credential == "token:old"
            source._set(Credential(kind="token", secret="token-new"))
            client.renew(source.current)
            await studio.quiet()
            emulator.faults.set(Fault(at="request", action="reset", times=1))
            assert (await studio.say(client)).audio
            assert emulator.connections[-1].credential == "token:new"


# --- what is left --------------------------------------------------------------------------------------------------


async def test_closing_gives_back_threads_sockets_and_files(studio: Studio, emulator) -> None:
    await studio.say(await studio.warm())
    await studio.clients.pop().close()
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    before = held()
    for _ in range(5):
        clients = [await studio.warm() for _ in range(4)]
        await asyncio.gather(*(studio.say(client, word_boundaries=True) for client in clients))
        for client in clients:
            await client.close()
        await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    async with asyncio.timeout(LIMIT_SECONDS):
        while held()[0] > before[0] + 8 or held()[1] > before[1]:  # of our own threads up to 8 stay idle
            await asyncio.sleep(0.01)
            gc.collect()


async def test_closing_in_mid_utterance_ends_it_and_gives_everything_back(studio: Studio, emulator) -> None:
    emulator.configure(pace=1.0)
    client = await studio.warm()
    speaking = client.speak(utterance(LONG, word_boundaries=True))
    await first_audio(speaking)
    await client.close()
    with pytest.raises(EngineFailed, match="closed"):
        await hear(speaking)
    await client.close()
    assert await speaking.wait_over(LIMIT_SECONDS)
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


async def test_a_client_that_is_closed_while_it_opens_leaves_nothing(studio: Studio, emulator) -> None:
    emulator.configure(upgrade_seconds=0.2)
    client = studio.client()
    warming = asyncio.create_task(client.warm())
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(EngineFailed, match="closed"):
        await warming
    cancelled = studio.client()
    warming = asyncio.create_task(cancelled.warm())
    await asyncio.sleep(0.01)
    warming.cancel()
    await asyncio.gather(warming, return_exceptions=True)
    await cancelled.close()
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


def test_it_works_on_uvloop(emulator) -> None:
    async def main() -> None:
        async with studio_at(emulator.url) as studio:
            client = await studio.warm()
            heard = await studio.say(client, word_boundaries=True)
            assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
            assert len(heard.words) == 4
            emulator.configure(pace=1.0)
            speaking = client.speak(utterance(LONG))
            await first_audio(speaking)
            await speaking.cancel()
            await client.clear_session_state()
            assert client.is_ready

    uvloop.run(main())


ABANDONED = """
import asyncio, sys
from tests.integration.azure_speaking import first_audio, studio_at, utterance

async def main():
    context = studio_at(sys.argv[1])
    studio = await context.__aenter__()
    await first_audio((await studio.warm()).speak(utterance("word " * 200, word_boundaries=True, visemes=True)))
    return context, studio

keep = asyncio.run(main())
print("left")
"""


def test_a_process_that_ends_in_mid_utterance_is_not_aborted(emulator) -> None:
    emulator.configure(pace=1.0)
    ended = subprocess.run(
        [sys.executable, "-c", ABANDONED, emulator.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr


async def test_nothing_secret_shows(studio: Studio, emulator) -> None:
    client = await studio.warm()
    speaking = client.speak(Utterance(text="swordfish", voice="en-US-AvaNeural", word_boundaries=True))
    shown = f"{client!r} {speaking!r} {studio.threads!r}"
    heard = await hear(speaking)
    assert "swordfish" not in f"{shown} {speaking!r} {heard.report!r} {heard.words!r}"


async def test_a_format_that_azure_does_not_make_is_an_error(studio: Studio) -> None:
    with pytest.raises(EngineUnavailable, match="made no client"):
        await studio.client(AudioFormat(Codec.FLAC, 24_000)).warm()
