import math
import struct

import pytest

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import Final, Partial, RecognitionEvent, SpeechEnded, SpeechStarted
from speechpool_azure_emulator.listening import Quiet, ScriptedHearing, ScriptedListener, is_loud

PCM = AudioFormat(Codec.PCM, 16_000)


def sound(seconds: float) -> bytes:
    return b"".join(struct.pack("<h", int(8_000 * math.sin(index / 5))) for index in range(round(16_000 * seconds)))


def silence(seconds: float) -> bytes:
    return bytes(2 * round(16_000 * seconds))


async def hear(
    *pieces: bytes, transcripts: tuple[str, ...] = (), silence_seconds: float = 0.5
) -> list[RecognitionEvent]:
    listener = ScriptedListener(transcripts)
    hearing = ScriptedHearing(PCM, "en-US", silence_seconds, listener._next_transcript)
    for piece in pieces:
        await hearing.write(piece)
    await hearing.finish()
    return [event async for event in hearing]


def finals(events: list[RecognitionEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


async def test_each_stretch_of_sound_is_the_next_transcript() -> None:
    events = await hear(sound(1), silence(1), sound(1), transcripts=("hello there", "good bye"))

    assert finals(events) == ["hello there", "good bye"]


async def test_without_a_transcript_a_word_is_half_a_second_of_sound() -> None:
    assert finals(await hear(sound(1.4))) == ["one two three"]


async def test_hypotheses_grow_word_by_word() -> None:
    events = await hear(sound(1.2), transcripts=("hello there my friend",))

    assert [event.text for event in events if isinstance(event, Partial)] == ["hello", "hello there", "hello there my"]


async def test_silence_alone_is_nothing() -> None:
    assert await hear(silence(3)) == []


async def test_a_segment_tells_when_it_was() -> None:
    started, *_, final, ended = await hear(silence(1), sound(1), silence(1), transcripts=("a b",))

    assert isinstance(started, SpeechStarted)
    assert isinstance(final, Final)
    assert isinstance(ended, SpeechEnded)
    assert started.offset_seconds == pytest.approx(1.0, abs=0.03)
    assert final.offset_seconds == pytest.approx(1.0, abs=0.03)
    assert final.duration_seconds == pytest.approx(1.0, abs=0.05)
    assert ended.offset_seconds == pytest.approx(2.0, abs=0.03)
    assert [word.text for word in final.words] == ["a", "b"]
    assert final.words[1].start_seconds == pytest.approx(1.5, abs=0.03)


async def test_a_short_silence_does_not_end_a_segment() -> None:
    assert len(finals(await hear(sound(0.5), silence(0.4), sound(0.5)))) == 1
    assert len(finals(await hear(sound(0.5), silence(0.4), sound(0.5), silence_seconds=0.3))) == 2


async def test_a_commit_ends_the_segment_at_once() -> None:
    hearing = ScriptedHearing(PCM, "en-US", 0.5, lambda: "hello")
    await hearing.write(sound(0.5))
    await hearing.commit()
    await hearing.commit()
    await hearing.finish()
    found = [event for event in [event async for event in hearing] if isinstance(event, Final)]

    assert [(final.text, final.duration_seconds > 0) for final in found] == [("hello", True), ("", False)]


async def test_audio_may_be_cut_anywhere() -> None:
    audio = silence(0.3) + sound(0.7) + silence(1)
    pieces = [audio[start : start + 333] for start in range(0, len(audio), 333)]

    assert await hear(*pieces, transcripts=("hello",)) == await hear(audio, transcripts=("hello",))


def test_a_long_silence_is_told_once_for_each_limit() -> None:
    quiet = Quiet(PCM, 2.0)

    assert quiet.add(silence(1.9)) == []
    assert quiet.add(silence(0.2)) == [0.0]
    assert quiet.add(silence(4.0)) == pytest.approx([2.0, 4.0])
    assert quiet.add(sound(0.1)) == []
    assert quiet.add(silence(1.9)) == []
    assert quiet.add(silence(0.2)) == pytest.approx([6.2])


@pytest.mark.parametrize(
    ("frame", "codec", "loud"),
    [
        (silence(0.02), Codec.PCM, False),
        (sound(0.02), Codec.PCM, True),
        (b"\xff" * 160, Codec.MULAW, False),
        (b"\x8f\x0f" * 80, Codec.MULAW, True),
        (b"\xd5" * 160, Codec.ALAW, False),
        (b"\x2a\xaa" * 80, Codec.ALAW, True),
    ],
)
def test_sound_is_told_from_silence(frame: bytes, codec: Codec, loud: bool) -> None:
    assert is_loud(frame, codec) is loud
