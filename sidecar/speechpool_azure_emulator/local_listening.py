"""The listener that understands: the product's local engine behind the protocol."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from speechpool.audio.codecs import Codecs
from speechpool.audio.transcoder import Transcoder
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import (
    Engine,
    RecognitionClient,
    RecognitionEvent,
    RecognitionOptions,
    RecognitionProfile,
    Recognizing,
    UseReport,
)
from speechpool_azure_emulator.ledger import RecognitionRecord
from speechpool_azure_emulator.stock import Stock

__all__ = ["LocalListener"]

_AUDIO = AudioFormat(Codec.PCM, 16_000)  # what the engine takes
_LANGUAGE = "en-US"
_MAX_CLIENTS = 8  # processes of about 100 MB; guess: each decodes at a third of a core


class LocalListener:
    """Recognises with pocketsphinx.

    Args:
        engine: The local engine; opened and closed by its owner.
        codecs: Resample what is not 16 kHz; likewise.
        grammar: The sentences that can be said; empty for free dictation, which takes the client's phrase list.
    """

    def __init__(self, engine: Engine, codecs: Codecs, grammar: tuple[str, ...]) -> None:
        profile = RecognitionProfile(format=_AUDIO, languages=(_LANGUAGE,))
        self._stock: Stock[RecognitionClient] = Stock(lambda: engine.create_recognizer(profile), _MAX_CLIENTS)
        self._codecs = codecs
        self._grammar = grammar

    async def open(self) -> None:
        """Have one recogniser ready: it takes half a second."""
        await self._stock.prepare()

    async def close(self) -> None:
        """End the workers."""
        await self._stock.close()

    async def listen(self, audio: AudioFormat, record: RecognitionRecord, silence_seconds: float) -> "_LocalHearing":
        """Begin with one turn.

        Raises:
            InvalidInput: The phrase list is none that the engine takes.
        """
        options = RecognitionOptions(
            grammar=self._grammar,
            phrases=() if self._grammar else record.phrase_list,
            words=True,
            segmentation_silence_ms=round(silence_seconds * 1000),
        )
        async with AsyncExitStack() as opened:
            client = await opened.enter_async_context(self._stock.lend())
            converter = None
            if audio != _AUDIO:
                converter = await opened.enter_async_context(self._codecs.converter(audio, _AUDIO))
            hearing = client.recognize(options)
            opened.push_async_callback(hearing.cancel)
            return _LocalHearing(hearing, converter, opened.pop_all())


class _LocalHearing:
    """One turn, with its audio converted; gives its client back when it is cancelled, which its turn always does."""

    def __init__(self, hearing: Recognizing, converter: Transcoder | None, opened: AsyncExitStack) -> None:
        self._hearing = hearing
        self._converter = converter
        self._opened = opened

    @property
    def report(self) -> UseReport:
        return self._hearing.report

    async def write(self, audio: bytes) -> None:
        await self._hearing.write(await self._converter.feed(audio) if self._converter else audio)

    async def commit(self) -> None:
        await self._hearing.commit()

    async def finish(self) -> None:
        if self._converter:
            await self._hearing.write(await self._converter.finish())
        await self._hearing.finish()

    async def cancel(self) -> None:
        await self._opened.aclose()

    async def __aiter__(self) -> AsyncIterator[RecognitionEvent]:
        async for event in self._hearing:
            yield event
