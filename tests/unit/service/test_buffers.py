"""The bounded buffer between the engine and the consumer."""

import asyncio

import pytest
from tests.virtual import VIRTUAL, settle

from speechpool.service.buffers import BufferClosed, EventBuffer

pytestmark = VIRTUAL


async def test_events_come_out_in_order() -> None:
    buffer: EventBuffer[int] = EventBuffer(10)
    for number in range(3):
        await buffer.put(number)
    assert [await buffer.get() for _ in range(3)] == [0, 1, 2]


async def test_the_producer_waits_for_room_and_the_consumer_for_events() -> None:
    buffer: EventBuffer[str] = EventBuffer(10)
    await buffer.put("a", 8)
    putting = asyncio.create_task(buffer.put("b", 8))
    await settle()
    assert not putting.done()
    assert await buffer.get() == "a"
    await putting
    assert (await buffer.get(), buffer.weight) == ("b", 0)
    getting = asyncio.create_task(buffer.get())
    await settle()
    buffer.put_now("c")
    assert await getting == "c"


async def test_what_is_heavier_than_the_bound_goes_in_alone() -> None:
    buffer: EventBuffer[str] = EventBuffer(10)
    await buffer.put("heavy", 100)
    assert await buffer.get() == "heavy"


async def test_a_closed_buffer_gives_what_it_holds_then_its_error() -> None:
    buffer: EventBuffer[str] = EventBuffer(10)
    await buffer.put("last")
    buffer.close(ValueError("why"))
    buffer.close()
    assert await buffer.get() == "last"
    for _ in range(2):
        with pytest.raises(ValueError, match="why"):
            await buffer.get()
    with pytest.raises(BufferClosed):
        await buffer.put("late")


async def test_closing_wakes_whoever_waits() -> None:
    full: EventBuffer[str] = EventBuffer(1)
    await full.put("a")
    putting = asyncio.create_task(full.put("b"))
    empty: EventBuffer[str] = EventBuffer(1)
    getting = asyncio.create_task(empty.get())
    await settle()
    full.close()
    empty.close()
    results = await asyncio.gather(putting, getting, return_exceptions=True)
    assert [type(result) for result in results] == [BufferClosed, BufferClosed]


async def test_clearing_lets_the_producer_go_on() -> None:
    buffer: EventBuffer[str] = EventBuffer(1)
    await buffer.put("a")
    putting = asyncio.create_task(buffer.put("b"))
    await settle()
    buffer.clear()
    await putting
    assert await buffer.get() == "b"


async def test_a_cancelled_consumer_loses_no_event() -> None:
    buffer: EventBuffer[str] = EventBuffer(1)
    getting = asyncio.create_task(buffer.get())
    await settle()
    buffer.put_now("a")
    getting.cancel()
    await asyncio.wait({getting})
    assert await buffer.get() == "a"
