"""The messages of the speech protocol as bytes: header lines and a body, in text and in binary WebSocket frames.

A text message is header lines, an empty line and the body. A binary one is the length of its header block in two
bytes (big endian), the header lines without an empty line, and the payload. Lines end with CRLF, names are case
sensitive.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Message", "audio_prefix", "parse_binary", "parse_text", "text_message"]

_HEADER_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Message:
    """One message from a client.

    Args:
        headers: By their names as sent.
        body: What follows them: text of a text message, audio of a binary one.
    """

    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """What kind of message it is, in lower case; empty where it says nothing."""
        return self.headers.get("Path", "").lower()

    @property
    def request_id(self) -> str:
        """Which request it belongs to; empty for `speech.config`."""
        return self.headers.get("X-RequestId", "")

    @property
    def commit_token(self) -> str:
        """What the answer to an `audio.commit` repeats; empty where there is none."""
        return self.headers.get("X-Client-Commit-Token", "")

    @property
    def stream_id(self) -> str:
        """Which stream of the request its audio belongs to."""
        return self.headers.get("X-StreamId", "")


def parse_text(text: str) -> Message:
    """Read a text message; lines that are no headers are left out."""
    head, _, body = text.partition("\r\n\r\n")
    return Message(_headers(head), body.encode())


def parse_binary(data: bytes) -> Message | None:
    """Read a binary message; None where its header block does not fit."""
    if len(data) < _HEADER_LENGTH.size:
        return None
    (length,) = _HEADER_LENGTH.unpack_from(data)
    end = _HEADER_LENGTH.size + length
    if end > len(data):
        return None
    head = data[_HEADER_LENGTH.size : end].decode("utf-8", "replace")
    return Message(_headers(head), data[end:])


def _headers(head: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def text_message(path: str, request_id: str, body: str) -> str:
    """A text message to a client; `body` is JSON."""
    return f"X-RequestId:{request_id}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n{body}"


def audio_prefix(request_id: str, stream_id: str, content_type: str | None) -> bytes:
    """All of an audio message but its payload.

    Args:
        request_id: The client's.
        stream_id: The one announced in `response`.
        content_type: Of the audio; None for the empty message that ends it.
    """
    kind = f"Content-Type:{content_type}\r\n" if content_type else ""
    head = f"X-RequestId:{request_id}\r\n{kind}X-StreamId:{stream_id}\r\nPath:audio\r\n".encode()
    return _HEADER_LENGTH.pack(len(head)) + head
