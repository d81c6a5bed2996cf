"""Text that comes piece by piece, with Azure's real SDK over the second version of its protocol."""

import asyncio

import pytest
from tests.integration.azure_patience import patient
from tests.integration.azure_speaking import LIMIT_SECONDS, Heard, Studio, first_audio, hear, utterance
from tests.integration.azure_studio import emulator, service, studio

from speechpool.errors import EngineFailed, InvalidInput, SpeechPoolError
from speechpool.speech.azure import speaking as speaking_module
from speechpool.speech.engine import SpeakingPieces, StreamingSynthesisClient
from speechpool_azure_emulator import Fault, marks_in

__all__ = ["emulator", "patient", "service", "studio"]

LONG = "one two three four five six seven eight nine ten " * 4


async def say(speaking: SpeakingPieces, *pieces: str) -> Heard:
    async def write() -> None:
        for piece in pieces:
            await speaking.write(piece)
        await speaking.finish()

    heard, _ = await asyncio.gather(hear(speaking), write())
    return heard


async def test_pieces_become_one_utterance_on_the_open_connection(studio: Studio, emulator) -> None:
    client: StreamingSynthesisClient = await studio.warm(pieces=True)
    for number in range(1, 4):
        speaking = client.speak_pieces(utterance("", word_boundaries=True))
        heard = await say(speaking, "Hello ", "brave ", "new wor", "ld & more")
        await client.clear_session_state()
        said = emulator.utterances[-1]
        assert (said.text, said.pieces, said.nth_on_connection) == ("Hello brave new world & more", 4, number)
        assert marks_in(heard.audio) == {said.mark}
        assert heard.report.was_warm
        assert heard.report.reference == said.request_id
        assert all(
            said.text[word.text_offset : word.text_offset + word.text_length] == word.text for word in heard.words
        )
        assert client.is_ready
    assert emulator.counts.upgrades_by_path == {"/cognitiveservices/websocket/v2": 1}


async def test_it_speaks_before_it_has_all(studio: Studio) -> None:
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await speaking.write("Hello there. ")
    assert await first_audio(speaking)
    await speaking.write("And now the rest.")
    await speaking.finish()
    assert (await hear(speaking)).audio
    await client.clear_session_state()
    assert client.is_ready


async def test_voice_speed_and_style_are_each_utterances_own(studio: Studio, emulator) -> None:
    client = await studio.warm(pieces=True)
    for voice, speed, style in [("en-GB-RyanNeural", 1.5, "cheerful"), ("en-US-AvaNeural", 1.0, None)]:
        await say(client.speak_pieces(utterance("", voice=voice, speed=speed, style=style)), "Hello")
        await client.clear_session_state()
        asked = emulator.utterances[-1].context["synthesis"]["input"]
        assert asked["voiceName"] == voice
        assert asked.get("rate") == ("+50.00%" if speed != 1.0 else None)
        assert asked.get("style") == style


async def test_a_whole_text_is_said_too(studio: Studio, emulator) -> None:
    client = await studio.warm(pieces=True)
    heard = await studio.say(client, "Hello brave new world", word_boundaries=True)
    assert [word.text_offset for word in heard.words] == [0, 6, 12, 16]
    assert emulator.utterances[-1].text == "Hello brave new world"


async def test_barge_in_keeps_the_connection_and_lets_go_of_the_text(studio: Studio, emulator) -> None:
    """The SDK sends the end of a text when it comes to it, for whatever it then says: on a busy machine the next."""
    client = await studio.warm(pieces=True)
    for number in range(20):
        emulator.configure(pace=1.0)
        speaking = client.speak_pieces(utterance("", word_boundaries=True))
        await speaking.write(LONG)
        await emulator.until(lambda count=number + 1: emulator.counts.utterances == count, seconds=LIMIT_SECONDS)
        if number % 4:
            await first_audio(speaking)
        await speaking.cancel()
        assert [event async for event in speaking] == []
        await speaking.write("nobody hears this")
        await speaking.finish()
        await client.clear_session_state()
        await emulator.until(lambda count=number + 1: emulator.counts.texts_ended == count, seconds=LIMIT_SECONDS)
        emulator.configure(pace=0.0)
    heard = await say(client.speak_pieces(utterance("", word_boundaries=True)), "and now this")
    assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
    assert [word.text for word in heard.words] == ["and", "now", "this"]
    assert emulator.counts.upgrades == 1


async def test_a_writer_who_is_slow_to_begin_makes_no_connection_suspect(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking_module, "_SUSPECT_SECONDS", 0.0)
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await speaking.write("")  # taken once the SDK has begun
    await speaking.cancel()
    await client.clear_session_state()
    assert client.is_ready


async def test_closing_with_a_text_that_was_not_ended_gives_everything_back(studio: Studio, emulator) -> None:
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await speaking.write("and then")
    await client.close()
    with pytest.raises(EngineFailed, match="closed"):
        await speaking.write("more")
    with pytest.raises(EngineFailed, match="closed"):
        await hear(speaking)
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)


async def test_no_text_at_all_ends_without_audio_and_without_error(studio: Studio) -> None:
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await speaking.finish()
    assert (await hear(speaking)).audio == b""


async def test_text_after_the_end_is_refused(studio: Studio) -> None:
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await say(speaking, "Hello")
    with pytest.raises(EngineFailed, match="after the end"):
        await speaking.write("more")


@pytest.mark.parametrize("piece", ["a" * 20_000, "bell \a"])
async def test_a_piece_that_cannot_be_said_is_refused_and_the_rest_goes_on(studio: Studio, piece: str) -> None:
    client = await studio.warm(pieces=True)
    speaking = client.speak_pieces(utterance(""))
    await speaking.write("Hello ")
    with pytest.raises(InvalidInput) as refused:
        await speaking.write(piece)
    assert refused.value.param == "input"
    assert (await say(speaking, "world")).audio


async def test_ssml_is_refused(studio: Studio) -> None:
    client = await studio.warm(pieces=True)
    with pytest.raises(InvalidInput, match="no SSML"):
        client.speak(utterance("<speak>Hello</speak>", is_ssml=True))
    assert client.is_ready


@pytest.mark.parametrize(
    "fault",
    [
        Fault(at="audio", action="close", code=1011, after_bytes=4_800),
        Fault(at="request", action="reset"),
        Fault(at="request", action="close", code=4429),
    ],
)
async def test_a_failure_reaches_reader_and_writer(studio: Studio, emulator, fault: Fault) -> None:
    client = await studio.warm(pieces=True)
    emulator.faults.set(fault)
    speaking = client.speak_pieces(utterance(""))
    await speaking.write(LONG)
    with pytest.raises(SpeechPoolError) as heard:
        await hear(speaking)
    with pytest.raises(type(heard.value)):
        await speaking.write("more")
    assert not client.is_reusable
    await client.close()
    emulator.faults.clear()
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
