"""Voices by their names, OpenAI's names, names of the settings, and languages."""

import pytest

from speechpool.errors import InvalidInput
from speechpool.speech.local.catalog import OPENAI_ALIASES, Catalog, EspeakVoice
from speechpool.speech.voices import OPENAI_VOICES, VoiceBook

FOUND = [
    EspeakVoice("af", "gmw/af", "Afrikaans", "male"),
    EspeakVoice("cmn", "sit/cmn", "Chinese (Mandarin)", "male"),
    EspeakVoice("cmn-latn-pinyin", "sit/cmn-Latn-pinyin", "Chinese (Mandarin, latin as Pinyin)", "male"),
    EspeakVoice("de", "gmw/de", "German", "male"),
    EspeakVoice("en-gb", "gmw/en", "English (Great Britain)", "male"),
    EspeakVoice("en-gb-x-rp", "gmw/en-GB-x-rp", "English (Received Pronunciation)", "male"),
    EspeakVoice("en-us", "gmw/en-US", "English (America)", "male"),
    EspeakVoice("variant", "!v/f2", "female2", "female"),
    EspeakVoice("variant", "!v/Annie", "Annie", "female"),
]


@pytest.fixture
def catalog():
    return Catalog(FOUND, {"Receptionist": "en-us+Annie", "alloy": "de"})


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("en-us", "en-us"),
        ("EN-US", "en-us"),
        ("en-us+F2", "en-us+f2"),
        ("de+annie", "de+Annie"),
        ("receptionist", "en-us+Annie"),
        ("alloy", "de"),
        ("de-DE", "de"),
        ("en", "en-us"),
        ("en-AU", "en-us"),
        ("zh-CN", "cmn"),
    ],
)
def test_a_voice_is_found_by_any_of_its_names(catalog, name, voice):
    assert catalog.resolve(name) == voice


@pytest.mark.parametrize("name", ["", "+", "+f2", "en-us+", "en-us+f99", "tlh", "xx-YY", "aloy", "x" * 10_000, "../f2"])
def test_an_unknown_voice_is_a_short_error(catalog, name):
    with pytest.raises(InvalidInput, match="is unknown; ") as caught:
        catalog.resolve(name)
    assert (caught.value.param, caught.value.code) == ("voice", "voice_not_found")
    assert len(str(caught.value)) < 400


def test_an_unknown_voice_gets_a_hint():
    book = VoiceBook(["en-us", "de"], {"alloy": "en-us"})
    assert "did you mean alloy?" in str(book.unknown("aloy"))
    assert "use one of alloy, ash, " in str(book.unknown("zzzzzz"))


def test_the_library_gets_its_own_identifier(catalog):
    assert catalog.identifier("en-gb-x-rp") == "gmw/en-GB-x-rp"
    assert catalog.identifier("en-us+Annie") == "gmw/en-US+Annie"


def test_every_voice_of_openai_has_one_of_its_own():
    assert set(OPENAI_ALIASES) == set(OPENAI_VOICES)
    assert len(set(OPENAI_ALIASES.values())) == len(OPENAI_VOICES) == 13


def test_the_list_has_each_language_once_and_the_variants_of_american_english(catalog):
    listed = {voice.name: voice for voice in catalog.voices()}
    assert len(listed) == len(catalog.voices()) == 9
    assert listed["en-us+f2"].gender == "female"
    assert [listed[name].language for name in ("af", "en-us", "en-gb-x-rp", "cmn-latn-pinyin")] == [
        "af",
        "en-US",
        "en-GB-x-rp",
        "cmn-Latn-pinyin",
    ]
    assert all(catalog.resolve(name) == name for name in listed)
