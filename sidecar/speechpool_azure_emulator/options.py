"""How the emulator behaves when nothing goes wrong."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from speechpool.errors import SettingsError
from speechpool_azure_emulator.fields import check_choice, check_integer, check_number, check_text, read

__all__ = ["EmulatorOptions"]

_MAX_DELAY_SECONDS = 3_600.0
_FIXED = ("speech", "recognition", "grammar", "max_records")
"""Known when it starts: the local engine is loaded then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorOptions:
    """What can be set; all but `speech`, `recognition`, `grammar` and `max_records` also while it runs.

    Args:
        upgrade_seconds: How long an upgrade takes, 0 to 3,600.
        first_chunk_seconds: From the request to the first audio, 0 to 3,600.
        chunk_seconds: Audio in each message, 0.01 to 10 seconds.
        pace: How many times faster than it plays audio is sent, up to 1,000; 1 is real time, 0 as fast as the client
            takes it.
        seconds_per_word: How long a word of a tone is, 0.01 to 10.
        utterance_seconds: How long every tone is, 0 to 3,600; None for as long as its words.
        tts_overlap: What a running utterance does when the connection's next one comes: "continue" or "cut".
        max_connection_seconds: The age at which a connection is closed, 0.05 to 86,400 (the service: 600 seconds).
        max_connection_code: The WebSocket close code of that.
        speech: "tones", or "local" for real speech from the local engine.
        recognition: "scripted", or "local" for the local engine's.
        grammar: The sentences that the local engine can recognise; empty for free dictation.
        final_seconds: From the end of a segment to its final phrase, 0 to 3,600.
        segmentation_silence_seconds: Silence that ends a segment where the client says nothing else, 0.1 to 5.
        initial_silence_seconds: Silence that ends a recognition of one phrase, 0.1 to 3,600.
        no_match_seconds: Silence after which a continuous recognition tells that nothing was said, again and again,
            0.1 to 3,600.
        inline_commit: Whether `audio.commit` is answered with a phrase at once; else it is ignored.
        detected_language: The language that detection finds; None for the client's first candidate.
        max_records: How many connections, utterances and recognitions it remembers, of each kind, 1 to 1,000,000.

    Raises:
        SettingsError: An option is out of bounds.
    """

    upgrade_seconds: float = 0.0
    first_chunk_seconds: float = 0.05
    chunk_seconds: float = 0.1
    pace: float = 0.0
    seconds_per_word: float = 0.3
    utterance_seconds: float | None = None
    tts_overlap: str = "continue"
    max_connection_seconds: float = 600.0
    max_connection_code: int = 1000
    speech: str = "tones"
    recognition: str = "scripted"
    grammar: tuple[str, ...] = ()
    final_seconds: float = 0.0
    segmentation_silence_seconds: float = 0.5
    initial_silence_seconds: float = 5.0
    no_match_seconds: float = 15.0
    inline_commit: bool = True
    detected_language: str | None = None
    max_records: int = 10_000

    def __post_init__(self) -> None:
        for name in ("upgrade_seconds", "first_chunk_seconds", "final_seconds"):
            check_number(name, getattr(self, name), 0, _MAX_DELAY_SECONDS)
        check_number("chunk_seconds", self.chunk_seconds, 0.01, 10)
        check_number("pace", self.pace, 0, 1_000)
        check_number("seconds_per_word", self.seconds_per_word, 0.01, 10)
        if self.utterance_seconds is not None:
            check_number("utterance_seconds", self.utterance_seconds, 0, 3_600)
        check_choice("tts_overlap", self.tts_overlap, ("continue", "cut"))
        check_number("max_connection_seconds", self.max_connection_seconds, 0.05, 86_400)
        check_integer("max_connection_code", self.max_connection_code, 1000, 4999)
        self._check_engines()
        self._check_recognition()

    def _check_engines(self) -> None:
        check_choice("speech", self.speech, ("tones", "local"))
        check_choice("recognition", self.recognition, ("scripted", "local"))
        if not isinstance(self.grammar, tuple):
            raise SettingsError(f"grammar must be a list of sentences; got {type(self.grammar).__name__}")
        for index, sentence in enumerate(self.grammar):
            check_text(f"grammar[{index}]", sentence, 1_000)
        if self.grammar and self.recognition != "local":
            raise SettingsError('grammar is for recognition "local"; scripted recognition has its transcripts')
        check_integer("max_records", self.max_records, 1, 1_000_000)

    def _check_recognition(self) -> None:
        check_number("segmentation_silence_seconds", self.segmentation_silence_seconds, 0.1, 5)
        check_number("initial_silence_seconds", self.initial_silence_seconds, 0.1, 3_600)
        check_number("no_match_seconds", self.no_match_seconds, 0.1, 3_600)
        check_choice("inline_commit", self.inline_commit, (True, False))
        if self.detected_language is not None:
            check_text("detected_language", self.detected_language, 50)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "EmulatorOptions":
        """Read options from JSON's types.

        Raises:
            SettingsError: Names the option that is unknown or wrong.
        """
        return read(cls, values, "options")

    def changed(self, values: Mapping[str, Any]) -> "EmulatorOptions":
        """These options with some changed while the emulator runs.

        Raises:
            SettingsError: Names the option that is unknown, wrong, or fixed.
        """
        new = read(EmulatorOptions, {**asdict(self), **values}, "options")
        for name in _FIXED:
            if getattr(new, name) != getattr(self, name):
                raise SettingsError(f"options.{name} is fixed while the emulator runs; start another one")
        return new

    def as_json(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)
