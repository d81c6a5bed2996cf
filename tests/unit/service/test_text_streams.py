"""Text streams: clauses as soon as they are complete, one client for all, no gap between them."""

import asyncio

import pytest
from tests.fakes import SECONDS_PER_CHARACTER, FakeEngine, audio_of, makers_of
from tests.unit.service.world import collect, listening, serving, speaking
from tests.virtual import VIRTUAL

from speechpool.errors import EngineFailed, InvalidInput, QuotaExceeded
from speechpool.formats import OUTPUT_FORMATS
from speechpool.service.events import AudioBytes, ClauseStarted, SpeechSummary
from speechpool.service.requests import SpeakOptions
from speechpool.service.text_streams import MAX_PENDING_CHARACTERS
from speechpool.speech.engine import WordBoundary

pytestmark = VIRTUAL

PCM = SpeakOptions(response_format="pcm")
PCM_24K = OUTPUT_FORMATS["Raw24Khz16BitMonoPcm"]


def audio(events) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, AudioBytes))


def texts(engine) -> list[str]:
    return [utterance.text for _, utterance in engine.said]


async def test_text_is_said_clause_by_clause_by_one_client() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        for piece in ("Hel", "lo the", "re. How", " are you?", " Fi", "ne"):
            await stream.add(piece)
        await stream.finish()
        events = await collect(stream)
    assert texts(engine) == ["Hello there. ", "How are you? ", "Fine"]
    assert len({number for number, _ in engine.said}) == 1
    assert audio(events) == b"".join(audio_of(text, PCM_24K, engine.said[0][0]) for text in texts(engine))
    assert isinstance(events[-1], SpeechSummary)
    assert events[-1].played.text == "Hello there. How are you? Fine"
    assert events[-1].characters == len("Hello there. How are you? Fine")


async def test_a_clause_is_said_before_the_next_one_comes() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("Hello there. And")
        events = [await anext(stream) for _ in range(2)]
        assert [type(event) for event in events] == [ClauseStarted, AudioBytes]
        await stream.finish()
        await collect(stream)


async def test_flush_says_what_is_not_complete() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("Wait")
        await stream.flush()
        await anext(stream)
        assert texts(engine) == ["Wait"]


async def test_clauses_and_words_are_placed_in_the_whole() -> None:
    engine = FakeEngine()
    options = SpeakOptions(response_format="pcm", word_boundaries=True)
    async with serving(engine) as service, service.speak_text(options) as stream:
        await stream.add("One two. Three. ")
        await stream.finish()
        events = await collect(stream)
    clauses = [event for event in events if isinstance(event, ClauseStarted)]
    assert [(event.index, event.text_offset, event.text_length) for event in clauses] == [(0, 0, 9), (1, 9, 7)]
    assert clauses[1].audio_offset_seconds == pytest.approx(9 * SECONDS_PER_CHARACTER)
    words = [event for event in events if isinstance(event, WordBoundary)]
    assert [(word.text, word.text_offset) for word in words] == [("One", 0), ("two", 4), ("Three", 9)]
    assert words[2].audio_offset_seconds == pytest.approx(9 * SECONDS_PER_CHARACTER)


async def test_the_next_clause_is_requested_while_the_consumer_still_plays_the_one_before() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("One two three. Four five six. ")
        await anext(stream)
        await asyncio.sleep(1)  # nothing more is taken
        assert len(engine.said) == 2


async def test_a_client_that_fails_between_two_clauses_is_replaced_without_a_gap_in_the_audio() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("One two. ")
        await asyncio.sleep(1)
        engine.fail(EngineFailed("broke off"))
        await stream.add("Three four. ")
        await stream.finish()
        events = await collect(stream)
    assert texts(engine) == ["One two. ", "Three four. ", "Three four. "]
    assert len(makers_of(audio(events))) == 2
    assert events[-1].played.text == "One two. Three four."
    assert events[-1].attempts == 2


async def test_a_client_that_dies_while_text_is_awaited_is_replaced() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("One two. ")
        await asyncio.sleep(1)
        engine.clients[engine.said[0][0] - 1].die()
        await stream.add("Three. ")
        await stream.finish()
        assert (await collect(stream))[-1].outcome == "completed"


async def test_marks_alone_are_not_said() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("Yes. ... No. ")
        await stream.finish()
        events = await collect(stream)
    assert texts(engine) == ["Yes. ", "No. "]
    assert events[-1].played.text == "Yes. ... No."


async def test_too_much_text_waits_until_it_is_said() -> None:
    engine = FakeEngine()
    async with serving(engine) as service, service.speak_text(PCM) as stream:
        await stream.add("One two three. " * 200)
        more = asyncio.create_task(stream.add("One two three. " * 200))
        await asyncio.sleep(1)
        assert not more.done()
        async for _ in stream:
            if more.done():
                break
        assert sum(map(len, texts(engine))) >= 6000 - MAX_PENDING_CHARACTERS


async def test_whoever_adds_is_let_go_when_the_stream_ends() -> None:
    async with serving(FakeEngine()) as service, service.speak_text(PCM) as stream:
        adder = asyncio.create_task(stream.add("One two three. " * 270))
        await asyncio.sleep(0.1)
        more = asyncio.create_task(stream.add("One two three. " * 270))
        await asyncio.sleep(0.1)
        await stream.cancel()
        await asyncio.wait_for(asyncio.gather(adder, more), 1)
        await stream.add("ignored")


async def test_barge_in_on_a_stream_knows_the_text_over_all_clauses() -> None:
    async with serving(FakeEngine()) as service, service.speak_text(PCM) as stream:
        await stream.add("One two. Three four five six seven eight. ")
        taken = 0
        while taken < 10:
            taken += isinstance(await anext(stream), AudioBytes)
        played = await stream.cancel()
    assert played.text == "One two. Three four"
    assert not played.estimated


async def test_bad_pieces_are_refused_and_the_stream_goes_on() -> None:
    async with serving(FakeEngine()) as service, service.speak_text(PCM) as stream:
        with pytest.raises(InvalidInput, match="at most 4096"):
            await stream.add("x" * 4097)
        with pytest.raises(InvalidInput, match=r"U\+0007"):
            await stream.add("a\x07")
        await stream.add("Fine.")
        await stream.finish()
        with pytest.raises(InvalidInput, match="after its end"):
            await stream.add("late")
        assert (await collect(stream))[-1].played.text == "Fine."


async def test_the_cap_on_characters_counts_every_piece() -> None:
    pool = speaking(max_characters_per_minute=100)
    async with serving(FakeEngine(), pool, listening()) as service, service.speak_text(PCM) as stream:
        await stream.add("x" * 90)
        with pytest.raises(QuotaExceeded) as caught:
            await stream.add("x" * 20)
    assert caught.value.retry_after_seconds == pytest.approx(6.0)
