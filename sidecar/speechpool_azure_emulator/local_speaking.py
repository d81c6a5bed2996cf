"""The speaker with a voice: the product's local engine behind the protocol."""

import re
from collections.abc import AsyncIterator, Callable

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat
from speechpool.speech.engine import (
    AudioChunk,
    Bookmark,
    Engine,
    SpeechEvent,
    SynthesisClient,
    SynthesisProfile,
    Utterance,
    Viseme,
    WordBoundary,
)
from speechpool_azure_emulator.formats import OutputFormat
from speechpool_azure_emulator.ledger import UtteranceRecord
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.script import Script, Word
from speechpool_azure_emulator.sound import Sound
from speechpool_azure_emulator.stock import Stock
from speechpool_azure_emulator.timeline import Entry, sentence_entry, viseme_entry, word_entries
from speechpool_azure_emulator.voices import VOICES

__all__ = ["LocalSpeaker", "between", "local_ssml"]

_MAX_CLIENTS = 16  # processes of about 10 MB; guess: each speaks hundreds of times faster than real time
_PUNCTUATION = re.compile(r"[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]")
_MARKUP = re.compile(r"<[^>]*>|&\w+;|&#\w+;")
_VOICE_NAME = re.compile(r"(<voice\b[^>]*?\bname\s*=\s*)(['\"])(.*?)\2", re.DOTALL)
_FALLBACK = "alloy"


class LocalSpeaker:
    """Speaks with espeak-ng in the nearest voice it has.

    Args:
        engine: The local engine; opened and closed by its owner.
    """

    by_sentence = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stocks: dict[AudioFormat, Stock[SynthesisClient]] = {}

    async def close(self) -> None:
        """End the workers."""
        for stock in self._stocks.values():
            await stock.close()

    def makes(self, output: OutputFormat) -> bool:
        """Raw formats."""
        return output.audio in self._engine.capabilities.output_formats

    async def speak(
        self,
        script: Script,
        output: OutputFormat,
        record: UtteranceRecord,  # noqa: ARG002 - a voice has no mark
        options: EmulatorOptions,
    ) -> AsyncIterator[Sound | Entry]:
        """The engine's audio in chunks of `chunk_seconds`, and what it tells of it."""
        text = local_ssml(script.ssml, self._voice_for) if script.ssml else script.text
        utterance = Utterance(
            text=text,
            is_ssml=bool(script.ssml),
            voice=self._voice_for(script.voices[0]),
            word_boundaries=True,
            visemes=True,
        )
        chunks, words = _Chunks(output.audio, options.chunk_seconds), _Words(text)
        async with self._stock(output.audio).lend() as client:
            async for event in client.speak(utterance):
                if isinstance(event, AudioChunk):
                    for sound in chunks.add(event.data):
                        yield sound
                else:
                    for entry in words.add(event):
                        yield entry
        for entry in words.end(chunks.seconds):
            yield entry
        for sound in chunks.finish():
            yield sound

    def _stock(self, audio: AudioFormat) -> Stock[SynthesisClient]:
        if audio not in self._stocks:
            profile = SynthesisProfile(format=audio)
            self._stocks[audio] = Stock(lambda: self._engine.create_synthesizer(profile), _MAX_CLIENTS)
        return self._stocks[audio]

    def _voice_for(self, name: str) -> str:
        """The engine's voice for one of the service's: by language, a woman's where it is one."""
        entry = VOICES.get(name.partition(":")[0], {})
        language = str(entry.get("Locale", "en-US")).lower()
        variant = "+f2" if entry.get("Gender") == "Female" else "+m3"
        for candidate in (language + variant, language.partition("-")[0] + variant):
            try:
                return self._engine.resolve_voice(candidate)
            except InvalidInput:
                continue
        return self._engine.resolve_voice(_FALLBACK)


class _Chunks:
    """Audio of any sizes, cut to chunks of one size."""

    def __init__(self, audio: AudioFormat, chunk_seconds: float) -> None:
        self._audio = audio
        sample_bytes = audio.bytes_per_second // audio.sample_rate_hz
        self._chunk_bytes = round(chunk_seconds * audio.sample_rate_hz) * sample_bytes
        self._rest = b""
        self.seconds = 0.0

    def add(self, data: bytes) -> list[Sound]:
        data = self._rest + data
        self.seconds += self._audio.seconds(len(data) - len(self._rest))
        end = len(data) - len(data) % self._chunk_bytes
        self._rest = data[end:]
        return [self._sound(data[start : start + self._chunk_bytes]) for start in range(0, end, self._chunk_bytes)]

    def finish(self) -> list[Sound]:
        return [self._sound(self._rest)] if self._rest else []

    def _sound(self, data: bytes) -> Sound:
        return Sound(data, self._audio.seconds(len(data)))


class _Words:
    """The engine's events as entries; a word is told when its length is known, which is when the next one begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._held: WordBoundary | None = None
        self._told_until = 0

    def add(self, event: SpeechEvent) -> list[Entry]:
        match event:
            case WordBoundary():
                told = self.finish(event.audio_offset_seconds)
                self._held = event
                return told
            case Viseme():
                return [viseme_entry(event.viseme_id, event.audio_offset_seconds)]
            case Bookmark():
                return word_entries(Word(event.name, "bookmark"), event.audio_offset_seconds, 0.0)
        return []

    def finish(self, now_seconds: float) -> list[Entry]:
        word, self._held = self._held, None
        if word is None:
            return []
        starts = word.audio_offset_seconds
        marks, begins = between(self._text[self._told_until : word.text_offset], is_first=self._told_until == 0)
        self._told_until = word.text_offset + word.text_length
        entries = [entry for mark in marks for entry in word_entries(Word(mark, "punctuation"), starts, 0.0)]
        if not any(map(str.isalnum, word.text)):
            return [*entries, *word_entries(Word(word.text, "punctuation"), starts, 0.0)]
        if begins:
            entries.append(sentence_entry((Word(self._sentence(word.text_offset)),), starts, 0.0))
        boundary, _ = word_entries(Word(word.text), starts, max(now_seconds - starts, 0.0))
        return [*entries, boundary]

    def end(self, now_seconds: float) -> list[Entry]:
        """The last word, and the marks behind it."""
        told = self.finish(now_seconds)
        marks, _ = between(self._text[self._told_until :], is_first=False)
        return told + [entry for mark in marks for entry in word_entries(Word(mark, "punctuation"), now_seconds, 0.0)]

    def _sentence(self, start: int) -> str:
        end = _SENTENCE_END.search(self._text, start)
        return _MARKUP.sub("", self._text[start : end.end() if end else len(self._text)]).strip()


def between(gap: str, *, is_first: bool) -> tuple[list[str], bool]:
    """What lies between two words: the punctuation marks, and whether a sentence begins after it."""
    marks = _PUNCTUATION.findall(_MARKUP.sub(" ", gap))
    return marks, is_first or any(_SENTENCE_END.fullmatch(mark) for mark in marks)


def local_ssml(document: str, voice_for: Callable[[str], str]) -> str:
    """The document with the engine's voices in place of the service's."""
    return _VOICE_NAME.sub(lambda found: f"{found[1]}{found[2]}{voice_for(found[3])}{found[2]}", document)
