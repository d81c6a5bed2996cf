"""When the operator is dialled again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.config.operator_backoff import Backoff


def longest():
    return Backoff(uniform=lambda _, most: most)


def test_the_bound_doubles_from_half_a_second_to_half_a_minute():
    backoff = longest()
    pauses = [backoff.pause_seconds(lasted_seconds=0) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_it_stays_there_however_long_nobody_answers():
    backoff = longest()
    assert [backoff.pause_seconds(lasted_seconds=0) for _ in range(5000)][-1] == 30


def test_the_jitter_is_full():
    drawn = []
    backoff = Backoff(uniform=lambda *bounds: drawn.append(bounds) or 0.0)
    assert [backoff.pause_seconds(lasted_seconds=0) for _ in range(3)] == [0, 0, 0]
    assert drawn == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0)]


@pytest.mark.parametrize(("lasted_seconds", "pause_seconds"), [(0.0, 4.0), (59.9, 4.0), (60.0, 0.5), (9999.0, 0.5)])
def test_only_a_stable_connection_begins_anew(lasted_seconds, pause_seconds):
    backoff = longest()
    for _ in range(3):
        backoff.pause_seconds(lasted_seconds=0)
    assert backoff.pause_seconds(lasted_seconds=lasted_seconds) == pause_seconds


def test_what_the_operator_asks_for_comes_before_the_jitter():
    assert longest().pause_seconds(lasted_seconds=0, retry_after_seconds=7) == 7.5


def test_the_operator_cannot_ask_for_ever():
    assert longest().pause_seconds(lasted_seconds=0, retry_after_seconds=1e9) == 300.5


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e9)), max_size=50))
def test_every_pause_is_bounded(calls):
    backoff = Backoff()
    for lasted, retry_after in calls:
        assert 0 <= backoff.pause_seconds(lasted_seconds=lasted, retry_after_seconds=retry_after) <= 330
