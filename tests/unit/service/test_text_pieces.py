"""Text streams on a pool that takes text piece by piece: handed over as it comes, and accounted by its words."""

import asyncio

import pytest
from tests.fakes import SECONDS_PER_CHARACTER, FakeEngine, audio_of, makers_of
from tests.unit.service.world import ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.errors import EngineFailed, EngineTimeout, InvalidInput, QuotaExceeded, SettingsError
from speechpool.formats import OUTPUT_FORMATS
from speechpool.service.events import AudioBytes
from speechpool.service.requests import SpeakOptions
from speechpool.service.service import SpeechService
from speechpool.service.text_streams import MAX_PENDING_CHARACTERS
from speechpool.settings import LexiconEntry
from speechpool.speech.engine import WordBoundary

pytestmark = VIRTUAL

PCM = SpeakOptions(response_format="pcm", word_boundaries=True)
PCM_24K = OUTPUT_FORMATS["Raw24Khz16BitMonoPcm"]
POOLS = (speaking("stream", text_streaming=True), speaking("tts"), listening())


def audio(events) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, AudioBytes))


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_each_piece_is_handed_over_as_it_comes_and_said_before_the_next() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        assert (stream.pool, stream.tier) == ("stream", "warm")
        await stream.add("Hel")
        assert isinstance(await anext(stream), WordBoundary)
        assert len((await anext(stream)).data) == len(audio_of("Hel", PCM_24K))
        await stream.add("lo there")
        await stream.finish()
        events = await collect(stream)
    assert engine.written == [["Hel", "lo there"]]
    assert len(engine.said) == 1
    assert engine.said[0][1].text == ""
    assert [event.text_offset for event in events if isinstance(event, WordBoundary)] == [3, 6]
    assert (events[-1].played.text, events[-1].characters) == ("Hello there", 11)


async def test_whole_texts_go_to_another_pool_unless_they_name_this_one() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service:
        async with service.speak(ask()) as stream:
            assert stream.pool == "tts"
        async with service.speak(ask(pool="stream")) as stream:
            assert stream.pool == "stream"
            await collect(stream)
        async with service.speak_text(SpeakOptions(response_format="pcm", pool="tts")) as stream:
            await stream.add("Hello there. ")
            await stream.finish()
            await collect(stream)
    assert engine.written == []


async def test_an_engine_that_takes_no_pieces_has_no_such_pool() -> None:
    with pytest.raises(SettingsError, match=r"pools\.stream\.textStreaming = true: engine 'fake'"):
        await SpeechService(FakeEngine(), make_settings(*POOLS)).open()


async def test_a_client_that_fails_before_its_first_audio_is_replaced_by_one_that_is_given_all_text() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        engine.fail(EngineFailed("broke off"))
        await stream.add("One ")
        await stream.add("two ")
        await asyncio.sleep(1)
        await stream.add("three.")
        await stream.finish()
        events = await collect(stream)
    assert engine.written[-1] == ["One ", "two ", "three."]
    assert makers_of(audio(events)) == [engine.said[1][0]]
    assert (events[-1].attempts, events[-1].played.text) == (2, "One two three.")


async def test_after_the_first_audio_nothing_is_said_again() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        engine.fail(EngineFailed("broke off"), after_chunks=1)
        await stream.add("One ")
        await asyncio.sleep(1)
        await stream.add("two.")
        with pytest.raises(EngineFailed):
            await collect(stream)
    assert len(engine.said) == 1


async def test_barge_in_knows_the_text_by_its_words() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        for piece in ("One two. ", "Three four ", "five six seven."):
            await stream.add(piece)
        taken = 0
        while taken < 2:
            taken += isinstance(await anext(stream), AudioBytes)
        played = await stream.cancel()
        assert not engine.busy_clients
    assert (played.text, played.estimated) == ("One two. Three four", False)
    assert played.audio_seconds == pytest.approx(20 * SECONDS_PER_CHARACTER)
    assert not tasks_left()


async def test_a_writer_may_pause_for_as_long_as_an_utterance_may_take() -> None:
    engine = FakeEngine(text_streaming=True)
    pauses = {"first_chunk_timeout_seconds": 1.0, "chunk_gap_timeout_seconds": 1.0, "utterance_timeout_seconds": 60.0}
    async with serving(engine, *POOLS, **pauses) as service, service.speak_text(PCM) as stream:
        for piece in ("One ", "two. ", "Three."):
            await asyncio.sleep(10)
            await stream.add(piece)
        await asyncio.sleep(10)
        await stream.finish()
        assert (await collect(stream))[-1].outcome == "completed"
    assert len(engine.said) == 1


async def test_an_engine_that_says_nothing_though_it_has_all_text_is_noticed() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS, first_chunk_timeout_seconds=2.0) as service:
        async with service.speak_text(PCM) as stream:
            engine.fail(None, times=3)
            await stream.add("One")
            await asyncio.sleep(30)
            began = now()
            await stream.finish()
            with pytest.raises(EngineTimeout, match="first_chunk_timeout_seconds = 2"):
                await collect(stream)
            assert elapsed(began) == pytest.approx(6.0, abs=0.1)
        assert not engine.busy_clients


async def test_an_engine_that_says_nothing_of_a_whole_clause_is_noticed_while_text_still_comes() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS, chunk_gap_timeout_seconds=3.0) as service, service.speak_text(PCM) as stream:
        engine.fail(None)
        await stream.add("One two three. And")
        await asyncio.sleep(2.9)
        assert len(engine.said) == 1
        await asyncio.sleep(0.5)
        assert len(engine.said) == 2
        await stream.finish()
        assert (await collect(stream))[-1].attempts == 2


async def test_an_engine_that_takes_no_text_is_noticed() -> None:
    engine = FakeEngine(text_streaming=True, write_seconds=1e6)
    async with (
        serving(engine, *POOLS, chunk_gap_timeout_seconds=3.0) as service,
        service.speak_text(PCM) as stream,
    ):
        await stream.add("One.")
        with pytest.raises(EngineTimeout, match="took no text for chunk_gap_timeout_seconds = 3"):
            await collect(stream)


async def test_text_that_the_engine_does_not_take_waits_with_its_writer() -> None:
    engine = FakeEngine(text_streaming=True, write_seconds=1.0)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        await stream.add("x" * MAX_PENDING_CHARACTERS)
        more = asyncio.create_task(stream.add("One more."))
        await asyncio.sleep(0.5)
        assert not more.done()
        await asyncio.sleep(1)
        assert more.done()
        waiting = asyncio.create_task(stream.add("x" * MAX_PENDING_CHARACTERS))
        again = asyncio.create_task(stream.add("x" * MAX_PENDING_CHARACTERS))
        await settle()
        await stream.cancel()
        await asyncio.wait_for(asyncio.gather(waiting, again), 1)


@pytest.mark.parametrize("text", ["", "... "])
async def test_a_text_with_nothing_to_say_begins_nothing(text) -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service, service.speak_text(PCM) as stream:
        if text:
            await stream.add(text)
        await stream.finish()
        events = await collect(stream)
    assert engine.said == []
    assert (events[-1].outcome, events[-1].audio_seconds) == ("completed", 0)


async def test_bad_pieces_and_caps_are_as_for_clauses() -> None:
    engine = FakeEngine(text_streaming=True)
    pool = speaking("stream", text_streaming=True, max_characters_per_minute=20)
    async with serving(engine, pool, listening()) as service, service.speak_text(PCM) as stream:
        with pytest.raises(InvalidInput, match=r"U\+0007"):
            await stream.add("a\x07")
        await stream.add("Hello there.")
        with pytest.raises(QuotaExceeded):
            await stream.add("More than that.")
        await stream.finish()
        with pytest.raises(InvalidInput, match="after its end"):
            await stream.add("late")
        assert (await collect(stream))[-1].played.text == "Hello there."


async def test_a_lexicon_reads_pieces_and_tells_the_callers_own_words() -> None:
    engine = FakeEngine(text_streaming=True)
    lexicon = (LexiconEntry(word="SQL", alias="sequel"),)
    async with serving(engine, *POOLS, lexicon=lexicon) as service, service.speak_text(PCM) as stream:
        for piece in ("I like S", "QL ", "most."):
            await stream.add(piece)
        await stream.finish()
        events = await collect(stream)
    assert "".join(engine.written[0]) == "I like sequel most."
    words = [(event.text, event.text_offset) for event in events if isinstance(event, WordBoundary)]
    assert words == [("I", 0), ("like", 2), ("SQL", 7), ("most", 11)]
    assert events[-1].played.text == "I like SQL most."


async def test_clients_go_back_to_their_pool_and_serve_again() -> None:
    engine = FakeEngine(text_streaming=True)
    async with serving(engine, *POOLS) as service:
        for _ in range(10):
            async with service.speak_text(PCM) as stream:
                await stream.add("One.")
                await stream.finish()
                assert stream.tier == "warm"
                await collect(stream)
        assert await said(service, ask())
        assert len({number for number, utterance in engine.said if not utterance.text}) <= 2
