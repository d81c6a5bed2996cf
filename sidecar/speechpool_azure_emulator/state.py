"""What all connections of one emulator share."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from speechpool.formats import AudioFormat
from speechpool.speech.engine import Recognizing
from speechpool_azure_emulator.credentials import Credentials
from speechpool_azure_emulator.faults import FaultList
from speechpool_azure_emulator.formats import OutputFormat
from speechpool_azure_emulator.ledger import Ledger, RecognitionRecord, UtteranceRecord
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.script import Script
from speechpool_azure_emulator.sound import Sound
from speechpool_azure_emulator.timeline import Entry

__all__ = ["Listener", "Speaker", "State"]


class Speaker(Protocol):
    """Makes the audio of utterances.

    Args:
        by_sentence: Whether streamed text is to come in whole sentences; else in whole words.
    """

    by_sentence: bool

    def makes(self, output: OutputFormat) -> bool:
        """Whether it can make that format."""

    def speak(
        self, script: Script, output: OutputFormat, record: UtteranceRecord, options: EmulatorOptions
    ) -> AsyncIterator[Sound | Entry]:
        """The audio of a script in chunks of any size, and what happens in it, each entry before its audio."""


class Listener(Protocol):
    """Understands audio."""

    async def listen(self, audio: AudioFormat, record: RecognitionRecord, silence_seconds: float) -> Recognizing:
        """Begin with one turn, of raw audio; that much silence ends a segment."""


@dataclass(slots=True)
class State:
    """One emulator's state; options are replaced whole."""

    options: EmulatorOptions
    credentials: Credentials
    ledger: Ledger
    faults: FaultList
    speaker: Speaker
    listener: Listener
