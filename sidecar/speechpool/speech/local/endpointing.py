"""Finds the segments of speech in a stream of frames that a voice activity detector has judged; no audio library."""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["FRAME_SECONDS", "Endpointer", "SegmentAudio", "SegmentEnded", "SegmentEvent", "SegmentStarted"]

FRAME_SECONDS = 0.03
"""Length of a frame; one of the three that the detector (WebRTC's) takes."""

_START_FRAMES = 10  # 0.3 s before speech are kept, as OpenAI's turn detection does (prefix_padding_ms)
_START_SPEECH_FRAMES = 6  # guess: of these, so many are speech where a segment begins: 0.18 s, "yes" is longer
_SHORT_SPEECH_FRAMES = 3  # guess: and so many where the caller says that the audio is whole
_END_SILENCE_SHARE = 0.9  # pocketsphinx's Endpointer.DEFAULT_RATIO
_MAX_FRAMES = 1000  # 30 s: decoding holds the whole segment in memory, and its end takes longer the longer it is


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """Speech began at `offset_seconds`; the audio of the segment begins at `audio_offset_seconds`, a little before."""

    offset_seconds: float
    audio_offset_seconds: float


@dataclass(frozen=True, slots=True)
class SegmentAudio:
    """The segment's next audio."""

    audio: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """The segment is whole: its last speech ended at `offset_seconds`."""

    offset_seconds: float


SegmentEvent = SegmentStarted | SegmentAudio | SegmentEnded


class Endpointer:
    """Cuts a stream of frames into segments.

    Args:
        silence_seconds: Silence that ends a segment; > 0.
    """

    def __init__(self, silence_seconds: float) -> None:
        self._silence_frames = max(1, round(silence_seconds / FRAME_SECONDS))
        self._frames = 0
        self._before: deque[tuple[bytes, bool]] = deque(maxlen=_START_FRAMES)
        self._recent: deque[bool] = deque(maxlen=self._silence_frames)
        self._in_speech = False
        self._segment_frames = 0
        self._last_speech_frame = 0

    @property
    def in_speech(self) -> bool:
        """Whether a segment is under way."""
        return self._in_speech

    def feed(self, frame: bytes, *, is_speech: bool) -> list[SegmentEvent]:
        """Take the next frame; returns what it decides."""
        self._frames += 1
        if self._in_speech:
            return self._go_on(frame, is_speech)
        self._before.append((frame, is_speech))
        if sum(speech for _, speech in self._before) < _START_SPEECH_FRAMES:
            return []
        return self._begin()

    def end(self) -> list[SegmentEvent]:
        """End a segment now: the caller says that the audio so far is whole."""
        if self._in_speech:
            return [self._finish()]
        events: list[SegmentEvent] = []
        if sum(speech for _, speech in self._before) >= _SHORT_SPEECH_FRAMES:
            events = [*self._begin(), self._finish()]
        self._before.clear()
        return events

    @property
    def now_seconds(self) -> float:
        """The end of the last frame."""
        return self._frames * FRAME_SECONDS

    def _begin(self) -> list[SegmentEvent]:
        first_frame = self._frames - len(self._before)
        judged = [speech for _, speech in self._before]
        first_speech = first_frame + judged.index(True)
        audio = b"".join(frame for frame, _ in self._before)
        self._in_speech = True
        self._segment_frames = len(self._before)
        self._last_speech_frame = self._frames
        self._recent.clear()
        self._before.clear()
        return [SegmentStarted(first_speech * FRAME_SECONDS, first_frame * FRAME_SECONDS), SegmentAudio(audio)]

    def _go_on(self, frame: bytes, is_speech: bool) -> list[SegmentEvent]:
        self._segment_frames += 1
        self._recent.append(is_speech)
        if is_speech:
            self._last_speech_frame = self._frames
        if self._is_silent() or self._segment_frames >= _MAX_FRAMES:
            return [SegmentAudio(frame), self._finish()]
        return [SegmentAudio(frame)]

    def _is_silent(self) -> bool:
        full = len(self._recent) == self._silence_frames
        return full and self._recent.count(False) >= _END_SILENCE_SHARE * self._silence_frames

    def _finish(self) -> SegmentEnded:
        self._in_speech = False
        return SegmentEnded(self._last_speech_frame * FRAME_SECONDS)
