"""What espeak-ng is given to read: plain text as it is, SSML written anew, one piece for each voice.

espeak-ng's own SSML reader ignores voice variants, runs programs to convert `<audio>`, and forgives what is not XML.
So the caller's document is read by `speechpool.speech.ssml`, and espeak-ng gets only the elements that it handles well.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.speech.local.words import SpokenText
from speechpool.speech.ssml import ElementEnd, ElementStart, SsmlPart, SsmlText, check_text, escape, parse

__all__ = ["Piece", "read_plain", "read_ssml"]

_KEPT = frozenset({"break", "emphasis", "mark", "p", "prosody", "s", "say-as", "sub"})
_GENDER_VARIANTS = {"female": "+f2", "male": "+m3"}
_MARK_NAMES = {"mark": "name", "bookmark": "mark"}  # SSML's element and Azure's, with the attribute that names it
_EMPTY = frozenset({"break", "mark"})
_CHARACTER_DATA = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_WORD_BREAK = "\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to say with one voice.

    Args:
        voice: The voice's name.
        read: What espeak-ng reads; SSML where `is_ssml`.
        is_ssml: Whether `read` is markup.
        spoken: What is said of it, and where it came from.
        marks: The names of its marks; in `read` a mark has its index here for a name, because espeak-ng reads no
            references in a name.
    """

    voice: str
    read: str = field(repr=False)
    is_ssml: bool
    spoken: SpokenText = field(repr=False)
    marks: tuple[str, ...] = ()


def read_plain(text: str, voice: str) -> list[Piece]:
    """The one piece of a plain text.

    Raises:
        InvalidInput: It has control characters.
    """
    check_text(text)
    return [Piece(voice, text, is_ssml=False, spoken=SpokenText.plain(text))]


def read_ssml(document: str, voice: str, resolve: Callable[[str], str]) -> list[Piece]:
    """The pieces of an SSML document, in order.

    Args:
        document: The caller's.
        voice: The name of the voice until the document asks for another.
        resolve: Finds a voice's name by any name or language; raises `InvalidInput`.

    Raises:
        InvalidInput: It is not valid SSML, names an unknown voice, or has an `<audio>` element without text to say
            instead.
    """
    return _Writer(voice, resolve).write(parse(document))


@dataclass(frozen=True, slots=True)
class _OpenElement:
    """An element not closed yet: its name for espeak-ng (empty: left out), its start tag, the voice before it."""

    name: str
    start_tag: str
    voice_outside: str


class _Writer:
    """Writes pieces from parts: a new piece where the voice changes, with the elements open there opened again."""

    def __init__(self, voice: str, resolve: Callable[[str], str]) -> None:
        self._voice = voice
        self._resolve = resolve
        self._open: list[_OpenElement] = []
        self._silent_audio = False  # in an <audio> element, and no text to say instead came yet
        self._pieces: list[Piece] = []
        self._begin()

    def write(self, parts: Iterable[SsmlPart]) -> list[Piece]:
        for part in parts:
            if isinstance(part, SsmlText):
                self._text(part)
            elif isinstance(part, ElementStart):
                self._start(part)
            else:
                self._end(part)
        self._finish()
        return self._pieces

    # --- pieces ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._written: list[str] = []
        self._length = 0
        self._audible = False
        self._spoken: list[str] = []
        self._read: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._marks: list[str] = []
        self._append("<speak>")
        for element in self._open:
            self._append(element.start_tag)

    def _finish(self) -> None:
        for element in reversed(self._open):
            self._close(element)
        self._append("</speak>")
        if self._audible:
            spoken = SpokenText("".join(self._spoken), self._read, self._starts, self._ends)
            read = "".join(self._written)
            self._pieces.append(Piece(self._voice, read, is_ssml=True, spoken=spoken, marks=tuple(self._marks)))

    def _change_voice(self, voice: str) -> None:
        if voice != self._voice:
            self._finish()
            self._voice = voice
            self._begin()

    def _append(self, text: str) -> None:
        self._written.append(text)
        self._length += len(text)

    def _close(self, element: _OpenElement) -> None:
        if element.name:
            self._append(f"</{element.name}>")

    # --- parts ----------------------------------------------------------------------------------------------------

    def _text(self, part: SsmlText) -> None:
        if part.text.strip():
            self._audible = True
            self._silent_audio = False
        written = [character.translate(_CHARACTER_DATA) for character in part.text]
        self._read += itertools.accumulate(map(len, written[:-1]), initial=self._length)
        if part.end - part.start == len(part.text):
            self._starts += range(part.start, part.end)
            self._ends += range(part.start + 1, part.end + 1)
        else:  # a reference: each character that it stands for is the whole of it
            self._starts += [part.start] * len(part.text)
            self._ends += [part.end] * len(part.text)
        self._spoken.append(part.text)
        self._append("".join(written))

    def _part_words(self) -> None:
        """Elements part words in what is said: "one<break/>two" are two."""
        if self._ends:
            self._spoken.append(_WORD_BREAK)
            self._read.append(self._length)
            self._starts.append(self._ends[-1])
            self._ends.append(self._ends[-1])

    def _start(self, element: ElementStart) -> None:
        self._part_words()
        self._silent_audio = self._silent_audio or element.name == "audio"
        outside = self._voice
        self._change_voice(self._voice_in(element))
        name, tag = self._rewrite(element)
        self._append(tag)
        self._audible = self._audible or name in _EMPTY
        kept = "" if name in _EMPTY else name
        self._open.append(_OpenElement(kept, tag if kept else "", outside))

    def _end(self, element: ElementEnd) -> None:
        if element.name == "audio" and self._silent_audio:
            raise InvalidInput(
                "input has an <audio> element, which the local engine does not play; write text to say instead into it",
                param="input",
                code="unsupported_ssml",
            )
        self._part_words()
        closed = self._open.pop()
        self._close(closed)
        self._change_voice(closed.voice_outside)

    def _rewrite(self, element: ElementStart) -> tuple[str, str]:
        """The element's name and start tag for espeak-ng; both empty where only its content stays."""
        name, attributes = element.name, element.attributes
        if name in _MARK_NAMES:
            self._marks.append(attributes.get(_MARK_NAMES[name], ""))
            name, attributes = "mark", {"name": str(len(self._marks) - 1)}
        if name not in _KEPT:
            return "", ""
        written = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
        return name, f"<{name}{written}{'/' if name in _EMPTY else ''}>"

    def _voice_in(self, element: ElementStart) -> str:
        if element.name not in {"voice", "lang"}:
            return self._voice
        name, language = element.attributes.get("name"), element.attributes.get("xml:lang")
        if name:
            return self._resolve(name)
        if language and not _speaks(self._voice, language):
            return self._resolve(language)
        variant = _GENDER_VARIANTS.get(element.attributes.get("gender", ""))
        return self._voice.partition("+")[0] + variant if variant else self._voice


def _speaks(voice: str, language: str) -> bool:
    return voice.partition("+")[0].casefold() == language.casefold()
