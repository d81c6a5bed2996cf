"""The worker process that speaks: one utterance at a time, streamed as it is made, given up as soon as nobody wants it.

Started by `speechpool.speech.local.synthesizer`; the messages are those of `speechpool.speech.local.messages`.
"""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.local.catalog import Catalog
from speechpool.speech.local.espeak import SAMPLE_RATE_HZ, Espeak, EspeakEvent, EventKind
from speechpool.speech.local.espeak_text import Piece, read_plain, read_ssml
from speechpool.speech.local.messages import WINDOW_BYTES, Ask, Tell, pack, unpack, unpack_count
from speechpool.speech.local.pcm import PcmConverter
from speechpool.speech.local.visemes import viseme_id
from speechpool.workers.child import Channel, run

__all__ = ["main"]

_CHUNK_SECONDS = 0.2
"""Audio in one message, the first excepted, which is sent at once: fewer messages, and still little to throw away."""

_SLOWEST_WORDS_PER_MINUTE = 80  # espeakRATE_MINIMUM, speak_lib.h
_FASTEST_WORDS_PER_MINUTE = 900  # guess: not intelligible, still distinct
_WORD_GAP_SECONDS = 0.034
"""One unit of espeak-ng's word gap at its slowest rate (measured: 12 words, gaps of 10, 50 and 100 units)."""


def main(channel: Channel, arguments: list[str]) -> None:
    """Speak what is asked for until the parent is gone.

    Args:
        channel: To the parent.
        arguments: JSON: `library`, `data`, `aliases`, `wordsPerMinute`; `codec` and `rate` unless only the voices are
            wanted.
    """
    options = unpack(arguments[0].encode())
    espeak = Espeak(options["library"], options["data"])
    catalog = Catalog(espeak.voices(), options["aliases"])
    if "codec" not in options:
        voices = [astuple(voice) for voice in catalog.found]
        channel.ready(pack(voices))
        return
    target = AudioFormat(Codec(options["codec"]), options["rate"])
    speaker = _Speaker(channel, espeak, catalog, target, options["wordsPerMinute"])
    channel.ready()
    while True:
        stream, kind, payload = channel.receive()
        if kind == Ask.SPEAK:
            speaker.speak(stream, unpack(payload))


class _Speaker:
    """Speaks utterances one after the other."""

    def __init__(
        self, channel: Channel, espeak: Espeak, catalog: Catalog, target: AudioFormat, words_per_minute: int
    ) -> None:
        self._channel = channel
        self._espeak = espeak
        self._catalog = catalog
        self._words_per_minute = words_per_minute
        self._converter = PcmConverter(target)
        self._chunk_bytes = int(_CHUNK_SECONDS * target.bytes_per_second)

    def speak(self, stream: int, request: Mapping[str, Any]) -> None:
        """Speak one utterance and say how it ended."""
        try:
            pieces = self._pieces(request)
        except InvalidInput as error:
            self._channel.send(stream, Tell.REFUSED, pack([str(error), error.param, error.code]))
            return
        out = _Outlet(self._channel, stream, self._chunk_bytes)
        told = _Utterance(self._converter, out, words=request["words"], visemes=request["visemes"])
        try:
            for piece in pieces:
                self._say(piece, told, request)
        except RuntimeError:
            self._channel.send(stream, Tell.FAILED)
            return
        out.finish(self._converter.finish())
        self._channel.send(stream, Tell.ENDED)

    def _pieces(self, request: Mapping[str, Any]) -> list[Piece]:
        voice = self._catalog.resolve(request["voice"])
        if request["ssml"]:
            return read_ssml(request["text"], voice, self._catalog.resolve)
        return read_plain(request["text"], voice)

    def _say(self, piece: Piece, told: "_Utterance", request: Mapping[str, Any]) -> None:
        words_per_minute, word_gap = _pace(self._words_per_minute * request["speed"])
        told.begin(piece)
        self._espeak.say(
            piece.read,
            told.take,
            identifier=self._catalog.identifier(piece.voice),
            words_per_minute=words_per_minute,
            word_gap=word_gap,
            is_ssml=piece.is_ssml,
            phonemes=request["visemes"],
        )


def _pace(words_per_minute: float) -> tuple[int, int]:
    """The library's rate and word gap: what it cannot speak slower, it says word by word."""
    rate = min(max(words_per_minute, _SLOWEST_WORDS_PER_MINUTE), _FASTEST_WORDS_PER_MINUTE)
    gap_seconds = max(0.0, 60 / words_per_minute - 60 / _SLOWEST_WORDS_PER_MINUTE)
    return round(rate), round(gap_seconds / _WORD_GAP_SECONDS)


class _Utterance:
    """One utterance's samples and events, from espeak-ng to the outlet; times run on from piece to piece."""

    def __init__(self, converter: PcmConverter, out: "_Outlet", *, words: bool, visemes: bool) -> None:
        self._converter = converter
        self._out = out
        self._words = words
        self._visemes = visemes
        self._last_viseme: int | None = None
        self._samples = 0
        self._piece_start = 0
        self._piece: Piece | None = None

    def begin(self, piece: Piece) -> None:
        """The next samples and events are this piece's."""
        self._piece = piece
        self._piece_start = self._samples

    def take(self, samples: bytes, events: list[EspeakEvent]) -> bool:
        """Take what espeak-ng made (an `EspeakSink`)."""
        for event in events:
            self._tell(event, (self._piece_start + event.sample) / SAMPLE_RATE_HZ)
        self._samples += len(samples) // 2
        if samples:
            self._out.write(self._converter.feed(samples))
        return self._out.is_wanted

    def _tell(self, event: EspeakEvent, seconds: float) -> None:
        if event.kind is EventKind.MARK and self._piece:
            self._out.tell("mark", self._piece.marks[int(event.name)], seconds)
        elif event.kind is EventKind.PHONEME:
            self._tell_viseme(viseme_id(event.name), seconds)
        elif self._words and self._piece:
            word = self._piece.spoken.word_at(event.index, event.length)
            if word:
                self._out.tell("word", *word, seconds)

    def _tell_viseme(self, viseme: int | None, seconds: float) -> None:
        if self._visemes and viseme is not None and viseme != self._last_viseme:
            self._last_viseme = viseme
            self._out.tell("viseme", viseme, seconds)


class _Outlet:
    """Sends one utterance's audio within the window, and hears whether it is still wanted."""

    def __init__(self, channel: Channel, stream: int, chunk_bytes: int) -> None:
        self._channel = channel
        self._stream = stream
        self._chunk_bytes = chunk_bytes
        self._pending = bytearray()
        self._send_at = 1  # the first chunk goes as soon as there is any audio
        self._window = WINDOW_BYTES
        self.is_wanted = True

    def write(self, audio: bytes) -> None:
        """Take audio; sends it when there is enough, and waits while the window is full."""
        self._pending += audio
        if len(self._pending) >= self._send_at:
            self._flush()
        else:
            self._listen()

    def tell(self, *event: str | float) -> None:
        """Let an event go out before the next audio, or before the end."""
        self._channel.queue(self._stream, Tell.EVENT, pack(event))

    def finish(self, rest: bytes) -> None:
        """Send what is left."""
        self._pending += rest
        self._flush()

    def _flush(self) -> None:
        self._listen()
        while self._pending and self._window < len(self._pending) and self.is_wanted:
            self._hear(*self._channel.receive())
        if self._pending and self.is_wanted:
            self._window -= len(self._pending)
            self._channel.send(self._stream, Tell.AUDIO, self._pending)
        self._pending.clear()
        self._send_at = self._chunk_bytes

    def _listen(self) -> None:
        while frame := self._channel.poll():
            self._hear(*frame)

    def _hear(self, stream: int, kind: int, payload: bytes) -> None:
        if stream != self._stream:
            return  # of an utterance that has ended
        if kind == Ask.TAKEN:
            self._window += unpack_count(payload)
        elif kind == Ask.CANCEL:
            self.is_wanted = False


if __name__ == "__main__":
    run(main)
