"""espeak-ng through ctypes: only for worker processes (GPL-3.0-or-later; one utterance at a time, global state)."""

import contextlib
import ctypes
import itertools
from collections.abc import Callable
from ctypes import POINTER, c_char, c_char_p, c_int, c_ubyte, c_uint, c_void_p
from dataclasses import dataclass
from enum import IntEnum

from speechpool.speech.local.catalog import EspeakVoice

__all__ = ["SAMPLE_RATE_HZ", "Espeak", "EspeakEvent", "EspeakSink", "EventKind"]

SAMPLE_RATE_HZ = 22_050
"""Of every voice that espeak-ng ships; `Espeak` checks it."""

_BUFFER_MS = 60  # the library's smallest buffer; a callback for each
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS, speak_lib.h
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report a missing data folder instead of ending the process
_CHARS_UTF8 = 1
_SSML = 0x10
_END_PAUSE = 0x1000
_POSITION_CHARACTER = 1
_PARAMETER_RATE = 1
_PARAMETER_WORD_GAP = 7

EspeakSink = Callable[[bytes, "list[EspeakEvent]"], bool]
"""Gets 16 bit mono samples, and the events they begin with; returns False to stop."""


class EventKind(IntEnum):
    """The events of speak_lib.h that are used."""

    END_OF_LIST = 0
    WORD = 1
    MARK = 3
    PHONEME = 7


@dataclass(frozen=True, slots=True)
class EspeakEvent:
    """An event with its time in samples from the start of this call.

    Args:
        kind: Which event.
        sample: When it happens.
        index: For a word, index of its first character in the text given.
        length: For a word, its characters, as espeak-ng sees them.
        name: A mark's name, or a phoneme in IPA; empty for a pause.
    """

    kind: EventKind
    sample: int
    index: int
    length: int
    name: str


class _EventId(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        ("languages", c_void_p),
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("xx1", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_SynthCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, POINTER(_Event))
_GENDERS = {1: "male", 2: "female"}
_KINDS = frozenset(EventKind) - {EventKind.END_OF_LIST}


class Espeak:
    """The library, loaded and initialised; one in a process.

    Args:
        library: Path of the shared library, or None for the one in the package espeakng-loader, or else the system's.
        data: Path of the folder that has `espeak-ng-data`'s files, or None for the library's own.

    Raises:
        OSError: The library cannot be loaded.
        RuntimeError: It cannot find its data, or has another sample rate.
    """

    def __init__(self, library: str | None = None, data: str | None = None) -> None:
        if library is None:
            library, packaged = _find_library()
            data = data or packaged
        self._library = ctypes.CDLL(library)
        self._library.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data and data.encode(), _DONT_EXIT)
        if rate != SAMPLE_RATE_HZ:
            raise RuntimeError(
                f"espeak-ng cannot use its data (espeak_Initialize returned {rate}, not {SAMPLE_RATE_HZ})"
            )
        self._sink: EspeakSink = _discard
        self._callback = _SynthCallback(self._on_audio)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def voices(self) -> list[EspeakVoice]:
        """Every voice and every variant."""
        language_of_variants = ctypes.create_string_buffer(b"variant")
        variants = _Voice(languages=ctypes.addressof(language_of_variants))
        return self._list(None) + self._list(ctypes.byref(variants))

    def _list(self, wanted: object) -> list[EspeakVoice]:
        found = self._library.espeak_ListVoices(wanted)
        voices = []
        for pointer in found:
            if not pointer:  # the list ends with NULL
                break
            voices.append(_read_voice(pointer.contents, is_variant=wanted is not None))
        return voices

    def say(
        self,
        text: str,
        sink: EspeakSink,
        *,
        identifier: str,
        words_per_minute: int,
        word_gap: int,
        is_ssml: bool,
        phonemes: bool,
    ) -> None:
        """Speak to `sink` until all is said, or until it returns False.

        Args:
            text: Without NUL.
            sink: Called on this thread, many times.
            identifier: A voice's identifier, perhaps with "+" and a variant's name.
            words_per_minute: 80 to 900.
            word_gap: Pause after each word, in the library's own unit (10 ms at its default speed).
            is_ssml: Whether markup is interpreted.
            phonemes: Whether phoneme events are wanted.

        Raises:
            RuntimeError: The library refused the voice or the text.
        """
        if self._library.espeak_SetVoiceByName(identifier.encode()):
            raise RuntimeError(f"espeak-ng has no voice {identifier!r}")
        self._library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PARAMETER_WORD_GAP, word_gap, 0)
        self._library.espeak_ng_SetPhonemeEvents(int(phonemes), 1)
        self._sink = sink
        data = text.encode() + b"\0"
        flags = _CHARS_UTF8 | _END_PAUSE | (_SSML if is_ssml else 0)
        status = self._library.espeak_Synth(data, len(data), 0, _POSITION_CHARACTER, 0, flags, None, None)
        self._sink = _discard
        if status:
            raise RuntimeError(f"espeak_Synth returned {status}")

    def _on_audio(self, samples: int | None, count: int, events: "ctypes._Pointer[_Event]") -> int:
        audio = ctypes.string_at(samples, 2 * count) if samples else b""
        return 0 if self._sink(audio, _read_events(events)) else 1


def _discard(_audio: bytes, _events: list[EspeakEvent]) -> bool:
    return False


def _find_library() -> tuple[str, str | None]:
    with contextlib.suppress(ImportError):
        import espeakng_loader  # noqa: PLC0415 - optional

        return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    return "libespeak-ng.so.1", None


def _read_events(events: "ctypes._Pointer[_Event]") -> list[EspeakEvent]:
    read = []
    for i in itertools.count():
        event = events[i]
        if event.type == EventKind.END_OF_LIST:
            break
        if event.type in _KINDS:
            index = event.text_position - 1  # the library counts from 1
            read.append(EspeakEvent(EventKind(event.type), event.sample, index, event.length, _event_name(event)))
    return read


def _event_name(event: _Event) -> str:
    # A union: only the member that belongs to the type may be read.
    if event.type == EventKind.MARK:
        name = event.id.name
    elif event.type == EventKind.PHONEME:
        name = event.id.string
    else:
        return ""
    return (name or b"").decode(errors="replace")


def _read_voice(voice: _Voice, *, is_variant: bool) -> EspeakVoice:
    # `languages` is a list of (priority byte, NUL-terminated tag); the first is the voice's own.
    tag = "variant" if is_variant else ctypes.string_at(voice.languages + 1).decode()
    return EspeakVoice(tag, voice.identifier.decode(), voice.name.decode(), _GENDERS.get(voice.gender, "neutral"))
