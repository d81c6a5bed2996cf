"""The bodies of the messages that tell what was understood."""

import uuid
from typing import Any

from speechpool.speech.engine import Final, Partial, RecognizedWord
from speechpool_azure_emulator.timeline import ticks

__all__ = ["end_of_dictation", "failed", "hypothesis", "long_silence", "nothing_said", "phrase", "with_commit"]


def hypothesis(partial: Partial, heard_seconds: float, language: str | None) -> dict[str, Any]:
    """A hypothesis about a segment that goes on; with the language where it was to be found."""
    length_seconds = max(heard_seconds - partial.offset_seconds, 0.0)
    return {
        "Id": uuid.uuid4().hex,
        "Text": partial.text,
        "Offset": ticks(partial.offset_seconds),
        "Duration": ticks(length_seconds),
        "Channel": 0,
    } | _primary(language)


def phrase(final: Final, language: str | None, *, is_detailed: bool) -> dict[str, Any]:
    """A segment's final text."""
    body = {
        "Id": uuid.uuid4().hex,
        "RecognitionStatus": "Success" if final.text else "NoMatch",
        "Offset": ticks(final.offset_seconds),
        "Duration": ticks(final.duration_seconds),
        "DisplayText": final.text,
        "Channel": 0,
    } | _primary(language)
    return body | ({"NBest": [_best(final)]} if is_detailed and final.text else {})


def failed(body: dict[str, Any], status: str) -> dict[str, Any]:
    """The same place, with another status and without text."""
    kept = {name: body[name] for name in ("Id", "Offset", "Duration", "Channel") if name in body}
    return kept | {"RecognitionStatus": status, "DisplayText": ""}


def nothing_said(heard_seconds: float) -> dict[str, Any]:
    """The only phrase of a recognition in which nobody spoke."""
    return {
        "Id": uuid.uuid4().hex,
        "RecognitionStatus": "InitialSilenceTimeout",
        "Offset": ticks(heard_seconds),
        "Duration": 0,
        "DisplayText": "",
        "Channel": 0,
    }


def end_of_dictation(heard_seconds: float) -> dict[str, Any]:
    """What acknowledges all audio at the end of a turn."""
    return nothing_said(heard_seconds) | {"RecognitionStatus": "EndOfDictation"}


def long_silence(offset_seconds: float, length_seconds: float) -> dict[str, Any]:
    """What tells in a continuous recognition that nothing was said for so long."""
    return nothing_said(offset_seconds) | {"Duration": ticks(length_seconds)}


def with_commit(body: dict[str, Any], token: str) -> dict[str, Any]:
    """The phrase as the answer to a commit."""
    return body | {"clientAudioMetadata": {"X-Client-Commit-Token": token}}


def _primary(language: str | None) -> dict[str, Any]:
    return {"PrimaryLanguage": {"Language": language, "Confidence": "High"}} if language else {}


def _best(final: Final) -> dict[str, Any]:
    lexical = " ".join(word.text.lower().strip(".,!?") for word in final.words) or final.text.lower()
    return {
        "Confidence": final.confidence if final.confidence is not None else 0.0,
        "Lexical": lexical,
        "ITN": lexical,
        "MaskedITN": lexical,
        "Display": final.text,
        "Words": [_word(word) for word in final.words],
    }


def _word(word: RecognizedWord) -> dict[str, Any]:
    return {
        "Word": word.text,
        "Offset": ticks(word.start_seconds),
        "Duration": ticks(word.end_seconds - word.start_seconds),
        "Confidence": word.confidence,
    }
