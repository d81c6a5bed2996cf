"""What a client of the socket can measure: how long the audio is, and how long it took."""

import contextlib
import re
import struct
import sys
from typing import BinaryIO

from speechpool.audio.wav import wav_header
from speechpool.client import Speech, Transcript
from speechpool.formats import AudioFormat, Codec

__all__ = ["AudioMeter", "speech_summary", "tell", "transcript_summary"]

_RAW = {"audio/pcm": Codec.PCM, "audio/pcmu": Codec.MULAW, "audio/pcma": Codec.ALAW}
_WAV_TAGS = {1: Codec.PCM, 6: Codec.ALAW, 7: Codec.MULAW}  # RFC 2361
_WAV_START = struct.Struct("<20xHHI")  # RIFF and fmt chunk up to the sample rate


class AudioMeter:
    """Counts the seconds of audio that come, where the format says how long a byte lasts: WAV and raw samples.

    Args:
        content_type: Of the reply, with its parameters.
    """

    def __init__(self, content_type: str) -> None:
        kind, _, parameters = content_type.lower().replace(" ", "").partition(";")
        rate = re.search(r"rate=(\d+)", parameters)
        self._is_wav = kind == "audio/wav"
        self._format = AudioFormat(_RAW[kind], int(rate[1])) if kind in _RAW and rate else None
        self._start = b""
        self._size_bytes = 0

    @property
    def seconds(self) -> float | None:
        """How long the audio so far lasts, or None where that cannot be known."""
        if self._format is None:
            return None
        return self._format.seconds(max(0, self._size_bytes - self._header_bytes))

    @property
    def _header_bytes(self) -> int:
        return len(wav_header(self._format)) if self._is_wav and self._format else 0

    def add(self, chunk: bytes) -> None:
        """Count one chunk."""
        self._size_bytes += len(chunk)
        if self._is_wav and self._format is None:
            self._start += chunk
            if len(self._start) >= _WAV_START.size:
                tag, _, rate = _WAV_START.unpack_from(self._start)
                self._format = AudioFormat(_WAV_TAGS[tag], rate)

    def complete_header(self, file: BinaryIO) -> None:
        """Write the true length into the header of a WAV file: it was not known when the header was sent."""
        if self._is_wav and self._format:
            file.seek(0)
            file.write(wav_header(self._format, self._size_bytes - self._header_bytes))


def speech_summary(speech: Speech, audio_seconds: float | None) -> str:
    """One line about an utterance: tier, wait, first byte, length, real-time factor."""
    length = f"{speech.size_bytes:,} bytes" if audio_seconds is None else f"{audio_seconds:.2f} s of audio"
    parts = [f"first byte after {_ms(speech.first_byte_seconds)}", f"{length} in {_ms(speech.total_seconds)}"]
    return _summary(speech.tier, speech.wait_seconds, parts, speech.total_seconds, audio_seconds)


def transcript_summary(transcript: Transcript, audio_seconds: float | None) -> str:
    """One line about a transcription: tier, wait, time, real-time factor."""
    length = "answered" if audio_seconds is None else f"{audio_seconds:.2f} s of audio"
    parts = [f"{length} in {_ms(transcript.total_seconds)}"]
    return _summary(transcript.tier, transcript.wait_seconds, parts, transcript.total_seconds, audio_seconds)


def tell(line: str) -> None:
    """Say something about the work on stderr, where it does not mix with the result; if it can be said."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)


def _summary(tier: str, wait_seconds: float, parts: list[str], total: float | None, audio: float | None) -> str:
    factor = [f"real-time factor {total / audio:.3f}"] if total and audio else []
    return ", ".join([f"{tier} client, waited {_ms(wait_seconds)}", *parts, *factor])


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.1f} ms"
