"""What the SDK has sent, reckoned; the caller's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.speech.azure.pacing import Pace, Timeline


def test_the_first_five_seconds_are_sent_at_once() -> None:
    pace = Pace(max_ahead_seconds=2)
    pace.wrote(5.0, now=100.0)
    assert pace.ahead_seconds(100.0) == 0


def test_what_follows_is_sent_a_little_less_than_twice_as_fast_as_it_plays() -> None:
    pace = Pace(max_ahead_seconds=2)
    pace.wrote(10.0, now=100.0)
    assert pace.ahead_seconds(100.0) == 5.0
    assert pace.ahead_seconds(101.0) == pytest.approx(3.1)
    assert pace.ahead_seconds(110.0) == 0


def test_audio_at_the_pace_it_plays_never_waits() -> None:
    pace = Pace(max_ahead_seconds=2)
    for frame in range(50 * 60):
        now = 100.0 + frame * 0.02
        assert pace.wait_seconds(0.02, now) == 0
        pace.wrote(0.02, now)
        pace.acknowledged(max(0.0, frame * 0.02 - 10.0))


def test_a_pause_saves_up_no_speed() -> None:
    pace = Pace(max_ahead_seconds=2)
    pace.wrote(6.0, now=100.0)
    pace.wrote(6.0, now=200.0)
    assert pace.ahead_seconds(200.0) == 6.0


def test_there_is_room_when_the_reckoned_time_is_over() -> None:
    pace = Pace(max_ahead_seconds=2)
    pace.wrote(7.0, now=100.0)
    wait_seconds = pace.wait_seconds(0.1, 100.0)
    assert wait_seconds == pytest.approx(0.1 / 1.9)
    assert pace.wait_seconds(0.1, 100.0 + wait_seconds) == pytest.approx(0, abs=1e-9)


def test_from_33_seconds_without_a_result_on_the_sdk_sends_as_fast_as_it_plays() -> None:
    pace = Pace(max_ahead_seconds=2)
    now = 100.0
    while pace.written_seconds < 40:
        now += pace.wait_seconds(0.1, now)
        pace.wrote(0.1, now)
    ahead_seconds = pace.ahead_seconds(now)
    assert pace.ahead_seconds(now + 1) == pytest.approx(ahead_seconds - 0.95)
    pace.acknowledged(38.0)
    ahead_seconds = pace.ahead_seconds(now + 1)
    assert pace.ahead_seconds(now + 1.1) == pytest.approx(ahead_seconds - 0.19)


def test_without_any_result_writing_ends_at_a_bound() -> None:
    pace = Pace(max_ahead_seconds=2)
    now = 0.0
    for _ in range(10_000):
        if not pace.wait_seconds(0.1, now):
            pace.wrote(0.1, now)
        now += 1.0
    assert pace.written_seconds <= 66 + 2 + 10
    assert pace.wait_seconds(0.1, now) > 0
    pace.acknowledged(60.0)
    assert pace.wait_seconds(0.1, now) == 0


def test_long_segments_leave_more_room() -> None:
    pace = Pace(max_ahead_seconds=2, segmentation_maximum_seconds=70)
    for second in range(120):
        assert pace.wait_seconds(1.0, second * 1.1) == 0
        pace.wrote(1.0, second * 1.1)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 3), st.booleans()), max_size=50))
def test_whatever_is_written_and_heard_no_more_than_the_bound_waits(steps: list[tuple[float, float, bool]]) -> None:
    pace = Pace(max_ahead_seconds=2)
    now = 10.0
    for seconds, pause_seconds, is_heard in steps:
        now += pause_seconds
        if not pace.wait_seconds(seconds, now):
            pace.wrote(seconds, now)
        if is_heard:
            pace.acknowledged(pace.written_seconds)
        assert -1e-9 <= pace.ahead_seconds(now) <= 2 + 1e-9
        assert 0 <= pace.unacknowledged_seconds <= 66 + 2 + 10


def test_the_callers_time_is_the_services_while_nothing_was_inserted() -> None:
    assert Timeline()(12.5) == 12.5


def test_inserted_silence_takes_no_time_of_the_callers() -> None:
    clock = Timeline()
    clock.insert(2.0, 1.5)
    clock.insert(5.0, 1.0)
    assert [clock(at) for at in (1.0, 2.0, 3.0, 3.5, 4.5, 5.5, 6.0, 7.0)] == [1.0, 2.0, 2.0, 2.0, 3.0, 3.5, 3.5, 4.5]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 5)), max_size=5), st.floats(0, 200), st.floats(0, 50))
def test_the_callers_time_never_runs_backwards(
    inserted: list[tuple[float, float]], at_seconds: float, later_seconds: float
) -> None:
    clock = Timeline()
    end_seconds = 0.0
    for gap_seconds, length_seconds in inserted:  # one after the other, as they are written
        clock.insert(end_seconds + gap_seconds, length_seconds)
        end_seconds += gap_seconds + length_seconds
    assert clock(at_seconds) <= clock(at_seconds + later_seconds) + 1e-9
