"""A transcript, and the shapes it is handed out in: text, json, verbose_json, srt, vtt. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from speechpool.speech.engine import Final, RecognizedWord

__all__ = ["Transcript", "to_json", "to_srt", "to_text", "to_verbose_json", "to_vtt"]

DEFAULT_GRANULARITIES = frozenset({"segment"})
"""What verbose_json holds unless asked: OpenAI's default of `timestamp_granularities[]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What a whole recording says.

    Args:
        segments: The finals that hold text, in order.
        language: BCP 47 tag.
        duration_seconds: Length of the recording.
        tier: "dedicated", "warm" or "cold".
        wait_seconds: How long the client was waited for.
        pool: Name of the pool that served it.
    """

    segments: tuple[Final, ...] = field(repr=False)
    language: str
    duration_seconds: float
    tier: str
    wait_seconds: float
    pool: str

    @property
    def text(self) -> str:
        """All of it, segments joined by a space."""
        return " ".join(segment.text.strip() for segment in self.segments)

    @property
    def words(self) -> tuple[RecognizedWord, ...]:
        """All words, where they were asked for."""
        return tuple(word for segment in self.segments for word in segment.words)


def to_text(transcript: Transcript) -> str:
    """The body of `response_format: text`."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> dict[str, Any]:
    """The body of `response_format: json`."""
    return {"text": transcript.text, "usage": {"type": "duration", "seconds": round(transcript.duration_seconds)}}


def to_verbose_json(transcript: Transcript, granularities: frozenset[str] = DEFAULT_GRANULARITIES) -> dict[str, Any]:
    """The body of `response_format: verbose_json`.

    Args:
        transcript: What was said.
        granularities: "segment", "word" or both: what is listed beside the text.
    """
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language,
        "duration": _rounded(transcript.duration_seconds),
        "text": transcript.text,
    }
    if "segment" in granularities:
        body["segments"] = [_segment(index, final) for index, final in enumerate(transcript.segments)]
    if "word" in granularities:
        body["words"] = [_word(word) for word in transcript.words]
    body["usage"] = {"type": "duration", "seconds": round(transcript.duration_seconds)}
    return body


def _word(word: RecognizedWord) -> dict[str, Any]:
    return {"word": word.text, "start": _rounded(word.start_seconds), "end": _rounded(word.end_seconds)}


def _segment(index: int, final: Final) -> dict[str, Any]:
    """One segment in OpenAI's shape; what only Whisper knows has its neutral value, because clients require it."""
    return {
        "id": index,
        "seek": round(final.offset_seconds * 100),  # Whisper's frames of 10 ms
        "start": _rounded(final.offset_seconds),
        "end": _rounded(final.offset_seconds + final.duration_seconds),
        "text": final.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
        "confidence": final.confidence,
    }


def to_srt(transcript: Transcript) -> str:
    """The body of `response_format: srt`: numbered cues."""
    cues = (
        f"{number}\n{_span(cue, _srt_time)}\n{cue.text}\n" for number, cue in enumerate(_cues(transcript.segments), 1)
    )
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """The body of `response_format: vtt`."""
    cues = (f"\n{_span(cue, _vtt_time)}\n{_vtt_escaped(cue.text)}\n" for cue in _cues(transcript.segments))
    return "WEBVTT\n" + "".join(cues)


@dataclass(frozen=True, slots=True)
class _Cue:
    start_seconds: float
    end_seconds: float
    text: str = field(repr=False)


def _cues(segments: Iterable[Final]) -> list[_Cue]:
    # A blank line would end a cue early, so text is on one line.
    return [
        _Cue(final.offset_seconds, final.offset_seconds + final.duration_seconds, " ".join(final.text.split()))
        for final in segments
    ]


def _span(cue: _Cue, time: Callable[[float], str]) -> str:
    return f"{time(cue.start_seconds)} --> {time(cue.end_seconds)}"


def _srt_time(seconds: float) -> str:
    return _vtt_time(seconds).replace(".", ",")


def _vtt_time(seconds: float) -> str:
    milliseconds = round(max(0.0, seconds) * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def _vtt_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
