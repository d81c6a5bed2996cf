"""What Azure says of audio, as events of the engine protocol. Pure: the service's JSON in, events out.

The SDK hands the JSON through with offsets that count from the first audio written, also after it connected again. Its
own `result.text` is not used: it ends after 2,047 bytes of UTF-8, and a result that it would cut within a character is
lost altogether (SDK 1.53, measured).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool.speech.engine import Final, Partial, RecognizedWord

__all__ = ["TICKS_PER_SECOND", "Clock", "Phrase", "read_partial", "read_phrase", "seconds"]

TICKS_PER_SECOND = 10_000_000
"""The service counts in units of 100 ns."""

Clock = Callable[[float], float]
"""From the service's seconds to the caller's: they differ once silence was written that the caller did not send."""

_COMMIT_TOKEN = "X-Client-Commit-Token"  # noqa: S105 - a header's name, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """What the service says of a stretch of audio that it is done with.

    Args:
        final: What was understood; None where nothing was.
        end_seconds: The service has done with all audio before this second of its own count.
        commit_token: Which commit it answers; 0 where none.
    """

    final: Final | None
    end_seconds: float
    commit_token: int = 0


def seconds(ticks: object) -> float:
    """Seconds of a time in the service's JSON; 0 where it gives none."""
    return ticks / TICKS_PER_SECOND if isinstance(ticks, int | float) else 0.0


def read_partial(text: str, clock: Clock) -> Partial | None:
    """The hypothesis in a `speech.hypothesis`; None where it is empty.

    Raises:
        ValueError: It is not a JSON object.
    """
    told = _parse(text)
    words = told.get("Text") or ""
    return Partial(text=words, offset_seconds=clock(seconds(told.get("Offset")))) if words else None


def read_phrase(text: str, clock: Clock, *, language: str, words: bool) -> Phrase:
    """The result in a `speech.phrase`.

    Args:
        text: The service's JSON.
        clock: To the caller's time.
        language: The language where the service names none.
        words: Whether the words are wanted.

    Raises:
        ValueError: It is not a JSON object.
    """
    told = _parse(text)
    begin = seconds(told.get("Offset"))
    end = begin + seconds(told.get("Duration"))
    best = _best(told)
    said = told.get("DisplayText") or best.get("Display") or ""
    token = _commit_token(told)
    final = None
    if said and told.get("RecognitionStatus") == "Success":
        confidence = _confidence(best)
        final = Final(
            text=said,
            offset_seconds=clock(begin),
            duration_seconds=max(0.0, clock(end) - clock(begin)),
            language=_language(told) or language,
            confidence=confidence,
            words=_words(best.get("Words") or (), clock, confidence) if words else (),
        )
    return Phrase(final=final, end_seconds=end, commit_token=token)


def _parse(text: str) -> Mapping[str, Any]:
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError("a result that is not a JSON object")  # noqa: TRY004 - as any other JSON that is none
    return told


def _best(told: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates: Sequence[Mapping[str, Any]] = told.get("NBest") or [{}]
    return candidates[0]  # the service's order: most likely first


def _confidence(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("Confidence")
    return min(1.0, max(0.0, float(value))) if isinstance(value, int | float) else None


def _language(told: Mapping[str, Any]) -> str | None:
    """The detected language, as BCP 47."""
    detected = told.get("PrimaryLanguage") or {}
    return detected.get("Language") or None


def _words(entries: Sequence[Mapping[str, Any]], clock: Clock, otherwise: float | None) -> tuple[RecognizedWord, ...]:
    """The words with their times; a word without a confidence of its own has its phrase's."""
    words = []
    for entry in entries:
        begin = seconds(entry.get("Offset"))
        own = _confidence(entry)
        words.append(
            RecognizedWord(
                text=entry.get("Word") or "",
                start_seconds=clock(begin),
                end_seconds=clock(begin + seconds(entry.get("Duration"))),
                confidence=own if own is not None else otherwise or 0.0,
            )
        )
    return tuple(words)


def _commit_token(told: Mapping[str, Any]) -> int:
    value = str((told.get("clientAudioMetadata") or {}).get(_COMMIT_TOKEN))
    return int(value) if value.isdecimal() else 0
