"""The shapes of a transcript."""

from speechpool.service.transcripts import Transcript, to_json, to_srt, to_text, to_verbose_json, to_vtt
from speechpool.speech.engine import Final, RecognizedWord

WORDS = (
    RecognizedWord(text="hello", start_seconds=0.5, end_seconds=0.9, confidence=0.8),
    RecognizedWord(text="there", start_seconds=0.9, end_seconds=1.2504, confidence=0.7),
)
TRANSCRIPT = Transcript(
    segments=(
        Final(text="hello there", offset_seconds=0.5, duration_seconds=0.75, language="en-US", words=WORDS),
        Final(text="a < b &\nc", offset_seconds=3661.0, duration_seconds=1.5, language="en-US", confidence=0.9),
    ),
    language="en-US",
    duration_seconds=3662.6,
    tier="warm",
    wait_seconds=0.0,
    pool="stt",
)
EMPTY = Transcript(segments=(), language="en-US", duration_seconds=1.0, tier="warm", wait_seconds=0.0, pool="stt")


def test_text_and_json() -> None:
    assert to_text(TRANSCRIPT) == "hello there a < b &\nc\n"
    assert to_json(TRANSCRIPT) == {"text": "hello there a < b &\nc", "usage": {"type": "duration", "seconds": 3663}}


def test_srt_numbers_its_cues_and_has_no_blank_line_in_one() -> None:
    assert to_srt(TRANSCRIPT) == (
        "1\n00:00:00,500 --> 00:00:01,250\nhello there\n\n2\n01:01:01,000 --> 01:01:02,500\na < b & c\n"
    )


def test_vtt_escapes_what_is_markup_there() -> None:
    assert to_vtt(TRANSCRIPT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nhello there\n\n01:01:01.000 --> 01:01:02.500\na &lt; b &amp; c\n"
    )


def test_verbose_json_lists_segments_words_or_both() -> None:
    body = to_verbose_json(TRANSCRIPT)
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "en-US", 3662.6)
    assert [(segment["id"], segment["start"], segment["end"]) for segment in body["segments"]] == [
        (0, 0.5, 1.25),
        (1, 3661.0, 3662.5),
    ]
    assert "words" not in body
    both = to_verbose_json(TRANSCRIPT, frozenset({"word", "segment"}))
    assert both["words"] == [
        {"word": "hello", "start": 0.5, "end": 0.9},
        {"word": "there", "start": 0.9, "end": 1.25},
    ]
    assert "segments" not in to_verbose_json(TRANSCRIPT, frozenset({"word"}))


def test_openais_own_types_take_it() -> None:
    from openai.types.audio import TranscriptionVerbose  # noqa: PLC0415 - slow to import, one test needs it

    parsed = TranscriptionVerbose.model_validate(
        to_verbose_json(TRANSCRIPT, frozenset({"word", "segment"})), strict=True
    )
    assert parsed.words is not None
    assert parsed.words[1].end == 1.25


def test_silence_is_an_empty_transcript() -> None:
    assert (to_text(EMPTY), to_srt(EMPTY), to_vtt(EMPTY)) == ("\n", "", "WEBVTT\n")
    assert to_verbose_json(EMPTY)["segments"] == []
