"""Sessions: clients of their own, one thing of a kind at a time, cancel, delete, age."""

import asyncio

import pytest
from tests.fakes import FakeEngine, sound
from tests.unit.service.world import SENTENCE, ask, collect, listening, recording, said, serving, speaking
from tests.virtual import VIRTUAL, settle

from speechpool.errors import InvalidInput, NotFound, PoolClosed, PoolTimeout, QuotaExceeded, SessionBusy
from speechpool.service.events import AudioBytes
from speechpool.service.requests import RecognizeRequest, SpeakOptions, TranscribeRequest

pytestmark = VIRTUAL


async def test_put_acquires_a_client_of_each_kind_and_uses_are_dedicated() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        info = await service.sessions.put("call-1")
        assert (info.id, info.state) == ("call-1", "idle")
        assert (info.tts_pool, info.tts_tier, info.stt_pool, info.stt_tier) == ("tts", "warm", "stt", "warm")
        for _ in range(3):
            async with service.speak(ask(session_id="call-1")) as stream:
                assert (stream.tier, stream.wait_seconds) == ("dedicated", 0)
                await collect(stream)
        async with service.recognize(RecognizeRequest(session_id="call-1")) as stream:
            assert stream.tier == "dedicated"
        assert len({number for number, _ in engine.said}) == 1
        assert service.sessions.get("call-1").utterances == 3
        assert service.sessions.get("call-1").recognitions == 1


async def test_put_again_keeps_what_the_session_has() -> None:
    async with serving(FakeEngine()) as service:
        first = await service.sessions.put("call-1")
        await asyncio.sleep(5)
        second = await service.sessions.put("call-1")
        assert second.age_seconds == pytest.approx(5)
        assert second.idle_seconds == 0
        assert (second.tts_tier, len(service.sessions)) == (first.tts_tier, 1)
        assert service.pool("tts")["active_sessions"] == 1


async def test_two_sessions_never_share_a_client() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await asyncio.gather(*(said(service, ask(f"text {i}.", session_id=f"call-{i % 3}")) for i in range(3)))
        clients = {}
        for _ in range(3):
            for i in range(3):
                await said(service, ask(f"text {i}.", session_id=f"call-{i}"))
        for number, utterance in engine.said:
            clients.setdefault(utterance.text, set()).add(number)
    assert [len(numbers) for numbers in clients.values()] == [1, 1, 1]
    assert len(set.union(*clients.values())) == 3


async def test_a_session_begins_with_its_first_use() -> None:
    async with serving(FakeEngine()) as service:
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "warm"
            assert service.sessions.get("call-1").state == "speaking"
            await collect(stream)
        assert service.sessions.get("call-1").state == "idle"
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "dedicated"


async def test_the_whole_answer_is_taken_before_the_next_may_begin() -> None:
    """A client that has the end of one utterance may ask for the next at once."""
    async with serving(FakeEngine()) as service:
        for _ in range(5):
            async with service.speak(ask(session_id="call-1")) as stream:
                await collect(stream)
                async with service.speak(ask(session_id="call-1")) as next_stream:
                    await anext(next_stream)


async def test_a_session_does_one_thing_of_a_kind_at_a_time() -> None:
    async with serving(FakeEngine()) as service:
        async with (
            service.speak(ask(session_id="call-1")),
            service.recognize(RecognizeRequest(session_id="call-1")),
        ):
            assert service.sessions.get("call-1").state == "both"
            with pytest.raises(SessionBusy) as caught:
                await said(service, ask(session_id="call-1"))
            assert (caught.value.param, caught.value.code) == ("session_id", "session_busy")
            with pytest.raises(SessionBusy):
                await service.transcribe(TranscribeRequest(upload=recording(1), session_id="call-1")).result()
            assert await said(service, ask(session_id="call-2"))
        assert await said(service, ask(session_id="call-1"))


async def test_cancel_is_barge_in() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await service.sessions.put("call-1")
        async with service.speak(ask(session_id="call-1")) as stream:
            for _ in range(10):
                await anext(stream)
            result = await service.sessions.cancel("call-1")
            assert result.canceled
            assert result.audio_seconds_sent == pytest.approx(1.0)
            assert result.text_sent == "One two three four"
            assert result.characters_sent == len(result.text_sent)
            assert [event.outcome for event in await collect(stream)] == ["canceled"]
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "dedicated"
            assert len([event for event in await collect(stream) if isinstance(event, AudioBytes)]) == 30


async def test_cancel_without_speech_says_so() -> None:
    async with serving(FakeEngine()) as service:
        await service.sessions.put("call-1")
        result = await service.sessions.cancel("call-1")
        assert result.as_dict() == {
            "canceled": False,
            "audio_seconds_sent": 0.0,
            "text_sent": "",
            "characters_sent": 0,
            "estimated": False,
        }


async def test_delete_ends_what_is_under_way_and_clears_the_clients() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await service.sessions.put("call-1")
        async with (
            service.speak(ask(session_id="call-1")) as speech,
            service.recognize(RecognizeRequest(session_id="call-1")) as hearing,
        ):
            for _ in range(10):
                await anext(speech)
            played = await service.sessions.delete("call-1")
            assert played is not None
            assert played.text == "One two three four"
            assert [event.outcome for event in await collect(speech)] == ["canceled"]
            with pytest.raises(PoolClosed, match="deleted"):
                await collect(hearing)
        await settle()
        with pytest.raises(NotFound):
            service.sessions.get("call-1")
        assert all(pool["active_sessions"] == 0 for pool in service.pools().values())
        assert not any(client.is_dirty for client in engine.open_clients)


async def test_an_unknown_session_is_not_found() -> None:
    async with serving(FakeEngine()) as service:
        for call in (service.sessions.cancel("call-1"), service.sessions.delete("call-1")):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.code == "session_not_found"


@pytest.mark.parametrize("session_id", ["", "a b", "a/b", "x" * 129, "ä", "a\n"])
async def test_an_id_that_could_not_stand_in_a_path_is_refused(session_id) -> None:
    async with serving(FakeEngine()) as service:
        with pytest.raises(InvalidInput) as caught:
            await service.sessions.put(session_id)
        assert (caught.value.param, caught.value.code) == ("session_id", "invalid_session_id")
        with pytest.raises(InvalidInput):
            await said(service, ask(session_id=session_id))


async def test_there_is_a_most_of_sessions_and_a_deleted_one_makes_room() -> None:
    async with serving(FakeEngine(), max_sessions=2) as service:
        await service.sessions.put("a")
        await said(service, ask(session_id="b"))
        with pytest.raises(QuotaExceeded) as caught:
            await service.sessions.put("c")
        assert caught.value.code == "too_many_sessions"
        await service.sessions.delete("a")
        await service.sessions.put("c")
        assert [session.id for session in service.sessions.list()] == ["b", "c"]


async def test_an_idle_session_ends_with_its_age_and_its_clients_come_back() -> None:
    pools = (
        speaking(session_max_age_sec=60.0, session_grace_sec=10.0),
        listening(session_max_age_sec=60.0, session_grace_sec=10.0),
    )
    async with serving(FakeEngine(), *pools) as service:
        await service.sessions.put("call-1")
        await asyncio.sleep(50)
        await said(service, ask(session_id="call-1"))
        await asyncio.sleep(65)
        assert len(service.sessions) == 1
        await asyncio.sleep(100)
        assert len(service.sessions) == 0
        assert service.pool("tts")["active_sessions"] == 0
        assert service.pool("tts")["items"]["leased"] == 0


async def test_a_session_in_use_does_not_age() -> None:
    pool = speaking(session_max_age_sec=10.0, session_grace_sec=1.0)
    async with serving(FakeEngine(), pool, listening()) as service:
        async with service.speak_text(SpeakOptions(response_format="pcm", session_id="call-1")) as stream:
            await asyncio.sleep(100)
            await stream.add("Still here. ")
            await stream.finish()
            assert (await collect(stream))[-1].outcome == "completed"
        assert service.sessions.get("call-1").state == "idle"


async def test_a_put_that_gets_no_client_leaves_nothing() -> None:
    pool = speaking(warm_pool_size=1, max_size=1, acquire_timeout=1.0)
    async with serving(FakeEngine(), pool, listening()) as service:
        async with service.speak(ask(SENTENCE * 20)):
            with pytest.raises(PoolTimeout):
                await service.sessions.put("call-1")
        await asyncio.sleep(1)
        assert len(service.sessions) == 0
        assert service.pool("stt")["active_sessions"] == 0


async def test_a_kept_session_gets_a_new_listener_after_each_use() -> None:
    engine = FakeEngine(single_use_recognizers=True)
    async with serving(engine) as service:
        await service.sessions.put("call-1")
        for _ in range(3):
            async with service.recognize(RecognizeRequest(session_id="call-1")) as stream:
                assert stream.tier == "dedicated"
                await stream.write(sound(0.5))
                await stream.finish()
                await collect(stream)
            await asyncio.sleep(1)
        assert service.sessions.get("call-1").stt_pool == "stt"


async def test_a_session_whose_client_died_gets_another() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(session_id="call-1"))
        engine.clients[engine.said[0][0] - 1].die()
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "warm"
            await collect(stream)
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "dedicated"


async def test_with_session_awareness_off_a_session_is_only_a_name() -> None:
    pools = (speaking(session_awareness=False), listening(session_awareness=False))
    async with serving(FakeEngine(), *pools) as service:
        info = await service.sessions.put("call-1")
        assert (info.tts_pool, info.stt_pool) == (None, None)
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "warm"
            with pytest.raises(SessionBusy):
                await said(service, ask(session_id="call-1"))
        await said(service, ask(session_id="call-2"))
        assert [session.id for session in service.sessions.list()] == ["call-1"]


async def test_a_session_stays_with_its_pool_though_another_has_the_format() -> None:
    pools = (speaking("a"), speaking("b", output_format="Raw8Khz16BitMonoPcm"), listening())
    async with serving(FakeEngine(), *pools) as service:
        assert (await service.sessions.put("call-1", tts_pool="b")).tts_pool == "b"
        async with service.speak(ask(session_id="call-1", sample_rate_hz=8000)) as stream:
            assert (stream.pool, stream.tier) == ("b", "dedicated")
