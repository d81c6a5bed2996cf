"""The JSON of events on WebSockets: names, units and nothing else. Times are milliseconds."""

from typing import Any

from speechpool.service.events import Played, SpeechSummary
from speechpool.speech.engine import Bookmark, Final, UseReport, Viseme, WordBoundary

__all__ = [
    "NOTHING_PLAYED",
    "final_event",
    "mark_event",
    "milliseconds",
    "played_event",
    "report_event",
    "summary_event",
]

Json = dict[str, Any]

NOTHING_PLAYED: Json = {"audio_ms": 0.0, "characters": 0, "text": "", "estimated": False}
"""What an utterance played that never began."""


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to the microsecond; None stays None."""
    return None if seconds is None else round(seconds * 1000, 3)


def mark_event(mark: WordBoundary | Viseme | Bookmark) -> Json:
    """A place in the audio: `word`, `viseme` or `bookmark`, as `type` says."""
    offset_ms = milliseconds(mark.audio_offset_seconds)
    match mark:
        case Viseme():
            return {"type": "viseme", "viseme_id": mark.viseme_id, "offset_ms": offset_ms}
        case Bookmark():
            return {"type": "bookmark", "name": mark.name, "offset_ms": offset_ms}
        case WordBoundary():
            return {
                "type": "word",
                "text": mark.text,
                "offset_ms": offset_ms,
                "duration_ms": milliseconds(mark.duration_seconds),
                "text_offset": mark.text_offset,
                "text_length": mark.text_length,
            }


def summary_event(summary: SpeechSummary) -> Json:
    """How an utterance ended: `completed` or `canceled`."""
    report = report_event(summary.report, is_warm_miss=summary.warm_miss)
    if summary.outcome == "canceled":
        return {"type": "canceled", **played_event(summary.played), **report}
    return {
        "type": "completed",
        "pool": summary.pool,
        "tier": summary.tier,
        "wait_ms": milliseconds(summary.wait_seconds),
        "first_audio_ms": milliseconds(summary.first_byte_seconds),
        "audio_ms": milliseconds(summary.audio_seconds),
        "characters": summary.characters,
        "bytes": summary.bytes_sent,
        "rtf": summary.rtf,
        "attempts": summary.attempts,
        **report,
    }


def report_event(report: UseReport, *, is_warm_miss: bool) -> Json:
    """How the engine served a use."""
    return {
        "warm_miss": is_warm_miss,
        "connect_ms": milliseconds(report.connect_seconds),
        "endpoint": report.endpoint,
        "reference": report.reference,
    }


def played_event(played: Played) -> Json:
    """How much of an utterance went out."""
    return {
        "audio_ms": milliseconds(played.audio_seconds),
        "characters": played.characters,
        "text": played.text,
        "estimated": played.estimated,
    }


def final_event(final: Final, before_seconds: float) -> Json:
    """A segment's final text; `before_seconds` is where its recognition began in the conversation."""
    words = [
        {
            "text": word.text,
            "start_ms": milliseconds(before_seconds + word.start_seconds),
            "end_ms": milliseconds(before_seconds + word.end_seconds),
            "confidence": word.confidence,
        }
        for word in final.words
    ]
    return {
        "type": "final",
        "text": final.text,
        "offset_ms": milliseconds(before_seconds + final.offset_seconds),
        "duration_ms": milliseconds(final.duration_seconds),
        "language": final.language,
        "confidence": final.confidence,
        "words": words,
    }
