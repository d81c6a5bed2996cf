"""Recognitions and transcriptions: events in order, back-pressure, deadlines, whole files."""

import asyncio

import pytest
from tests.fakes import FakeEngine, sound
from tests.unit.service.world import collect, listening, make_settings, recording, serving, speaking
from tests.virtual import VIRTUAL, elapsed

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    InvalidInput,
    NotFound,
    SettingsError,
    WorkerDied,
)
from speechpool.formats import AudioFormat, Codec
from speechpool.service.events import Behind, RecognitionSummary
from speechpool.service.recognitions import MAX_PENDING_SECONDS
from speechpool.service.requests import RecognizeRequest, TranscribeRequest
from speechpool.service.service import SpeechService
from speechpool.settings import LanguageMode
from speechpool.speech.engine import Final, Partial, SpeechEnded, SpeechStarted, UseReport

pytestmark = VIRTUAL


async def test_audio_becomes_events_in_order_and_the_summary_is_last() -> None:
    async with serving(FakeEngine()) as service, service.recognize(RecognizeRequest(words=True)) as stream:
        assert (stream.tier, stream.pool, stream.language) == ("warm", "stt", "en-US")
        await stream.write(sound(0.5, 0) + sound(1.0) + sound(0.6, 0))
        await stream.finish()
        events = await collect(stream)
    assert [type(event) for event in events] == [
        SpeechStarted,
        Partial,
        Partial,
        SpeechEnded,
        Final,
        RecognitionSummary,
    ]
    final, summary = events[-2:]
    assert final.text == "word1 word2"
    assert final.offset_seconds == pytest.approx(0.5)
    assert [word.text for word in final.words] == ["word1", "word2"]
    assert (summary.outcome, summary.tier) == ("completed", "warm")
    assert summary.audio_seconds == pytest.approx(2.1)


async def test_commit_makes_the_segment_final_in_order_with_the_audio() -> None:
    async with serving(FakeEngine()) as service, service.recognize(RecognizeRequest(partials=False)) as stream:
        await stream.write(sound(0.5))
        await stream.commit()
        await stream.write(sound(1.0))
        await stream.finish()
        finals = [event.text for event in await collect(stream) if isinstance(event, Final)]
    assert finals == ["word1", "word1 word2"]


async def test_partials_come_only_when_they_are_asked_for() -> None:
    async with serving(FakeEngine()) as service, service.recognize(RecognizeRequest(partials=False)) as stream:
        await stream.write(sound(2.0))
        await stream.finish()
        assert not [event for event in await collect(stream) if isinstance(event, Partial)]


async def test_telephone_audio_is_converted() -> None:
    mulaw = AudioFormat(Codec.MULAW, 8_000)
    async with serving(FakeEngine()) as service:
        with pytest.raises(InvalidInput):
            service.recognize(RecognizeRequest(format=AudioFormat(Codec.MP3, 24_000)))
        assert service.recognize(RecognizeRequest(format=mulaw))


async def test_audio_faster_than_it_is_heard_waits_and_says_how_far_behind_it_is() -> None:
    engine = FakeEngine(recognition_rate=2.0)
    async with serving(engine) as service, service.recognize(RecognizeRequest()) as stream:
        events = []

        async def read() -> None:
            async for event in stream:
                events.append(event)

        reader = asyncio.create_task(read())
        began = asyncio.get_running_loop().time()
        for _ in range(60):
            await stream.write(sound(1.0))
        assert elapsed(began) > 90, "an hour of audio must not be taken in a moment"
        behind = [event.seconds for event in events if isinstance(event, Behind)]
        assert behind[0] >= 2
        assert max(behind) <= 10.5
        await stream.finish()
        await reader
        behind = [event.seconds for event in events if isinstance(event, Behind)]
        assert behind[-1] == 0.0
        assert events[-1].audio_seconds == pytest.approx(60)


async def test_a_recogniser_that_stands_still_is_told_of_though_nobody_moves() -> None:
    engine = FakeEngine(recognition_rate=1000.0)
    async with serving(engine) as service, service.recognize(RecognizeRequest()) as stream:
        began = asyncio.get_running_loop().time()
        writer = asyncio.create_task(stream.write(sound(30.0)))

        event = await anext(stream)

        assert isinstance(event, Behind)
        assert event.seconds == pytest.approx(MAX_PENDING_SECONDS, abs=0.5)
        assert elapsed(began) < 2
        assert not writer.done(), "the writer waits for room"
        await stream.cancel()
        await writer


@pytest.mark.parametrize("param", ["phrases", "grammar"])
async def test_no_more_is_told_beforehand_than_any_engine_takes(param: str) -> None:
    async with serving(FakeEngine()) as service:
        with pytest.raises(InvalidInput, match=f"{param} must have at most 500 entries; it has 501"):
            service.recognize(RecognizeRequest(**{param: ("word",) * 501}))


async def test_audio_beyond_the_longest_time_ends_the_recognition_cleanly() -> None:
    async with (
        serving(FakeEngine(), max_recognition_seconds=3.0) as service,
        service.recognize(RecognizeRequest()) as stream,
    ):
        for _ in range(10):
            await stream.write(sound(1.0))
        events = await collect(stream)
    assert isinstance(events[-2], Final)
    assert events[-1].outcome == "completed"
    assert events[-1].audio_seconds <= 3.0


async def test_audio_after_the_end_is_an_error_that_harms_nothing() -> None:
    async with serving(FakeEngine()) as service, service.recognize(RecognizeRequest()) as stream:
        await stream.write(sound(1.0))
        await stream.finish()
        with pytest.raises(InvalidInput, match="after its end"):
            await stream.write(sound(1.0))
        assert (await collect(stream))[-1].outcome == "completed"


async def test_cancel_ends_with_the_summary_alone_and_lets_the_writer_go() -> None:
    engine = FakeEngine(recognition_rate=2.0)
    async with serving(engine) as service, service.recognize(RecognizeRequest()) as stream:
        writer = asyncio.create_task(stream.write(sound(60.0)))
        await asyncio.sleep(3)
        await stream.cancel()
        await asyncio.wait_for(writer, 1)
        events = await collect(stream)
        await stream.write(sound(1.0))
    assert [event.outcome for event in events] == ["canceled"]
    assert not engine.busy_clients


async def test_a_reader_that_sleeps_holds_the_engine_not_the_memory() -> None:
    engine = FakeEngine(recognition_rate=0.0)
    async with serving(engine) as service, service.recognize(RecognizeRequest()) as stream:
        writer = asyncio.create_task(stream.write(sound(3600.0)))
        await asyncio.sleep(120)
        assert not writer.done()
        writer.cancel()
        await asyncio.wait({writer})


# --- failures ---


async def test_an_engine_that_takes_no_audio_is_noticed() -> None:
    engine = FakeEngine()
    async with serving(engine, chunk_gap_timeout_seconds=5.0) as service:
        engine.fail(None, times=3)
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(5.0))
            with pytest.raises(EngineTimeout, match="chunk_gap_timeout_seconds = 5"):
                await collect(stream)
        assert engine.recognizers[0].closes == 1


async def test_an_engine_that_is_silent_after_the_end_is_noticed() -> None:
    engine = FakeEngine()
    async with serving(engine, chunk_gap_timeout_seconds=5.0) as service:
        engine.fail(None, times=3)
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(0.5))
            await stream.finish()
            with pytest.raises(EngineTimeout, match="after the end"):
                await collect(stream)


async def test_a_client_that_dies_ends_it_with_an_error_and_is_replaced() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(1.0))
            await anext(stream)
            engine.busy_clients[0].die()
            with pytest.raises(WorkerDied):
                await collect(stream)
        await asyncio.sleep(1)
        async with service.recognize(RecognizeRequest()) as stream:
            assert stream.tier == "warm"


@pytest.mark.parametrize(
    "error", [EngineFailed("broke off"), WorkerDied("killed"), AuthenticationFailed("an old key"), None]
)
async def test_a_client_that_fails_before_it_told_anything_is_replaced_and_no_audio_is_lost(error) -> None:
    engine = FakeEngine()
    async with serving(engine, chunk_gap_timeout_seconds=3.0) as service:
        engine.fail(error, dies=isinstance(error, WorkerDied))
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(0.5))
            await stream.commit()
            await stream.write(sound(1.0))
            await stream.finish()
            events = await collect(stream)
    assert [event.text for event in events if isinstance(event, Final)] == ["word1", "word1 word2"]
    assert events[-1].audio_seconds == pytest.approx(1.5)
    assert len(engine.asked) == 2


async def test_a_recogniser_that_told_something_is_not_repeated() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(EngineFailed("broke off"), after_chunks=2)
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(3.0))
            with pytest.raises(EngineFailed):
                await collect(stream)
    assert len(engine.asked) == 1


async def test_audio_beyond_what_is_kept_is_not_heard_twice() -> None:
    engine = FakeEngine(recognition_rate=0.0)
    async with serving(engine) as service:
        engine.fail(EngineFailed("broke off"), after_chunks=30)
        async with service.recognize(RecognizeRequest()) as stream:
            writer = asyncio.create_task(stream.write(sound(20.0, 0)))
            with pytest.raises(EngineFailed):
                await collect(stream)
            await writer
    assert len(engine.asked) == 1


async def test_a_recogniser_that_was_not_warm_after_all_is_told_as_cold() -> None:
    report = UseReport(was_warm=False, connect_seconds=0.2, endpoint="westeurope", reference="4711")
    async with serving(FakeEngine(report=report)) as service, service.recognize(RecognizeRequest()) as stream:
        await stream.write(sound(1.0))
        await stream.finish()
        summary = (await collect(stream))[-1]
    assert (summary.tier, summary.warm_miss, summary.report) == ("cold", True, report)


async def test_single_use_clients_are_closed_and_replaced() -> None:
    engine = FakeEngine(single_use_recognizers=True)
    async with serving(engine) as service:
        for _ in range(5):
            async with service.recognize(RecognizeRequest()) as stream:
                await stream.write(sound(0.5))
                await stream.finish()
                assert stream.tier == "warm"
                await collect(stream)
            await asyncio.sleep(1)
    assert all(client.uses <= 1 for client in engine.recognizers)


async def test_words_that_a_grammar_cannot_have_are_refused_and_the_client_stays() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        with pytest.raises(InvalidInput, match="xyzzy"):
            async with service.recognize(RecognizeRequest(grammar=("xyzzy plugh",))):
                pass
        await asyncio.sleep(1)
        assert not any(client.closes for client in engine.recognizers)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"phrases": ("",)}, "phrases[0]"),
        ({"phrases": ("a",) * 501}, "phrases"),
        ({"grammar": ("a\x00",)}, "grammar[0]"),
        ({"segmentation_silence_ms": 50}, "segmentation_silence_ms"),
        ({"segmentation_silence_ms": 5001}, "segmentation_silence_ms"),
        ({"segmentation_maximum_ms": 19_999}, "segmentation_maximum_ms"),
        ({"segmentation_maximum_ms": 70_001}, "segmentation_maximum_ms"),
        ({"segmentation_strategy": "semantic"}, "segmentation_strategy"),
        ({"segmentation_strategy": "Semantic", "segmentation_silence_ms": 500}, "segmentation_strategy"),
        ({"segmentation_strategy": "Semantic", "segmentation_maximum_ms": 30_000}, "segmentation_strategy"),
        ({"start_sensitivity": "loud"}, "start_sensitivity"),
    ],
)
async def test_a_wrong_option_is_named(values, param) -> None:
    async with serving(FakeEngine(segmentation=True)) as service:
        with pytest.raises(InvalidInput) as caught:
            service.recognize(RecognizeRequest(**values))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "option", [{"segmentation_maximum_ms": 30_000}, {"segmentation_strategy": "Time"}, {"start_sensitivity": "high"}]
)
async def test_what_the_engine_does_not_heed_is_refused(option) -> None:
    (param,) = option
    async with serving(FakeEngine()) as service:
        with pytest.raises(InvalidInput) as caught:
            service.recognize(RecognizeRequest(**option))
    assert (caught.value.param, caught.value.code) == (param, "unsupported_value")


async def test_the_engine_is_told_how_to_cut_segments() -> None:
    engine = FakeEngine(segmentation=True)
    options = {
        "segmentation_silence_ms": 300,
        "segmentation_maximum_ms": 30_000,
        "segmentation_strategy": "Time",
        "start_sensitivity": "high",
    }
    async with serving(engine) as service, service.recognize(RecognizeRequest(**options)):
        pass
    assert {name: getattr(engine.asked[0], name) for name in options} == options


# --- formats ---

MULAW = AudioFormat(Codec.MULAW, 8_000)
BOTH = frozenset({MULAW, AudioFormat(Codec.PCM, 16_000)})


async def test_audio_goes_to_the_pool_that_takes_it_as_it_is() -> None:
    engine = FakeEngine(input_formats=BOTH)
    pools = (speaking(), listening("wide"), listening("phone", input_format="Raw8Khz8BitMonoMULaw"))
    async with serving(engine, *pools) as service:
        async with service.recognize(RecognizeRequest()) as stream:
            assert stream.pool == "wide"
        async with service.recognize(RecognizeRequest(format=MULAW)) as stream:
            assert stream.pool == "phone"
            await stream.write(b"\x10" * 8_000)
            await stream.finish()
            final = next(event for event in await collect(stream) if isinstance(event, Final))
        assert (final.text, final.duration_seconds) == ("word1 word2", pytest.approx(1.0))


async def test_a_format_that_the_engine_does_not_take_is_refused_at_the_start() -> None:
    pool = listening(input_format="Raw8Khz8BitMonoMULaw")
    with pytest.raises(SettingsError, match=r"pools\.stt\.inputFormat = 'Raw8Khz8BitMonoMULaw'.*it takes pcm 16000 Hz"):
        await SpeechService(FakeEngine(), make_settings(speaking(), pool)).open()


# --- languages ---


async def test_the_pool_is_chosen_by_language() -> None:
    pools = (speaking(), listening("english"), listening("german", languages=("de-DE",)))
    async with serving(FakeEngine(), *pools) as service:
        for language, pool, tag in (
            ("de", "german", "de-DE"),
            ("en-us", "english", "en-US"),
            (None, "english", "en-US"),
        ):
            async with service.recognize(RecognizeRequest(language=language)) as stream:
                assert (stream.pool, stream.language) == (pool, tag)
        with pytest.raises(InvalidInput, match=r"'fr-FR'.*known are de-DE, en-US"):
            async with service.recognize(RecognizeRequest(language="fr-FR")):
                pass
        with pytest.raises(NotFound, match=r"'nosuch'.*english, german"):
            async with service.recognize(RecognizeRequest(pool="nosuch")):
                pass
        assert service.languages() == ("en-US", "de-DE")


async def test_a_pool_that_detects_tells_the_language_with_each_final() -> None:
    pool = listening("any", languages=("en-US", "de-DE"), language_mode=LanguageMode.DETECT)
    async with serving(FakeEngine(detected_language="de-DE"), speaking(), pool) as service:
        async with service.recognize(RecognizeRequest()) as stream:
            assert stream.language == ""
            await stream.write(sound(1.0))
            await stream.finish()
            *_, final, summary = await collect(stream)
        assert (final.language, summary.language) == ("de-DE", "de-DE")


# --- whole files ---


async def test_a_recording_becomes_a_transcript() -> None:
    async with serving(FakeEngine()) as service:
        transcript = await service.transcribe(TranscribeRequest(upload=recording(2.0))).result()
    assert transcript.text == "word1 word2 word3 word4"
    assert len(transcript.words) == 4
    assert transcript.duration_seconds == pytest.approx(2.0)
    assert (transcript.language, transcript.tier, transcript.pool) == ("en-US", "warm", "stt")


async def test_a_recording_can_be_followed_and_is_never_late() -> None:
    async with (
        serving(FakeEngine(recognition_rate=1.0)) as service,
        service.transcribe(TranscribeRequest(upload=recording(30.0))) as stream,
    ):
        events = await collect(stream)
    assert {type(event) for event in events} == {SpeechStarted, SpeechEnded, Final, RecognitionSummary}


async def test_a_client_that_fails_is_made_up_for_by_another() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(EngineFailed("broke off"), after_chunks=1)
        transcript = await service.transcribe(TranscribeRequest(upload=recording(2.0))).result()
    assert transcript.text == "word1 word2 word3 word4"
    assert sum(client.uses for client in engine.recognizers) == 2


async def test_what_is_no_audio_takes_no_client() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        with pytest.raises(InvalidInput) as caught:
            await service.transcribe(TranscribeRequest(upload=recording(0.0))).result()
        assert caught.value.param == "file"
    assert not any(client.uses for client in engine.recognizers)


async def test_a_recording_that_is_too_long_is_refused() -> None:
    async with serving(FakeEngine(), max_recognition_seconds=1.0) as service:
        with pytest.raises(InvalidInput) as caught:
            await service.transcribe(TranscribeRequest(upload=recording(5.0))).result()
    assert caught.value.code == "audio_too_long"
