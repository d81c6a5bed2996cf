"""The frames on a worker's socket: `u32 length | u32 stream | u8 kind | payload`, big endian, length of the payload.

Standard library only and light to import: both ends use it, and a worker's start is on a caller's way.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["HEADER_BYTES", "MAX_PAYLOAD_BYTES", "READY", "WORKER_STREAM", "Frame", "FrameDecoder", "encode_header"]

_HEADER = struct.Struct("!IIB")

HEADER_BYTES = _HEADER.size

MAX_PAYLOAD_BYTES = 1 << 20
"""Longest payload; a longer one is a bug of the sender or a lost frame boundary. Larger data goes in several frames."""

WORKER_STREAM = 0
"""The stream that belongs to the worker itself; its users number theirs from 1."""

READY = 0
"""On `WORKER_STREAM`, once, from the child: it is ready; the payload is its greeting."""


class Frame(NamedTuple):
    """One message; what `kind` means is agreed between the two ends of a stream."""

    stream: int
    kind: int
    payload: bytes


def encode_header(stream: int, kind: int, payload_bytes: int) -> bytes:
    """The header of a frame.

    Raises:
        ValueError: The payload is longer than `MAX_PAYLOAD_BYTES`.
    """
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame's payload is at most {MAX_PAYLOAD_BYTES} bytes, got {payload_bytes}")
    return _HEADER.pack(payload_bytes, stream, kind)


class FrameDecoder:
    """Cuts received bytes into frames; holds at most one unfinished frame and what came with it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take received bytes; the frames that are whole now, in order. Take them all before the next call.

        Raises:
            ValueError: A header announces more than `MAX_PAYLOAD_BYTES`; raised after the frames before it.
        """
        if self._rest:
            data = self._rest + data
        start, size = 0, len(data)
        while size - start >= HEADER_BYTES:
            length, stream, kind = _HEADER.unpack_from(data, start)
            if length > MAX_PAYLOAD_BYTES:
                raise ValueError(f"a frame announces {length} bytes; at most {MAX_PAYLOAD_BYTES} are allowed")
            end = start + HEADER_BYTES + length
            if size < end:
                break
            yield Frame(stream, kind, data[start + HEADER_BYTES : end])
            start = end
        self._rest = data[start:]
