"""The prompt cache by itself: what it keeps, what goes first, how large it becomes."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.service.events import AudioBytes
from speechpool.service.prompt_cache import LARGEST_SHARE, PromptCache, PromptFacts
from speechpool.speech.engine import Bookmark, Viseme, WordBoundary

LIMIT_BYTES = 40_000


def word(text: str = "word", at: float = 0.0) -> WordBoundary:
    return WordBoundary(text=text, audio_offset_seconds=at, text_offset=0, text_length=len(text))


def keep(cache: PromptCache, name: str, size_bytes: int = 5_000) -> bytes:
    key = cache.key(name)
    recording = cache.record(key)
    recording.add(word(), 0.0)
    recording.add(AudioBytes(b"x" * size_bytes), 1.0)
    recording.keep(1.0)
    return key


def test_what_was_kept_is_found_as_it_was_with_its_marks() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recording = cache.record(cache.key("a"))
    events = [(word(), 0.0), (AudioBytes(b"1234"), 0.5), (Viseme(viseme_id=1, audio_offset_seconds=0.5), 0.5)]
    events += [(Bookmark(name="here", audio_offset_seconds=0.7), 0.5), (AudioBytes(b"5678"), 1.0)]
    for event, seconds in events:
        recording.add(event, seconds)
    assert cache.find(cache.key("a")) is None
    recording.keep(1.0)

    found = cache.find(cache.key("a"))

    assert found is not None
    assert (list(found.events), found.seconds) == (events, 1.0)
    assert cache.facts == PromptFacts(hits=1, misses=1, size_bytes=found.size_bytes, entries=1)


def test_every_part_of_a_key_counts_and_so_does_its_place() -> None:
    cache = PromptCache(LIMIT_BYTES)
    parts = [
        ("a", "b"),
        ("ab",),
        ("a", "b", None),
        ("a", None, "b"),
        ("a", 1.0),
        ("a", "1.0"),
        ("a", True),
        ("\ud800",),
    ]
    assert len({cache.key(*each) for each in parts}) == len(parts)


def test_a_key_tells_nothing_of_the_text_to_another_process() -> None:
    keys = {PromptCache(LIMIT_BYTES).key("the purple elephant") for _ in range(2)}
    assert len(keys) == 2
    assert all(b"elephant" not in key for key in keys)


def test_the_least_recently_used_goes_first() -> None:
    cache = PromptCache(LIMIT_BYTES)
    keys = [keep(cache, str(number)) for number in range(6)]
    assert cache.find(keys[0])
    keys += [keep(cache, "6"), keep(cache, "7")]
    assert [cache.find(key) is not None for key in keys] == [True, False, False, True, True, True, True, True]


def test_a_large_prompt_is_not_kept_and_pushes_out_none() -> None:
    cache = PromptCache(LIMIT_BYTES)
    small = keep(cache, "small")
    large = keep(cache, "large", LIMIT_BYTES // LARGEST_SHARE)
    assert cache.find(large) is None
    assert cache.find(small)


def test_a_recording_that_grew_too_large_holds_nothing_any_more() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recording = cache.record(cache.key("a"))
    tracemalloc.start()
    try:
        for number in range(1_000):
            recording.add(AudioBytes(bytes([number % 256]) * 1_000), number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    recording.keep(1.0)
    assert cache.facts.entries == 0
    assert held < LIMIT_BYTES


def test_recordings_under_way_hold_no_more_than_the_limit_together() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recordings = [cache.record(cache.key(number)) for number in range(10)]
    for recording in recordings:
        recording.add(AudioBytes(b"x" * 8_000), 1.0)
    recordings[0].drop()
    recordings[0].drop()
    last = cache.record(cache.key("last"))
    last.add(AudioBytes(b"x" * 8_000), 1.0)
    for recording in (*recordings, last):
        recording.keep(1.0)
    kept = [number for number in range(10) if cache.find(cache.key(number))]
    assert kept == [1, 2, 3]
    assert cache.find(cache.key("last"))
    again = [cache.record(cache.key("again", number)) for number in range(4)]
    for recording in again:
        recording.add(AudioBytes(b"x" * 8_000), 1.0)
        recording.restart()
        recording.add(AudioBytes(b"x" * 8_000), 1.0)
        recording.keep(1.0)
    assert all(cache.find(cache.key("again", number)) for number in range(4))


def test_what_another_client_said_again_is_there_once() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recording = cache.record(cache.key("a"))
    recording.add(word("broken"), 0.0)
    recording.restart()
    recording.add(word("whole"), 0.0)
    recording.add(AudioBytes(b"12"), 1.0)
    recording.keep(1.0)
    found = cache.find(cache.key("a"))
    assert found is not None
    assert [event.text for event, _ in found.events if isinstance(event, WordBoundary)] == ["whole"]


def test_silence_is_not_kept() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recording = cache.record(cache.key("a"))
    recording.add(word(), 0.0)
    recording.keep(0.0)
    assert cache.facts.entries == 0


def test_two_who_miss_at_once_leave_one_prompt() -> None:
    cache = PromptCache(LIMIT_BYTES)
    keep(cache, "a")
    once = cache.facts
    keep(cache, "a")
    assert cache.facts == once


def test_a_smaller_limit_holds_at_once() -> None:
    cache = PromptCache(LIMIT_BYTES)
    keys = [keep(cache, str(number), 1_000) for number in range(10)]
    cache.resize(LIMIT_BYTES // 4)
    assert 0 < cache.facts.size_bytes <= LIMIT_BYTES // 4
    assert cache.find(keys[-1])
    cache.resize(0)
    assert cache.facts.size_bytes == cache.facts.entries == 0
    assert not cache.is_on


def test_clearing_forgets_also_what_is_being_recorded() -> None:
    cache = PromptCache(LIMIT_BYTES)
    recording = cache.record(cache.key("new"))
    recording.add(AudioBytes(b"12"), 1.0)
    kept = keep(cache, "old")
    cache.clear()
    recording.keep(1.0)
    assert cache.find(kept) is None
    assert cache.facts.size_bytes == cache.facts.entries == 0


def test_a_prompt_counts_for_at_least_the_memory_it_takes() -> None:
    cache = PromptCache(100 * 2**20)
    tracemalloc.start()
    try:
        for number in range(50):
            recording = cache.record(cache.key(number))
            for at in range(100):
                recording.add(word(f"wörd \N{SNOWMAN} {at}", at / 7), at / 3)
                recording.add(AudioBytes(bytes([at]) * 20), at / 5)
                recording.add(Viseme(viseme_id=at + 1_000, audio_offset_seconds=at / 11), at / 13)
            recording.keep(number / 3)
            del recording
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.facts.entries == 50
    assert held <= cache.facts.size_bytes


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 15_000), st.sampled_from(["keep", "find", "resize"]))))
def test_it_never_holds_more_than_its_limit(steps: list[tuple[int, int, str]]) -> None:
    cache = PromptCache(LIMIT_BYTES)
    limit = LIMIT_BYTES
    for name, size_bytes, what in steps:
        if what == "keep":
            keep(cache, str(name), size_bytes)
        elif what == "find":
            cache.find(cache.key(str(name)))
        else:
            limit = 3 * size_bytes
            cache.resize(limit)
        assert 0 <= cache.facts.size_bytes <= limit
        assert (cache.facts.entries == 0) == (cache.facts.size_bytes == 0)


def test_nan_is_no_part_of_a_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        PromptCache(LIMIT_BYTES).key(float("nan"))
