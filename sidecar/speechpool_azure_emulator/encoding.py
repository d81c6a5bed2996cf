"""The speaker for compressed formats: another speaker's audio, encoded by the product's codec workers."""

from collections.abc import AsyncIterator

from speechpool.audio.codecs import Codecs
from speechpool.audio.formats import response_format
from speechpool.formats import AudioFormat, Codec
from speechpool_azure_emulator.formats import OutputFormat
from speechpool_azure_emulator.ledger import UtteranceRecord
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.script import Script
from speechpool_azure_emulator.sound import Sound
from speechpool_azure_emulator.state import Speaker
from speechpool_azure_emulator.timeline import Entry

__all__ = ["EncodingSpeaker"]

_NAMES = {Codec.MP3: "mp3", Codec.OPUS: "opus"}


class EncodingSpeaker:
    """Speaks raw formats as `inner` does, and mp3 and opus made of its PCM; needs the extra `codecs`.

    Args:
        inner: Makes raw audio.
        codecs: Encode it; closed by their owner.
    """

    def __init__(self, inner: Speaker, codecs: Codecs) -> None:
        self._inner = inner
        self._codecs = codecs
        self.by_sentence = inner.by_sentence

    def makes(self, output: OutputFormat) -> bool:
        """What the inner one makes, and mp3 and opus."""
        return output.audio.codec in _NAMES or self._inner.makes(output)

    async def speak(
        self, script: Script, output: OutputFormat, record: UtteranceRecord, options: EmulatorOptions
    ) -> AsyncIterator[Sound | Entry]:
        """The audio in chunks that hold about `chunk_seconds`."""
        if output.audio.codec not in _NAMES:
            async for piece in self._inner.speak(script, output, record, options):
                yield piece
            return
        raw = OutputFormat(output.name, AudioFormat(Codec.PCM, output.audio.sample_rate_hz), output.content_type)
        target = response_format(_NAMES[output.audio.codec], output.audio.sample_rate_hz)
        async with self._codecs.transcoder(raw.audio, target) as transcoder:
            told_seconds = 0.0
            async for piece in self._inner.speak(script, raw, record, options):
                if isinstance(piece, Entry):
                    yield piece
                elif coded := await transcoder.feed(bytes(piece.data)):
                    yield Sound(coded, transcoder.seconds_out - told_seconds)
                    told_seconds = transcoder.seconds_out
            record.mark = None  # a compressed sample carries none
            if rest := await transcoder.finish():
                yield Sound(rest, transcoder.seconds_out - told_seconds)
