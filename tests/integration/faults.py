"""What the fault tests share: kill a worker of one kind, look at a pool until it rests, compare speech with speech."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar

__all__ = ["LONG", "WARM", "is_part_of", "is_whole", "kill", "pool", "sentence", "until", "voices", "workers"]

T = TypeVar("T")

WORDS = ("one", "two", "three", "seven", "eight", "apple", "river", "mountain", "window", "garden", "silver", "orange")
SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
WINDOW_FRAMES = 100
LIKENESS = 0.85
"""Correlation over 2 s of the loudness of two renderings of one text: measured 0.92 and more. A lost chunk leaves
less than 0.3 behind it, a foreign second less than 0.8, a foreign text less than 0.3 in some window."""
DRIFT_FRAMES = 3
"""How far one rendering may be behind the other in a window."""
WHOLE_BYTES = 9_600
"""How much two renderings of a text may differ in length: the least that a lost chunk would take, 0.2 s."""

WARM = {"dedicated", "warm"}


def voices(warm: int, most: int = 64, **settings: Any) -> dict[str, Any]:
    """A settings file with one pool of voices."""
    return {"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": warm, "maxSize": most, **settings}]}


def pool(sidecar: Sidecar, name: str = "tts") -> dict[str, Any]:
    """The pool's snapshot."""
    snapshot: dict[str, Any] = sidecar.client.get_json(f"/v1/pools/{name}")
    return snapshot


def until(seen: Callable[[], T], what: str) -> T:
    """What `seen` gives, as soon as that is true."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (value := seen()):
        assert time.monotonic() < give_up_at, f"did not happen: {what}"
        time.sleep(0.005)
    return value


def workers(sidecar: Sidecar, kind: str = "espeak") -> set[int]:
    """Its workers of a kind: espeak, sphinx, codec or decode."""
    return {pid for pid in sidecar.worker_pids() if _is_worker(pid, kind)}


def kill(pid: int) -> None:
    """End a worker as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def sentence(seed: int, words: int = 50) -> str:
    """A text unlike those of other seeds; 50 words are 16 s, more than the buffers on the way to a reader hold."""
    return " ".join(random.Random(seed).choices(WORDS, k=words)) + "."


LONG = sentence(0, words=100)
"""Some 1.5 MB of audio, more than all the buffers between engine and reader hold: it is under way until it is read."""


def is_whole(audio: bytes, reference: bytes) -> bool:
    """Whether both are all of one text."""
    return abs(len(audio) - len(reference)) < WHOLE_BYTES and is_part_of(audio, reference)


def is_part_of(audio: bytes, reference: bytes) -> bool:
    """Whether the audio begins the reference and goes on as it does; both are PCM at 24 kHz.

    espeak-ng says a text a little differently each time (its flutter goes on from utterance to utterance, its noise has
    a seed of its own in each process), by some ten samples in length. So it is the loudness that is compared, window by
    window: another text, a gap, a repetition or a foreign chunk shows in the windows from there on.
    """
    heard, told = _loudness(audio), _loudness(reference)
    shared = min(len(heard), len(told))
    starts = range(0, max(1, shared - WINDOW_FRAMES // 2), WINDOW_FRAMES)
    return all(_follows(heard[i:shared][:WINDOW_FRAMES], told, i) for i in starts)


def _loudness(audio: bytes) -> NDArray[np.float64]:
    whole = len(audio) // (2 * FRAME_SAMPLES) * FRAME_SAMPLES
    samples = np.frombuffer(audio, "<i2", whole).astype(float).reshape(-1, FRAME_SAMPLES)
    return np.sqrt((samples**2).mean(axis=1))


def _follows(window: NDArray[np.float64], told: NDArray[np.float64], start: int) -> bool:
    starts = range(max(0, start - DRIFT_FRAMES), min(start + DRIFT_FRAMES, len(told) - len(window)) + 1)
    return max(np.corrcoef(window, told[i : i + len(window)])[0, 1] for i in starts) > LIKENESS


def _is_worker(pid: int, kind: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended
    is_kind = any(word.decode().endswith(f".{kind}_worker") for word in words)
    # espeak-ng's list of voices comes from a worker too, which speaks nothing and ends at once
    return is_kind and (kind != "espeak" or b'"codec"' in words[-2])
