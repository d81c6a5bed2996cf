"""Utterances: audio in order, deadlines, retries, cancellation, accounting."""

import asyncio

import pytest
from tests.fakes import SECONDS_PER_CHARACTER, FakeEngine, audio_of, makers_of
from tests.unit.service.world import SENTENCE, ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    PoolFull,
    PoolTimeout,
    Throttled,
    WorkerDied,
)
from speechpool.formats import OUTPUT_FORMATS
from speechpool.service.events import AudioBytes, SpeechSummary
from speechpool.service.service import SpeechService
from speechpool.speech.engine import Bookmark, UseReport, Viseme, WordBoundary

pytestmark = VIRTUAL

PCM_24K = OUTPUT_FORMATS["Raw24Khz16BitMonoPcm"]
LENGTH = len(SENTENCE) * SECONDS_PER_CHARACTER


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_audio_is_the_engines_own_in_order_and_the_summary_is_last() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak(ask()) as stream:
        *audio, summary = await collect(stream)
    maker = engine.said[0][0]
    assert b"".join(event.data for event in audio) == audio_of(SENTENCE, PCM_24K, maker)
    assert isinstance(summary, SpeechSummary)
    assert (summary.outcome, summary.tier, summary.pool, summary.attempts) == ("completed", "warm", "tts", 1)
    assert summary.characters == len(SENTENCE)
    assert summary.audio_seconds == pytest.approx(LENGTH)
    assert summary.bytes_sent == len(audio_of(SENTENCE, PCM_24K))
    assert summary.wait_seconds == 0
    assert summary.first_byte_seconds == pytest.approx(engine.first_chunk_seconds)
    assert summary.rtf == pytest.approx((0.05 + 0.001 * 29) / LENGTH, rel=0.01)
    assert (summary.played.text, summary.played.estimated) == (SENTENCE, False)


@pytest.mark.parametrize(
    ("options", "are_asked_for"),
    [({}, True), ({"tells_played": False}, False), ({"tells_played": False, "word_boundaries": True}, True)],
)
async def test_words_are_asked_for_where_somebody_can_hear_of_them(
    options: dict[str, bool], are_asked_for: bool
) -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(**options))
    assert [utterance.word_boundaries for _, utterance in engine.said] == [are_asked_for]


async def test_a_prompt_that_is_kept_keeps_its_words() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=1_000_000) as service:
        await said(service, ask(tells_played=False))
    assert [utterance.word_boundaries for _, utterance in engine.said] == [True]


async def test_a_wav_has_a_header_and_then_the_same_audio() -> None:
    async with serving(FakeEngine()) as service:
        audio = await said(service, ask(response_format="wav"))
    assert audio[:4] == b"RIFF"
    assert audio[44:] == audio_of(SENTENCE, PCM_24K, makers_of(audio[44:])[0])


async def test_one_caller_after_another_makes_no_new_client() -> None:
    engine = FakeEngine()
    async with serving(engine, speaking(), listening()) as service:
        for _ in range(20):
            await said(service, ask())
            await asyncio.sleep(1)
    assert len(engine.synthesizers) <= 3
    assert all(client.resets == client.uses for client in engine.synthesizers)


async def test_a_cold_call_says_so_and_how_long_it_waited() -> None:
    engine = FakeEngine(create_seconds=0.2)
    async with serving(engine, speaking(warm_pool_size=0), listening()) as service, service.speak(ask()) as stream:
        assert (stream.tier, stream.wait_seconds) == ("cold", pytest.approx(0.2))


async def test_words_visemes_and_bookmarks_come_only_when_they_are_asked_for() -> None:
    async with serving(FakeEngine()) as service:
        async with service.speak(ask()) as stream:
            plain = await collect(stream)
        request = ask('<speak>a <mark name="mark"/> b</speak>', is_ssml=True, word_boundaries=True, visemes=True)
        async with service.speak(request) as stream:
            marked = await collect(stream)
    assert {type(event) for event in plain} == {AudioBytes, SpeechSummary}
    assert {type(event) for event in marked} == {WordBoundary, Viseme, Bookmark, AudioBytes, SpeechSummary}
    assert [event.text for event in marked if isinstance(event, WordBoundary)] == ["a", "b"]


# --- deadlines and retries ---


async def test_a_client_that_fails_before_its_first_audio_is_replaced_and_nobody_notices() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(EngineFailed("broke off"))
        async with service.speak(ask()) as stream:
            events = await collect(stream)
        await asyncio.sleep(1)
        assert service.pool("tts")["warm_pool_size"] >= 2
    assert events[-1].attempts == 2
    assert makers_of(b"".join(event.data for event in events[:-1])) == [engine.said[1][0]]
    assert engine.said[0][0] != engine.said[1][0]
    assert engine.clients[engine.said[0][0] - 1].closes == 1


@pytest.mark.parametrize("error", [EngineFailed("broke off"), WorkerDied("killed"), None])
async def test_a_third_failure_is_the_callers(error) -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(error, times=3)
        async with service.speak(ask()) as stream:
            with pytest.raises(type(error) if error else EngineTimeout):
                await collect(stream)
        assert await said(service, ask())


async def test_after_the_first_audio_nothing_is_said_again() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(EngineFailed("broke off"), after_chunks=3)
        async with service.speak(ask()) as stream:
            events = [await anext(stream) for _ in range(3)]
            with pytest.raises(EngineFailed):
                await anext(stream)
    assert len(engine.said) == 1
    assert all(isinstance(event, AudioBytes) for event in events)


@pytest.mark.parametrize(
    "error", [InvalidInput("refused", param="input"), Throttled("slow down", retry_after_seconds=1)]
)
async def test_what_would_fail_on_every_client_is_not_tried_again(error) -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(error)
        async with service.speak(ask()) as stream:
            with pytest.raises(type(error)):
                await anext(stream)
    assert len(engine.said) == 1


async def test_a_refused_text_leaves_the_client_in_the_pool() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(InvalidInput("refused", param="input"))
        with pytest.raises(InvalidInput):
            await said(service, ask())
        await said(service, ask())
    assert engine.said[0][0] == engine.said[1][0]


async def test_first_audio_is_awaited_no_longer_than_the_setting_on_each_client() -> None:
    engine = FakeEngine()
    async with serving(engine, first_chunk_timeout_seconds=2.0) as service:
        engine.fail(None, times=3)
        began = now()
        async with service.speak(ask()) as stream:
            with pytest.raises(EngineTimeout, match="first_chunk_timeout_seconds = 2"):
                await anext(stream)
        assert elapsed(began) == pytest.approx(6.0, abs=0.1)
        assert [engine.clients[number - 1].closes for number, _ in engine.said] == [1, 1, 1]


async def test_all_attempts_together_take_no_longer_than_an_utterance_may() -> None:
    engine = FakeEngine()
    async with serving(engine, first_chunk_timeout_seconds=2.0, utterance_timeout_seconds=5.0) as service:
        engine.fail(None, times=3)
        began = now()
        async with service.speak(ask()) as stream:
            with pytest.raises(EngineTimeout, match="utterance_timeout_seconds = 5"):
                await anext(stream)
        assert elapsed(began) == pytest.approx(5.0, abs=0.1)


async def test_a_client_that_is_refused_its_credentials_is_closed_and_another_tries_once() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.fail(AuthenticationFailed("an old key"))
        assert await said(service, ask())
        assert engine.clients[engine.said[0][0] - 1].closes == 1
        engine.fail(AuthenticationFailed("a wrong key"), times=3)
        with pytest.raises(AuthenticationFailed):
            await said(service, ask())
        assert len(engine.said) == 4
        engine.faults.clear()


async def test_throttling_is_tried_at_another_endpoint_and_never_at_the_same_again() -> None:
    engine = FakeEngine(report=UseReport(endpoint="westeurope"))
    async with serving(engine) as service:
        engine.fail(Throttled("slow down", retry_after_seconds=4.0))
        with pytest.raises(Throttled) as caught:
            await said(service, ask())
        assert caught.value.retry_after_seconds == 4.0
        assert not engine.busy_clients
        engine.fail(Throttled("slow down", retry_after_seconds=4.0))
        async with service.speak(ask()) as stream:
            await asyncio.sleep(0.01)  # the first client speaks
            engine.report = UseReport(endpoint="eastus")
            assert (await collect(stream))[-1].report.endpoint == "eastus"


async def test_a_creation_that_fails_is_tried_once_more() -> None:
    engine = FakeEngine()
    async with serving(engine, speaking(warm_pool_size=0), listening()) as service:
        engine.create_error = EngineUnavailable("no connection")
        before = service.pool("tts")["metrics"]["creations_started"]
        with pytest.raises(EngineUnavailable):
            await said(service, ask())
        assert service.pool("tts")["metrics"]["creations_started"] - before == 2


# --- warm or not ---


@pytest.mark.parametrize("session_id", [None, "call-1"])
async def test_a_client_that_was_not_warm_after_all_is_told_as_cold_from_its_first_audio_on(session_id) -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(session_id=session_id))
        engine.report = UseReport(was_warm=False, connect_seconds=0.25, endpoint="westeurope", reference="4711")
        async with service.speak(ask(session_id=session_id)) as stream:
            acquired = stream.tier
            await anext(stream)
            assert (acquired, stream.tier) == ("dedicated" if session_id else "warm", "cold")
            summary = (await collect(stream))[-1]
        assert (summary.tier, summary.warm_miss, summary.report) == ("cold", True, engine.report)
        told = service.metrics.render()[0].decode()
        assert 'speechpool_warm_miss_total{pool="tts"} 1.0' in told
        assert 'speechpool_tts_first_byte_seconds_count{pool="tts",tier="cold"} 1.0' in told


async def test_a_cold_client_that_connects_is_no_warm_miss() -> None:
    report = UseReport(was_warm=False, connect_seconds=0.25)
    async with serving(FakeEngine(report=report), speaking(warm_pool_size=0), listening()) as service:
        async with service.speak(ask()) as stream:
            summary = (await collect(stream))[-1]
        assert (summary.tier, summary.warm_miss) == ("cold", False)


async def test_a_gap_in_the_audio_ends_the_utterance() -> None:
    engine = FakeEngine()
    async with serving(engine, chunk_gap_timeout_seconds=3.0) as service:
        engine.fail(None, after_chunks=2)
        began = now()
        async with service.speak(ask()) as stream:
            with pytest.raises(EngineTimeout, match="chunk_gap_timeout_seconds = 3"):
                await collect(stream)
        assert elapsed(began) == pytest.approx(3.05, abs=0.1)
    assert len(engine.said) == 1


async def test_a_consumers_own_slowness_is_no_gap() -> None:
    engine = FakeEngine()
    async with serving(engine, chunk_gap_timeout_seconds=1.0) as service, service.speak(ask(SENTENCE * 3)) as stream:
        async for _ in stream:
            await asyncio.sleep(1.5)
    assert len(engine.said) == 1


async def test_the_whole_utterance_has_a_longest_time_though_nobody_reads() -> None:
    engine = FakeEngine()
    async with serving(engine, utterance_timeout_seconds=20.0) as service, service.speak(ask(SENTENCE * 20)) as stream:
        await asyncio.sleep(21)
        assert not engine.busy_clients
        with pytest.raises(EngineTimeout, match="utterance_timeout_seconds = 20"):
            await collect(stream)


async def test_a_pool_that_has_none_says_so_on_entering() -> None:
    engine = FakeEngine()
    pool = speaking(warm_pool_size=1, max_size=1, acquire_timeout=1.0, max_waiting=1)
    async with serving(engine, pool, listening()) as service, service.speak(ask(SENTENCE * 20)):
        waiting = asyncio.create_task(said(service, ask()))
        await settle()
        with pytest.raises(PoolFull):
            await said(service, ask())
        with pytest.raises(PoolTimeout):
            await waiting


async def test_a_client_that_dies_while_idle_is_never_handed_out() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        first, second = engine.synthesizers[:2]
        first.die()
        second.die()
        async with service.speak(ask()) as stream:
            assert stream.tier == "cold"
            await collect(stream)
    assert first.uses == second.uses == 0
    assert engine.said[0][0] > 3


async def test_a_client_that_dies_mid_sentence_ends_it_with_an_error_and_is_replaced() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        async with service.speak(ask()) as stream:
            await anext(stream)
            engine.busy_clients[0].die()
            with pytest.raises(WorkerDied):
                await collect(stream)
        await asyncio.sleep(1)
        assert len([client for client in engine.open_clients if client.is_ready]) == 3


# --- leaving early ---


async def test_a_consumer_that_leaves_stops_the_engine_and_gives_the_client_back() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        began = now()
        async with service.speak(ask(SENTENCE * 20)) as stream:
            await anext(stream)
        assert elapsed(began) < 0.1
        assert not engine.busy_clients
        assert service.pool("tts")["warm_pool_size"] == 2
        assert service.active == 0


async def test_a_cancelled_consumer_gives_its_client_back_within_50_ms() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        task = asyncio.create_task(said(service, ask(SENTENCE * 80)))
        await asyncio.sleep(0.06)
        began = now()
        task.cancel()
        await asyncio.wait({task})
        assert elapsed(began) <= 0.05
        assert not engine.busy_clients
        assert service.pool("tts")["items"]["out"] == 0
        assert makers_of(await said(service, ask()))


async def test_a_client_that_does_not_stop_is_closed() -> None:
    engine = FakeEngine(cancel_seconds=60)
    async with serving(engine) as service:
        async with service.speak(ask()) as stream:
            await anext(stream)
        assert engine.clients[engine.said[0][0] - 1].closes == 1
        engine.violations.clear()


async def test_barge_in_drops_what_is_queued_and_tells_what_went_out() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak(ask()) as stream:
        for _ in range(10):
            await anext(stream)
        await asyncio.sleep(1)  # the rest is in the buffer
        played = await stream.cancel()
        rest = await collect(stream)
    assert played.audio_seconds == pytest.approx(1.0)
    assert played.text == "One two three four"  # "four" begins at 0.84 s, "five" at 1.14 s
    assert [type(event) for event in rest] == [SpeechSummary]
    assert rest[0].outcome == "canceled"
    assert rest[0].played == played
    assert await stream.cancel() == played


async def test_barge_in_takes_less_than_50_ms_though_the_consumer_does_not_read() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak(ask(SENTENCE * 80)) as stream:
        await anext(stream)
        await asyncio.sleep(30)  # the engine waits for the full buffer
        began = now()
        await stream.cancel()
        assert elapsed(began) <= 0.05
        assert not engine.busy_clients


async def test_without_word_times_the_text_is_proportional_and_says_so() -> None:
    async with serving(FakeEngine(word_boundaries=False)) as service, service.speak(ask()) as stream:
        for _ in range(10):
            await anext(stream)
        played = await stream.cancel()
    assert played.estimated
    assert SENTENCE.startswith(played.text)
    assert 5 <= len(played.text) <= 25


async def test_a_players_own_position_can_be_asked_about() -> None:
    async with serving(FakeEngine()) as service, service.speak(ask()) as stream:
        await collect(stream)
        assert stream.played(0.0).text == ""
        assert stream.played(0.2).text == "One"
        assert stream.played(1e9).text == SENTENCE


async def test_memory_is_bounded_while_the_consumer_sleeps() -> None:
    engine = FakeEngine(chunk_seconds=0.0001)
    async with serving(engine) as service, service.speak(ask(SENTENCE * 80)) as stream:
        await anext(stream)
        await asyncio.sleep(60)
        assert engine.busy_clients, "the engine made everything although nobody took it"
        played = await stream.cancel()
    assert played.audio_seconds == pytest.approx(0.1)


async def test_no_task_is_left() -> None:
    async with serving(FakeEngine()) as service:
        await said(service, ask())
        async with service.speak(ask()) as stream:
            await anext(stream)
    assert not tasks_left()


# --- wrong requests ---


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"text": ""}, "input"),
        ({"text": " \n"}, "input"),
        ({"text": "x" * 4097}, "input"),
        ({"text": "a\x00b"}, "input"),
        ({"text": "a\ud800b"}, "input"),
        ({"text": "x" * 65537, "is_ssml": True}, "input"),
        ({"voice": "nobody"}, "voice"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"speed": float("nan")}, "speed"),
        ({"response_format": "ogg"}, "response_format"),
        ({"sample_rate_hz": 11025}, "sample_rate"),
    ],
)
async def test_a_wrong_field_is_named_before_anything_happens(values, param) -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        with pytest.raises(InvalidInput) as caught:
            service.speak(ask(**values))
    assert caught.value.param == param
    assert engine.said == []


async def test_a_service_whose_engine_is_down_says_why() -> None:
    engine = FakeEngine(open_error=EngineUnavailable("no such library: install speechpool[local]"))
    async with SpeechService(engine, make_settings(startup_wait_seconds=1.0)) as service:
        assert not await service.wait_started()
        with pytest.raises(EngineUnavailable, match="install"):
            service.speak(ask())
        reasons = service.readiness().reasons
        assert [(reason.component, reason.reason) for reason in reasons] == [("engine", "EngineUnavailable")]
        assert service.is_started
        engine.open_error = None
        await service.wait_ready()
        assert await said(service, ask())
