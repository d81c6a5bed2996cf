"""SSML and plain text as they come from callers: checked, read without trusting them, and wrapped.

Expat reads the XML, and a document type is refused before anything in it is read: so there are no entities to expand
and nothing is ever fetched.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from speechpool.errors import InvalidInput

__all__ = [
    "SILENT_ELEMENTS",
    "ElementEnd",
    "ElementStart",
    "Reader",
    "SsmlPart",
    "SsmlText",
    "check_text",
    "escape",
    "parse",
    "spoken_text",
    "wrap",
]

SILENT_ELEMENTS = frozenset({"desc", "lexicon", "meta", "metadata"})
"""Their content says something about the document, not to the listener (SSML 1.1, sections 3.1.4, 3.1.5, 3.3.3)."""

_MAX_DEPTH = 64  # guess: hand-written and generated documents alike stay below 10
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


# A document has thousands of these parts, and a frozen one takes three times as long to make: nobody changes them.


@dataclass(slots=True)
class SsmlText:
    """Text to speak, up to the next element or reference.

    Args:
        text: The characters, references resolved.
        start: Index of the first of them in the document.
        end: Index behind the last of them in the document; `end - start` differs from `len(text)` for a reference.
        is_cdata: Whether it stands in a CDATA section, where markup would be text.
    """

    text: str = field(repr=False)
    start: int
    end: int
    is_cdata: bool = False


@dataclass(slots=True)
class ElementStart:
    """A start tag; names keep their prefix, as in "mstts:express-as" and "xml:lang"."""

    name: str
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class ElementEnd:
    """An end tag."""

    name: str


SsmlPart = SsmlText | ElementStart | ElementEnd


def check_text(text: str) -> None:
    """Refuse characters that nobody can speak: controls (tab and line ends excepted) and lone surrogates.

    Raises:
        InvalidInput: There is one; the message has its code point and position.
    """
    found = _FORBIDDEN.search(text)
    if found:
        raise InvalidInput(
            f"input has the control character U+{ord(found[0]):04X} at position {found.start()}; remove it",
            param="input",
            code="invalid_characters",
        )


def escape(text: str) -> str:
    """The text as XML character data, also safe in a quoted attribute."""
    return text.translate(_ESCAPES)


def wrap(text: str, *, voice: str, language: str) -> str:
    """Plain text as a whole SSML document.

    Args:
        text: Checked by `check_text`.
        voice: The engine's own name of the voice.
        language: The voice's BCP 47 tag.
    """
    return (
        f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="{escape(language)}">'
        f'<voice name="{escape(voice)}">{escape(text)}</voice></speak>'
    )


def parse(document: str) -> list[SsmlPart]:
    """The parts of an SSML document, in order, without the content of elements that are not spoken.

    Raises:
        InvalidInput: It has forbidden characters, is not well-formed XML, has a document type, is nested deeper than
            64 elements, or its root is not `speak` (param `input`, code `invalid_ssml` or `invalid_characters`).
    """
    reader = _PartsReader(document, silent=SILENT_ELEMENTS)
    reader.read()
    return reader.parts


def spoken_text(document: str) -> str:
    """The text of an SSML document without its markup.

    Raises:
        InvalidInput: As `parse`.
    """
    return "".join(part.text for part in parse(document) if isinstance(part, SsmlText))


class Reader:
    """One pass of expat over one document; what it finds is told by the methods that begin with `on_`.

    Args:
        document: The document.
        silent: Elements whose text is not told.
    """

    def __init__(self, document: str, *, silent: frozenset[str]) -> None:
        self._document = document
        self._silent = silent
        self._bytes = b""
        self._is_one_byte_each = True
        self._depth = 0
        self._silent_from = 0  # the depth of the outermost element that is silent; 0 outside
        self._is_cdata = False
        self._at_byte = 0
        self._at_character = 0
        self._parser = self._make_parser()

    def on_start(self, name: str, attributes: dict[str, str]) -> None:
        """A start tag."""

    def on_end(self, name: str) -> None:
        """An end tag."""

    def on_text(self, text: str, start: int, end: int, *, is_cdata: bool) -> None:
        """Text, as `SsmlText` has it."""

    def read(self) -> None:
        """Read all of it.

        Raises:
            InvalidInput: As `parse`.
        """
        check_text(self._document)
        self._bytes = self._document.encode()
        self._is_one_byte_each = len(self._bytes) == len(self._document)
        try:
            self._parser.Parse(self._bytes, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise _invalid(f"{reason} at line {error.lineno}, column {error.offset + 1}") from None

    def _make_parser(self) -> expat.XMLParserType:
        # The encoding given here wins over one that the document declares: it is a str, so a declaration is history.
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = False  # one call per run of text, so that each has its own position
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._start_cdata
        parser.EndCdataSectionHandler = self._end_cdata
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def _doctype(self, *_: object) -> None:
        raise _invalid("a document type is not allowed; remove <!DOCTYPE …>")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._depth and name != "speak":
            raise _invalid("the root element must be <speak>")
        if self._depth >= _MAX_DEPTH:
            raise _invalid(f"elements are nested deeper than {_MAX_DEPTH}")
        self._depth += 1
        if name in self._silent and not self._silent_from:
            self._silent_from = self._depth
        self.on_start(name, attributes)

    def _end(self, name: str) -> None:
        if self._silent_from == self._depth:
            self._silent_from = 0
        self._depth -= 1
        self.on_end(name)

    def _start_cdata(self) -> None:
        self._is_cdata = True

    def _end_cdata(self) -> None:
        self._is_cdata = False

    def _text(self, text: str) -> None:
        if self._silent_from:
            return
        start = self._position()
        end = start + len(text)
        # "&" outside of CDATA begins a reference, also one that stands for "&"; else a line end may be normalised
        is_reference = self._document[start] == "&" and not self._is_cdata
        if is_reference or self._document[start:end] != text:
            end = self._reference_end(start)
        self.on_text(text, start, end, is_cdata=self._is_cdata)

    def _position(self) -> int:
        """Index of the current event's first character in the document."""
        byte = self._parser.CurrentByteIndex
        if self._is_one_byte_each:
            return byte
        self._at_character += len(self._bytes[self._at_byte : byte].decode())
        self._at_byte = byte
        return self._at_character

    def _reference_end(self, start: int) -> int:
        if self._document[start] == "&":
            return self._document.index(";", start) + 1
        return start + (2 if self._document.startswith("\r\n", start) else 1)


class _PartsReader(Reader):
    """Makes a list of all that it finds."""

    def __init__(self, document: str, *, silent: frozenset[str]) -> None:
        super().__init__(document, silent=silent)
        self.parts: list[SsmlPart] = []

    def on_start(self, name: str, attributes: dict[str, str]) -> None:
        self.parts.append(ElementStart(name, attributes))

    def on_end(self, name: str) -> None:
        self.parts.append(ElementEnd(name))

    def on_text(self, text: str, start: int, end: int, *, is_cdata: bool) -> None:
        self.parts.append(SsmlText(text, start, end, is_cdata))


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"input is not valid SSML: {reason}", param="input", code="invalid_ssml")
