"""What went out: from word times, proportional without them, never half a word."""

import pytest

from speechpool.service.played import PlayedAccount
from speechpool.speech.engine import WordBoundary


def account(text: str, words: list[tuple[str, float]] | None = None, ends: float | None = None) -> PlayedAccount:
    made = PlayedAccount()
    made.begin(text, is_ssml=False, at_seconds=0.0)
    for word, at in words or ():
        made.word(WordBoundary(text=word, audio_offset_seconds=at, text_offset=text.index(word), text_length=len(word)))
    if ends is not None:
        made.end(ends)
    return made


def test_a_word_went_out_when_its_audio_began() -> None:
    words = account("one, two three.", [("one", 0.0), ("two", 0.5), ("three", 1.0)], ends=1.5)
    assert [words.up_to(at).text for at in (0.0, 0.1, 0.5, 0.6, 1.2, 1.5)] == [
        "",
        "one",
        "one",
        "one, two",
        "one, two three",
        "one, two three.",
    ]
    assert not words.up_to(0.6).estimated
    assert words.up_to(0.6).characters == len("one, two")


def test_without_word_times_the_text_is_proportional_and_whole_words() -> None:
    played = account("one two three four", ends=2.0).up_to(1.0)
    assert (played.text, played.estimated) == ("one two", True)
    assert account("one two three four", ends=2.0).up_to(2.0).text == "one two three four"
    assert not account("one two three four", ends=2.0).up_to(2.0).estimated


def test_while_the_end_is_not_known_a_usual_voice_is_assumed() -> None:
    played = account("one two three four five six").up_to(1.0)
    assert played.text in {"one two", "one two three"}
    assert played.estimated


def test_a_script_without_spaces_is_cut_between_characters() -> None:
    assert account("今天天气很好", ends=6.0).up_to(3.0).text == "今天天"


def test_parts_follow_one_another() -> None:
    made = account("One. ", ends=1.0)
    made.begin("Two three. ", is_ssml=False, at_seconds=1.0)
    made.word(WordBoundary(text="Two", audio_offset_seconds=1.0, text_offset=0, text_length=3))
    assert made.up_to(1.2).text == "One. Two"


def test_of_ssml_its_words_went_out() -> None:
    made = PlayedAccount()
    made.begin("<speak>a <b/>c</speak>", is_ssml=True, at_seconds=0.0)
    for word, at in (("a", 0.0), ("c", 0.5)):
        made.word(WordBoundary(text=word, audio_offset_seconds=at, text_offset=0, text_length=1))
    made.end(1.0)
    assert made.up_to(1.0).text == "a c"
    assert made.up_to(0.2).text == "a"


def test_a_text_that_begins_anew_forgets_its_words() -> None:
    made = account("one two", [("one", 0.0), ("two", 0.5)])
    made.restart(0.0)
    made.word(WordBoundary(text="one", audio_offset_seconds=0.0, text_offset=0, text_length=3))
    assert made.up_to(0.9).text == "one"


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_nothing_said_is_nothing(seconds) -> None:
    played = PlayedAccount().up_to(seconds)
    assert (played.text, played.characters, played.estimated) == ("", 0, False)
