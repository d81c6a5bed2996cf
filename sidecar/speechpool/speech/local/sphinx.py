"""pocketsphinx as the worker needs it: one decoder, free dictation, hints or a grammar; only for worker processes."""

import contextlib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pocketsphinx

__all__ = ["RecognizedSegment", "Sphinx", "SphinxWord"]

_FRAMES_A_SECOND = 100  # pocketsphinx's `frate`

_TUNING = {"fwdflat": False, "maxhmmpf": 2000, "maxwpf": 5, "topn": 2}
"""Measured on tests/data/recordings (70 words): 15 wrong when a segment is decoded whole and 24 as it comes, at a
real-time factor of 0.09; with the library's defaults 22 and 27, at 0.25. Skipping frames (`ds`) is faster still, but
what is understood then depends on which frame the audio begins with."""

_GRAMMAR_TUNING = {"beam": 1e-80, "pbeam": 1e-80, "wbeam": 1e-60, "bestpath": False}
"""A grammar's graph is small, so a wide search costs little (real-time factor 0.02). And only the search itself keeps
to the grammar: the best path through its lattice ends in the middle of a sentence at times. Measured: ten sentences
said twice by six voices of espeak-ng, 112 of 120 right; with the library's defaults 93."""

_HINT_WEIGHT = 100.0
"""How much likelier a hint is than an average word; from 100 to 10,000 the recordings give the same text."""

_MAX_PRONUNCIATIONS = 4
_GRAMMAR, _HINTS = "grammar", "hints"
_VARIANT = re.compile(r"\(\d+\)$")
_JOINT = "_"  # between the words of a hint that is one word to the decoder; no word of the dictionary has it


@dataclass(frozen=True, slots=True)
class SphinxWord:
    """A word with its times from the segment's first sample, in seconds, and the posterior probability of it."""

    text: str = field(repr=False)
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True, slots=True)
class RecognizedSegment:
    """What was understood; no words where nothing was."""

    words: tuple[SphinxWord, ...] = field(repr=False)

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float | None:
        """The words' mean; None where nothing was understood."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else None


class Sphinx:
    """A decoder with its models loaded, and used once.

    Args:
        acoustic_model: Path of the acoustic model, or None for all three of the bundled American English.
        language_model: Path of its language model.
        dictionary: Path of its dictionary.
    """

    def __init__(self, acoustic_model: str | None, language_model: str | None, dictionary: str | None) -> None:
        models = {"hmm": acoustic_model, "lm": language_model, "dict": dictionary}
        given = {name: path for name, path in models.items() if path}
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", **given, **_TUNING)
        self._search: str | None = None
        self._sentences: frozenset[str] = frozenset()
        self._hints: dict[str, list[tuple[str, int]]] = {}
        self._in_segment = False
        self.begin((), ())
        self.decode(bytes(16_000))

    # --- a recognition --------------------------------------------------------------------------------------------

    def unknown_words(self, sentences: Sequence[str]) -> list[str]:
        """The words that the dictionary lacks, each once, in order."""
        words = dict.fromkeys(word for sentence in sentences for word in self._words(sentence))
        return [word for word in words if not self._knows(word)]

    def begin(self, phrases: Sequence[str], grammar: Sequence[str]) -> None:
        """Forget the last recognition and get ready for one with these hints or this grammar.

        Args:
            phrases: Hints; all of their words known.
            grammar: The only sentences; all of their words known. Empty for dictation.
        """
        self.abandon()
        # The first piecewise segment switches the normalisation of whole ones off for good; this begins afresh.
        self._decoder.reinit_feat()
        self._decoder.activate_search()
        if self._search:
            self._decoder.remove_search(self._search)
        self._search = None
        self._hints = {}
        self._sentences = frozenset(" ".join(self._words(sentence)) for sentence in grammar) - {""}
        if self._sentences:
            self._use_grammar()
        elif phrases:
            self._use_hints(phrases)

    def _use_grammar(self) -> None:
        graph = self._decoder.create_fsg(_GRAMMAR, 0, 1, _transitions(sorted(self._sentences)))
        with self._tuned(_GRAMMAR_TUNING):
            self._decoder.add_fsg(_GRAMMAR, graph)
        self._activate(_GRAMMAR)

    @contextlib.contextmanager
    def _tuned(self, tuning: Mapping[str, float | bool]) -> Iterator[None]:
        """A search keeps the values that the configuration has when it is made."""
        config = self._decoder.config
        usual = {name: config[name] for name in tuning}
        for name, value in tuning.items():
            config[name] = value
        yield
        for name, value in usual.items():
            config[name] = value

    def _use_hints(self, phrases: Sequence[str]) -> None:
        """Make each phrase one word of the dictionary and of a language model of this recognition's own.

        A phrase then competes as a whole, with a probability of its own, where its words one by one would be unlikely.
        """
        model = pocketsphinx.NGramModel(self._decoder.config, self._decoder.logmath, self._decoder.config["lm"])
        for words in dict.fromkeys(self._words(phrase) for phrase in phrases):
            if words:
                self._add_hint(words)
                model.add_word(_joined(words), _HINT_WEIGHT)
        self._decoder.add_lm(_HINTS, model)
        self._activate(_HINTS)

    def _add_hint(self, words: tuple[str, ...]) -> None:
        spoken = itertools.product(*(self._pronunciations(word) for word in words))
        for i, phones in enumerate(itertools.islice(spoken, _MAX_PRONUNCIATIONS)):
            name = _joined(words) + (f"({i + 1})" if i else "")
            if self._decoder.lookup_word(name) is None:
                self._decoder.add_word(name, " ".join(phones), update=False)
            self._hints[name] = [(word, len(part.split())) for word, part in zip(words, phones, strict=True)]

    def _pronunciations(self, word: str) -> list[str]:
        names = itertools.chain([word], (f"{word}({i})" for i in itertools.count(2)))
        return list(itertools.takewhile(bool, map(self._decoder.lookup_word, names)))

    def _words(self, sentence: str) -> tuple[str, ...]:
        """A sentence's words as the dictionary writes them: small letters, bare of punctuation that is not its own."""
        written = sentence.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()
        return tuple(part for word in written for part in self._parts(word))

    def _parts(self, word: str) -> list[str]:
        bare = _bare(word)
        for known in (word, bare):  # "a.m." is a word with its periods
            if known and self._knows(known):
                return [known]
        return [part for part in map(_bare, bare.split("-")) if part]

    def _activate(self, search: str) -> None:
        self._search = search
        self._decoder.activate_search(search)

    def _knows(self, word: str) -> bool:
        # "(" begins the number of a pronunciation, "<" a silence, "[" and "+" a noise: none is a word.
        return word[0] not in "<[+" and "(" not in word and self._decoder.lookup_word(word) is not None

    # --- a segment ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a segment that is decoded as it comes."""
        self._decoder.start_utt()
        self._in_segment = True

    def feed(self, audio: bytes) -> None:
        """Decode the segment's next audio."""
        self._decoder.process_raw(audio)

    def partial(self) -> str:
        """What the segment sounds like so far."""
        hypothesis = self._decoder.hyp()
        if hypothesis is None:
            return ""
        return " ".join(text for name in hypothesis.hypstr.split() for text, _ in self._written(name))

    def end(self) -> RecognizedSegment:
        """End the segment."""
        self.abandon()
        return self._result()

    def abandon(self) -> None:
        """End the segment that is under way, if there is one."""
        if self._in_segment:
            self._in_segment = False
            self._decoder.end_utt()

    def decode(self, audio: bytes) -> RecognizedSegment:
        """Decode a whole segment, its loudness and the sound of the line evened out over all of it."""
        self.start()
        self._decoder.process_raw(audio, full_utt=True)
        return self.end()

    def _result(self) -> RecognizedSegment:
        if self._decoder.hyp() is None:
            return RecognizedSegment(())
        heard = [segment for segment in self._decoder.seg() if segment.word[0] not in "<[+"]
        result = RecognizedSegment(tuple(word for segment in heard for word in self._read(segment)))
        if self._sentences and result.text not in self._sentences:
            return RecognizedSegment(())  # a sentence broken off
        return result

    def _read(self, segment: pocketsphinx.Segment) -> list[SphinxWord]:
        """The words of a segment of the decoder's: several for a hint, which share its time by their phones."""
        confidence = min(max(segment.prob, 0.0), 1.0)
        begin, end = segment.start_frame / _FRAMES_A_SECOND, (segment.end_frame + 1) / _FRAMES_A_SECOND
        written = self._written(segment.word)
        step = (end - begin) / sum(phones for _, phones in written)
        words = []
        for text, phones in written:
            words.append(SphinxWord(text, begin, begin + step * phones, confidence))
            begin += step * phones
        return words

    def _written(self, name: str) -> list[tuple[str, int]]:
        """The words that a word of the decoder's stands for, each with its number of phones."""
        return self._hints.get(name) or [(_VARIANT.sub("", name), 1)]


def _bare(word: str) -> str:
    """A word without the punctuation around it."""
    letters = [i for i, character in enumerate(word) if not unicodedata.category(character).startswith(("P", "S"))]
    return word[letters[0] : letters[-1] + 1] if letters else ""


def _joined(words: tuple[str, ...]) -> str:
    return _JOINT.join(words) + _JOINT


def _transitions(sentences: Sequence[str]) -> list[tuple[int, int, float, str]]:
    """The sentences as a graph from state 0 to state 1, beginnings shared."""
    states: dict[tuple[int, str], int] = {}
    ends: set[tuple[int, str]] = set()
    for sentence in sentences:
        *words, last = sentence.split()
        state = 0
        for word in words:
            state = states.setdefault((state, word), len(states) + 2)
        ends.add((state, last))
    inner = [(source, target, 1.0, word) for (source, word), target in states.items()]
    return inner + [(source, 1, 1.0, word) for source, word in sorted(ends)]
