"""Recognition with Azure's real SDK against the emulator: what works."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import uvloop
from tests.integration.azure_listening import (
    LIMIT_SECONDS,
    Line,
    feed,
    finals,
    line_to,
    next_final,
    quiet,
    sound,
    texts,
)

from speechpool.errors import EngineFailed, InvalidInput
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure import sdk_results
from speechpool.speech.azure.recognizing import MAX_AHEAD_SECONDS
from speechpool.speech.engine import (
    Final,
    LanguageMode,
    Partial,
    RecognitionOptions,
    SpeechEnded,
    SpeechStarted,
)
from speechpool_azure_emulator import running_emulator


@pytest.fixture(scope="module")
def service() -> Iterator[object]:
    with running_emulator(upgrade_seconds=0.05) as emulator:
        yield emulator


@pytest.fixture
def emulator(service):
    yield service
    service.faults.clear()
    service.configure(detected_language=None)
    service.reset_records()


@pytest.fixture
async def line(emulator) -> AsyncIterator[Line]:
    async with line_to(emulator.url) as line:
        yield line
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


# --- warm ----------------------------------------------------------------------------------------------------------


async def test_a_warm_client_rides_the_connection_that_was_opened_before(line, emulator) -> None:
    client = await line.warm()
    assert client.is_ready
    asked_at = time.monotonic()
    recognizing = client.recognize(RecognitionOptions())
    await feed(recognizing, sound(0.5))
    assert emulator.recognitions[-1].connection.opened_at < asked_at
    assert emulator.counts.upgrades == 1
    report = recognizing.report
    assert (report.was_warm, report.connect_seconds, report.endpoint) == (True, 0.0, line.endpoint.name)
    assert report.reference == emulator.recognitions[-1].connection.headers["X-ConnectionId"]
    assert (line.endpoint.connects, line.endpoint.reconnects) == (1, 0)


async def test_a_client_serves_one_session(line) -> None:
    client = await line.warm()
    assert client.is_reusable
    await feed(client.recognize(RecognitionOptions()), sound(0.2))
    assert not client.is_ready
    assert not client.is_reusable
    with pytest.raises(EngineFailed, match="spent"):
        client.recognize(RecognitionOptions())
    with pytest.raises(EngineFailed, match="spent"):
        await client.warm()


async def test_a_client_that_is_not_open_yet_refuses(line) -> None:
    client = line.client()
    assert not client.is_ready
    with pytest.raises(EngineFailed, match="not open"):
        client.recognize(RecognitionOptions())
    await client.close()


async def test_warming_again_opens_nothing_again(line, emulator) -> None:
    client = await line.warm()
    assert await client.warm()
    assert emulator.counts.upgrades == 1
    await client.close()


async def test_a_client_that_was_never_used_is_released_by_its_close(line, emulator) -> None:
    client = await line.warm()
    await client.close()
    await client.close()
    assert not client.is_ready
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


# --- events --------------------------------------------------------------------------------------------------------


async def test_a_segment_is_told_from_its_beginning_to_its_final(line, emulator) -> None:
    emulator.transcripts.say("good morning")
    events = await line.hear(quiet(0.2), sound(1.0), quiet(0.8), words=True)
    assert [type(event) for event in events if not isinstance(event, Partial)] == [SpeechStarted, SpeechEnded, Final]
    assert any(isinstance(event, Partial) for event in events)
    final = finals(events)[0]
    assert (final.text, final.language, final.confidence) == ("good morning", "en-US", 0.95)
    assert final.offset_seconds == pytest.approx(0.2)
    assert final.duration_seconds == pytest.approx(1.0)
    assert [(word.text, round(word.start_seconds, 2), round(word.end_seconds, 2)) for word in final.words] == [
        ("good", 0.2, 0.7),
        ("morning", 0.7, 1.2),
    ]


async def test_what_is_not_wanted_does_not_come(line) -> None:
    events = await line.hear(sound(1.0), partials=False, words=False)
    assert not any(isinstance(event, Partial) for event in events)
    assert finals(events)[0].words == ()


async def test_speech_that_lasts_to_the_end_of_the_audio_has_its_final(line, emulator) -> None:
    emulator.transcripts.say("to the end")
    assert texts(await line.hear(sound(0.6))) == ["to the end"]


async def test_without_audio_it_ends_without_events(line) -> None:
    assert await line.hear() == []


async def test_silence_has_no_text(line) -> None:
    assert finals(await line.hear(quiet(1.0))) == []


async def test_a_final_of_any_length_is_whole(line, emulator) -> None:
    """The SDK's own result object loses it: it cuts the text within a character."""
    text = " ".join(["नमस्ते दुनिया यह एक लंबा वाक्य है"] * 60)
    emulator.transcripts.say(text)
    assert texts(await line.hear(sound(0.5))) == [text]


async def test_without_the_c_interface_results_come_by_the_sdks_objects(line, emulator, monkeypatch) -> None:
    monkeypatch.setattr(sdk_results._interface, "is_there", False)
    emulator.transcripts.say("by objects")
    events = await line.hear(sound(1.0))
    assert any(isinstance(event, Partial) for event in events)
    assert texts(events) == ["by objects"]


# --- audio ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        AudioFormat(Codec.PCM, 8_000),
        AudioFormat(Codec.PCM, 16_000),
        AudioFormat(Codec.PCM, 24_000),
        AudioFormat(Codec.PCM, 48_000),
        AudioFormat(Codec.MULAW, 8_000),
        AudioFormat(Codec.ALAW, 8_000),
    ],
    ids=lambda form: f"{form.codec}-{form.sample_rate_hz}",
)
async def test_each_format_is_sent_as_it_is(line, emulator, form) -> None:
    emulator.transcripts.say("any format")
    recognizing = (await line.warm(form)).recognize(RecognitionOptions())
    events = await feed(recognizing, sound(0.5, form), quiet(0.7, form))
    record = emulator.recognitions[-1]
    assert record.audio_format == f"{form.codec}-{form.sample_rate_hz}"
    assert record.audio_bytes == round(1.2 * form.bytes_per_second)
    assert texts(events) == ["any format"]
    assert finals(events)[0].duration_seconds == pytest.approx(0.5, abs=0.02)


async def test_audio_may_be_cut_within_samples(line, emulator) -> None:
    audio = sound(0.5)
    await line.hear(audio[:1], audio[1:1002], b"", audio[1002:])
    assert emulator.recognitions[-1].audio_bytes == len(audio)


async def test_audio_faster_than_it_is_sent_waits(line, emulator) -> None:
    """The SDK's stream takes any amount: memory is bounded by `write()`."""
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    writing = asyncio.create_task(recognizing.write(sound(0.1) * 3000))
    await emulator.until(lambda: bool(emulator.recognitions), seconds=LIMIT_SECONDS)

    def is_close_behind() -> bool:
        """As the service sees it, which may be late itself: it catches up only with a writer that waits."""
        heard_seconds = emulator.recognitions[-1].audio_bytes / 32_000
        return heard_seconds >= 6 and recognizing._pace.written_seconds - heard_seconds <= MAX_AHEAD_SECONDS + 0.1

    await emulator.until(is_close_behind, seconds=LIMIT_SECONDS)
    assert not writing.done()
    await recognizing.cancel()
    await asyncio.wait_for(writing, LIMIT_SECONDS)


async def test_audio_faster_than_it_plays_is_heard_in_one_turn_and_whole(line, emulator) -> None:
    """What the SDK holds back at the end of a stream it would send in a turn of its own, cut within a word."""
    emulator.transcripts.say("one", "two", "three", "four", "five")
    events = await line.hear(*[sound(1.0) + quiet(0.7)] * 5, partials=False)
    assert texts(events) == ["one", "two", "three", "four", "five"]
    assert [round(final.offset_seconds, 2) for final in finals(events)] == [0.0, 1.7, 3.4, 5.1, 6.8]
    assert emulator.counts.recognitions == 1


async def test_audio_after_the_end_is_refused(line) -> None:
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    await feed(recognizing, sound(0.2))
    with pytest.raises(EngineFailed, match="after the end"):
        await recognizing.write(sound(0.2))


# --- a session's own options ---------------------------------------------------------------------------------------


async def test_options_reach_the_service_on_the_connection_that_was_open(line, emulator) -> None:
    await line.hear(
        sound(0.3),
        phrases=("Contoso", "Fabrikam"),
        segmentation_silence_ms=300,
        segmentation_maximum_ms=20_000,
        segmentation_strategy="Time",
        start_sensitivity="high",
    )
    record = emulator.recognitions[-1]
    detection = record.context["phraseDetection"]
    mode = detection.get("mode", "CONVERSATION")
    assert tuple(record.phrase_list) == ("Contoso", "Fabrikam")
    assert detection[mode]["segmentation"] == {
        "mode": "Custom",
        "segmentationSilenceTimeoutMs": 300,
        "segmentationForcedTimeoutMs": 20_000,
    }
    assert detection["voiceOnsetSensitivity"] == "high"
    assert emulator.counts.upgrades == 1


async def test_nothing_of_one_session_reaches_another(line, emulator) -> None:
    await line.hear(sound(0.3), phrases=("Contoso",), segmentation_silence_ms=300, start_sensitivity="high")
    first = emulator.recognitions[-1]
    await line.hear(sound(0.3))
    second = emulator.recognitions[-1]
    assert "Contoso" in str(first.context)
    assert not second.phrase_list
    assert "segmentation" not in str(second.context)
    assert "voiceOnsetSensitivity" not in str(second.context)
    assert "continuation" not in str(second.context)
    assert first.connection.number != second.connection.number


async def test_semantic_segmentation_reaches_the_service(line, emulator) -> None:
    await line.hear(sound(0.3), segmentation_strategy="Semantic")
    assert "'segmentation': {'mode': 'Semantic'}" in str(emulator.recognitions[-1].context)


async def test_what_azure_would_refuse_is_refused_and_the_client_is_as_good_as_before(line) -> None:
    client = await line.warm()
    with pytest.raises(InvalidInput, match="segmentation_silence_ms"):
        client.recognize(RecognitionOptions(segmentation_strategy="Semantic", segmentation_silence_ms=300))
    assert client.is_ready
    assert texts(await feed(client.recognize(RecognitionOptions()), sound(0.3)))


async def test_a_session_may_speak_another_language_of_its_pool(emulator) -> None:
    async with line_to(f"{emulator.url}/stt/speech/universal/v2") as line:
        client = await line.warm(languages=("en-US", "fr-FR"))
        events = await feed(client.recognize(RecognitionOptions(language="fr-FR")), sound(0.3))
        assert emulator.recognitions[-1].language == "fr-FR"
        assert finals(events)[0].language == "fr-FR"
        assert emulator.counts.upgrades == 1


async def test_a_container_speaks_the_first_language_of_its_pool(line) -> None:
    client = await line.warm(languages=("en-US", "fr-FR"))
    with pytest.raises(InvalidInput, match="'en-US'"):
        client.recognize(RecognitionOptions(language="fr-FR"))
    await client.close()


async def test_the_language_is_detected_continuously(line, emulator) -> None:
    emulator.configure(detected_language="fr-FR")
    client = await line.warm(languages=("en-US", "fr-FR"), mode=LanguageMode.DETECT)
    events = await feed(client.recognize(RecognitionOptions()), sound(0.5))
    record = emulator.recognitions[-1]
    assert record.context["languageId"]["mode"] == "DetectContinuous"
    assert tuple(record.languages) == ("en-US", "fr-FR")
    assert finals(events)[0].language == "fr-FR"


# --- commit --------------------------------------------------------------------------------------------------------


async def test_a_commit_ends_the_segment_at_once_and_audio_may_follow(line, emulator) -> None:
    emulator.transcripts.say("first", "second")
    recognizing = (await line.warm()).recognize(RecognitionOptions(partials=False))
    await recognizing.write(sound(1.0))
    await recognizing.commit()
    first = await next_final(recognizing)
    assert (first.text, first.duration_seconds) == ("first", pytest.approx(1.0))
    rest = await feed(recognizing, sound(0.5))
    assert [(final.text, final.offset_seconds) for final in finals(rest)] == [("second", pytest.approx(1.0))]
    assert emulator.recognitions[-1].commits == 1


async def test_a_commit_before_any_audio_is_answered(line) -> None:
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    await recognizing.commit()
    assert (await next_final(recognizing)).text == ""
    await recognizing.cancel()


async def test_a_commit_with_nothing_said_is_answered(line) -> None:
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    await recognizing.write(quiet(0.5))
    await recognizing.commit()
    assert (await next_final(recognizing)).text == ""
    await recognizing.cancel()


@pytest.fixture
def ignores_commits(emulator) -> Iterator[None]:
    emulator.configure(inline_commit=False)
    yield
    emulator.configure(inline_commit=True)


@pytest.mark.usefixtures("ignores_commits")
async def test_a_commit_that_the_service_does_not_know_is_followed_by_silence(emulator) -> None:
    emulator.transcripts.say("first")
    async with line_to(emulator.url, commit_seconds=0.2) as line:
        recognizing = (await line.warm()).recognize(RecognitionOptions(partials=False, segmentation_silence_ms=300))
        await recognizing.write(sound(1.0))
        await recognizing.commit()
        assert (await next_final(recognizing)).text == "first"
        await recognizing.cancel()


@pytest.mark.usefixtures("ignores_commits")
async def test_a_commit_with_nothing_said_that_the_service_does_not_know_is_answered(emulator) -> None:
    async with line_to(emulator.url, commit_seconds=0.2) as line:
        recognizing = (await line.warm()).recognize(RecognitionOptions(segmentation_silence_ms=100))
        await recognizing.write(quiet(0.5))
        await recognizing.commit()
        assert (await next_final(recognizing)).text == ""
        await recognizing.cancel()


async def test_commits_in_a_row_are_all_sent(line, emulator) -> None:
    """The SDK refuses one within 100 ms of another."""
    recognizing = (await line.warm()).recognize(RecognitionOptions(partials=False))
    for _ in range(3):
        await recognizing.write(sound(0.3))
        await recognizing.commit()
    events = await feed(recognizing)
    assert len(finals(events)) == 3
    assert emulator.recognitions[-1].commits >= 2, "the end of the audio may overtake the last"


async def test_without_the_services_commit_silence_ends_the_segment_and_takes_no_time(emulator) -> None:
    emulator.transcripts.say("first", "second")
    async with line_to(emulator.url, inline_commit=False) as line:
        recognizing = (await line.warm()).recognize(RecognitionOptions(partials=False, segmentation_silence_ms=300))
        await recognizing.write(sound(1.0))
        await recognizing.commit()
        assert (await next_final(recognizing)).text == "first"
        rest = await feed(recognizing, sound(0.5))
        assert [(final.text, final.offset_seconds) for final in finals(rest)] == [("second", pytest.approx(1.0))]
        assert finals(rest)[0].duration_seconds == pytest.approx(0.5)
    record = emulator.recognitions[-1]
    assert record.commits == 0
    assert record.audio_bytes == (1.0 + 0.8 + 0.5) * 32_000


# --- the end -------------------------------------------------------------------------------------------------------


async def test_cancel_ends_it_without_a_further_event(line, emulator) -> None:
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    await recognizing.write(sound(1.0))
    await emulator.until(lambda: emulator.counts.recognitions == 1, seconds=LIMIT_SECONDS)
    await recognizing.cancel()
    assert [event async for event in recognizing] == []
    await recognizing.write(sound(1.0))  # of no effect
    await recognizing.commit()
    await recognizing.finish()
    await recognizing.cancel()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


async def test_cancel_wakes_who_waits_for_events(line) -> None:
    recognizing = (await line.warm()).recognize(RecognitionOptions())

    async def listen() -> list[object]:
        return [event async for event in recognizing]

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await recognizing.cancel()
    assert await asyncio.wait_for(listening, LIMIT_SECONDS) == []


async def test_clearing_the_session_state_ends_the_session(line) -> None:
    client = await line.warm()
    recognizing = client.recognize(RecognitionOptions())
    await client.clear_session_state()
    assert [event async for event in recognizing] == []
    assert not client.is_reusable


async def test_closing_a_client_in_use_is_told_to_its_user(line) -> None:
    client = await line.warm()
    recognizing = client.recognize(RecognitionOptions())
    await client.close()
    with pytest.raises(EngineFailed, match="closed"):
        await anext(recognizing)
    assert not line.endpoint.failures


async def test_a_retired_client_that_is_idle_is_lost(line) -> None:
    client = await line.warm()
    lost: list[None] = []
    client.on_lost(lambda: lost.append(None))
    client.retire()
    client.retire()
    assert len(lost) == 1
    assert not client.is_ready


async def test_a_retired_client_in_use_goes_on_to_its_end(line) -> None:
    client = await line.warm()
    recognizing = client.recognize(RecognitionOptions())
    client.retire()
    assert texts(await feed(recognizing, sound(0.3)))


async def test_many_sessions_leave_nothing_behind(emulator) -> None:
    async with line_to(emulator.url) as line:
        for _ in range(3):
            heard = await asyncio.gather(*(line.hear(sound(0.3)) for _ in range(5)))
            assert all(texts(events) for events in heard)
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    assert emulator.counts.upgrades == 15
    assert not line.threads.disposing
    assert not sdk_results._callbacks


async def test_nothing_said_and_no_secret_is_shown(emulator, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.transcripts.say("my secret words")
    async with line_to(emulator.url) as line:
        client = await line.warm()
        recognizing = client.recognize(RecognitionOptions(phrases=("secret phrase",)))
        events = await feed(recognizing, sound(0.5))
        shown = f"{client!r} {recognizing!r} {recognizing.report!r} {events!r} {caplog.text}"
    assert "secret" not in shown
    assert texts(events) == ["my secret words"]


def test_it_works_on_uvloop(emulator) -> None:
    emulator.transcripts.say("on uvloop")

    async def main() -> list[str]:
        async with line_to(emulator.url) as line:
            return texts(await line.hear(sound(0.5), quiet(0.6)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == ["on uvloop"]
