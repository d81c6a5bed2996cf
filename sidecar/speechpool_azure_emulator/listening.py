"""The listener that follows a script: it hears sound and silence, and says what the test told it was said."""

import asyncio
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import (
    Final,
    Partial,
    RecognitionEvent,
    RecognizedWord,
    SpeechEnded,
    SpeechStarted,
    UseReport,
)
from speechpool_azure_emulator.ledger import RecognitionRecord

__all__ = ["Quiet", "ScriptedHearing", "ScriptedListener", "is_loud"]

SECONDS_PER_WORD = 0.5
"""Where nobody said what was said: a word for each half second of sound."""

_FRAME_SECONDS = 0.02
_LOUD_PEAK = 500  # of 32,767; guess: above the hum of a line, below quiet speech
_LOUD_CODES = {Codec.MULAW: 35, Codec.ALAW: 31}  # the same peak in G.711's codes without sign
_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_CONFIDENCE = 0.95


class ScriptedListener:
    """Recognises the transcripts it was given, one for each stretch of sound; then a word per half second of sound."""

    def __init__(self, transcripts: Iterable[str] = ()) -> None:
        self._transcripts: deque[str] = deque(transcripts)

    def say(self, *transcripts: str) -> None:
        """Add what is recognised next, one text for each stretch of sound."""
        self._transcripts.extend(transcripts)

    async def listen(self, audio: AudioFormat, record: RecognitionRecord, silence_seconds: float) -> "ScriptedHearing":
        """Begin with one turn."""
        return ScriptedHearing(audio, record.language, silence_seconds, self._next_transcript)

    def _next_transcript(self) -> str | None:
        return self._transcripts.popleft() if self._transcripts else None


class ScriptedHearing:
    """One turn; a `Recognizing`.

    Args:
        audio: What is written; raw.
        language: Of its finals.
        silence_seconds: That much silence ends a segment.
        transcript: Called once a segment: what is said in it, or None for counting words.
    """

    def __init__(
        self, audio: AudioFormat, language: str, silence_seconds: float, transcript: Callable[[], str | None]
    ) -> None:
        self._audio = audio
        self._language = language
        self._silence_seconds = silence_seconds
        self._transcript = transcript
        self._frame_bytes = int(audio.bytes_per_second * _FRAME_SECONDS) & ~1
        self._rest = b""
        self._now_seconds = 0.0
        self._segment: _Segment | None = None
        self._events: asyncio.Queue[RecognitionEvent | None] = asyncio.Queue()

    @property
    def report(self) -> UseReport:
        """Nothing to say: nothing is connected to."""
        return UseReport()

    async def write(self, audio: bytes) -> None:
        """Hear audio; what it means is told at once."""
        data = self._rest + audio
        end = len(data) - len(data) % self._frame_bytes
        for start in range(0, end, self._frame_bytes):
            self._hear(is_loud(data[start : start + self._frame_bytes], self._audio.codec))
        self._rest = data[end:]

    def _hear(self, loud: bool) -> None:
        begins, self._now_seconds = self._now_seconds, self._now_seconds + _FRAME_SECONDS
        if loud:
            if self._segment is None:
                self._segment = _Segment(begins, self._transcript())
                self._events.put_nowait(SpeechStarted(offset_seconds=begins))
            if self._segment.grow(self._now_seconds):
                self._events.put_nowait(Partial(text=self._segment.text_so_far, offset_seconds=self._segment.begins))
        elif self._segment and self._now_seconds - self._segment.ends >= self._silence_seconds:
            self._end_segment()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        self._events.put_nowait(segment.final(self._language))
        self._events.put_nowait(SpeechEnded(offset_seconds=segment.ends))

    async def commit(self) -> None:
        """The current segment ends now; where there is none, a final without text says so."""
        if self._segment:
            self._end_segment()
        else:
            self._events.put_nowait(
                Final(text="", offset_seconds=self._now_seconds, duration_seconds=0.0, language=self._language)
            )

    async def finish(self) -> None:
        """No more audio."""
        self._end_segment()
        self._events.put_nowait(None)

    async def cancel(self) -> None:
        """Stop without a further event."""
        self._segment = None
        self._events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[RecognitionEvent]:
        """What was heard, in order."""
        while (event := await self._events.get()) is not None:
            yield event


class Quiet:
    """Tells of each long silence in raw audio.

    Args:
        audio: What it is.
        limit_seconds: How long is long.
    """

    def __init__(self, audio: AudioFormat, limit_seconds: float) -> None:
        self._audio = audio
        self._limit_seconds = limit_seconds
        self._now_seconds = 0.0
        self._since_seconds = 0.0

    def add(self, data: bytes) -> list[float]:
        """Take audio; give where each long silence that is long enough now began."""
        self._now_seconds += self._audio.seconds(len(data))
        samples = data[: len(data) & ~1]
        if samples and is_loud(samples, self._audio.codec):
            self._since_seconds = self._now_seconds
        long_silences = []
        while self._now_seconds - self._since_seconds >= self._limit_seconds:
            long_silences.append(self._since_seconds)
            self._since_seconds += self._limit_seconds
        return long_silences


class _Segment:
    """A stretch of sound."""

    def __init__(self, begins: float, transcript: str | None) -> None:
        self.begins = begins
        self.ends = begins
        self._transcript = transcript
        self._words_heard = 0

    def grow(self, ends: float) -> bool:
        """It lasts until `ends`; returns whether a word more was heard."""
        self.ends = ends
        words = int((ends - self.begins) / SECONDS_PER_WORD) + 1
        grown, self._words_heard = words > self._words_heard, words
        return grown

    @property
    def _words(self) -> list[str]:
        if self._transcript is not None:
            return self._transcript.split()
        return [_NUMBERS[index % len(_NUMBERS)] for index in range(self._words_heard)]

    @property
    def text_so_far(self) -> str:
        return " ".join(self._words[: self._words_heard])

    def final(self, language: str) -> Final:
        words = self._words
        step = (self.ends - self.begins) / max(len(words), 1)
        return Final(
            text=self._transcript if self._transcript is not None else " ".join(words),
            offset_seconds=self.begins,
            duration_seconds=self.ends - self.begins,
            language=language,
            confidence=_CONFIDENCE,
            words=tuple(
                RecognizedWord(
                    text=word,
                    start_seconds=self.begins + index * step,
                    end_seconds=self.begins + (index + 1) * step,
                    confidence=_CONFIDENCE,
                )
                for index, word in enumerate(words)
            ),
        )


_MAGNITUDES = {
    Codec.MULAW: bytes(~byte & 0x7F for byte in range(256)),
    Codec.ALAW: bytes((byte ^ 0x55) & 0x7F for byte in range(256)),
}


def is_loud(frame: bytes, codec: Codec) -> bool:
    """Whether a frame of raw audio holds sound."""
    if codec in _MAGNITUDES:
        return max(frame.translate(_MAGNITUDES[codec])) >= _LOUD_CODES[codec]
    samples = array("h", frame)
    return max(samples) >= _LOUD_PEAK or min(samples) <= -_LOUD_PEAK
