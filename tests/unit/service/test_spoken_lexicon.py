# ruff: noqa: RUF001 - IPA letters look like others
"""Utterances with a lexicon: what the engine reads, what the caller is told, and what is refused."""

import dataclasses

import pytest
from tests.fakes import FakeEngine
from tests.unit.service.world import ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL

from speechpool.errors import EngineFailed, InvalidInput, SettingsError
from speechpool.service.requests import SpeakOptions
from speechpool.service.service import SpeechService
from speechpool.settings import LexiconEntry
from speechpool.speech.engine import WordBoundary

pytestmark = VIRTUAL

SQL = LexiconEntry(word="SQL", alias="ess queue ell")
LIVE = LexiconEntry(word="live", ipa="laɪv")
TEXT = "The SQL server is live."


def places(events: list) -> list[tuple[str, int, int]]:
    words = [event for event in events if isinstance(event, WordBoundary)]
    return [(word.text, word.text_offset, word.text_length) for word in words]


async def events_of(service: SpeechService, text: str = TEXT, **options) -> list:
    async with service.speak(ask(text, word_boundaries=True, **options)) as stream:
        return await collect(stream)


async def test_the_engine_reads_the_alias_and_the_caller_is_told_his_own_words() -> None:
    engine = FakeEngine()
    async with serving(engine, lexicon=(SQL,)) as service:
        *events, summary = await events_of(service)
    assert [(utterance.text, utterance.is_ssml) for _, utterance in engine.said] == [
        ("The ess queue ell server is live.", False)
    ]
    assert places(events) == [("The", 0, 3), ("SQL", 4, 3), ("server", 8, 6), ("is", 15, 2), ("live", 18, 4)]
    assert (summary.characters, summary.played.text) == (len(TEXT), TEXT)


async def test_sounds_are_read_as_ssml_of_the_same_voice_speed_and_style() -> None:
    engine = FakeEngine(phonemes=True)
    async with serving(engine, lexicon=(SQL, LIVE)) as service:
        *events, summary = await events_of(service, voice="two", speed=1.5, style="calm")
    ((_, utterance),) = engine.said
    marked = '<phoneme alphabet="ipa" ph="laɪv">live</phoneme>'
    assert (utterance.text, utterance.is_ssml) == (f"<speak>The ess queue ell server is {marked}.</speak>", True)
    assert (utterance.voice, utterance.speed, utterance.style) == ("two", 1.5, "calm")
    assert places(events) == [("The", 0, 3), ("SQL", 4, 3), ("server", 8, 6), ("is", 15, 2), ("live", 18, 4)]
    assert summary.played.text == TEXT


async def test_of_ssml_the_offsets_are_the_callers_documents() -> None:
    engine = FakeEngine()
    document = "<speak><p>The SQL</p> server</speak>"
    async with serving(engine, lexicon=(SQL,)) as service:
        *events, summary = await events_of(service, document, is_ssml=True)
    assert engine.said[0][1].text == "<speak><p>The ess queue ell</p> server</speak>"
    assert places(events) == [("The", 10, 3), ("SQL", 14, 3), ("server", 22, 6)]
    assert summary.played.text == "The SQL server"


async def test_barge_in_tells_the_callers_own_text() -> None:
    async with serving(FakeEngine(), lexicon=(SQL,)) as service, service.speak(ask()) as stream:
        await anext(stream)
    async with serving(FakeEngine(), lexicon=(SQL,)) as service, service.speak(ask(TEXT)) as stream:
        for _ in range(6):
            await anext(stream)
        played = await stream.cancel()
    assert (played.text, played.estimated) == ("The SQL", False)


async def test_a_second_client_reads_the_same() -> None:
    engine = FakeEngine()
    async with serving(engine, lexicon=(SQL,)) as service:
        engine.fail(EngineFailed("broke off"))
        *events, _ = await events_of(service)
    assert len({utterance.text for _, utterance in engine.said}) == 1
    assert len(places(events)) == 5


async def test_clauses_of_a_text_that_comes_in_pieces_keep_their_offsets() -> None:
    engine = FakeEngine()
    options = SpeakOptions(response_format="pcm", word_boundaries=True)
    async with serving(engine, lexicon=(SQL,)) as service, service.speak_text(options) as stream:
        for piece in ("I know S", "QL. You know ", "SQL too."):
            await stream.add(piece)
        await stream.finish()
        *events, summary = await collect(stream)
    assert [utterance.text for _, utterance in engine.said] == ["I know ess queue ell. ", "You know ess queue ell too."]
    assert [place for place in places(events) if place[0] == "SQL"] == [("SQL", 7, 3), ("SQL", 21, 3)]
    assert summary.played.text == "I know SQL. You know SQL too."


async def test_an_engine_that_takes_pieces_gets_aliases_and_the_caller_his_own_words() -> None:
    engine = FakeEngine(text_streaming=True)
    pools = (speaking(text_streaming=True), listening())
    options = SpeakOptions(response_format="pcm", word_boundaries=True)
    async with serving(engine, *pools, lexicon=(SQL,)) as service, service.speak_text(options) as stream:
        for piece in ("I know S", "QL. You know ", "SQL"):
            await stream.add(piece)
        await stream.flush()
        await stream.add(" too.")
        await stream.finish()
        *events, summary = await collect(stream)
    assert ["".join(pieces) for pieces in engine.written] == ["I know ess queue ell. You know ess queue ell too."]
    assert [place for place in places(events) if place[0] == "SQL"] == [("SQL", 7, 3), ("SQL", 21, 3)]
    assert summary.played.text == "I know SQL. You know SQL too."


async def test_with_sounds_an_engine_that_takes_pieces_gets_clauses() -> None:
    engine = FakeEngine(text_streaming=True, phonemes=True)
    pools = (speaking(text_streaming=True), listening())
    options = SpeakOptions(response_format="pcm")
    async with serving(engine, *pools, lexicon=(LIVE,)) as service, service.speak_text(options) as stream:
        await stream.add("It is live. Yes.")
        await stream.finish()
        summary = (await collect(stream))[-1]
    assert [utterance.is_ssml for _, utterance in engine.said] == [True, False]
    assert summary.played.text == "It is live. Yes."


async def test_a_new_lexicon_holds_at_once() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(TEXT))
        await service.apply(service.settings, dataclasses.replace(service.settings, lexicon=(SQL,)))
        await said(service, ask(TEXT))
        await service.apply(service.settings, dataclasses.replace(service.settings, lexicon=()))
        await said(service, ask(TEXT))
    assert [utterance.text == TEXT for _, utterance in engine.said] == [True, False, True]


async def test_a_text_that_grows_too_much_is_refused_and_harms_nobody() -> None:
    engine = FakeEngine()
    async with serving(engine, lexicon=(SQL,), max_ssml_characters=20) as service:
        with pytest.raises(InvalidInput, match="20 characters"):
            await said(service, ask("SQL " * 3))
        assert await said(service, ask("SQL"))
    assert len(engine.said) == 1


async def test_ssml_that_is_none_is_refused_before_the_engine_sees_it() -> None:
    engine = FakeEngine()
    async with serving(engine, lexicon=(SQL,)) as service:
        with pytest.raises(InvalidInput, match="not valid SSML"):
            await said(service, ask("<speak>", is_ssml=True))
    assert not engine.said


async def test_sounds_are_refused_at_the_start_where_the_engine_speaks_none() -> None:
    service = SpeechService(FakeEngine(), make_settings(lexicon=(SQL, LIVE)))
    with pytest.raises(SettingsError, match=r"lexicon\[1\].ipa \(of 'live'\): engine 'fake' speaks no phonemes"):
        await service.open()
    await service.close()


async def test_sounds_are_refused_while_it_runs_and_nothing_changes() -> None:
    engine = FakeEngine()
    async with serving(engine, lexicon=(SQL,)) as service:
        old = service.settings
        wrong = dataclasses.replace(old, lexicon=(LIVE,), max_sessions=1)
        with pytest.raises(SettingsError, match="speaks no phonemes"):
            await service.apply(old, wrong)
        assert service.settings is old
        await said(service, ask("SQL"))
    assert engine.said[0][1].text == "ess queue ell"
