"""The order in which a caller is told."""

from speechpool.speech.azure.pacing import Timeline
from speechpool.speech.azure.results import Phrase
from speechpool.speech.azure.segments import Segments
from speechpool.speech.engine import Final, Partial, RecognitionEvent, SpeechEnded, SpeechStarted

SECOND = 10_000_000


def segments(*, partials: bool = True, clock: Timeline | None = None) -> Segments:
    return Segments(clock or Timeline(), language="en-US", partials=partials)


def final(begin: float, end: float) -> Final:
    return Final(text="x", offset_seconds=begin, duration_seconds=end - begin, language="en-US")


def shape(events: list[RecognitionEvent]) -> list[tuple[str, float]]:
    return [(type(event).__name__, event.offset_seconds) for event in events]


def test_a_segment_is_told_whole_and_in_order() -> None:
    told = segments()
    assert [
        *told.started(SECOND),
        *told.partial(Partial(text="a", offset_seconds=1.1)),
        *told.partial(Partial(text="a b", offset_seconds=1.1)),
        *told.phrase(Phrase(final=final(1.0, 3.0), end_seconds=3.0)),
    ] == [
        SpeechStarted(offset_seconds=1.0),
        Partial(text="a", offset_seconds=1.1),
        Partial(text="a b", offset_seconds=1.1),
        SpeechEnded(offset_seconds=3.0),
        final(1.0, 3.0),
    ]


def test_later_segments_of_a_turn_have_a_beginning_and_an_end_though_the_service_tells_none() -> None:
    told = segments()
    list(told.started(0))
    list(told.phrase(Phrase(final=final(0.0, 1.0), end_seconds=1.0)))
    later = [
        *told.partial(Partial(text="a", offset_seconds=2.0)),
        *told.phrase(Phrase(final=final(2.0, 3.0), end_seconds=3.0)),
        *told.phrase(Phrase(final=final(4.0, 5.0), end_seconds=5.0)),
        *told.ended(5 * SECOND),
    ]
    assert shape(later) == [
        ("SpeechStarted", 2.0),
        ("Partial", 2.0),
        ("SpeechEnded", 3.0),
        ("Final", 2.0),
        ("SpeechStarted", 4.0),
        ("SpeechEnded", 5.0),
        ("Final", 4.0),
    ]


def test_a_beginning_that_is_told_again_after_a_lost_connection_is_told_once() -> None:
    told = segments()
    assert shape([*told.started(SECOND), *told.started(2 * SECOND)]) == [("SpeechStarted", 1.0)]


def test_without_partials_their_beginning_is_told_still() -> None:
    told = segments(partials=False)
    assert shape(list(told.partial(Partial(text="a", offset_seconds=2.0)))) == [("SpeechStarted", 2.0)]


def test_speech_that_was_none_ends_without_a_final() -> None:
    told = segments()
    list(told.started(SECOND))
    assert shape(list(told.phrase(Phrase(final=None, end_seconds=4.0)))) == [("SpeechEnded", 4.0)]


def test_silence_is_told_nothing_of() -> None:
    told = segments()
    assert [*told.phrase(Phrase(final=None, end_seconds=15.0)), *told.ended(SECOND), *told.partial(None)] == []


def test_a_commit_with_nothing_said_is_answered_by_an_empty_final() -> None:
    told = list(segments().phrase(Phrase(final=None, end_seconds=4.0, commit_token=2)))
    assert told == [Final(text="", offset_seconds=4.0, duration_seconds=0.0, language="en-US")]


def test_times_are_the_callers() -> None:
    clock = Timeline()
    clock.insert(1.0, 1.0)
    told = segments(clock=clock)
    assert shape([*told.started(3 * SECOND), *told.ended(4 * SECOND), told.nothing(5.0)]) == [
        ("SpeechStarted", 2.0),
        ("SpeechEnded", 3.0),
        ("Final", 4.0),
    ]
