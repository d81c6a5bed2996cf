"""Clients that understand: each a worker process with pocketsphinx."""

from speechpool.errors import EngineFailed, InvalidInput
from speechpool.speech.engine import (
    Final,
    Partial,
    RecognitionEvent,
    RecognitionOptions,
    RecognizedWord,
    SpeechEnded,
    SpeechStarted,
)
from speechpool.speech.hints import MAX_GRAMMAR_SENTENCES, MAX_PHRASES
from speechpool.speech.local.client import WorkerClient, WorkerStream
from speechpool.speech.local.messages import WINDOW_BYTES, Ask, Tell, pack, unpack, unpack_count
from speechpool.speech.local.options import LocalOptions
from speechpool.workers.process import WorkerProcess

__all__ = ["LocalRecognizer", "LocalRecognizing"]

SPHINX_WORKER = "speechpool.speech.local.sphinx_worker"

_PIECE_BYTES = 3200  # 0.1 s: how finely a long write waits for room
_SAMPLE_BYTES = 2
_WARM_UP_SECONDS = 0.3
_SILENCE_MS = range(100, 5001)
_DEFAULT_SILENCE_MS = 500  # OpenAI's turn detection, silence_duration_ms
_MAX_ENTRY_WORDS = 50  # guess: a sentence said in one breath; a hint is one word to the decoder
_MAX_HINT_CHARACTERS = 20_000


class LocalRecognizing(WorkerStream[RecognitionEvent]):
    """One recognition under way.

    With `partials` the audio is decoded as it comes. Without, each segment is decoded when it has ended, which
    understands better, because its loudness and the sound of the line are known by then.
    """

    def __init__(self, worker: WorkerProcess, number: int, options: RecognitionOptions, language: str) -> None:
        super().__init__(worker, number)
        self._language = language
        self._ahead_bytes = 0
        self._odd = b""
        self._finished = False
        self._learns = bool(options.phrases)
        request = {
            "phrases": options.phrases,
            "grammar": options.grammar,
            "words": options.words,
            "partials": options.partials,
            "silenceMs": options.segmentation_silence_ms or _DEFAULT_SILENCE_MS,
        }
        worker.post(number, Ask.RECOGNIZE, pack(request))

    @property
    def spends_client(self) -> bool:
        """Whether the worker learnt phrases: they became words of its dictionary, and stay until it ends."""
        learnt = self._learns and self._ended and not isinstance(self._error, InvalidInput)
        return learnt or super().spends_client

    async def write(self, audio: bytes) -> None:
        """Hand over audio, cut anywhere; waits while the worker is behind by more than 3 s of audio.

        After `cancel()` it does nothing.

        Raises:
            EngineFailed: `finish()` was called, or the worker failed.
            InvalidInput: The options were refused.
            WorkerDied: The worker died.
        """
        if self._finished:
            raise EngineFailed("audio came after the end of the recognition")
        audio = self._odd + audio
        whole = len(audio) - len(audio) % _SAMPLE_BYTES
        self._odd = audio[whole:]
        for start in range(0, whole, _PIECE_BYTES):
            await self._write_piece(audio[start : min(start + _PIECE_BYTES, whole)])

    async def _write_piece(self, piece: bytes) -> None:
        while self._wanted and not self._ended and self._ahead_bytes + len(piece) > WINDOW_BYTES:
            await self._wait()
        if self._error:
            raise self._error
        if self._wanted and not self._ended:
            self._ahead_bytes += len(piece)
            await self._worker.send(self._number, Ask.AUDIO, piece)

    async def commit(self) -> None:
        """Force the current segment to its `Final` now; there is always one, with empty text where nothing was said."""
        self._steer(Ask.COMMIT)

    async def finish(self) -> None:
        """No more audio: a segment under way gets its `Final`, then iteration ends."""
        if not self._finished:
            self._finished = True
            self._steer(Ask.FINISH)

    def _steer(self, kind: Ask) -> None:
        if self._wanted and not self._ended and self._worker.alive:
            self._worker.post(self._number, kind)

    def _read(self, kind: int, payload: bytes) -> RecognitionEvent | None:
        if kind == Tell.TAKEN:
            self._ahead_bytes -= unpack_count(payload)
            self._changed.set()
            return None
        return _read_event(self._language, *unpack(payload))


def _read_event(language: str, kind: str, *fields: object) -> RecognitionEvent:
    match kind, fields:
        case "started", (float(offset),):
            return SpeechStarted(offset_seconds=offset)
        case "ended", (float(offset),):
            return SpeechEnded(offset_seconds=offset)
        case "partial", (str(text), float(offset)):
            return Partial(text=text, offset_seconds=offset)
        case "final", (str(text), float(offset), float(duration), confidence, list(words)):
            return Final(
                text=text,
                offset_seconds=offset,
                duration_seconds=duration,
                language=language,
                confidence=confidence if isinstance(confidence, float) else None,
                words=tuple(
                    RecognizedWord(text=w, start_seconds=s, end_seconds=e, confidence=c) for w, s, e, c in words
                ),
            )
    raise ValueError(f"unknown event {kind!r}")


class LocalRecognizer(WorkerClient[LocalRecognizing]):
    """A client that understands; made by `LocalEngine.create_recognizer`.

    It is not reusable after a recognition with phrases: see `LocalRecognizing.spends_client`.
    """

    def __init__(self, options: LocalOptions) -> None:
        models = {
            "acousticModel": options.acoustic_model,
            "languageModel": options.language_model,
            "dictionary": options.dictionary,
        }
        super().__init__(SPHINX_WORKER, models, name="stt")
        self._language = options.language

    async def warm(self) -> bool:
        """Listen to a little silence, in both modes of decoding the worker has done so by itself."""
        recognizing = self.recognize(RecognitionOptions())
        await recognizing.write(bytes(int(_WARM_UP_SECONDS * 32_000)))
        await recognizing.finish()
        async for _ in recognizing:
            pass
        self._warm = True
        return True

    def recognize(self, options: RecognitionOptions) -> LocalRecognizing:
        """Start a recognition; words outside the dictionary are told by iterating.

        Raises:
            EngineFailed: Another one is under way, or the client is closed or spent.
            WorkerDied: The worker is dead.
            InvalidInput: An option is out of bounds, or for another language.
        """
        self._check_free()
        self._check(options)
        self._stream = LocalRecognizing(self._worker, next(self._numbers), options, self._language)
        return self._stream

    def _check(self, options: RecognitionOptions) -> None:
        if options.language not in {None, self._language}:
            raise InvalidInput(
                f"language must be {self._language} for the local engine; got {options.language!r}",
                param="language",
                code="unsupported_language",
            )
        silence_ms = options.segmentation_silence_ms
        if silence_ms is not None and silence_ms not in _SILENCE_MS:
            raise InvalidInput(
                f"segmentation_silence_ms must be from 100 to 5000; got {silence_ms}",
                param="segmentation_silence_ms",
                code="invalid_value",
            )
        if options.phrases and options.grammar:
            raise InvalidInput(
                "phrases are hints for free dictation and cannot go with a grammar; give one of them",
                param="phrases",
                code="phrases_with_grammar",
            )
        _check_entries("phrases", options.phrases, MAX_PHRASES)
        _check_entries("grammar", options.grammar, MAX_GRAMMAR_SENTENCES)


def _check_entries(param: str, entries: tuple[str, ...], most: int) -> None:
    if len(entries) > most:
        raise InvalidInput(f"{param} has {len(entries)} entries; at most {most}", param=param, code="too_many_entries")
    characters = sum(map(len, entries))
    if characters > _MAX_HINT_CHARACTERS:
        raise InvalidInput(
            f"{param} has {characters} characters; at most {_MAX_HINT_CHARACTERS}", param=param, code="too_long"
        )
    for number, entry in enumerate(entries, start=1):
        if not any(map(str.isalnum, entry)):
            raise InvalidInput(f"{param} entry {number} has no words", param=param, code="no_words")
        if len(entry.split()) > _MAX_ENTRY_WORDS:
            raise InvalidInput(
                f"{param} entry {number} has more than {_MAX_ENTRY_WORDS} words; cut it", param=param, code="too_long"
            )
