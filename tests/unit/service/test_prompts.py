"""Utterances from the prompt cache: the same audio and events without a client, and when they are not."""

import asyncio
import dataclasses
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes import SECONDS_PER_CHARACTER, FakeEngine
from tests.unit.service.world import SENTENCE, ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL, settle

from speechpool.errors import EngineFailed, InvalidInput, NotFound, QuotaExceeded, SessionBusy
from speechpool.service.events import AudioBytes, SpeechSummary
from speechpool.service.prompt_cache import CACHED
from speechpool.service.requests import SpeakOptions, SpeakRequest
from speechpool.service.service import SpeechService
from speechpool.settings import LexiconEntry, Settings
from speechpool.speech.engine import Bookmark, Viseme, WordBoundary

pytestmark = VIRTUAL

MIB = 2**20
LENGTH = len(SENTENCE) * SECONDS_PER_CHARACTER
MARKED = '<speak>a <mark name="mark"/> b</speak>'


async def events_of(service: SpeechService, request: SpeakRequest) -> list:
    async with service.speak(request) as stream:
        return await collect(stream)


async def tier_of(service: SpeechService, request: SpeakRequest) -> str:
    return (await events_of(service, request))[-1].tier


def changed(service: SpeechService, **values: object) -> Settings:
    return dataclasses.replace(service.settings, **values)


async def test_the_second_time_needs_no_client_and_sounds_the_same() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        *first, _ = await events_of(service, ask())
        handed_out = service.pool("tts")["metrics"]["allocations_total"]
        *again, summary = await events_of(service, ask())
        assert service.pool("tts")["metrics"]["allocations_total"] == handed_out
    assert again == first
    assert len(engine.said) == 1
    assert isinstance(summary, SpeechSummary)
    assert (summary.outcome, summary.tier, summary.pool, summary.attempts) == ("completed", CACHED, "tts", 0)
    assert (summary.wait_seconds, summary.first_byte_seconds, summary.rtf) == (0, 0, None)
    assert summary.audio_seconds == pytest.approx(LENGTH)
    assert (summary.characters, summary.played.text, summary.played.estimated) == (len(SENTENCE), SENTENCE, False)


@pytest.mark.parametrize(("made", "response_format"), [("Raw24Khz", "wav"), ("Raw8Khz", "pcm"), ("Raw8Khz", "mulaw")])
async def test_every_format_comes_back_byte_by_byte(made: str, response_format: str) -> None:
    pool = speaking(output_format=f"{made}16BitMonoPcm")
    async with serving(FakeEngine(), pool, listening(), prompt_cache_bytes=MIB) as service:
        rate_hz = 24_000 if made == "Raw24Khz" else 8_000
        request = ask(response_format=response_format, sample_rate_hz=rate_hz)
        assert await said(service, request) == await said(service, request)
        assert await tier_of(service, request) == CACHED


async def test_words_visemes_and_bookmarks_come_again_with_their_audio() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        request = ask(MARKED, is_ssml=True, word_boundaries=True, visemes=True)
        *first, _ = await events_of(service, request)
        *again, summary = await events_of(service, request)
    assert again == first
    assert {type(event) for event in again} == {AudioBytes, WordBoundary, Viseme, Bookmark}
    assert summary.tier == CACHED


async def test_words_are_told_to_those_alone_who_want_them() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        wanting = await events_of(service, ask(word_boundaries=True))
        others = await events_of(service, ask())
    assert wanting[-1].tier == others[-1].tier == CACHED
    assert [event.text for event in wanting if isinstance(event, WordBoundary)] == SENTENCE.rstrip(".").split()
    assert {type(event) for event in others} == {AudioBytes, SpeechSummary}


@pytest.mark.parametrize(
    "other",
    [
        {"text": SENTENCE + " "},
        {"voice": "two"},
        {"speed": 1.5},
        {"style": "cheerful"},
        {"response_format": "wav"},
        {"visemes": True},
        {"text": "<speak>one</speak>", "is_ssml": True},
    ],
)
async def test_what_sounds_different_is_said_anew(other: dict) -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        assert await tier_of(service, ask(**other)) == "warm"
        assert await tier_of(service, ask(**other)) == CACHED
    assert len(engine.said) == 2


async def test_another_rate_is_another_prompt() -> None:
    pools = (speaking(), speaking("slow", output_format="Raw8Khz16BitMonoPcm"), listening())
    async with serving(FakeEngine(), *pools, prompt_cache_bytes=MIB) as service:
        fast, slow = [await said(service, ask(sample_rate_hz=rate_hz)) for rate_hz in (24_000, 8_000)]
    assert len(fast) == 3 * len(slow)


async def test_another_pool_is_another_prompt_and_its_name_alone_is_none() -> None:
    pools = (speaking(), speaking("other"), listening())
    async with serving(FakeEngine(), *pools, prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        assert await tier_of(service, ask(pool="tts")) == CACHED
        assert await tier_of(service, ask(pool="other")) == "warm"


async def test_another_name_of_the_same_voice_is_the_same() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask(voice="one"))
        assert await tier_of(service, ask(voice="alloy")) == CACHED
        assert await tier_of(service, ask()) == CACHED


async def test_it_is_off_by_default() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        for _ in range(2):
            assert await tier_of(service, ask()) == "warm"
    assert len(engine.said) == 2


async def test_half_an_utterance_is_never_kept() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        engine.fail(EngineFailed("broke off"), after_chunks=5)
        with pytest.raises(EngineFailed):
            await said(service, ask())
        async with service.speak(ask()) as stream:
            await anext(stream)
            await stream.cancel()
        async with service.speak(ask()) as stream:
            await anext(stream)
        assert await tier_of(service, ask()) == "warm"
        assert await tier_of(service, ask()) == CACHED


async def test_what_broke_off_takes_no_room_from_those_that_come_after_it() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        for _ in range(20):
            async with service.speak(ask()) as stream:
                for _ in range(20):
                    await anext(stream)
        await said(service, ask())
        assert await tier_of(service, ask()) == CACHED


async def test_what_a_second_client_said_after_the_first_failed_is_kept_once() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        engine.fail(EngineFailed("broke off"))
        first = await said(service, ask())
        events = await events_of(service, ask(word_boundaries=True))
    assert b"".join(event.data for event in events if isinstance(event, AudioBytes)) == first
    assert len([event for event in events if isinstance(event, WordBoundary)]) == len(SENTENCE.split())


async def test_two_at_once_speak_each_by_itself() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        audio = await asyncio.gather(said(service, ask()), said(service, ask()))
        assert await tier_of(service, ask()) == CACHED
    assert len(engine.said) == 2
    assert len(audio[0]) == len(audio[1])


async def test_a_long_text_is_said_and_not_kept() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        for _ in range(2):
            assert await tier_of(service, ask(SENTENCE * 3)) == "warm"  # 8.8 s: 423 KB, a quarter is 262 KB
        assert await tier_of(service, ask()) == "warm"
        assert await tier_of(service, ask()) == CACHED


async def test_a_text_that_comes_in_pieces_is_never_kept() -> None:
    engine = FakeEngine()
    async with serving(engine, prompt_cache_bytes=MIB) as service:
        for _ in range(2):
            async with service.speak_text(SpeakOptions(response_format="pcm")) as stream:
                await stream.add(SENTENCE)
                await stream.finish()
                assert (await collect(stream))[-1].tier == "warm"
        assert samples(service)["speechpool_prompt_cache_misses_total"] == 0


async def test_a_hit_waits_for_no_one_though_all_clients_are_taken() -> None:
    engine = FakeEngine()
    async with serving(engine, speaking(warm_pool_size=1, max_size=1), listening(), prompt_cache_bytes=MIB) as service:
        await said(service, ask("One."))
        async with service.speak(ask(SENTENCE * 20)) as busy:
            await anext(busy)
            assert await tier_of(service, ask("One.")) == CACHED


async def test_a_hit_counts_for_no_cap() -> None:
    engine = FakeEngine()
    pool = speaking(max_characters_per_minute=60, max_audio_seconds_per_minute=60)
    async with serving(engine, pool, listening(), prompt_cache_bytes=MIB) as service:
        await said(service, ask("x" * 50))
        for _ in range(10):
            assert await tier_of(service, ask("x" * 50)) == CACHED
        with pytest.raises(QuotaExceeded):
            await said(service, ask("y" * 50))


async def test_barge_in_into_a_hit_tells_what_went_out() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        async with service.speak(ask(session_id="call-1")) as stream:
            for _ in range(10):
                await anext(stream)
            with pytest.raises(SessionBusy):
                await said(service, ask(session_id="call-1"))
            result = await service.sessions.cancel("call-1")
            summary = (await collect(stream))[-1]
    assert result.canceled
    assert (summary.outcome, summary.tier) == ("canceled", CACHED)
    assert result.audio_seconds_sent == pytest.approx(1.0)
    assert SENTENCE.startswith(result.text_sent)
    assert result.text_sent == summary.played.text != SENTENCE


async def test_a_slow_reader_of_a_hit_is_waited_for() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=4 * MIB) as service:
        text = SENTENCE * 7  # 20 s: more than the buffer holds
        whole = await said(service, ask(text))
        async with service.speak(ask(text)) as stream:
            await settle()
            audio = b""
            async for event in stream:
                if isinstance(event, AudioBytes):
                    audio += event.data
                await asyncio.sleep(0.01)
    assert audio == whole


async def test_what_is_wrong_is_refused_though_the_rest_is_kept() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        with pytest.raises(NotFound):
            await said(service, ask(pool="other"))
        with pytest.raises(InvalidInput):
            await said(service, ask(voice="nobody"))


# --- live settings ---


async def test_it_is_switched_on_and_off_while_it_runs() -> None:
    async with serving(FakeEngine()) as service:
        await service.apply(service.settings, changed(service, prompt_cache_bytes=MIB))
        await said(service, ask())
        assert await tier_of(service, ask()) == CACHED
        await service.apply(service.settings, changed(service, prompt_cache_bytes=None))
        assert await tier_of(service, ask()) == "warm"
        assert samples(service)["speechpool_prompt_cache_bytes"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"lexicon": (LexiconEntry(word="one", alias="two"),)},
        {"pools": (speaking(output_format="Raw8Khz16BitMonoPcm"), listening())},
    ],
    ids=["lexicon", "format"],
)
async def test_what_would_sound_different_now_is_forgotten(changes: dict) -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        await service.apply(service.settings, changed(service, **changes))
        assert samples(service)["speechpool_prompt_cache_entries"] == 0
        assert await tier_of(service, ask()) == "warm"


async def test_other_changes_leave_it_alone() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        await said(service, ask())
        pools = (speaking(warm_pool_size=3), listening())
        await service.apply(service.settings, changed(service, pools=pools, max_sessions=3))
        assert await tier_of(service, ask()) == CACHED


async def test_what_is_under_way_while_the_lexicon_changes_is_not_kept() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        async with service.speak(ask()) as stream:
            await anext(stream)
            lexicon = (LexiconEntry(word="one", alias="two"),)
            await service.apply(service.settings, changed(service, lexicon=lexicon))
            await collect(stream)
        assert await tier_of(service, ask()) == "warm"


# --- what is told ---


def samples(service: SpeechService) -> dict[str, float]:
    body, _ = service.metrics.render()
    families = text_string_to_metric_families(body.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_metrics_tell_hits_misses_and_size() -> None:
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        for text in ("One.", "One.", "One.", "Two."):
            await said(service, ask(text))
        told = samples(service)
        handed_out = service.pool("tts")["metrics"]["allocations_total"]
    assert told["speechpool_prompt_cache_hits_total"] == 2
    assert told["speechpool_prompt_cache_misses_total"] == 2
    assert told["speechpool_prompt_cache_entries"] == 2
    assert told["speechpool_prompt_cache_bytes"] > 2 * 4 * SECONDS_PER_CHARACTER * 48_000
    assert handed_out == 2


async def test_nothing_of_it_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(FakeEngine(), prompt_cache_bytes=MIB) as service:
        for _ in range(2):
            await said(service, ask("the purple elephant"))
    assert "purple" not in caplog.text
    assert "elephant" not in repr(make_settings(prompt_cache_bytes=MIB))
