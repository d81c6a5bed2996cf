"""Finished utterances, kept so that the same one is said again without a client: greetings, menus, apologies.

Nothing here can be turned back into a text by its key: keys are keyed hashes, with a secret that the process alone
has. What is kept is the audio and the marks in it, in memory only.
"""

import hashlib
import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field

from speechpool.service.events import AudioBytes
from speechpool.speech.engine import Bookmark, Viseme, WordBoundary

__all__ = ["CACHED", "Prompt", "PromptCache", "PromptEvent", "PromptFacts", "Recording"]

CACHED = "cached"
"""The tier of an utterance that needed no client."""

LARGEST_SHARE = 4
"""No prompt is larger than this part of the cache, so that a long text cannot push out all greetings."""

_AUDIO_BYTES = 128
"""Beside the audio itself; measured on CPython 3.11: 103."""

_MARK_BYTES = 384
"""Of a word, a viseme or a bookmark, its text left out; measured on CPython 3.11: at most 323."""

_PROMPT_BYTES = 512
"""Of a prompt without events: its key, its place in the order, the object."""

PromptEvent = AudioBytes | WordBoundary | Viseme | Bookmark


@dataclass(frozen=True, slots=True)
class Prompt:
    """One whole utterance.

    Args:
        events: In order, each with the seconds of audio that are out once it is taken; all words, wanted or not.
        seconds: Its length.
        size_bytes: What it counts for in the cache.
    """

    events: tuple[tuple[PromptEvent, float], ...] = field(repr=False)
    seconds: float
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFacts:
    """What the cache has done and holds.

    Args:
        hits: Utterances that it served.
        misses: Utterances that could have been in it and were not.
        size_bytes: What it holds; at most its limit.
        entries: How many prompts that are.
    """

    hits: int
    misses: int
    size_bytes: int
    entries: int


class PromptCache:
    """Prompts by what was asked for; the least recently used go first.

    Args:
        limit_bytes: Most bytes that all prompts hold together, and once more all recordings under way; 0 keeps and
            finds nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()
        self._size_bytes = 0
        self._recorded_bytes = 0
        self._hits = 0
        self._misses = 0
        self._generation = 0
        self._secret = os.urandom(32)

    @property
    def is_on(self) -> bool:
        """Whether it keeps anything at all."""
        return self._limit_bytes > 0

    @property
    def largest_bytes(self) -> int:
        """The size of the largest prompt that is kept."""
        return self._limit_bytes // LARGEST_SHARE

    @property
    def facts(self) -> PromptFacts:
        """What it has done and holds, now."""
        return PromptFacts(
            hits=self._hits, misses=self._misses, size_bytes=self._size_bytes, entries=len(self._prompts)
        )

    def key(self, *parts: str | float | bool | None) -> bytes:
        """The key of an utterance: everything that its audio and its marks depend on, in an order of the caller's."""
        told = json.dumps(parts, allow_nan=False).encode()
        return hashlib.blake2b(told, key=self._secret, digest_size=32).digest()

    def find(self, key: bytes) -> Prompt | None:
        """The prompt, which thereby is the most recently used; counts a hit or a miss."""
        prompt = self._prompts.get(key)
        if prompt is None:
            self._misses += 1
            return None
        self._prompts.move_to_end(key)
        self._hits += 1
        return prompt

    def record(self, key: bytes) -> "Recording":
        """Write down an utterance that is being said, for those who ask for it later."""
        return Recording(self, key, self._generation)

    def reserve(self, size_bytes: int) -> bool:
        """Let a recording hold so much more; False where all that are under way would hold more than the limit."""
        if self._recorded_bytes + size_bytes > self._limit_bytes:
            return False
        self._recorded_bytes += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """A recording holds so much less."""
        self._recorded_bytes -= size_bytes

    def keep(self, key: bytes, prompt: Prompt, generation: int) -> None:
        """Add a prompt, or replace it, unless the cache was cleared since it was begun, or it is too large."""
        if generation != self._generation or prompt.size_bytes > self.largest_bytes:
            return
        self._drop(key)
        self._prompts[key] = prompt
        self._size_bytes += prompt.size_bytes
        self._shrink()

    def resize(self, limit_bytes: int) -> None:
        """Hold at most so many bytes from now on; what no longer fits goes at once."""
        self._limit_bytes = limit_bytes
        for key in [key for key, prompt in self._prompts.items() if prompt.size_bytes > self.largest_bytes]:
            self._drop(key)
        self._shrink()

    def clear(self) -> None:
        """Forget everything, also what is being recorded: it would not be said like this any more."""
        self._prompts.clear()
        self._size_bytes = 0
        self._generation += 1

    def _shrink(self) -> None:
        while self._size_bytes > self._limit_bytes:
            _, prompt = self._prompts.popitem(last=False)
            self._size_bytes -= prompt.size_bytes

    def _drop(self, key: bytes) -> None:
        if prompt := self._prompts.pop(key, None):
            self._size_bytes -= prompt.size_bytes


class Recording:
    """One utterance on its way into the cache. Made by `PromptCache.record()`.

    Args:
        cache: Where it goes.
        key: What it is found by.
        generation: Of the cache, when it was begun.
    """

    def __init__(self, cache: PromptCache, key: bytes, generation: int) -> None:
        self._cache = cache
        self._key = key
        self._generation = generation
        self._events: list[tuple[PromptEvent, float]] = []
        self._size_bytes = 0
        self._is_over = False

    def restart(self) -> None:
        """Another client says it from its start."""
        self._events = []
        self._cache.release(self._size_bytes)
        self._size_bytes = 0

    def add(self, event: PromptEvent, seconds: float) -> None:
        """Write down an event; `seconds` of audio are out once it is taken."""
        if self._is_over:
            return
        if isinstance(event, AudioBytes):
            event = AudioBytes(bytes(event.data))  # a view would keep alive all that it is a part of
        size_bytes = _size(event)
        if self._size_bytes + size_bytes > self._cache.largest_bytes or not self._cache.reserve(size_bytes):
            self.drop()
            return
        self._size_bytes += size_bytes
        self._events.append((event, seconds))

    def keep(self, seconds: float) -> None:
        """It was said to its end, `seconds` long: others may have it."""
        if any(isinstance(event, AudioBytes) for event, _ in self._events):
            size_bytes = self._size_bytes + _PROMPT_BYTES
            prompt = Prompt(events=tuple(self._events), seconds=seconds, size_bytes=size_bytes)
            self._cache.keep(self._key, prompt, self._generation)
        self.drop()

    def drop(self) -> None:
        """Hold nothing any more; safe to repeat."""
        self.restart()
        self._is_over = True


def _size(event: PromptEvent) -> int:
    if isinstance(event, AudioBytes):
        return len(event.data) + _AUDIO_BYTES
    text = event.text if isinstance(event, WordBoundary) else event.name if isinstance(event, Bookmark) else ""
    return _MARK_BYTES + 4 * len(text)  # CPython holds 1 to 4 bytes a character
