"""The section `engines.local` of the settings."""

import pytest

from speechpool.errors import SettingsError
from speechpool.speech.local.options import LocalOptions


def test_nothing_has_to_be_set():
    assert LocalOptions.parse({}) == LocalOptions()


def test_every_option_is_taken(tmp_path):
    models = dict.fromkeys(("acousticModel", "languageModel", "dictionary"), str(tmp_path))
    paths = {"espeakLibrary": str(tmp_path), "espeakData": str(tmp_path)}
    options = LocalOptions.parse(
        {"wordsPerMinute": 80, "voices": {"a": "en-us"}, "language": "de-DE", **models, **paths}
    )
    assert (options.words_per_minute, options.voices, options.language) == (80, {"a": "en-us"}, "de-DE")
    assert {options.acoustic_model, options.language_model, options.dictionary} == {str(tmp_path)}
    assert {options.espeak_library, options.espeak_data} == {str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("wordsPerMinute", 79, "80 to 450"),
        ("wordsPerMinute", 451, "80 to 450"),
        ("wordsPerMinute", True, "80 to 450"),
        ("wordsPerMinute", "175", "80 to 450"),
        ("voices", ["alloy"], "a mapping"),
        ("voices", {"alloy": 3}, "a mapping"),
        ("voices", {"": "en-us"}, "a mapping"),
        ("espeakData", "/no/such/folder", "exists"),
        ("espeakLibrary", 3, "exists"),
        ("language", "", "a language tag"),
    ],
)
def test_a_wrong_value_is_refused_with_name_value_and_bound(name, value, bound):
    with pytest.raises(SettingsError, match=rf"engines\.local\.{name} must be .*{bound}") as caught:
        LocalOptions.parse({name: value})
    assert repr(value) in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        LocalOptions.parse({"pitch": 3, "wordsPerMinute": 0, "dictionary": "/"})
    assert len(caught.value.problems) == 3
    assert "engines.local.pitch is unknown; known are wordsPerMinute, " in caught.value.problems[0]
    assert "go together" in caught.value.problems[2]
