"""What the sidecar and its codec processes say to each other, in the frames of `speechpool.workers`.

A transcoder is one stream of a codec worker. Each request has exactly one reply: `OPEN`, `FEED` and `FINISH` are
answered by `AUDIO` or by `ERROR`, after which the stream is forgotten; `CLOSE` has no answer. Replies come in the order
of the requests, and a sender waits for each, so neither side ever holds more than one slice of a stream.

A decoding is a process of its own with one stream: `OPEN`, the upload in `FEED`s, `FINISH`; then `AUDIO` comes for as
long as there is credit (some with `OPEN`, one more with each `CREDIT`), and in the end `DONE` or `ERROR`.

Light to import: both sides use it.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from speechpool.audio.layout import SampleLayout
from speechpool.errors import EngineFailed, InvalidInput, SpeechPoolError

__all__ = [
    "DECODING_STREAM",
    "SLICE_BYTES",
    "DecodingSpec",
    "Refusal",
    "RefusedError",
    "Reply",
    "Request",
    "StreamSpec",
    "pack_audio",
    "unpack_audio",
]

SLICE_BYTES = 16_384
"""Most audio in one frame to a worker: 0.34 s at 24 kHz, 3 ms of the slowest encoder (measured), so that one caller's
long chunk does not hold up the others; its reply stays far below a frame's limit whatever is made of it."""

DECODING_STREAM = 1

_SAMPLES = struct.Struct("!I")


class Request(IntEnum):
    """Kinds of frames to a codec process."""

    OPEN = 1
    FEED = 2
    FINISH = 3
    CLOSE = 4
    CREDIT = 5


class Reply(IntEnum):
    """Kinds of frames from a codec process."""

    AUDIO = 1
    DONE = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a transcoder's stream shall do.

    Args:
        source: How the samples come.
        codec: A `Codec`'s name: what they become.
        sample_rate_hz: At which rate.
    """

    source: SampleLayout
    codec: str
    sample_rate_hz: int

    def encode(self) -> bytes:
        """The payload of `OPEN`."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> "StreamSpec":
        """The payload of `OPEN`, read."""
        fields = json.loads(payload)
        return cls(SampleLayout(**fields.pop("source")), **fields)


@dataclass(frozen=True, slots=True)
class DecodingSpec:
    """What a decoding process shall do.

    Args:
        sample_rate_hz: The rate of the PCM (16 bit, mono) that it makes.
        max_seconds: Longest audio.
        credit: Chunks that may be sent at once.
        cpu_seconds: Most processor time; the kernel ends the process then.
        memory_bytes: Most address space beyond what the process has when it begins.
    """

    sample_rate_hz: int
    max_seconds: float
    credit: int
    cpu_seconds: int
    memory_bytes: int

    def encode(self) -> bytes:
        """The payload of `OPEN`."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> "DecodingSpec":
        """The payload of `OPEN`, read."""
        return cls(**json.loads(payload))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The payload of `ERROR`. Constant words only: nothing of the audio.

    Args:
        message: For the caller.
        code: As in `InvalidInput`; None where the fault is ours.
        param: The field that caused it.
    """

    message: str
    code: str | None = None
    param: str | None = None

    def encode(self) -> bytes:
        """The payload."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def decode(payload: bytes) -> SpeechPoolError:
        """The payload as the error to raise."""
        fields: dict[str, Any] = json.loads(payload)
        if fields["code"] is None:
            return EngineFailed(fields["message"])
        return InvalidInput(fields["message"], param=fields["param"], code=fields["code"])


class RefusedError(Exception):
    """A process cannot do what it was asked to do; `refusal` is what the caller is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def pack_audio(samples: int, audio: bytes) -> bytes:
    """The payload of `AUDIO`: how many samples of the target the bytes hold, and the bytes."""
    return _SAMPLES.pack(samples) + audio


def unpack_audio(payload: bytes) -> tuple[int, bytes]:
    """The payload of `AUDIO`, read."""
    return _SAMPLES.unpack_from(payload)[0], payload[_SAMPLES.size :]
