"""What happens in the audio: words, sentences, mouth shapes, bookmarks, as `audio.metadata` tells them."""

import json
from dataclasses import dataclass, field
from typing import Any

from speechpool_azure_emulator.script import Script, Word

__all__ = ["TICKS_PER_SECOND", "Entry", "entries_of", "ticks", "wanted"]

TICKS_PER_SECOND = 10_000_000
_VISEME_OF_LETTER = {
    **dict.fromkeys("aeh", 1), **dict.fromkeys("iyj", 6), **dict.fromkeys("ou", 8), **dict.fromkeys("w", 7),
    **dict.fromkeys("r", 13), **dict.fromkeys("l", 14), **dict.fromkeys("sz", 15), **dict.fromkeys("fv", 18),
    **dict.fromkeys("dtn", 19), **dict.fromkeys("kgcqx", 20), **dict.fromkeys("pbm", 21),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `audio.metadata`.

    Args:
        kind: "WordBoundary", "SentenceBoundary", "Viseme", "Bookmark" or "SessionEnd".
        offset_seconds: When it happens in the audio.
        data: The rest of its data.
        option: The option of `synthesis.context` that asks for it; empty for always.
    """

    kind: str
    offset_seconds: float
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    option: str = ""

    def as_json(self, shift_seconds: float = 0.0) -> str:
        """The body of a message with this entry alone, `shift_seconds` later."""
        data = {"Offset": ticks(self.offset_seconds + shift_seconds), **self.data}
        return json.dumps({"Metadata": [{"Type": self.kind, "Data": data}]})


def ticks(seconds: float) -> int:
    """Seconds in units of 100 ns."""
    return round(seconds * TICKS_PER_SECOND)


def wanted(entry: Entry, context: dict[str, Any]) -> bool:
    """Whether a request with that `synthesis.context` asks for the entry."""
    if not entry.option:
        return True
    audio = context.get("synthesis", {}).get("audio", {})
    return bool(audio.get("metadataOptions", {}).get(entry.option))


def entries_of(script: Script, seconds_per_word: float) -> list[Entry]:
    """The entries of a script whose words are all equally long, by time.

    Args:
        script: What is said.
        seconds_per_word: The length of each word; marks have none.
    """
    entries: list[Entry] = []
    now = 0.0
    for sentence in script.sentences():
        length = seconds_per_word * sum(word.kind == "word" for word in sentence)
        entries.append(sentence_entry(sentence, now, length))
        for word in sentence:
            entries += word_entries(word, now, seconds_per_word)
            now += seconds_per_word if word.kind == "word" else 0.0
    return entries


def sentence_entry(sentence: tuple[Word, ...], offset_seconds: float, length_seconds: float) -> Entry:
    """A sentence begins."""
    text = " ".join(word.text for word in sentence if word.kind == "word")
    data = _text_data(text, "SentenceBoundary", length_seconds)
    return Entry("SentenceBoundary", offset_seconds, data, "sentenceBoundaryEnabled")


def word_entries(word: Word, offset_seconds: float, length_seconds: float) -> list[Entry]:
    """A word, a punctuation mark or a bookmark is reached."""
    if word.kind == "bookmark":
        return [Entry("Bookmark", offset_seconds, {"Bookmark": word.text}, "bookmarkEnabled")]
    if word.kind == "punctuation":
        data = _text_data(word.text, "PunctuationBoundary", 0.0)
        return [Entry("WordBoundary", offset_seconds, data, "punctuationBoundaryEnabled")]
    data = _text_data(word.text, "WordBoundary", length_seconds)
    boundary = Entry("WordBoundary", offset_seconds, data, "wordBoundaryEnabled")
    return [boundary, viseme_entry(_VISEME_OF_LETTER.get(word.text[0].lower(), 0), offset_seconds)]


def viseme_entry(viseme_id: int, offset_seconds: float) -> Entry:
    """The mouth takes a shape."""
    return Entry(
        "Viseme",
        offset_seconds,
        {"VisemeId": viseme_id, "AnimationChunk": "", "IsLastAnimation": True},
        "visemeEnabled",
    )


def _text_data(text: str, kind: str, length_seconds: float) -> dict[str, Any]:
    return {"Duration": ticks(length_seconds), "text": {"Text": text, "Length": len(text), "BoundaryType": kind}}
