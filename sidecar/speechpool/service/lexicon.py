"""The pronunciation lexicon: which words of a text are said how.

Decisions alone, no I/O. An alias takes the word's place; phonemes go around it as SSML, which makes SSML of plain text.
"""

import functools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from speechpool.errors import SettingsError
from speechpool.service.readings import Found, Reading, Writer
from speechpool.settings import LexiconEntry
from speechpool.speech.ssml_runs import text_runs

__all__ = ["Lexicon", "LexiconStream", "check_lexicon"]

_UNTOUCHED = frozenset({"sub", "phoneme", "say-as", "math"})
"""Elements that say themselves how their text is said."""

# Scripts that put no spaces between words: Thai to Tibetan, Myanmar, Khmer, kana and Han.
_SPACELESS_RANGES = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SPACELESS = re.compile(f"[{_SPACELESS_RANGES}]")
_TOKEN = re.compile(f"[{_SPACELESS_RANGES}]|[^\\W{_SPACELESS_RANGES}]+|[^\\w\\s]")
_SPACE = re.compile(r"\s+")
_APOSTROPHES = "'\u2019"
_POSSESSIVE = re.compile(f"[{_APOSTROPHES}][sS](?!\\w)")
_APART = frozenset(["", *" \n.,;:!?()-\x00"])
"""What is beside most words: no letter and no apostrophe. Of a text's first character too, whose slice is empty."""
_EDGE_CHARACTERS = 3  # how many behind a word say whether it goes on: "'s" and what follows


def check_lexicon(entries: Sequence[LexiconEntry], *, phonemes: bool, engine: str) -> None:
    """Refuse entries that an engine cannot say.

    Args:
        entries: The setting.
        phonemes: Whether the engine speaks phonemes as they are written.
        engine: Its name.

    Raises:
        SettingsError: One has phonemes and the engine speaks none.
    """
    for number, entry in enumerate(entries):
        if entry.ipa is not None and not phonemes:
            raise SettingsError(
                f"lexicon[{number}].ipa (of {entry.word!r}): engine {engine!r} speaks no phonemes; use alias"
            )


_Place = tuple[int, int, LexiconEntry]
"""Where a word begins and ends, and its entry: what becomes a `Found`."""


class _Pattern:
    """An entry, ready to be looked for.

    Args:
        entry: The word and how it is said.
        token: The word's first token.
    """

    def __init__(self, entry: LexiconEntry, token: str) -> None:
        self.entry = entry
        self._is_any_case = _is_any_case(entry.word)
        self._is_plain = entry.word == token and token.isascii()

    def end_at(self, text: str, token: re.Match[str]) -> int | None:
        """Index behind the word where it begins with this token, which is as its first one in some case; else None."""
        if self._is_plain and token[0].isascii():  # the most usual one needs no second look
            return token.end() if self._is_any_case or token[0] == self.entry.word else None
        match = self._expression.match(text, token.start())
        return match.end() if match else None

    def may_begin_at(self, text: str, start: int) -> bool:
        """Whether all text from `start` on is the beginning of its word."""
        word, begun = self.entry.word, text[start:]
        if " " in word:
            begun = _SPACE.sub(" ", begun)
        if len(begun) >= len(word):
            return False
        return word.startswith(begun.lower() if self._is_any_case else begun)

    @functools.cached_property
    def _expression(self) -> re.Pattern[str]:
        flags = re.IGNORECASE if self._is_any_case else 0
        return re.compile(r"\s+".join(map(re.escape, self.entry.word.split())), flags)


class Lexicon:
    """Words and how they are said.

    Whole words only, the longest entry first, from left to right in one pass: what was put in is not looked at again.
    An entry in lower case finds its word in any case, one with a capital letter exactly as it is written.

    Args:
        entries: The setting; their number and lengths are bounded there.
    """

    def __init__(self, entries: Sequence[LexiconEntry] = ()) -> None:
        self._patterns: dict[str, list[_Pattern]] = {}
        # of two that find the same, the one that says it exactly
        for entry in sorted(entries, key=lambda entry: (-len(entry.word), _is_any_case(entry.word))):
            token = _TOKEN.match(entry.word)
            assert token, "an entry's word is neither empty nor white space"
            self._patterns.setdefault(token[0].casefold(), []).append(_Pattern(entry, token[0]))
        self._keys = sorted(self._patterns)
        self._tokens = _tokens_like(self._keys)

    @property
    def has_phonemes(self) -> bool:
        """Whether it makes SSML of plain text."""
        return any(pattern.entry.ipa is not None for group in self._patterns.values() for pattern in group)

    def __bool__(self) -> bool:
        """Whether it has any entry."""
        return bool(self._patterns)

    def read(self, text: str, *, is_ssml: bool, more_characters: int) -> Reading:
        """What an engine is given to read for `text`.

        Args:
            text: The caller's.
            is_ssml: Whether it is an SSML document.
            more_characters: How much longer it may become.

        Raises:
            InvalidInput: It is not valid SSML, or becomes too long.
        """
        if not self:
            return Reading(text, is_ssml, text, is_ssml)
        found = list(self._in_document(text)) if is_ssml else self.find(text)[0]
        if not found:
            return Reading(text, is_ssml, text, is_ssml)
        becomes_ssml = is_ssml or any(one.entry.ipa is not None for one in found)
        writer = Writer(text, source_is_ssml=is_ssml, is_ssml=becomes_ssml, more_characters=more_characters)
        return writer.write(found)

    def find(self, text: str, start: int = 0, *, is_final: bool = True) -> tuple[list[Found], int]:
        """The entries' words in plain text, and the index up to which that is sure.

        Args:
            text: All there is of it.
            start: Where to begin: behind what was sure before.
            is_final: Whether no more text comes.
        """
        places, sure = self._search(text, start, is_final=is_final)
        return [Found(*place) for place in places], sure

    def _search(self, text: str, start: int = 0, *, is_final: bool = True) -> tuple[list[_Place], int]:
        places: list[_Place] = []
        sure = start
        for token in self._tokens.finditer(text, start):
            key = token[0].casefold()
            patterns = self._patterns.get(key, ())
            if (not patterns and (is_final or token.end() < len(text))) or token.start() < sure:
                continue
            if not is_final and self._is_open(text, token, key):
                return places, token.start()
            if one := _first(patterns, text, token):
                places.append(one)
                sure = one[1]
        return places, len(text)

    def _is_open(self, text: str, token: re.Match[str], key: str) -> bool:
        """Whether more text may tell otherwise what begins at a token."""
        if token.end() == len(text) and self._begins_key(key):
            return True
        for pattern in self._patterns.get(key, ()):
            end = pattern.end_at(text, token)
            if end is None and pattern.may_begin_at(text, token.start()):
                return True
            if end is not None and end + _EDGE_CHARACTERS > len(text):
                return True
            if end is not None and _is_whole(text, token.start(), end):
                return False
        return False

    def _begins_key(self, start: str) -> bool:
        at = bisect_left(self._keys, start)
        return at < len(self._keys) and self._keys[at].startswith(start)

    def _in_document(self, document: str) -> Iterator[Found]:
        """All runs of text are looked through as one, parted by what is in no text and in no entry."""
        runs = text_runs(document, without=_UNTOUCHED)
        for start, end, entry in self._search(runs.text)[0]:
            yield Found(*runs.place(start, end), entry)


def _tokens_like(keys: Iterable[str]) -> re.Pattern[str]:
    """Finds the tokens of a text that may be keys; passing over punctuation that none begins with is much sooner done.

    Args:
        keys: First tokens of entries, casefolded.
    """
    singles = [key for key in keys if _SPACELESS.match(key) or not (key[0].isalnum() or key[0] == "_")]
    if not all(len(key) == 1 and (key.isascii() or _SPACELESS.match(key)) for key in singles):
        return _TOKEN  # what has another form in another case
    single = f"[{''.join(map(re.escape, singles))}]|" if singles else ""
    return re.compile(f"{single}[^\\W{_SPACELESS_RANGES}]+")


def _first(patterns: Iterable[_Pattern], text: str, token: re.Match[str]) -> _Place | None:
    start, token_end = token.span()
    # a whole token is a whole word for what stands beside it: the usual case, which needs no closer look
    stands_apart = text[start - 1 : start] in _APART and text[token_end : token_end + 1] in _APART
    for pattern in patterns:
        end = pattern.end_at(text, token)
        if end is not None and ((stands_apart and end == token_end) or _is_whole(text, start, end)):
            return start, end, pattern.entry
    return None


def _is_any_case(word: str) -> bool:
    return word == word.lower()


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on across either edge; an apostrophe between letters is part of a word, but for 's."""
    if _is_word(text[start]) and (_joins(text, start) or _is_apostrophe_in_word(text, start - 1)):
        return False
    if not _is_word(text[end - 1]):
        return True
    return not _joins(text, end) and (not _is_apostrophe_in_word(text, end) or bool(_POSSESSIVE.match(text, end)))


def _is_apostrophe_in_word(text: str, at: int) -> bool:
    if not 0 < at < len(text) - 1 or text[at] not in _APOSTROPHES:
        return False
    return _is_word(text[at - 1]) and _is_word(text[at + 1])


def _joins(text: str, at: int) -> bool:
    """Whether the characters before and at an index are of one word."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if _is_mark(after):
        return True
    return _is_word(before) and _is_word(after) and not _SPACELESS.match(before) and not _SPACELESS.match(after)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or _is_mark(character)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


class LexiconStream:
    """Plain text that comes piece by piece, with the aliases put in as soon as they are sure.

    What may begin an entry waits for the text behind it. Phonemes need SSML, which does not come in pieces: the lexicon
    must have none.

    Args:
        lexicon: The words.
        more_characters: How much longer the text may become.
    """

    def __init__(self, lexicon: Lexicon, *, more_characters: int) -> None:
        self._lexicon = lexicon
        self._sure = 0
        self.writer = Writer("", source_is_ssml=False, is_ssml=False, more_characters=more_characters)

    def add(self, text: str) -> str:
        """Take a piece; what the engine may read now.

        Raises:
            InvalidInput: The text becomes too long.
        """
        self.writer.source += text
        return self._write(is_final=False)

    def flush(self) -> str:
        """What came so far is all, or shall be said now: the rest of what the engine may read of it."""
        return self._write(is_final=True)

    def _write(self, *, is_final: bool) -> str:
        found, sure = self._lexicon.find(self.writer.source, self._sure, is_final=is_final)
        self.writer.write_until(sure, found)
        self._sure = sure
        return self.writer.take()
