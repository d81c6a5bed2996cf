"""Transcriptions: a whole recording to text, by one recognition."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from speechpool.errors import InvalidInput, PoolClosed
from speechpool.service.context import Context
from speechpool.service.deadlines import MAX_ATTEMPTS, RETRIED
from speechpool.service.events import Behind, RecognitionSummary, RecognizeEvent
from speechpool.service.recognitions import RecognitionStream
from speechpool.service.requests import DEFAULT_INPUT_FORMAT, RecognizeRequest, TranscribeRequest
from speechpool.service.transcripts import Transcript
from speechpool.speech.engine import Final

__all__ = ["TranscriptionStream"]

_SAMPLE_BYTES = 2


class TranscriptionStream:
    """One recording on its way to being text. Made by `SpeechService.transcribe()`.

    Entering decodes the beginning of the upload before it acquires a client, so that what is no audio never takes one.

    Args:
        context: What all uses share.
        request: What is asked for.

    Raises:
        InvalidInput: An option is wrong.
        EngineUnavailable: The engine is not open.
        PoolClosed: The service is draining.
    """

    def __init__(self, context: Context, request: TranscribeRequest) -> None:
        self._context = context
        self._request = request
        self._stream = RecognitionStream(context, self._recognize_request())
        self._feeder: asyncio.Task[None] | None = None

    def _recognize_request(self) -> RecognizeRequest:
        request = self._request
        return RecognizeRequest(
            language=request.language,
            phrases=request.phrases,
            grammar=request.grammar,
            words=request.words,
            partials=False,
            segmentation_silence_ms=request.segmentation_silence_ms,
            session_id=request.session_id,
            pool=request.pool,
        )

    @property
    def tier(self) -> str:
        """How the client was come by."""
        return self._stream.tier

    @property
    def pool(self) -> str:
        """Name of the pool that serves it."""
        return self._stream.pool

    @property
    def wait_seconds(self) -> float:
        """How long the client was waited for."""
        return self._stream.wait_seconds

    @property
    def language(self) -> str:
        """BCP 47 tag, of the last `Final` or as asked for."""
        return self._stream.language

    async def __aenter__(self) -> Self:
        """Decode the beginning, acquire a client, begin."""
        self._stream.check_servable()
        self._chunks = self._context.codecs.decode(
            self._request.upload,
            target=DEFAULT_INPUT_FORMAT,
            max_seconds=self._context.settings.max_recognition_seconds,
        )
        try:
            first = await self._first_chunk()
            await self._stream.__aenter__()
        except BaseException:
            await self._chunks.aclose()
            raise
        self._feeder = asyncio.create_task(self._feed(first), name="speechpool-upload")
        self._feeder.add_done_callback(self._on_fed)
        return self

    async def _first_chunk(self) -> bytes:
        first = await anext(self._chunks, b"")
        if len(first) < _SAMPLE_BYTES:
            raise InvalidInput("file holds no audio", param="file", code="invalid_audio")
        return first

    async def _feed(self, first: bytes) -> None:
        async with contextlib.aclosing(self._chunks) as rest:
            await self._stream.write(first)
            async for chunk in rest:
                await self._stream.write(chunk)
        await self._stream.finish()

    def _on_fed(self, feeder: asyncio.Task[None]) -> None:
        if not feeder.cancelled() and (error := feeder.exception()):
            self._context.background.spawn(self._stream.abort(error), "end a transcription")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop what is under way; the client is given back before this returns."""
        try:
            if self._feeder and not self._feeder.done():
                self._feeder.cancel()
                await asyncio.wait({self._feeder})
                await self._chunks.aclose()  # a feeder that never began has not closed it
        finally:
            await self._stream.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[RecognizeEvent]:
        """The events, in order: `Final`s, speech starts and ends, and the summary."""
        return self

    async def __anext__(self) -> RecognizeEvent:
        """The next event."""
        while isinstance(event := await anext(self._stream), Behind):
            pass  # a recording cannot be late
        return event

    async def cancel(self) -> None:
        """Stop now; the summary is the only event that follows."""
        await self._stream.cancel()

    async def result(self) -> Transcript:
        """All of it at once; a client that fails is made up for by another, once."""
        try:
            return await self._result()
        except RETRIED as error:
            if self._stream.attempts >= MAX_ATTEMPTS:
                raise
            self._context.metrics.retried(self.pool, error)
        self._stream = RecognitionStream(self._context, self._recognize_request())
        return await self._result()

    async def _result(self) -> Transcript:
        segments: list[Final] = []
        summary: RecognitionSummary | None = None
        async with self:
            async for event in self:
                if isinstance(event, Final) and event.text.strip():
                    segments.append(event)
                elif isinstance(event, RecognitionSummary):
                    summary = event
        assert summary  # iteration ends with it, or raises
        if summary.outcome == "canceled":
            raise PoolClosed("the transcription was canceled")
        return Transcript(
            segments=tuple(segments),
            language=summary.language,
            duration_seconds=summary.audio_seconds,
            tier=summary.tier,
            wait_seconds=summary.wait_seconds,
            pool=summary.pool,
        )
