"""The speaker that makes tones."""

from collections.abc import AsyncIterator

from speechpool_azure_emulator.formats import OutputFormat
from speechpool_azure_emulator.ledger import UtteranceRecord
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.script import Script
from speechpool_azure_emulator.sound import Sound
from speechpool_azure_emulator.timeline import Entry, entries_of
from speechpool_azure_emulator.tones import mark_of, tone

__all__ = ["TonesSpeaker"]


class TonesSpeaker:
    """Speaks in tones that say which utterance they belong to, for raw formats."""

    by_sentence = False

    def makes(self, output: OutputFormat) -> bool:
        """Raw formats only."""
        return output.audio.is_raw

    async def speak(
        self, script: Script, output: OutputFormat, record: UtteranceRecord, options: EmulatorOptions
    ) -> AsyncIterator[Sound | Entry]:
        """The tone in chunks of `chunk_seconds`, and the script's entries."""
        words = max(script.spoken_words, 1)
        seconds = options.utterance_seconds
        word_seconds = options.seconds_per_word if seconds is None else seconds / words
        sample_bytes = output.audio.bytes_per_second // output.audio.sample_rate_hz
        chunk_bytes = round(options.chunk_seconds * output.audio.sample_rate_hz) * sample_bytes
        total_bytes = round(word_seconds * words * output.audio.sample_rate_hz) * sample_bytes
        record.mark = mark_of(record.number, output.audio)
        entries = entries_of(script, word_seconds)
        due, position = 0, 0
        for chunk in tone(record.mark, output.audio, chunk_bytes, total_bytes):
            position += len(chunk)
            until_seconds = output.audio.seconds(position)
            while due < len(entries) and entries[due].offset_seconds < until_seconds:
                yield entries[due]
                due += 1
            yield Sound(chunk, output.audio.seconds(len(chunk)))
        for entry in entries[due:]:
            yield entry
