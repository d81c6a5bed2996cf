"""The cell between the fleet and one stream."""

import asyncio

from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.settings.wire import Bye, NewSettings, NoSettings, Revision
from speechpool_operator.streams import Cell, Texts

pytestmark = VIRTUAL


def settings(generation):
    return NewSettings(
        name="calls/voice",
        revision=Revision(uid="u", generation=generation, hash=f"h{generation}"),
        spec={"warmSize": 1},
    )


async def test_only_the_newest_is_taken():
    cell = Cell()
    cell.put(settings(1))
    cell.put(settings(2))
    assert await cell.take(10) == settings(2)
    assert cell.hash == "h2"
    assert await cell.take(10) is None


async def test_nothing_to_take_is_told_after_the_time_that_was_given():
    began = asyncio.get_running_loop().time()
    assert await Cell().take(10) is None
    assert elapsed(began) == 10


async def test_who_waits_gets_what_is_put_at_once():
    cell, began = Cell(), asyncio.get_running_loop().time()
    taking = asyncio.ensure_future(cell.take(10))
    await settle()
    cell.put(settings(1))
    assert await taking == settings(1)
    assert elapsed(began) == 0


async def test_none_means_that_no_settings_were_sent_last():
    cell = Cell()
    cell.put(settings(1))
    await cell.take(1)
    cell.put(NoSettings(reason="NoMatch"))
    assert await cell.take(1) == NoSettings(reason="NoMatch")
    assert cell.hash is None


async def test_a_farewell_comes_before_what_was_not_sent_and_stays():
    cell = Cell()
    cell.put(settings(1))
    cell.close("PodGone: deleted", retry_seconds=(3.0, 3.0))
    cell.close("Stopping")
    cell.put(settings(2))
    assert await cell.take(1) == Bye(reason="PodGone: deleted", retry_after_seconds=3.0)
    assert await cell.take(1) == Bye(reason="PodGone: deleted", retry_after_seconds=3.0)
    assert cell.reason == "PodGone: deleted"


async def test_a_farewell_wakes_who_waits():
    cell = Cell()
    taking = asyncio.ensure_future(cell.take(10))
    await settle()
    cell.close("Stopping")
    assert (await taking).reason == "Stopping"


async def test_a_cancelled_taker_loses_nothing():
    cell = Cell()
    taking = asyncio.ensure_future(cell.take(10))
    await settle()
    cell.put(settings(1))
    taking.cancel()
    await asyncio.wait([taking])
    assert await cell.take(1) == settings(1)


async def test_its_state_is_readable():
    cell = Cell()
    assert repr(cell) == "<Cell empty hash=None>"
    cell.put(settings(1))
    assert repr(cell) == "<Cell waiting hash=None>"
    cell.close("Stopping")
    assert repr(cell) == "<Cell closed hash=None>"


async def test_a_message_for_many_is_written_out_once():
    texts, message = Texts(), settings(1)
    assert texts(message) is texts(message)


async def test_equal_ids_of_other_messages_are_never_mixed_up():
    texts = Texts()
    for generation in range(1, 500):
        assert f'"generation":{generation},' in texts(settings(generation))
