"""The order of events within a recognition. Pure: what the service says in, events out.

The service tells the beginning of speech once a turn, or after a lost connection again, and its end only at the end of
the turn. A caller gets each segment whole: its beginning, its partial texts, its end, its final text.
"""

from collections.abc import Iterator

from speechpool.speech.azure.pacing import Timeline
from speechpool.speech.azure.results import Phrase, seconds
from speechpool.speech.engine import Final, Partial, RecognitionEvent, SpeechEnded, SpeechStarted

__all__ = ["Segments"]


class Segments:
    """Where the recognition is: within a segment, or between two.

    Args:
        clock: To the caller's time.
        language: For finals without text.
        partials: Whether `Partial` is wanted.
    """

    def __init__(self, clock: Timeline, *, language: str, partials: bool) -> None:
        self._clock = clock
        self._language = language
        self._partials = partials
        self._speaks = False

    def started(self, ticks: int) -> Iterator[RecognitionEvent]:
        """The service heard speech begin."""
        yield from self._begin(self._clock(seconds(ticks)))

    def ended(self, ticks: int) -> Iterator[RecognitionEvent]:
        """The service hears no more speech."""
        yield from self._finish(self._clock(seconds(ticks)))

    def partial(self, partial: Partial | None) -> Iterator[RecognitionEvent]:
        """A hypothesis; None where it is empty."""
        if partial is not None:
            yield from self._begin(partial.offset_seconds)
            if self._partials:
                yield partial

    def phrase(self, phrase: Phrase) -> Iterator[RecognitionEvent]:
        """A stretch of audio is done with, with text or without."""
        final = phrase.final
        if final is not None:
            yield from self._begin(final.offset_seconds)
            yield from self._finish(final.offset_seconds + final.duration_seconds)
            yield final
        else:
            yield from self._finish(self._clock(phrase.end_seconds))
            if phrase.commit_token:
                yield self.nothing(phrase.end_seconds)

    def nothing(self, service_seconds: float) -> Final:
        """What answers a commit where nothing was said."""
        return Final(
            text="", offset_seconds=self._clock(service_seconds), duration_seconds=0.0, language=self._language
        )

    def _begin(self, offset_seconds: float) -> Iterator[RecognitionEvent]:
        if not self._speaks:
            self._speaks = True
            yield SpeechStarted(offset_seconds=offset_seconds)

    def _finish(self, offset_seconds: float) -> Iterator[RecognitionEvent]:
        if self._speaks:
            self._speaks = False
            yield SpeechEnded(offset_seconds=offset_seconds)
