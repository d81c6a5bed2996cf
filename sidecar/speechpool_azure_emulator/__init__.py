"""An emulator of Azure Speech's WebSocket protocol, for tests and for development without an account."""

from .emulator import AzureEmulator, EmulatorFailed
from .faults import Fault
from .ledger import ConnectionRecord, Counts, RecognitionRecord, UtteranceRecord
from .options import EmulatorOptions
from .running import RunningEmulator, running_emulator
from .tones import marks_in

__all__ = [
    "AzureEmulator",
    "ConnectionRecord",
    "Counts",
    "EmulatorFailed",
    "EmulatorOptions",
    "Fault",
    "RecognitionRecord",
    "RunningEmulator",
    "UtteranceRecord",
    "marks_in",
    "running_emulator",
]
