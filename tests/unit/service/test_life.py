"""The service's life: ready, live settings, drain and close; caps and what Prometheus is told."""

import asyncio
import itertools

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes import SECONDS_PER_CHARACTER, FakeEngine, sound
from tests.unit.service.world import SENTENCE, ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import EngineFailed, EngineUnavailable, NotFound, PoolClosed, QuotaExceeded, SettingsError
from speechpool.service.events import AudioBytes
from speechpool.service.requests import RecognizeRequest
from speechpool.service.service import SpeechService

pytestmark = VIRTUAL


def now() -> float:
    return asyncio.get_running_loop().time()


# --- ready ---


async def test_it_is_ready_when_all_pools_are_warm_and_not_before() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with SpeechService(engine, make_settings()) as service:
        await asyncio.sleep(0.5)
        readiness = service.readiness()
        assert (readiness.ready, readiness.started) == (False, False)
        assert {(reason.component, reason.reason) for reason in readiness.reasons} == {
            ("tts", "NotWarm"),
            ("stt", "NotWarm"),
        }
        began = now()
        assert await service.wait_started()
        assert elapsed(began) == pytest.approx(0.5)
        assert service.readiness().as_dict() == {"ready": True, "started": True, "reasons": []}
        assert service.pool("tts")["warm_pool_size"] == 2
    engine.check(all_closed=True)


async def test_it_is_started_after_the_longest_wait_though_no_client_can_be_made() -> None:
    engine = FakeEngine(create_error=EngineUnavailable("down"))
    async with SpeechService(engine, make_settings(startup_wait_seconds=5.0)) as service:
        assert not await service.wait_started()
        readiness = service.readiness()
        assert (readiness.ready, readiness.started) == (False, True)
        assert "EngineUnavailable" in readiness.reasons[0].message
        engine.create_error = None
        await service.wait_ready()
        assert await said(service, ask())
    engine.check(all_closed=True)


async def test_the_engine_is_tried_again_with_growing_pauses() -> None:
    engine = FakeEngine(open_error=EngineUnavailable("down"))
    tries = []

    async def opened() -> None:
        tries.append(now())
        await FakeEngine.open(engine)

    engine.open = opened  # type: ignore[method-assign] # one more dial
    async with SpeechService(engine, make_settings()):
        await asyncio.sleep(120)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses[0] <= 0.5
    assert 15 <= max(pauses) <= 30


async def test_an_engine_that_never_can_open_with_its_settings_is_not_tried_again() -> None:
    engine = FakeEngine()
    tries = []

    async def refused() -> None:
        tries.append(now())
        raise SettingsError("engines.fake.voice: there is no such voice")

    engine.open = refused  # type: ignore[method-assign] # one more dial
    async with SpeechService(engine, make_settings()) as service:
        with pytest.raises(SettingsError, match="no such voice"):
            await service.wait_started()
        assert service.readiness().reasons[0].message == "engines.fake.voice: there is no such voice"
        await asyncio.sleep(120)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (speaking(output_format="Raw48Khz16BitMonoPcm"), "pools.tts.outputFormat = 'Raw48Khz16BitMonoPcm'"),
        (listening(languages=("xx-XX",)), "pools.stt.languages = xx-XX"),
    ],
)
async def test_a_pool_that_the_engine_cannot_fill_is_refused_at_once(pool, message) -> None:
    engine = FakeEngine()
    engine.output_formats = frozenset(each for each in engine.output_formats if each.sample_rate_hz < 48_000)
    service = SpeechService(engine, make_settings(pool))
    with pytest.raises(SettingsError, match=message):
        await service.open()
    await service.close()


# --- live settings ---


async def test_new_sizes_hold_at_once() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        new = make_settings(speaking(warm_pool_size=5), listening(), first_chunk_timeout_seconds=1.0)
        await service.apply(service.settings, new)
        await asyncio.sleep(1)
        assert service.pool("tts")["warm_pool_size"] == 5
        assert service.settings.first_chunk_timeout_seconds == 1.0
        engine.fail(None, times=3)
        began = now()
        with pytest.raises(Exception, match="first_chunk_timeout_seconds = 1"):
            await said(service, ask())
        assert elapsed(began) == pytest.approx(3.0, abs=0.1)


async def test_settings_that_one_pool_refuses_change_none() -> None:
    async with serving(FakeEngine()) as service:
        old = service.settings
        refused = listening(warm_pool_size=1, languages=("xx-XX",))
        with pytest.raises(SettingsError):
            await service.apply(old, make_settings(speaking(warm_pool_size=5), refused))
        await asyncio.sleep(1)
        assert service.settings is old
        assert service.pool("tts")["warm_pool_target"] == 2


async def test_a_pool_of_another_format_replaces_the_old_one_without_a_cold_call() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with serving(engine) as service:
        async with service.speak(ask(SENTENCE * 20)) as long:
            await anext(long)
            new = make_settings(speaking(output_format="Raw8Khz16BitMonoPcm"), listening())
            await service.apply(service.settings, new)
            await settle()
            assert service.pool("tts")["replacing"]
            async with service.speak(ask()) as stream:
                assert stream.tier == "warm"
                await collect(stream)
            await asyncio.sleep(2)
            assert service.pool("tts")["format"]["sample_rate_hz"] == 8000
            async with service.speak(ask(sample_rate_hz=8000)) as stream:
                assert stream.tier == "warm"
                await collect(stream)
            assert (await collect(long))[-1].outcome == "completed"
        await asyncio.sleep(1)
        assert {client.profile.format.sample_rate_hz for client in engine.synthesizers if not client.closes} == {8000}


async def test_pools_come_and_go() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await service.apply(service.settings, make_settings(speaking(), listening(), speaking("loud")))
        await asyncio.sleep(1)
        assert list(service.pools()) == ["tts", "stt", "loud"]
        async with service.speak(ask(pool="loud")) as stream:
            assert (stream.pool, stream.tier) == ("loud", "warm")
            await service.apply(service.settings, make_settings(speaking(), listening()))
            assert list(service.pools()) == ["tts", "stt"]
            assert (await collect(stream))[-1].outcome == "completed"
        await asyncio.sleep(1)
        assert len(engine.open_clients) <= 4


async def test_a_replacement_that_cannot_be_made_leaves_the_old_pool_in_place() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.create_error = EngineUnavailable("down")
        await service.apply(service.settings, make_settings(speaking(output_format="Raw8Khz16BitMonoPcm"), listening()))
        await asyncio.sleep(300)
        assert service.pool("tts")["format"]["sample_rate_hz"] == 24_000
        assert await said(service, ask())
        engine.create_error = None
        await asyncio.sleep(120)
        assert service.pool("tts")["format"]["sample_rate_hz"] == 8000


async def test_settings_that_change_again_meanwhile_leave_only_the_last() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with serving(engine) as service:
        for output_format in ("Raw8Khz16BitMonoPcm", "Raw16Khz16BitMonoPcm", "Raw48Khz16BitMonoPcm"):
            await service.apply(service.settings, make_settings(speaking(output_format=output_format), listening()))
            await asyncio.sleep(0.3)
        await asyncio.sleep(5)
        assert service.pool("tts")["format"]["sample_rate_hz"] == 48_000
        assert {client.profile.format.sample_rate_hz for client in engine.synthesizers if not client.closes} == {48_000}


async def test_a_session_whose_pool_was_replaced_goes_on_in_the_new_one() -> None:
    async with serving(FakeEngine()) as service:
        await service.sessions.put("call-1")
        await service.apply(service.settings, make_settings(speaking(output_format="Raw8Khz16BitMonoPcm"), listening()))
        await asyncio.sleep(2)
        for tier in ("warm", "dedicated"):
            async with service.speak(ask(session_id="call-1", sample_rate_hz=8000)) as stream:
                assert stream.tier == tier
                await collect(stream)


# --- the end ---


async def test_a_drain_lets_what_is_under_way_come_to_its_end() -> None:
    engine = FakeEngine()
    service = SpeechService(engine, make_settings())
    await service.open()
    await service.wait_ready()
    await service.sessions.put("call-1")
    async with service.speak(ask()) as stream:
        closing = asyncio.create_task(service.close(30.0))
        await settle()
        assert [reason.reason for reason in service.readiness().reasons] == ["Draining"]
        with pytest.raises(PoolClosed):
            service.speak(ask())
        events = await collect(stream)
    assert events[-1].outcome == "completed"
    await closing
    engine.check(all_closed=True)
    assert engine.closed == 1
    assert not tasks_left()


async def test_what_does_not_come_to_its_end_is_ended_with_an_error() -> None:
    engine = FakeEngine()
    service = SpeechService(engine, make_settings())
    await service.open()
    await service.wait_ready()
    async with service.speak(ask(SENTENCE * 50)) as speech, service.recognize(RecognizeRequest()) as hearing:
        await anext(speech)
        await hearing.write(sound(1.0))
        began = now()
        await service.close(5.0)
        assert elapsed(began) < 6.0
        for stream in (speech, hearing):
            with pytest.raises(PoolClosed, match="shut down"):
                await collect(stream)
    engine.check(all_closed=True)


async def test_who_is_cut_off_at_the_end_need_not_wait_for_an_engine_that_is_slow_to_stop() -> None:
    engine = FakeEngine(cancel_seconds=3.0)
    service = SpeechService(engine, make_settings())
    await service.open()
    await service.wait_ready()

    async def cut_off() -> int:
        with pytest.raises(PoolClosed, match="shut down"):
            await said(service, ask(SENTENCE * 50))
        return len(engine.busy_clients)

    caller = asyncio.create_task(cut_off())
    await settle()
    await service.close(0.0)
    assert await caller == 1  # which has stopped by now
    engine.check(all_closed=True)
    assert not tasks_left()


async def test_who_waits_for_a_client_is_told_at_the_end_of_the_drain() -> None:
    engine = FakeEngine()
    service = SpeechService(engine, make_settings(speaking(warm_pool_size=1, max_size=1), listening()))
    await service.open()
    await service.wait_ready()
    async with service.speak(ask(SENTENCE * 50)) as speech:
        await anext(speech)
        waiting = asyncio.create_task(said(service, ask()))
        session = asyncio.create_task(service.sessions.put("call-1"))
        await settle()
        began = now()
        await service.end_work(5.0)
        assert elapsed(began) == pytest.approx(5.0, abs=0.1)
        for caller in (waiting, session):
            with pytest.raises(PoolClosed, match="shut"):
                await caller
        assert engine.closed == 0
        await service.close()
    engine.check(all_closed=True)
    assert not tasks_left()


async def test_who_waits_for_a_client_is_served_where_one_comes_free_in_the_drain() -> None:
    engine = FakeEngine()
    service = SpeechService(engine, make_settings(speaking(warm_pool_size=1, max_size=1), listening()))
    await service.open()
    await service.wait_ready()
    async with service.speak(ask()) as speech:
        waiting = asyncio.create_task(said(service, ask()))
        await settle()
        closing = asyncio.create_task(service.close(30.0))
        assert (await collect(speech))[-1].outcome == "completed"
    assert await waiting
    await closing
    engine.check(all_closed=True)


async def test_work_ends_though_the_engine_never_opened() -> None:
    service = SpeechService(FakeEngine(open_error=EngineUnavailable("down")), make_settings())
    await service.open()
    await settle()
    await service.end_work(5.0)
    await service.close()
    assert not tasks_left()


async def test_close_is_bounded_though_the_engine_hangs() -> None:
    engine = FakeEngine(close_seconds=1e6)
    service = SpeechService(engine, make_settings())
    await service.open()
    await service.wait_ready()
    began = now()
    await service.close(0.0)
    await service.close(0.0)
    assert elapsed(began) <= 20


async def test_a_service_that_never_became_ready_closes() -> None:
    engine = FakeEngine(create_seconds=100.0)
    async with SpeechService(engine, make_settings()):
        await asyncio.sleep(1)
    engine.check(all_closed=True)
    assert not tasks_left()


# --- caps ---


async def test_characters_a_minute_are_capped_and_come_back() -> None:
    pool = speaking(max_characters_per_minute=60)
    async with serving(FakeEngine(), pool, listening()) as service:
        await said(service, ask("x" * 50))
        with pytest.raises(QuotaExceeded, match="max_characters_per_minute = 60") as caught:
            await said(service, ask("x" * 20))
        await asyncio.sleep(caught.value.retry_after_seconds)
        await said(service, ask("x" * 20))


async def test_characters_that_were_never_spoken_are_not_counted() -> None:
    engine = FakeEngine()
    async with serving(engine, speaking(max_characters_per_minute=60), listening()) as service:
        for _ in range(5):
            engine.fail(EngineFailed("broke off"), times=3)
            with pytest.raises(EngineFailed):
                await said(service, ask("x" * 50))
        await said(service, ask("x" * 50))


async def test_audio_seconds_a_minute_are_capped_for_both_kinds() -> None:
    pools = (speaking(max_audio_seconds_per_minute=6), listening(max_audio_seconds_per_minute=6))
    async with serving(FakeEngine(), *pools) as service:
        await said(service, ask("x" * 200))  # 12 s
        with pytest.raises(QuotaExceeded, match="max_audio_seconds_per_minute = 6"):
            await said(service, ask("x"))
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(8.0))
            await stream.finish()
            await collect(stream)
        with pytest.raises(QuotaExceeded):
            async with service.recognize(RecognizeRequest()):
                pass


async def test_a_new_cap_holds_at_once() -> None:
    async with serving(FakeEngine()) as service:
        await service.apply(service.settings, make_settings(speaking(max_characters_per_minute=10), listening()))
        await said(service, ask("x" * 10))
        with pytest.raises(QuotaExceeded):
            await said(service, ask("x"))
        await service.apply(service.settings, make_settings(speaking(), listening()))
        await said(service, ask("x"))


# --- pools by format ---


async def test_the_pool_with_the_format_serves_it_and_a_warm_one_is_converted_from_before_a_cold_one() -> None:
    pools = (
        speaking("wide", output_format="Raw8Khz16BitMonoPcm"),
        speaking("telephone", output_format="Raw8Khz8BitMonoMULaw", warm_pool_size=1),
        listening(),
    )
    async with serving(FakeEngine(), *pools) as service:
        request = ask(response_format="mulaw")
        async with service.speak(request) as first, service.speak(request) as second:
            assert (first.pool, first.tier) == ("telephone", "warm")
            assert (second.pool, second.tier) == ("wide", "warm")
            sizes = [
                sum(len(event.data) for event in await collect(stream) if isinstance(event, AudioBytes))
                for stream in (first, second)
            ]
            assert sizes[0] == sizes[1] == round(len(SENTENCE) * SECONDS_PER_CHARACTER * 8000)
        async with service.speak(ask(sample_rate_hz=8000)) as stream:
            assert stream.pool == "wide"
        with pytest.raises(NotFound, match="known are wide, telephone"):
            async with service.speak(ask(pool="stt")):
                pass


# --- what Prometheus is told ---


def samples(service: SpeechService) -> dict[str, dict[frozenset[str], float]]:
    """Values by name and label values (all different in one sample here, or the same)."""
    body, _ = service.metrics.render()
    found: dict[str, dict[frozenset[str], float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.values())] = sample.value
    return found


async def test_metrics_tell_what_happened_and_nothing_of_whom() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(session_id="call-1"))
        await said(service, ask())
        engine.fail(EngineFailed("broke off"))
        await said(service, ask())
        async with service.recognize(RecognizeRequest()) as stream:
            await stream.write(sound(1.0))
            await stream.finish()
            await collect(stream)
        engine.fail(EngineFailed("broke off"), times=3)
        with pytest.raises(EngineFailed):
            await said(service, ask())
        service.metrics.set_config_generation("file", 3)
        told = samples(service)
        body = service.metrics.render()[0].decode()
    assert told["speechpool_tts_utterances_total"] == {
        frozenset({"tts", "completed"}): 3.0,
        frozenset({"tts", "failed"}): 1.0,
    }
    assert told["speechpool_tts_characters_total"][frozenset({"tts"})] == 3 * len(SENTENCE)
    assert told["speechpool_stt_audio_seconds_total"][frozenset({"stt"})] == pytest.approx(1.0)
    assert told["speechpool_retries_total"][frozenset({"tts", "EngineFailed"})] == 3
    assert told["speechpool_errors_total"][frozenset({"tts", "EngineFailed"})] == 1
    assert told["speechpool_target"][frozenset({"tts"})] == 2
    assert told["speechpool_clients"][frozenset({"tts", "leased"})] == 1
    assert told["speechpool_sessions"][frozenset()] == 1
    assert told["speechpool_config_generation"][frozenset({"file"})] == 3
    assert told["process_resident_memory_bytes"][frozenset()] > 0
    assert "call-1" not in body
    assert "three" not in body


async def test_memory_of_the_metrics_does_not_grow_with_sessions() -> None:
    async with serving(FakeEngine()) as service:
        await said(service, ask(session_id="call-0"))
        before = len(service.metrics.render()[0].splitlines())
        for number in range(1, 30):
            async with service.speak(ask(session_id=f"call-{number}")) as stream:
                assert [event async for event in stream if isinstance(event, AudioBytes)]
            await service.sessions.delete(f"call-{number}")
        assert len(service.metrics.render()[0].splitlines()) <= before + 60
