"""What Azure is sent for an utterance: an SSML document, and where its words are in the caller's own text. Pure.

Azure wants more of a document than others do: a version, a namespace, a language, and a voice around all text. What
is missing is added, and SSML's marks become Azure's bookmarks, so that a document that speaks with one engine speaks
with the other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.speech.azure.words import WordFinder
from speechpool.speech.engine import Utterance
from speechpool.speech.ssml import ElementStart, SsmlPart, SsmlText, check_text, escape, parse

__all__ = ["MAX_SSML_BYTES", "Document", "check_length", "check_size", "document_of", "language_of", "rate_of"]

MAX_SSML_BYTES = 64 * 1024
"""One message to the service (Microsoft Learn, "Speech service quotas and limits", real-time text to speech)."""

MAX_VOICE_AND_AUDIO_ELEMENTS = 50
"""Likewise: distinct <voice> and <audio> elements in one document."""

MAX_AUDIO_SECONDS = 600
"""Likewise: audio of one request."""

_MAX_CHARACTERS_PER_SECOND = 25.0
"""Guess: faster than any voice speaks at speed 1.0 (English prose: 15). A text refused by it would surely be cut."""

_XML_NAMESPACE = "http://www.w3.org/2001/10/synthesis"
_MSTTS_NAMESPACE = "http://www.w3.org/2001/mstts"
_DEFAULT_LANGUAGE = "en-US"
_LOCALE = re.compile(r"([a-z]{2,3}(?:-[A-Z][a-z]{3})?-(?:[A-Z]{2}|\d{3}))(?:-|$)")

# A comment, a CDATA section, an instruction, or a tag; of a document that is known to be well-formed.
_MARKUP = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
    r"|<(?P<slash>/?)(?P<name>[^\s/>!?]++)(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>",
    re.DOTALL,
)

_ATTRIBUTE = re.compile(r"\s([^\s=/>]++)\s*=\s*(?:\"[^\"]*+\"|'[^']*+')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An utterance as Azure takes it.

    Args:
        ssml: The document.
        words: Finds words in the caller's text.
        has_words: Whether there is anything in it to pronounce.
        has_bookmarks: Whether it has marks to tell of.
    """

    ssml: str = field(repr=False)
    words: WordFinder = field(repr=False)
    has_words: bool
    has_bookmarks: bool = False


def document_of(utterance: Utterance) -> Document:
    """The document for an utterance.

    Raises:
        InvalidInput: It has characters that cannot be spoken, is no SSML document, or is longer than Azure takes
            (param `input`).
    """
    made = _of_ssml(utterance) if utterance.is_ssml else _of_text(utterance)
    size = len(made.ssml.encode())
    if size > MAX_SSML_BYTES:
        raise _too_long(
            f"input is {size} bytes of SSML; Azure takes at most {MAX_SSML_BYTES}: send it in several parts"
        )
    return made


def check_size(text: str) -> None:
    """Refuse what is larger than Azure takes in one request.

    Args:
        text: As it is sent: the whole document, or all pieces.

    Raises:
        InvalidInput: It is larger; the message has the bound in bytes.
    """
    size = len(text.encode())
    if size > MAX_SSML_BYTES:
        raise _too_long(
            f"input is {size} bytes as it is sent; Azure takes at most {MAX_SSML_BYTES}: send it in several parts"
        )


def check_length(characters: int, speed: float) -> None:
    """Refuse a text that is surely longer than the audio of one request may be.

    Raises:
        InvalidInput: It is; the message has the bound in characters.
    """
    limit = int(MAX_AUDIO_SECONDS * _MAX_CHARACTERS_PER_SECOND * speed)
    if characters > limit:
        raise _too_long(
            f"input has {characters} characters; Azure makes at most {MAX_AUDIO_SECONDS} s of audio of one, which is "
            f"less than {limit} characters at speed {speed:g}: send it in several parts"
        )


def language_of(voice: str) -> str:
    """The language in a voice's name: "en-US-AvaNeural" speaks "en-US"; "en-US" where the name has none."""
    found = _LOCALE.match(voice)
    return found[1] if found else _DEFAULT_LANGUAGE


def rate_of(speed: float) -> str:
    """A relative speed as Azure writes it: "+50.00%". Azure itself goes no further than half and double."""
    return f"{(speed - 1) * 100:+.2f}%"


def _too_long(message: str) -> InvalidInput:
    return InvalidInput(message, param="input", code="input_too_long")


# --- plain text ---


def _of_text(utterance: Utterance) -> Document:
    text = utterance.text
    check_text(text)
    check_length(len(text), utterance.speed)
    opening, closing = _manner(utterance)
    ssml = f"<speak{_attributes(utterance, {})}>{_voice(utterance)}{opening}{escape(text)}{closing}</voice></speak>"
    return Document(ssml=ssml, words=WordFinder(text), has_words=any(map(str.isalnum, text)))


def _voice(utterance: Utterance) -> str:
    return f'<voice name="{escape(utterance.voice)}">'


def _manner(utterance: Utterance) -> tuple[str, str]:
    """What style and speed put around the text, inside of its voice."""
    opening = closing = ""
    if utterance.style:
        opening += f'<mstts:express-as style="{escape(utterance.style)}">'
        closing = "</mstts:express-as>"
    if utterance.speed != 1.0:
        opening += f'<prosody rate="{rate_of(utterance.speed)}">'
        closing = "</prosody>" + closing
    return opening, closing


def _attributes(utterance: Utterance, present: dict[str, str]) -> str:
    """The attributes that the root element lacks, each with a space before it."""
    wanted = {
        "version": "1.0",
        "xmlns": _XML_NAMESPACE,
        "xmlns:mstts": _MSTTS_NAMESPACE if utterance.style else None,
        "xml:lang": language_of(utterance.voice),
    }
    return "".join(
        f' {name}="{escape(value)}"' for name, value in wanted.items() if value is not None and name not in present
    )


# --- SSML ---


def _of_ssml(utterance: Utterance) -> Document:
    parts = parse(utterance.text)
    _check_elements(parts)
    spoken = [part for part in parts if isinstance(part, SsmlText)]
    check_length(sum(len(part.text) for part in spoken), max(utterance.speed, 1.0))
    return Document(
        ssml=_completed(utterance, parts),
        words=WordFinder.of_parts(spoken),
        has_words=any(character.isalnum() for part in spoken for character in part.text),
        has_bookmarks=any(isinstance(part, ElementStart) and part.name in {"bookmark", "mark"} for part in parts),
    )


def _check_elements(parts: list[SsmlPart]) -> None:
    count = sum(isinstance(part, ElementStart) and part.name in {"voice", "audio"} for part in parts)
    if count > MAX_VOICE_AND_AUDIO_ELEMENTS:
        raise _too_long(
            f"input has {count} <voice> and <audio> elements; Azure takes at most {MAX_VOICE_AND_AUDIO_ELEMENTS}: "
            "send it in several parts"
        )


def _completed(utterance: Utterance, parts: list[SsmlPart]) -> str:
    """The document with what Azure needs and what the utterance asks for; itself where nothing is missing."""
    root = next(part for part in parts if isinstance(part, ElementStart))
    has_voice = any(isinstance(part, ElementStart) and part.name == "voice" for part in parts)
    opening, closing = _manner(utterance)
    around = "voice" if has_voice else "speak"
    if not has_voice:
        opening, closing = _voice(utterance) + opening, closing + "</voice>"
    return _with(utterance.text, _attributes(utterance, dict(root.attributes)), around, opening, closing)


def _with(text: str, attributes: str, around: str, opening: str, closing: str) -> str:
    """`text` with Azure's bookmarks, more attributes at its root, and `opening` and `closing` inside of `around`."""
    pieces: list[str] = []
    at = 0
    for start, end, new in _edits(text, attributes, around, opening, closing):
        pieces += text[at:start], new
        at = end
    return "".join([*pieces, text[at:]])


def _edits(text: str, attributes: str, around: str, opening: str, closing: str) -> Iterator[tuple[int, int, str]]:
    """What to write in the place of what: from, to, and the new text."""
    for tag in _MARKUP.finditer(text):
        name = tag["name"]
        if name == "mark":
            yield tag.start(), tag.end(), _bookmark(tag[0])
        if name is None or name not in {"speak", around}:
            continue
        is_empty = text[tag.end() - 2] == "/"
        if tag["slash"]:
            yield from [(tag.start(), tag.start(), closing)] if name == around else []
            continue
        if name == "speak":
            place = tag.end() - (2 if is_empty else 1)
            yield place, place, attributes
        if name == around and not is_empty:
            yield tag.end(), tag.end(), opening


def _bookmark(tag: str) -> str:
    """SSML's own tag for a mark as Azure's; its name stays as it was written, quotes and references too."""
    tag = tag.replace("mark", "bookmark", 1)
    return _ATTRIBUTE.sub(lambda found: found[0].replace("name", "mark", 1) if found[1] == "name" else found[0], tag)
