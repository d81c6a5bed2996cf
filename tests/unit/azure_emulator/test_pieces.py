import asyncio

from speechpool_azure_emulator.pieces import Pieces


async def all_of(pieces: Pieces, *texts: str) -> list[str]:
    """What comes out when each piece is taken before the next one is there."""
    given: list[str] = []

    async def take() -> None:
        async for text in pieces:
            given.append(text)

    taking = asyncio.create_task(take())
    for text in texts:
        pieces.add(text)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    pieces.finish()
    await taking
    return given


async def test_words_are_given_on_when_they_are_whole() -> None:
    assert await all_of(Pieces(), "Hel", "lo the", "re my friend") == ["Hello ", "there my ", "friend"]


async def test_sentences_are_given_on_when_they_are_whole() -> None:
    pieces = Pieces(by_sentence=True)

    assert await all_of(pieces, "One two. ", "Three", "! Four") == ["One two. ", "Three! ", "Four"]


async def test_an_end_without_text_gives_nothing() -> None:
    assert await all_of(Pieces()) == []


async def test_pieces_are_counted() -> None:
    pieces = Pieces()
    await all_of(pieces, "a ", "b ", "c")

    assert pieces.count == 3
