"""Clients that speak: each a worker process with espeak-ng."""

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat
from speechpool.speech.engine import (
    AudioChunk,
    Bookmark,
    SpeechEvent,
    SynthesisProfile,
    Utterance,
    Viseme,
    WordBoundary,
)
from speechpool.speech.local.client import WorkerClient, WorkerStream
from speechpool.speech.local.messages import WINDOW_BYTES, Ask, Tell, pack, pack_count, unpack
from speechpool.speech.local.options import LocalOptions
from speechpool.workers.frames import MAX_PAYLOAD_BYTES
from speechpool.workers.process import WorkerProcess

__all__ = ["ESPEAK_WORKER", "LocalSpeaking", "LocalSynthesizer", "espeak_arguments"]

ESPEAK_WORKER = "speechpool.speech.local.espeak_worker"

_TAKEN_STEP_BYTES = WINDOW_BYTES // 4  # telling the worker about every chunk would cost more than the chunks
_WARM_UP_TEXT = "ready"


def espeak_arguments(options: LocalOptions, audio_format: AudioFormat | None) -> dict[str, object]:
    """What the worker is started with; without a format it tells its voices and ends."""
    arguments: dict[str, object] = {
        "library": options.espeak_library,
        "data": options.espeak_data,
        "aliases": dict(options.voices),
        "wordsPerMinute": options.words_per_minute,
    }
    if audio_format:
        arguments |= {"codec": audio_format.codec, "rate": audio_format.sample_rate_hz}
    return arguments


class LocalSpeaking(WorkerStream[SpeechEvent]):
    """One utterance under way."""

    def __init__(self, worker: WorkerProcess, number: int, utterance: Utterance) -> None:
        super().__init__(worker, number)
        self._untold_bytes = 0
        request = pack(
            {
                "text": utterance.text,
                "ssml": utterance.is_ssml,
                "voice": utterance.voice,
                "speed": utterance.speed,
                "words": utterance.word_boundaries,
                "visemes": utterance.visemes,
            }
        )
        if len(request) > MAX_PAYLOAD_BYTES:
            raise InvalidInput(
                f"input is longer than the local engine takes ({MAX_PAYLOAD_BYTES} bytes)",
                param="input",
                code="input_too_long",
            )
        worker.post(number, Ask.SPEAK, request)

    def _read(self, kind: int, payload: bytes) -> SpeechEvent | None:
        return AudioChunk(payload) if kind == Tell.AUDIO else _read_event(*unpack(payload))

    def _taken(self, event: SpeechEvent) -> None:
        if isinstance(event, AudioChunk) and not self._ended:
            self._untold_bytes += len(event.data)
            if self._untold_bytes >= _TAKEN_STEP_BYTES and self._worker.alive:
                self._worker.post(self._number, Ask.TAKEN, pack_count(self._untold_bytes))
                self._untold_bytes = 0


def _read_event(kind: str, *fields: object) -> SpeechEvent:
    match kind, fields:
        case "word", (str(text), int(offset), int(length), float(seconds)):
            return WordBoundary(text=text, audio_offset_seconds=seconds, text_offset=offset, text_length=length)
        case "mark", (str(name), float(seconds)):
            return Bookmark(name=name, audio_offset_seconds=seconds)
        case "viseme", (int(viseme_id), float(seconds)):
            return Viseme(viseme_id=viseme_id, audio_offset_seconds=seconds)
    raise ValueError(f"unknown event {kind!r}")


class LocalSynthesizer(WorkerClient[LocalSpeaking]):
    """A client that speaks; made by `LocalEngine.create_synthesizer`."""

    def __init__(self, profile: SynthesisProfile, options: LocalOptions, warm_up_voice: str) -> None:
        super().__init__(ESPEAK_WORKER, espeak_arguments(options, profile.format), name="tts")
        self._warm_up_voice = warm_up_voice

    async def warm(self) -> bool:
        """Say a word to nowhere: voice data, resampler and both directions of the socket are then in use already."""
        async for _ in self.speak(Utterance(text=_WARM_UP_TEXT, voice=self._warm_up_voice)):
            pass
        self._warm = True
        return True

    def speak(self, utterance: Utterance) -> LocalSpeaking:
        """Start an utterance.

        Raises:
            EngineFailed: Another one is under way, or the client is closed or spent.
            WorkerDied: The worker is dead.
            InvalidInput: The text is longer than a worker takes.
        """
        self._check_free()
        self._stream = LocalSpeaking(self._worker, next(self._numbers), utterance)
        return self._stream
