"""When a consumer is told that audio waits for the engine."""

import asyncio

import pytest
from tests.virtual import VIRTUAL

from speechpool.service.backlog import Backlog

pytestmark = VIRTUAL


@pytest.fixture
def told() -> list[float]:
    return []


async def test_what_lasts_is_told_by_itself(told: list[float]):
    backlog = Backlog(told.append)
    backlog.note(4.0)
    assert told == []
    await asyncio.sleep(1.1)
    assert told == [4.0]


async def test_a_burst_that_is_heard_at_once_is_not_told(told: list[float]):
    backlog = Backlog(told.append)
    backlog.note(9.0)
    await asyncio.sleep(0.5)
    backlog.note(1.9)
    await asyncio.sleep(2)
    assert told == []


async def test_it_is_told_again_with_every_further_second_and_when_it_is_over(told: list[float]):
    backlog = Backlog(told.append)
    backlog.note(2.0)
    await asyncio.sleep(1.1)
    for waiting in (2.5, 3.0, 3.5, 4.2, 3.0, 0.6, 0.4, 0.0):
        backlog.note(waiting)
    assert told == [2.0, 3.0, 4.2, 0.0]


async def test_nothing_is_told_after_its_end(told: list[float]):
    backlog = Backlog(told.append)
    backlog.note(5.0)
    backlog.close()
    await asyncio.sleep(2)
    assert told == []
