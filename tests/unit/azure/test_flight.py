"""One call at a time, however many ask for its answer."""

import asyncio

import pytest
from tests.virtual import VIRTUAL, elapsed, settle, tasks_left

from speechpool.speech.azure.flight import SingleFlight

pytestmark = VIRTUAL


class Call:
    def __init__(self, seconds: float = 1.0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.made = 0

    async def __call__(self) -> int:
        self.made += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return self.made


def flight(call: Call, limit_seconds: float = 5.0) -> SingleFlight[int]:
    return SingleFlight(call, limit_seconds=limit_seconds, name="test")


async def test_who_asks_while_a_call_is_under_way_gets_its_answer() -> None:
    one = flight(Call())

    assert await asyncio.gather(*(one.answer() for _ in range(10))) == [1] * 10
    assert await one.answer() == 2


async def test_an_error_reaches_all_who_asked() -> None:
    one = flight(Call(error=ValueError("odd")))

    answers = await asyncio.gather(*(one.answer() for _ in range(3)), return_exceptions=True)

    assert [str(answer) for answer in answers] == ["odd"] * 3


async def test_waiting_has_a_limit_and_the_call_goes_on() -> None:
    call = Call(seconds=8.0)
    one = flight(call)
    begun = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError):
        await one.answer()

    assert elapsed(begun) == 5.0
    assert await one.answer() == 1
    assert elapsed(begun) == 8.0


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    one = flight(Call())
    first, second = (asyncio.create_task(one.answer()) for _ in range(2))
    await settle()

    first.cancel()

    assert await second == 1


async def test_an_error_that_nobody_waits_for_is_not_reported() -> None:
    one = flight(Call(error=ValueError("odd")))
    asker = asyncio.create_task(one.answer())
    await settle()
    asker.cancel()

    await asyncio.sleep(2.0)

    assert not tasks_left()


async def test_closing_ends_the_call() -> None:
    one = flight(Call())
    await one.close()
    asker = asyncio.create_task(one.answer())
    await settle()

    await one.close()

    with pytest.raises(TimeoutError):
        await asker
    assert not tasks_left()
