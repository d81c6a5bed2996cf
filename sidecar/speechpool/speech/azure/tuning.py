"""A session's options as properties of the SDK. Pure: options in, names and values out, or what is wrong with them."""

from collections.abc import Sequence

from speechpool.errors import InvalidInput
from speechpool.speech.engine import LanguageMode, RecognitionOptions, RecognitionProfile
from speechpool.speech.hints import MAX_PHRASES

__all__ = ["check_options", "session_properties"]

_SILENCE_MS = (100, 5000)  # PropertyId.Speech_SegmentationSilenceTimeoutMs
_MAXIMUM_MS = (20_000, 70_000)  # PropertyId.Speech_SegmentationMaximumTimeMs
_STRATEGIES = ("Default", "Time", "Semantic")  # PropertyId.Speech_SegmentationStrategy
_SENSITIVITIES = ("low", "medium", "high")  # PropertyId.Speech_StartEventSensitivity
_MAX_PHRASE_CHARACTERS = 500  # guess: a phrase is a name or a term
_MAX_LIST_CHARACTERS = 20_000  # guess: one message of the SDK's carries the list at the beginning of each turn


def check_options(options: RecognitionOptions, profile: RecognitionProfile, *, language_is_fixed: bool) -> None:
    """Refuse what Azure would refuse, or ignore.

    Args:
        options: The session's.
        profile: The client's.
        language_is_fixed: Whether its connection is bound to the first language (a container's is).

    Raises:
        InvalidInput: Names the option, its value, and what is possible.
    """
    _check_language(options.language, profile, language_is_fixed)
    if options.grammar:
        raise _wrong("grammar", "not_supported", "grammar is not supported by Azure; give the words as phrases")
    _check_segmentation(options)
    _check_one_of("start_sensitivity", options.start_sensitivity, _SENSITIVITIES)
    _check_phrases(options.phrases)


def session_properties(options: RecognitionOptions, profile: RecognitionProfile) -> dict[str, str]:
    """Names of `PropertyId` with their values, for options that were checked; the service reads them with each turn."""
    values = {
        "Speech_SegmentationSilenceTimeoutMs": options.segmentation_silence_ms,
        "Speech_SegmentationMaximumTimeMs": options.segmentation_maximum_ms,
        "Speech_SegmentationStrategy": options.segmentation_strategy,
        "Speech_StartEventSensitivity": options.start_sensitivity,
    }
    if profile.language_mode is LanguageMode.SINGLE and options.language not in {None, profile.languages[0]}:
        values["SpeechServiceConnection_RecoLanguage"] = options.language
    return {name: str(value) for name, value in values.items() if value is not None}


def _check_language(language: str | None, profile: RecognitionProfile, language_is_fixed: bool) -> None:
    known = profile.languages[:1] if language_is_fixed else profile.languages
    if language is not None and language not in known:
        raise _wrong(
            "language", "unsupported_language", f"language must be {_either(known)} for this pool; got {language!r}"
        )


def _check_segmentation(options: RecognitionOptions) -> None:
    silence_ms, maximum_ms = options.segmentation_silence_ms, options.segmentation_maximum_ms
    strategy = options.segmentation_strategy
    _check_one_of("segmentation_strategy", strategy, _STRATEGIES)
    _check_range("segmentation_silence_ms", silence_ms, _SILENCE_MS)
    _check_range("segmentation_maximum_ms", maximum_ms, _MAXIMUM_MS)
    if strategy == "Semantic" and silence_ms is not None:
        raise _wrong(
            "segmentation_silence_ms",
            "semantic_with_silence",
            f"segmentation_silence_ms = {silence_ms} cannot go with segmentation_strategy = 'Semantic', which ends "
            "segments by their meaning; leave one of them out",
        )
    if maximum_ms is not None and (silence_ms is None or strategy == "Semantic"):
        raise _wrong(
            "segmentation_maximum_ms",
            "maximum_without_silence",
            f"segmentation_maximum_ms = {maximum_ms} needs segmentation_silence_ms ({_SILENCE_MS[0]} to "
            f"{_SILENCE_MS[1]}), and segmentation_strategy 'Time' or none; add it, or leave the maximum out",
        )


def _check_range(param: str, value: int | None, bounds: tuple[int, int]) -> None:
    if value is not None and not bounds[0] <= value <= bounds[1]:
        raise _wrong(param, "invalid_value", f"{param} must be from {bounds[0]} to {bounds[1]} ms; got {value}")


def _check_one_of(param: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise _wrong(param, "invalid_value", f"{param} must be {_either(known)}; got {value[:40]!r}")


def _check_phrases(phrases: Sequence[str]) -> None:
    if len(phrases) > MAX_PHRASES:
        raise _wrong("phrases", "too_many_entries", f"phrases has {len(phrases)} entries; at most {MAX_PHRASES}")
    characters = sum(map(len, phrases))
    if characters > _MAX_LIST_CHARACTERS:
        raise _wrong("phrases", "too_long", f"phrases has {characters} characters; at most {_MAX_LIST_CHARACTERS}")
    for number, phrase in enumerate(phrases, start=1):
        if not any(map(str.isalnum, phrase)):
            raise _wrong("phrases", "no_words", f"phrases entry {number} has no words")
        if len(phrase) > _MAX_PHRASE_CHARACTERS:
            raise _wrong(
                "phrases",
                "too_long",
                f"phrases entry {number} has {len(phrase)} characters; at most {_MAX_PHRASE_CHARACTERS}",
            )


def _either(known: Sequence[str]) -> str:
    return " or ".join(map(repr, known))


def _wrong(param: str, code: str, message: str) -> InvalidInput:
    return InvalidInput(message, param=param, code=code)
