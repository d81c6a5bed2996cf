"""What a synthesis request asks for: the words to say, in which voice, with its marks; and what is wrong with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.speech.ssml import ElementStart, SsmlPart, SsmlText, parse

__all__ = ["BadScript", "Script", "Word", "plain_script", "ssml_script"]

_TOKENS = re.compile(r"\w+(?:['\u2019.-]\w+)*|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]")
_MAX_SSML_BYTES = 65_536  # the service's limit of one message with SSML
_MAX_TAGS = 50  # its limit of <voice> and <audio> elements


class BadScript(Exception):
    """The service would close the connection with 1007; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word, one punctuation mark, or one bookmark.

    Args:
        text: Itself; a bookmark's name.
        kind: "word", "punctuation" or "bookmark".
        ends_sentence: Whether a sentence ends with it.
    """

    text: str = field(repr=False)
    kind: str = "word"
    ends_sentence: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be said.

    Args:
        voices: The voices of it, in order; at least one.
        language: `xml:lang` of the document; empty for streamed text.
        words: In order.
        text: All of it without markup.
        ssml: The document; empty for plain text.
    """

    voices: tuple[str, ...]
    language: str
    words: tuple[Word, ...]
    text: str = field(repr=False)
    ssml: str = field(default="", repr=False)

    @property
    def spoken_words(self) -> int:
        """How many words have a length."""
        return sum(word.kind == "word" for word in self.words)

    def sentences(self) -> Iterator[tuple[Word, ...]]:
        """The words of each sentence."""
        sentence: list[Word] = []
        for word in self.words:
            sentence.append(word)
            if word.ends_sentence:
                yield tuple(sentence)
                sentence = []
        if sentence:
            yield tuple(sentence)


def plain_script(text: str, voice: str, language: str) -> Script:
    """The script of plain text."""
    return Script((voice,), language, tuple(_words(text)), text)


def ssml_script(document: str) -> Script:
    """The script of an SSML document.

    Raises:
        BadScript: The service would refuse it.
    """
    if len(document.encode()) > _MAX_SSML_BYTES:
        raise BadScript(f"SSML exceeds the limit of {_MAX_SSML_BYTES} bytes in one request.")
    try:
        parts = parse(document)
    except InvalidInput as error:
        raise BadScript(f"Ssml parsing failed: {str(error).removeprefix('input is not valid SSML: ')}.") from None
    starts = [part for part in parts if isinstance(part, ElementStart)]
    language = starts[0].attributes.get("xml:lang", "")
    if not language:
        raise BadScript("Ssml should contain the attribute xml:lang in the element speak.")
    return Script(_voices(starts), language, tuple(_ssml_words(parts)), _text(parts), document)


def _voices(starts: list[ElementStart]) -> tuple[str, ...]:
    voices = [part.attributes.get("name", "") for part in starts if part.name == "voice"]
    if not voices:
        raise BadScript("Ssml should contain at least one element voice with text.")
    if len(voices) + sum(part.name == "audio" for part in starts) > _MAX_TAGS:
        raise BadScript(f"Ssml exceeds the limit of {_MAX_TAGS} voice and audio elements.")
    if not all(voices):
        raise BadScript("Ssml element voice should have the attribute name.")
    return tuple(voices)


def _text(parts: list[SsmlPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, SsmlText))


def _ssml_words(parts: list[SsmlPart]) -> Iterator[Word]:
    run = ""
    for part in parts:
        if isinstance(part, SsmlText):
            run += part.text
        elif isinstance(part, ElementStart) and part.name == "bookmark":  # Azure's own; it knows no <mark>
            yield from _words(run)
            run = ""
            yield Word(part.attributes.get("mark", ""), "bookmark")
    yield from _words(run)


def _words(text: str) -> Iterator[Word]:
    for token in _TOKENS.findall(text):
        is_word = token[0].isalnum() or token[0] == "_"
        yield Word(token, "word" if is_word else "punctuation", bool(_SENTENCE_END.fullmatch(token)))
