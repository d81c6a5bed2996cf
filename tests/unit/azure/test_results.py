"""What the service's JSON becomes."""

import json

import pytest

from speechpool.speech.azure.results import read_partial, read_phrase
from speechpool.speech.engine import Final, Partial, RecognizedWord

SECOND = 10_000_000


def same(seconds: float) -> float:
    return seconds


def phrase_json(**changes: object) -> str:
    told = {
        "Id": "0",
        "RecognitionStatus": "Success",
        "Offset": 2 * SECOND,
        "Duration": 3 * SECOND,
        "DisplayText": "Good morning.",
        "Channel": 0,
        "NBest": [
            {
                "Confidence": 0.87,
                "Lexical": "good morning",
                "Display": "Good morning.",
                "Words": [
                    {"Word": "good", "Offset": 2 * SECOND, "Duration": SECOND, "Confidence": 0.9},
                    {"Word": "morning", "Offset": 3 * SECOND, "Duration": 2 * SECOND},
                ],
            },
            {"Confidence": 0.2, "Display": "Good mourning."},
        ],
    }
    return json.dumps({**told, **changes})


def read(text: str, *, words: bool = False) -> Final | None:
    return read_phrase(text, same, language="en-US", words=words).final


def test_a_phrase_is_a_final_with_the_times_and_the_confidence_of_its_first_candidate() -> None:
    assert read(phrase_json()) == Final(
        text="Good morning.", offset_seconds=2, duration_seconds=3, language="en-US", confidence=0.87
    )


def test_words_come_where_they_are_wanted_and_one_without_confidence_has_its_phrases() -> None:
    final = read(phrase_json(), words=True)
    assert final is not None
    assert final.words == (
        RecognizedWord(text="good", start_seconds=2, end_seconds=3, confidence=0.9),
        RecognizedWord(text="morning", start_seconds=3, end_seconds=5, confidence=0.87),
    )


def test_a_detected_language_is_the_finals() -> None:
    final = read(phrase_json(PrimaryLanguage={"Language": "fr-FR", "Confidence": "High"}))
    assert final is not None
    assert final.language == "fr-FR"


def test_a_simple_result_has_text_and_no_confidence() -> None:
    final = read(phrase_json(NBest=None), words=True)
    assert final is not None
    assert (final.text, final.confidence, final.words) == ("Good morning.", None, ())


def test_a_detailed_result_without_display_text_has_its_first_candidates() -> None:
    final = read(phrase_json(DisplayText=None))
    assert final is not None
    assert final.text == "Good morning."


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout", "EndOfDictation"])
def test_what_was_not_understood_has_no_final_but_acknowledges_its_audio(status: str) -> None:
    phrase = read_phrase(
        phrase_json(RecognitionStatus=status, DisplayText="", NBest=[]), same, language="en-US", words=True
    )
    assert (phrase.final, phrase.end_seconds, phrase.commit_token) == (None, 5.0, 0)


def test_a_success_without_text_is_no_final() -> None:
    assert read(phrase_json(DisplayText="", NBest=[])) is None


@pytest.mark.parametrize(("told", "token"), [("7", 7), (7, 7), ("x", 0), (None, 0), ("-1", 0)])
def test_a_phrase_says_which_commit_it_answers(told: object, token: int) -> None:
    text = phrase_json(clientAudioMetadata={"X-Client-Commit-Token": told})
    assert read_phrase(text, same, language="en-US", words=False).commit_token == token


def test_times_are_the_callers_and_a_length_is_never_negative() -> None:
    phrase = read_phrase(phrase_json(), lambda seconds: min(seconds, 2.5) - 1, language="en-US", words=True)
    assert phrase.final is not None
    assert (phrase.final.offset_seconds, phrase.final.duration_seconds) == (1.0, 0.5)
    assert phrase.final.words[1].start_seconds == 1.5
    assert phrase.end_seconds == 5.0, "what is acknowledged is in the service's own time"


def test_texts_of_any_length_are_whole() -> None:
    """The SDK's own text ends after 2,047 bytes."""
    text = "नमस्ते दुनिया " * 500
    final = read(phrase_json(DisplayText=text))
    assert final is not None
    assert final.text == text


def test_a_confidence_outside_its_range_is_brought_into_it() -> None:
    final = read(phrase_json(NBest=[{"Confidence": 1.0000001}]))
    assert final is not None
    assert final.confidence == 1.0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"secret words"'])
def test_what_is_no_json_object_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting") as refused:
        read(text)
    assert "secret" not in str(refused.value)


def test_a_hypothesis_is_a_partial() -> None:
    told = json.dumps({"Text": "good mor", "Offset": SECOND, "Duration": SECOND})
    assert read_partial(told, same) == Partial(text="good mor", offset_seconds=1.0)


def test_an_empty_hypothesis_is_nothing() -> None:
    assert read_partial('{"Text": "", "Offset": 0, "Duration": 0}', same) is None


def test_no_text_is_in_what_is_shown_of_events() -> None:
    assert "morning" not in repr(read_phrase(phrase_json(), same, language="en-US", words=True))
