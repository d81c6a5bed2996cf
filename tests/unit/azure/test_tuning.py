"""Which options Azure takes, and as what."""

from typing import Any

import pytest

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.tuning import check_options, session_properties
from speechpool.speech.engine import LanguageMode, RecognitionOptions, RecognitionProfile

FORMAT = AudioFormat(Codec.PCM, 16_000)
PROFILE = RecognitionProfile(format=FORMAT, languages=("en-US", "fr-FR"))
DETECTING = RecognitionProfile(format=FORMAT, languages=("en-US", "fr-FR"), language_mode=LanguageMode.DETECT)


def refusal(*, profile: RecognitionProfile = PROFILE, language_is_fixed: bool = False, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        check_options(RecognitionOptions(**options), profile, language_is_fixed=language_is_fixed)
    return refused.value


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"segmentation_silence_ms": 100},
        {"segmentation_silence_ms": 5000, "segmentation_maximum_ms": 70_000, "segmentation_strategy": "Time"},
        {"segmentation_silence_ms": 300, "segmentation_maximum_ms": 20_000},
        {"segmentation_strategy": "Semantic"},
        {"segmentation_strategy": "Default", "segmentation_silence_ms": 300},
        {"start_sensitivity": "high"},
        {"phrases": ("Contoso", "St. John's")},
        {"language": "fr-FR"},
        {"words": True, "partials": False},
    ],
)
def test_what_azure_takes_passes(options: dict[str, Any]) -> None:
    check_options(RecognitionOptions(**options), PROFILE, language_is_fixed=False)


@pytest.mark.parametrize(
    ("param", "value", "told"),
    [
        ("segmentation_silence_ms", 99, "must be from 100 to 5000 ms; got 99"),
        ("segmentation_silence_ms", 5001, "must be from 100 to 5000 ms; got 5001"),
        ("segmentation_maximum_ms", 19_999, "must be from 20000 to 70000 ms; got 19999"),
        ("segmentation_strategy", "semantic", "must be 'Default' or 'Time' or 'Semantic'; got 'semantic'"),
        ("start_sensitivity", "High", "must be 'low' or 'medium' or 'high'; got 'High'"),
        ("language", "de-DE", "must be 'en-US' or 'fr-FR' for this pool; got 'de-DE'"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_name_and_bounds(param: str, value: object, told: str) -> None:
    error = refusal(**{param: value})
    assert error.param == param
    assert told in str(error)


def test_semantic_segmentation_cannot_go_with_a_silence() -> None:
    error = refusal(segmentation_strategy="Semantic", segmentation_silence_ms=500)
    assert (error.param, error.code) == ("segmentation_silence_ms", "semantic_with_silence")
    assert "500" in str(error)


@pytest.mark.parametrize("others", [{}, {"segmentation_strategy": "Time"}, {"segmentation_strategy": "Semantic"}])
def test_a_longest_segment_needs_a_silence(others: dict[str, Any]) -> None:
    error = refusal(segmentation_maximum_ms=30_000, **others)
    assert (error.param, error.code) == ("segmentation_maximum_ms", "maximum_without_silence")


def test_a_grammar_is_refused_and_phrases_are_named_instead() -> None:
    error = refusal(grammar=("yes please",))
    assert error.param == "grammar"
    assert "phrases" in str(error)


@pytest.mark.parametrize(
    ("phrases", "told"),
    [
        (("ok",) * 501, "501 entries; at most 500"),
        (("ok", "..."), "entry 2 has no words"),
        (("a" * 501,), "entry 1 has 501 characters; at most 500"),
        (("a" * 400,) * 51, "20400 characters; at most 20000"),
    ],
)
def test_phrases_are_bounded_and_never_shown(phrases: tuple[str, ...], told: str) -> None:
    error = refusal(phrases=phrases)
    assert error.param == "phrases"
    assert told in str(error)
    assert "aaa" not in str(error)


def test_a_connection_that_is_bound_to_its_language_takes_no_other() -> None:
    assert refusal(language="fr-FR", language_is_fixed=True).code == "unsupported_language"


def test_options_become_properties_of_the_sdk() -> None:
    options = RecognitionOptions(
        language="fr-FR",
        segmentation_silence_ms=300,
        segmentation_maximum_ms=20_000,
        segmentation_strategy="Time",
        start_sensitivity="high",
    )
    assert session_properties(options, PROFILE) == {
        "Speech_SegmentationSilenceTimeoutMs": "300",
        "Speech_SegmentationMaximumTimeMs": "20000",
        "Speech_SegmentationStrategy": "Time",
        "Speech_StartEventSensitivity": "high",
        "SpeechServiceConnection_RecoLanguage": "fr-FR",
    }


def test_without_options_no_property_is_set() -> None:
    assert session_properties(RecognitionOptions(), PROFILE) == {}
    assert session_properties(RecognitionOptions(language="en-US"), PROFILE) == {}


def test_detection_is_never_bound_to_one_language() -> None:
    assert session_properties(RecognitionOptions(language="fr-FR"), DETECTING) == {}
