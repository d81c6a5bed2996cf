"""Segments of speech in a stream of frames."""

import pytest

from speechpool.speech.local.endpointing import (
    FRAME_SECONDS,
    Endpointer,
    SegmentAudio,
    SegmentEnded,
    SegmentEvent,
    SegmentStarted,
)


def hear(endpointer: Endpointer, judged: str) -> list[SegmentEvent]:
    """Feeds a frame for each letter: "s" is speech, "." is silence; frames are numbered."""
    events = []
    for letter in judged:
        number = round(endpointer.now_seconds / FRAME_SECONDS)
        events += endpointer.feed(number.to_bytes(4, "big"), is_speech=letter == "s")
    return events


def frames(events: list[SegmentEvent]) -> list[int]:
    audio = b"".join(event.audio for event in events if isinstance(event, SegmentAudio))
    return [int.from_bytes(audio[i : i + 4], "big") for i in range(0, len(audio), 4)]


def marks(events: list[SegmentEvent]) -> list[tuple[str, int]]:
    return [
        (type(event).__name__[len("Segment") :], round(event.offset_seconds / FRAME_SECONDS))
        for event in events
        if not isinstance(event, SegmentAudio)
    ]


def test_a_segment_begins_at_its_first_speech_and_ends_at_its_last():
    events = hear(Endpointer(0.3), "." * 20 + "s" * 30 + "." * 20)
    assert marks(events) == [("Started", 20), ("Ended", 50)]


def test_the_audio_begins_a_little_before_and_misses_nothing():
    endpointer = Endpointer(0.3)
    events = hear(endpointer, "." * 20 + "s" * 30 + "." * 10)
    assert frames(events) == list(range(16, 59))  # nine frames of ten are silent enough
    started = events[0]
    assert isinstance(started, SegmentStarted)
    assert started.audio_offset_seconds == pytest.approx(16 * FRAME_SECONDS)
    assert not endpointer.in_speech


@pytest.mark.parametrize("judged", ["." * 200, "s...." * 40, "ss......" * 30])
def test_clicks_are_no_speech(judged):
    endpointer = Endpointer(0.3)
    assert hear(endpointer, judged) == []


@pytest.mark.parametrize(("silence_seconds", "segments"), [(0.3, 2), (0.6, 1), (5.0, 0)])
def test_the_silence_that_ends_a_segment_is_the_callers(silence_seconds, segments):
    events = hear(Endpointer(silence_seconds), "s" * 20 + "." * 15 + "s" * 20 + "." * 30)
    assert sum(isinstance(event, SegmentEnded) for event in events) == segments


def test_a_click_within_the_silence_does_not_prolong_it():
    events = hear(Endpointer(0.6), "s" * 20 + "." * 10 + "s" + "." * 15)
    assert marks(events) == [("Started", 0), ("Ended", 31)]


def test_ending_on_demand_ends_the_segment_under_way_and_the_next_follows():
    endpointer = Endpointer(0.3)
    events = hear(endpointer, "s" * 20) + endpointer.end() + hear(endpointer, "s" * 20) + endpointer.end()
    assert marks(events) == [("Started", 0), ("Ended", 20), ("Started", 20), ("Ended", 40)]
    assert frames(events) == list(range(40))


def test_ending_on_demand_takes_a_short_word_that_would_not_begin_a_segment():
    endpointer = Endpointer(0.3)
    assert hear(endpointer, "...sss") == []
    events = endpointer.end()
    assert marks(events) == [("Started", 3), ("Ended", 6)]
    assert frames(events) == list(range(6))


def test_ending_on_demand_without_speech_is_nothing():
    endpointer = Endpointer(0.3)
    hear(endpointer, "..s...s")
    assert endpointer.end() == []
    assert endpointer.end() == []


def test_a_segment_never_grows_beyond_its_bound():
    events = hear(Endpointer(0.3), "s" * 2_500)
    lengths = [mark for mark in marks(events) if mark[0] == "Ended"]
    assert lengths == [("Ended", 1000), ("Ended", 2000)]
    assert frames(events) == list(range(2_500))
