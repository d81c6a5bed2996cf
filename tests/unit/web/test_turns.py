"""Text that waits for its utterance."""

import asyncio

import pytest
from tests.virtual import VIRTUAL, settle

from speechpool.errors import InvalidInput
from speechpool.web.turns import TextInbox

pytestmark = VIRTUAL


class Stream:
    """Takes what a text stream takes."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def add(self, text: str) -> None:
        self.taken.append(text)

    async def flush(self) -> None:
        self.taken.append("<flush>")

    async def finish(self) -> None:
        self.taken.append("<finish>")


def inbox(piece_characters: int = 10, limit_characters: int = 30) -> TextInbox:
    return TextInbox(piece_characters=piece_characters, limit_characters=limit_characters)


async def test_what_came_before_the_turn_is_handed_over_in_its_order():
    box, stream = inbox(), Stream()
    box.add("one ")
    box.add("two")
    box.flush()
    box.add("three")
    box.finish()
    await box.feed(stream)
    assert stream.taken == ["one two", "<flush>", "three", "<finish>"]


async def test_what_comes_later_is_handed_over_as_it_comes():
    box, stream = inbox(), Stream()
    feeding = asyncio.create_task(box.feed(stream))
    for text in ("one", "two"):
        box.add(text)
        await settle()
        assert stream.taken[-1] == text
    assert not feeding.done()
    box.finish()
    await feeding


async def test_pieces_are_joined_only_up_to_what_the_service_takes():
    box, stream = inbox(), Stream()
    for _ in range(5):
        box.add("abcd")
    box.finish()
    await box.feed(stream)
    assert stream.taken == ["abcdabcd", "abcdabcd", "abcd", "<finish>"]


async def test_text_that_waits_is_bounded():
    box = inbox()
    box.add("a" * 30)
    with pytest.raises(InvalidInput) as caught:
        box.add("b")
    assert (caught.value.param, caught.value.code) == ("text", "input_too_long")


async def test_text_that_was_handed_over_waits_no_more():
    box, stream = inbox(), Stream()
    feeding = asyncio.create_task(box.feed(stream))
    for _ in range(5):
        box.add("a" * 30)
        await settle()
    box.finish()
    await feeding
    assert len("".join(stream.taken)) == 5 * 30 + len("<finish>")


async def test_flushing_twice_is_flushing_once():
    box, stream = inbox(), Stream()
    box.add("one")
    box.flush()
    box.flush()
    box.finish()
    await box.feed(stream)
    assert stream.taken == ["one", "<flush>", "<finish>"]
