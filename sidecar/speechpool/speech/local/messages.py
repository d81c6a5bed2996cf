"""What the engine and its workers say to each other: the kinds of their frames.

Each utterance, and each recognition, is a stream of its own number. Its frames carry that number, so what is left of
an abandoned one can never be taken for its successor's.
"""

import json
from enum import IntEnum
from typing import Any

__all__ = ["WINDOW_BYTES", "Ask", "Tell", "pack", "pack_count", "unpack", "unpack_count"]

WINDOW_BYTES = 96 * 1024
"""Most audio on its way, in either direction, that the other end has not taken yet: 2 s of PCM at 24 kHz."""


class Ask(IntEnum):
    """From the engine to a worker."""

    SPEAK = 1  # JSON: an utterance
    RECOGNIZE = 2  # JSON: a recognition's options
    AUDIO = 3  # PCM to recognise
    TAKEN = 4  # count: bytes of audio that were taken; as many more may come
    COMMIT = 5
    FINISH = 6
    CANCEL = 7


class Tell(IntEnum):
    """From a worker to the engine."""

    AUDIO = 1  # audio that was made
    EVENT = 2  # JSON: [kind, ...]
    TAKEN = 3  # count: bytes of audio that were taken; as many more may come
    REFUSED = 4  # JSON: message, param, code; the stream has ended
    FAILED = 5  # nothing; the stream has ended and the worker is not to be trusted
    ENDED = 6  # the stream has ended, whole or cancelled


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # json.dumps would make one for each message


def pack(value: object) -> bytes:
    """A JSON payload."""
    return _ENCODER.encode(value).encode()


def unpack(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    """What `pack` packed."""
    return json.loads(payload)


def pack_count(count: int) -> bytes:
    """A number as a payload."""
    return count.to_bytes(4, "big")


def unpack_count(payload: bytes) -> int:
    """What `pack_count` packed."""
    return int.from_bytes(payload, "big")
