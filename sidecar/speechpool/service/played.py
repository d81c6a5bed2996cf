"""How much of an utterance went out, and which text that was."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from speechpool.service.events import Played
from speechpool.speech.engine import WordBoundary

__all__ = ["CHARACTERS_PER_SECOND", "PlayedAccount"]

CHARACTERS_PER_SECOND = 15.0
"""How fast a voice speaks at speed 1.0 where nothing tells: English prose at 150 to 180 words a minute."""


TAIL_SECONDS = 0.05
"""Audio that may be missing at the end of a text that went out whole: resamplers and encoders round and hold back."""


@dataclass(slots=True)
class _Part:
    """One text that the engine said, or says: a whole utterance, or one clause of a text stream."""

    text: str = field(repr=False)
    is_ssml: bool
    begins_seconds: float
    ends_seconds: float | None = None
    words: list[WordBoundary] = field(default_factory=list, repr=False)


class PlayedAccount:
    """Keeps what was said when, so that any moment of the audio can be turned into text.

    Args:
        characters_per_second: How fast the voice speaks, for texts without word times.
    """

    def __init__(self, characters_per_second: float = CHARACTERS_PER_SECOND) -> None:
        self._characters_per_second = characters_per_second
        self._parts: list[_Part] = []

    def begin(self, text: str, *, is_ssml: bool, at_seconds: float) -> None:
        """A text begins at `at_seconds` of the audio; the one before it ends there."""
        self.end(at_seconds)
        self._parts.append(_Part(text, is_ssml, at_seconds))

    def extend(self, text: str) -> None:
        """The current text goes on."""
        self._parts[-1].text += text

    def restart(self, at_seconds: float) -> None:
        """The current text begins anew: another client says it from its start."""
        self._parts[-1].begins_seconds = at_seconds
        self._parts[-1].words.clear()

    def word(self, boundary: WordBoundary) -> None:
        """A word of the current text; its time is from the start of all audio, its offset from the text's own."""
        self._parts[-1].words.append(boundary)

    def end(self, at_seconds: float) -> None:
        """All audio of the current text is made: it ends at `at_seconds`."""
        if self._parts and self._parts[-1].ends_seconds is None:
            self._parts[-1].ends_seconds = at_seconds

    def up_to(self, seconds: float) -> Played:
        """What the first `seconds` of the audio say."""
        said = [(part, self._said(part, seconds)) for part in self._parts if part.begins_seconds < seconds]
        text = "".join(_joined(part, spoken) for part, spoken in said).rstrip()
        return Played(
            audio_seconds=seconds,
            characters=len(text),
            text=text,
            estimated=any(not part.words and not self._is_whole(part, seconds) for part, _ in said),
        )

    def _is_whole(self, part: _Part, seconds: float) -> bool:
        return part.ends_seconds is not None and part.ends_seconds <= seconds + TAIL_SECONDS

    def _said(self, part: _Part, seconds: float) -> str:
        if part.is_ssml:
            return " ".join(word.text for word in part.words if word.audio_offset_seconds < seconds)
        if self._is_whole(part, seconds):
            return part.text
        if part.words:
            return _up_to_word(part, seconds)
        return self._proportional(part, seconds)

    def _proportional(self, part: _Part, seconds: float) -> str:
        if part.ends_seconds is None:
            length = (seconds - part.begins_seconds) * self._characters_per_second
        else:
            length = len(part.text) * (seconds - part.begins_seconds) / (part.ends_seconds - part.begins_seconds)
        return _whole_words(part.text, round(length))


def _up_to_word(part: _Part, seconds: float) -> str:
    """The text up to the end of the last word that began before `seconds`."""
    count = bisect_left(part.words, seconds, key=lambda word: word.audio_offset_seconds)
    if count == 0:
        return ""
    last = part.words[count - 1]
    return part.text[: last.text_offset + last.text_length]


def _whole_words(text: str, length: int) -> str:
    """At most `length` characters of `text`, cut between words; anywhere in a script without spaces."""
    if length >= len(text):
        return text
    head = text[:length]
    if text[length].isspace() or not re.search(r"\s", text):
        return head
    return head[: max(head.rfind(" "), head.rfind("\n"), 0)]


def _joined(part: _Part, said: str) -> str:
    return f"{said} " if part.is_ssml else said
