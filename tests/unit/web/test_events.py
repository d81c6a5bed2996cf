"""Events as JSON: milliseconds, and no field left out."""

from speechpool.service.events import Played, SpeechSummary
from speechpool.speech.engine import Bookmark, Final, RecognizedWord, UseReport, Viseme, WordBoundary
from speechpool.web.events import final_event, mark_event, milliseconds, summary_event

SERVED = {"warm_miss": True, "connect_ms": 200.0, "endpoint": "westeurope", "reference": "4711"}
PLAYED = Played(audio_seconds=0.5, characters=3, text="One", estimated=True)


def summary(outcome: str) -> SpeechSummary:
    return SpeechSummary(
        outcome=outcome,
        pool="tts",
        tier="warm",
        wait_seconds=0.0001,
        first_byte_seconds=None,
        audio_seconds=1.25,
        characters=9,
        bytes_sent=100,
        seconds=0.5,
        rtf=0.1,
        attempts=1,
        played=PLAYED,
        report=UseReport(was_warm=False, connect_seconds=0.2, endpoint="westeurope", reference="4711"),
        warm_miss=True,
    )


def test_times_are_milliseconds_to_the_microsecond():
    assert milliseconds(1.2345678) == 1234.568
    assert milliseconds(None) is None


def test_marks_say_what_and_when():
    word = WordBoundary(text="One", audio_offset_seconds=0.1, text_offset=2, text_length=3)
    assert mark_event(word) == {
        "type": "word",
        "text": "One",
        "offset_ms": 100.0,
        "duration_ms": None,
        "text_offset": 2,
        "text_length": 3,
    }
    assert mark_event(Viseme(viseme_id=4, audio_offset_seconds=0.2)) == {
        "type": "viseme",
        "viseme_id": 4,
        "offset_ms": 200.0,
    }
    assert mark_event(Bookmark(name="here", audio_offset_seconds=0.3)) == {
        "type": "bookmark",
        "name": "here",
        "offset_ms": 300.0,
    }


def test_a_whole_utterance_tells_its_numbers():
    assert summary_event(summary("completed")) == {
        "type": "completed",
        "pool": "tts",
        "tier": "warm",
        "wait_ms": 0.1,
        "first_audio_ms": None,
        "audio_ms": 1250.0,
        "characters": 9,
        "bytes": 100,
        "rtf": 0.1,
        "attempts": 1,
        **SERVED,
    }


def test_a_canceled_one_tells_what_went_out():
    assert summary_event(summary("canceled")) == {
        "type": "canceled",
        "audio_ms": 500.0,
        "characters": 3,
        "text": "One",
        "estimated": True,
        **SERVED,
    }


def test_a_final_counts_from_the_beginning_of_the_conversation():
    word = RecognizedWord(text="hi", start_seconds=0.1, end_seconds=0.4, confidence=0.5)
    final = Final(text="hi", offset_seconds=0.1, duration_seconds=0.3, language="en-US", words=(word,))
    event = final_event(final, 10.0)
    assert (event["offset_ms"], event["duration_ms"]) == (10_100.0, 300.0)
    assert event["words"] == [{"text": "hi", "start_ms": 10_100.0, "end_ms": 10_400.0, "confidence": 0.5}]
