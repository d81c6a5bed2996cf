"""The cell between the fleet and one stream, and the reading of what sidecars say."""

import pytest

from speechpool.config.operator_backoff import STABLE_SECONDS
from speechpool.settings.wire import Applying, Bye, NewSettings, NoSettings, Revision, State, WireError, encode
from speechpool_operator.streams import Cell, Limits, Readings


def settings(generation):
    return NewSettings(
        name="calls/voice",
        revision=Revision(uid="u", generation=generation, hash=f"h{generation}"),
        spec={"warmSize": 1},
    )


def test_only_the_newest_is_taken():
    cell = Cell()
    cell.put(settings(1))
    cell.put(settings(2))
    assert cell.take() == settings(2)
    assert cell.hash == "h2"
    assert cell.take() is None
    assert cell.is_empty


def test_none_means_that_no_settings_were_sent_last():
    cell = Cell()
    cell.put(settings(1))
    cell.take()
    cell.put(NoSettings(reason="NoMatch"))
    assert cell.take() == NoSettings(reason="NoMatch")
    assert cell.hash is None


def test_a_farewell_comes_before_what_was_not_sent_and_stays():
    cell = Cell()
    cell.put(settings(1))
    cell.close("PodGone: deleted", retry_seconds=(3.0, 3.0))
    cell.close("Stopping")
    cell.put(settings(2))
    assert cell.take() == Bye(reason="PodGone: deleted", retry_after_seconds=3.0)
    assert cell.take() == Bye(reason="PodGone: deleted", retry_after_seconds=3.0)
    assert cell.reason == "PodGone: deleted"


def test_who_takes_is_told_of_everything_and_of_what_was_there_before():
    cell, told = Cell(), []
    cell.put(settings(1))
    cell.bind(lambda: told.append(cell.take()))
    cell.put(settings(2))
    cell.close("Stopping", retry_seconds=(1.0, 1.0))
    assert told == [settings(1), settings(2), Bye(reason="Stopping", retry_after_seconds=1.0)]


def test_who_takes_no_more_is_told_of_nothing():
    cell, told = Cell(), []
    cell.bind(lambda: told.append(cell.take()))
    cell.bind(None)
    cell.put(settings(1))
    assert told == []


def test_its_state_is_readable():
    cell = Cell()
    assert repr(cell) == "<Cell empty hash=None>"
    cell.put(settings(1))
    assert repr(cell) == "<Cell waiting hash=None>"
    cell.close("Stopping")
    assert repr(cell) == "<Cell closed hash=None>"


def state(generation):
    return State(state=Applying.APPLIED, applied=Revision(uid="u", generation=generation, hash="h"))


def test_the_same_text_is_read_once():
    readings = Readings()
    assert readings(encode(state(1))) is readings(encode(state(1)))
    assert readings(encode(state(2))) == state(2)


def test_what_is_wrong_is_wrong_each_time():
    readings = Readings()
    for _ in range(2):
        with pytest.raises(WireError, match="JSON"):
            readings("{")


def test_many_texts_are_not_all_kept():
    readings = Readings()
    first = readings(encode(state(1)))
    for generation in range(2, 2000):
        assert readings(encode(state(generation))) == state(generation)
    assert readings(encode(state(1))) == first
    assert readings(encode(state(1))) is not first


def test_the_shortest_stream_is_a_good_one_for_a_sidecar_so_that_it_comes_back_at_once():
    """Else a clock that is ahead by a token's life keeps sidecars away for half a minute after each such stream."""
    assert 0.8 * Limits().least_life_seconds > STABLE_SECONDS
