"""A piece of audio with its length."""

from typing import NamedTuple

__all__ = ["Sound"]


class Sound(NamedTuple):
    """Audio to send.

    Args:
        data: Its bytes; whole samples where the format is raw.
        seconds: How long it plays.
    """

    data: bytes | memoryview
    seconds: float
