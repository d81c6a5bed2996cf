"""The worker process that understands: one recognition at a time, audio in, partial and final texts out.

Started by `speechpool.speech.local.recognizer`; the messages are those of `speechpool.speech.local.messages`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import pocketsphinx

from speechpool.speech.local.endpointing import (
    FRAME_SECONDS,
    Endpointer,
    SegmentAudio,
    SegmentEvent,
    SegmentStarted,
)
from speechpool.speech.local.messages import Ask, Tell, pack, pack_count, unpack
from speechpool.speech.local.sphinx import RecognizedSegment, Sphinx
from speechpool.workers.child import Channel, run
from speechpool.workers.frames import Frame

__all__ = ["main"]

_SAMPLE_RATE_HZ = 16_000
_FRAME_BYTES = round(FRAME_SECONDS * _SAMPLE_RATE_HZ) * 2
_PARTIAL_SECONDS = 0.2  # of audio between two looks at the hypothesis
_SHOWN_WORDS = 20


def main(channel: Channel, arguments: list[str]) -> None:
    """Recognise what is asked for until the parent is gone.

    Args:
        channel: To the parent.
        arguments: JSON: `acousticModel`, `languageModel`, `dictionary`; paths or null.
    """
    models = unpack(arguments[0].encode())
    sphinx = Sphinx(models["acousticModel"], models["languageModel"], models["dictionary"])
    inbox = _Inbox(channel)
    channel.ready()
    while True:
        stream, kind, payload = inbox.next()
        out = _Outlet(channel, stream)
        if kind == Ask.RECOGNIZE:
            _recognize(out, inbox, sphinx, unpack(payload))
        elif kind == Ask.CANCEL:  # it overtook even the beginning; or came after the end, and then nobody listens
            out.end()


class _Outlet:
    """Tells about one recognition."""

    def __init__(self, channel: Channel, stream: int) -> None:
        self._channel = channel
        self.stream = stream

    def tell(self, *event: object) -> None:
        """Send an event."""
        self._channel.send(self.stream, Tell.EVENT, pack(event))

    def taken(self, size_bytes: int) -> None:
        """Say that audio was dealt with."""
        self._channel.send(self.stream, Tell.TAKEN, pack_count(size_bytes))

    def refuse(self, message: str, param: str, code: str) -> None:
        """End the recognition: it cannot be done as asked."""
        self._channel.send(self.stream, Tell.REFUSED, pack([message, param, code]))

    def end(self) -> None:
        """End the recognition."""
        self._channel.send(self.stream, Tell.ENDED)


class _Inbox:
    """Frames in order, except that a cancellation overtakes the audio that is waiting before it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: deque[Frame] = deque()

    def next(self) -> Frame:
        """The next frame; waits for it."""
        while frame := self._channel.poll():
            self._take(frame)
        if not self._waiting:
            self._take(self._channel.receive())
        return self._waiting.popleft()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Ask.CANCEL:
            self._waiting = deque(waiting for waiting in self._waiting if waiting.stream != frame.stream)
        self._waiting.append(frame)


def _recognize(out: _Outlet, inbox: _Inbox, sphinx: Sphinx, request: Mapping[str, Any]) -> None:
    """Do one recognition and say how it ended."""
    for param in ("grammar", "phrases"):
        unknown = sphinx.unknown_words(request[param])
        if unknown:
            out.refuse(_explain(param, unknown), param, "unknown_words")
            return
    sphinx.begin(request["phrases"], request["grammar"])
    recognition = _Recognition(out, sphinx, request)
    while True:
        stream, kind, payload = inbox.next()
        if stream != out.stream:
            continue  # a cancellation that came after the end
        if kind == Ask.AUDIO:
            recognition.hear(payload)
            out.taken(len(payload))
        elif kind == Ask.COMMIT:
            recognition.commit()
        else:
            break
    if kind == Ask.FINISH:
        recognition.finish()
    sphinx.begin((), ())
    out.end()


def _explain(param: str, unknown: Sequence[str]) -> str:
    more = f" and {len(unknown) - _SHOWN_WORDS} more" if len(unknown) > _SHOWN_WORDS else ""
    words = ", ".join(unknown[:_SHOWN_WORDS])
    return f"{param} has words that the recogniser's dictionary lacks: {words}{more}; write them in other words"


class _Recognition:
    """Audio in, events out, for one recognition."""

    def __init__(self, out: _Outlet, sphinx: Sphinx, request: Mapping[str, Any]) -> None:
        self._out = out
        self._sphinx = sphinx
        self._wants_words = request["words"]
        self._wants_partials = request["partials"]
        # All modes find the same sentences in the recordings, with noise added too; this one finds their ends closest.
        self._detector = pocketsphinx.Vad(pocketsphinx.Vad.MEDIUM_STRICT, _SAMPLE_RATE_HZ, FRAME_SECONDS)
        self._endpointer = Endpointer(request["silenceMs"] / 1000)
        self._unframed = bytearray()
        self._segment = bytearray()
        self._segment_start = 0.0
        self._speech_start = 0.0
        self._partial = ""
        self._partial_due = 0.0

    def hear(self, audio: bytes) -> None:
        """Take audio."""
        self._unframed += audio
        whole = len(self._unframed) - len(self._unframed) % _FRAME_BYTES
        for start in range(0, whole, _FRAME_BYTES):
            frame = bytes(self._unframed[start : start + _FRAME_BYTES])
            self._follow(self._endpointer.feed(frame, is_speech=self._detector.is_speech(frame)))
        del self._unframed[:whole]
        self._tell_partial()

    def commit(self) -> None:
        """Tell the final text of the segment under way; an empty one if there is none."""
        if not self.finish():
            now = self._endpointer.now_seconds
            self._tell_final(RecognizedSegment(()), now, now)

    def finish(self) -> bool:
        """Tell the final text of the segment under way; returns whether there was one."""
        if self._unframed:
            self.hear(bytes(_FRAME_BYTES - len(self._unframed)))
        events = self._endpointer.end()
        self._follow(events)
        return bool(events)

    def _follow(self, events: list[SegmentEvent]) -> None:
        for event in events:
            if isinstance(event, SegmentStarted):
                self._begin(event)
            elif isinstance(event, SegmentAudio):
                self._listen(event.audio)
            else:
                self._end(event.offset_seconds)

    def _begin(self, event: SegmentStarted) -> None:
        self._speech_start = event.offset_seconds
        self._segment_start = event.audio_offset_seconds
        self._partial = ""
        self._partial_due = self._endpointer.now_seconds + _PARTIAL_SECONDS
        self._out.tell("started", event.offset_seconds)
        if self._wants_partials:
            self._sphinx.start()

    def _listen(self, audio: bytes) -> None:
        if self._wants_partials:
            self._sphinx.feed(audio)
        else:
            self._segment += audio

    def _end(self, offset_seconds: float) -> None:
        self._out.tell("ended", offset_seconds)
        if self._wants_partials:
            result = self._sphinx.end()
        else:
            result = self._sphinx.decode(bytes(self._segment))
            self._segment.clear()
        self._tell_final(result, self._speech_start, offset_seconds)

    def _tell_partial(self) -> None:
        now = self._endpointer.now_seconds
        if not (self._wants_partials and self._endpointer.in_speech and now >= self._partial_due):
            return
        self._partial_due = now + _PARTIAL_SECONDS
        text = self._sphinx.partial()
        if text and text != self._partial:
            self._partial = text
            self._out.tell("partial", text, self._speech_start)

    def _tell_final(self, result: RecognizedSegment, start: float, end: float) -> None:
        words = [
            [
                word.text,
                self._segment_start + word.start_seconds,
                self._segment_start + word.end_seconds,
                word.confidence,
            ]
            for word in (result.words if self._wants_words else ())
        ]
        self._out.tell("final", result.text, start, end - start, result.confidence, words)


if __name__ == "__main__":
    run(main)
