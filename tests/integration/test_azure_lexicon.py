# ruff: noqa: RUF001 - IPA letters look like others
"""The lexicon with the Azure engine: what Azure is sent by the real SDK, and what callers are told of it."""

from typing import Any

from tests.unit.service.world import ask, collect, listening, make_settings, speaking

from speechpool.service.service import SpeechService
from speechpool.settings import LexiconEntry
from speechpool.speech.azure import create_engine
from speechpool.speech.engine import WordBoundary
from speechpool_azure_emulator import running_emulator

TEXT = "The SQL server & I are live in New York."
LEXICON = (
    LexiconEntry(word="SQL", alias="ess queue ell"),
    LexiconEntry(word="live", ipa="laɪv"),
    LexiconEntry(word="new york", alias="the big apple"),
)
WORDS = ["The", "SQL", "server", "I", "are", "live", "in", "New York"]


async def said(text: str, **options: Any) -> tuple[str, list[Any]]:
    """The document that Azure got, and the caller's events."""
    with running_emulator() as emulator:
        engine = create_engine({"key": "a" * 32, "endpoint": emulator.url})
        settings = make_settings(speaking(), listening(warm_pool_size=0), lexicon=LEXICON, default_voice="alloy")
        async with SpeechService(engine, settings) as service:
            await service.wait_ready()
            async with service.speak(ask(text, word_boundaries=True, **options)) as stream:
                events = await collect(stream)
        return emulator.utterances[0].ssml, events


def words(events: list[Any], text: str) -> list[str]:
    told = [event for event in events if isinstance(event, WordBoundary)]
    assert all(text[word.text_offset : word.text_offset + word.text_length] == word.text for word in told)
    return [word.text for word in told if word.text.replace(" ", "").isalnum()]


async def test_text_with_sounds_keeps_its_voice_speed_and_style_and_its_words() -> None:
    ssml, events = await said(TEXT, speed=1.5, style="cheerful")

    inner = 'The ess queue ell server &amp; I are <phoneme alphabet="ipa" ph="laɪv">live</phoneme> in the big apple.'
    assert f'<prosody rate="+50.00%">{inner}</prosody>' in ssml
    assert 'style="cheerful"' in ssml
    assert ssml.count("<voice ") == 1
    assert words(events, TEXT) == WORDS
    assert (events[-1].characters, events[-1].played.text) == (len(TEXT), TEXT)


async def test_words_of_a_document_are_the_callers() -> None:
    document = '<speak><voice name="en-US-AvaNeural">The SQL <break time="10ms"/>is live.</voice></speak>'
    ssml, events = await said(document, is_ssml=True)

    assert 'The ess queue ell <break time="10ms"/>is <phoneme alphabet="ipa" ph="laɪv">live</phoneme>.' in ssml
    assert words(events, document) == ["The", "SQL", "is", "live"]
    assert events[-1].played.text.rstrip(" .") == "The SQL is live"
