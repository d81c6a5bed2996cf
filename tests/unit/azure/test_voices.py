"""Azure's voices by name."""

import pytest

from speechpool.errors import InvalidInput
from speechpool.speech.azure.voices import OPENAI_ALIASES, Voices, read_voices
from speechpool.speech.engine import Voice
from speechpool.speech.voices import OPENAI_VOICES


def voice(name: str, gender: str = "female") -> Voice:
    language, _, _ = name.rpartition("-")
    return Voice(name=name, language=language, gender=gender)


MULTILINGUAL = [voice(name, "male" if alias == "onyx" else "female") for alias, name in OPENAI_ALIASES.items()]
GERMAN = [voice("de-DE-KatjaNeural"), voice("de-DE-AmalaNeural"), voice("de-DE-ConradNeural", "male")]


def voices(*lists: list[Voice], language: str = "en-US", **aliases: str) -> Voices:
    return Voices(lists, language=language, aliases=aliases)


def test_a_list_is_read_as_the_service_writes_it() -> None:
    entry = {
        "ShortName": "en-US-JennyNeural",
        "LocalName": "Jenny",
        "Locale": "en-US",
        "LocaleName": "English (United States)",
        "Gender": "Female",
        "StyleList": ["chat", "sad"],
    }

    assert read_voices([entry]) == (
        Voice(
            name="en-US-JennyNeural",
            language="en-US",
            gender="female",
            description="Azure: Jenny, English (United States)",
            styles=("chat", "sad"),
        ),
    )


@pytest.mark.parametrize("odd", [None, {}, "text", [1, None, {}, {"ShortName": 3}, {"ShortName": "a"}]])
def test_what_is_no_voice_is_left_out(odd: object) -> None:
    assert read_voices(odd) == ()


def test_every_name_of_openai_has_a_voice_of_its_own() -> None:
    assert set(OPENAI_ALIASES) == set(OPENAI_VOICES)
    assert len(set(OPENAI_ALIASES.values())) == len(OPENAI_VOICES)
    assert len(set(voices(MULTILINGUAL).aliases.values())) == len(OPENAI_VOICES)


def test_before_the_list_is_known_any_name_is_let_through() -> None:
    unknown = voices()

    assert unknown.resolve("alloy") == OPENAI_ALIASES["alloy"]
    assert unknown.resolve("en-US-SomethingNeural") == "en-US-SomethingNeural"
    assert unknown.all == ()


def test_a_voice_is_found_in_any_letter_case_and_by_its_long_name() -> None:
    german = voices(GERMAN)

    assert german.resolve("DE-de-katjaneural") == "de-DE-KatjaNeural"
    assert german.resolve("Microsoft Server Speech Text to Speech Voice (de-DE, KatjaNeural)") == "de-DE-KatjaNeural"


def test_the_voices_of_all_endpoints_are_known() -> None:
    both = voices(GERMAN, MULTILINGUAL + GERMAN[:1])

    assert len(both.all) == len(GERMAN) + len(MULTILINGUAL)


def test_openais_names_stand_for_voices_of_the_default_language_by_gender() -> None:
    german = voices(MULTILINGUAL, GERMAN, language="de-DE")

    assert german.resolve("alloy") == "de-DE-KatjaNeural"
    assert german.resolve("coral") == "de-DE-AmalaNeural"
    assert german.resolve("ash") == "de-DE-ConradNeural"
    assert german.resolve("marin") == OPENAI_ALIASES["marin"], "none is left that speaks German alone"
    assert len(set(german.aliases.values())) == len(OPENAI_VOICES)


def test_in_english_a_voice_that_is_not_in_the_region_is_replaced() -> None:
    others = [voice("en-US-AriaNeural"), voice("en-US-GuyNeural", "male")]
    without_alloy = [each for each in MULTILINGUAL if each.name != OPENAI_ALIASES["alloy"]]

    english = voices(without_alloy, others)

    assert english.resolve("alloy") == "en-US-AriaNeural"
    assert english.resolve("ash") == OPENAI_ALIASES["ash"]
    assert len(set(english.aliases.values())) == len(OPENAI_VOICES)


def test_a_container_with_one_voice_serves_every_name() -> None:
    single = voices([voice("en-US-AriaNeural")])

    assert {single.resolve(alias) for alias in OPENAI_VOICES} == {"en-US-AriaNeural"}


def test_the_settings_add_names_that_win() -> None:
    added = voices(GERMAN, language="de-DE", receptionist="de-DE-AmalaNeural", alloy="de-DE-ConradNeural")

    assert added.resolve("Receptionist") == "de-DE-AmalaNeural"
    assert added.resolve("alloy") == "de-DE-ConradNeural"


def test_an_unknown_voice_is_refused_with_near_names() -> None:
    with pytest.raises(InvalidInput, match="did you mean de-DE-KatjaNeural") as refused:
        voices(GERMAN).resolve("de-DE-KatjeNeural")

    assert (refused.value.param, refused.value.code) == ("voice", "voice_not_found")
