"""GET /v1/recognize/stream: audio in, text out while it comes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import WSCloseCode, web

from speechpool.audio.formats import input_format
from speechpool.errors import RequestError
from speechpool.service.events import Behind, RecognitionSummary, RecognizeEvent
from speechpool.service.recognitions import RecognitionStream
from speechpool.service.requests import RecognizeRequest
from speechpool.speech.engine import Final, Partial, SpeechEnded, SpeechStarted
from speechpool.web.channel import BrokenProtocol, Channel, message_kind, open_channel
from speechpool.web.events import final_event, milliseconds, report_event
from speechpool.web.fields import Fields
from speechpool.web.state import STATE, WebState

__all__ = ["stream_recognition"]


async def stream_recognition(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket until either side closes it."""
    channel = await open_channel(request)
    state = request.app[STATE]
    conversation = RecognitionConversation(channel, state)
    state.sockets.add(conversation)
    try:
        await conversation.run()
    finally:
        state.sockets.discard(conversation)
    return channel.response


class RecognitionConversation:
    """Takes audio and tells what it says.

    New phrases need a new recognition: the old one is finished first, and times go on from where it ended. Each
    such stretch is a leg.

    Args:
        channel: The socket.
        state: The service and the settings.
    """

    def __init__(self, channel: Channel, state: WebState) -> None:
        self._channel = channel
        self._state = state
        self._tasks = asyncio.TaskGroup()
        self._stream: RecognitionStream | None = None
        self._ask: RecognizeRequest | None = None  # of the leg under way
        self._next: RecognizeRequest | None = None  # of the leg that follows it
        self._before_seconds = 0.0
        self._has_audio = False
        self._reason = ""  # why no more audio is taken; empty while it is
        self._close_code: int = WSCloseCode.OK
        self._take: dict[str, Callable[[Fields, RecognitionStream], Awaitable[None]]] = {
            "phrases": self._take_phrases,
            "commit": self._take_commit,
            "end": self._take_end,
        }

    async def run(self) -> None:
        """Talk until the socket closes; what is still being recognised then stops."""
        try:
            async with self._tasks:
                self._next = await self._configure()
                while self._next is not None:
                    self._ask, self._next = self._next, None
                    await self._leg(self._ask)
        except* ConnectionError:
            pass  # the client is gone: nobody is left to tell

    def drain(self) -> None:
        """Finish the recognition, tell its last words, then close with 1001."""
        self._close_code = WSCloseCode.GOING_AWAY
        if self._stream is None:
            self._tasks.create_task(self._channel.close(self._close_code, "shutting_down"))
        elif not self._reason:
            self._reason = "shutting_down"
            self._tasks.create_task(self._stream.finish())

    # --- before the recognition --------------------------------------------------------------------------------------

    async def _configure(self) -> RecognizeRequest | None:
        """The first message says how to listen; None where the socket closed before it came."""
        while True:
            try:
                message = await self._channel.receive(self._state.settings.websocket_idle_seconds)
                if message is None:
                    return None
                return _request(message)
            except TimeoutError:
                await self._channel.close(WSCloseCode.OK, "idle")
                return None
            except BrokenProtocol as error:
                await self._break(error)
                return None
            except RequestError as error:
                await self._channel.refuse(error)

    # --- a leg -------------------------------------------------------------------------------------------------------

    async def _leg(self, ask: RecognizeRequest) -> None:
        try:
            async with self._state.service.recognize(ask) as stream:
                self._stream, self._has_audio = stream, False
                await self._tell_ready(ask, stream)
                teller = self._tasks.create_task(self._tell_events(stream))
                await self._listen(stream)
                if self._next is not None:
                    await asyncio.wait({teller})
                elif not self._channel.is_closing:
                    teller.cancel()
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the socket is open: what is left is to say it there
            await self._fail(error)
        finally:
            self._stream = None

    async def _listen(self, stream: RecognitionStream) -> None:
        """Take messages until the socket closes, or another leg is wanted."""
        while self._next is None:
            try:
                message = await self._channel.receive(self._state.settings.websocket_idle_seconds)
                if message is None:
                    return
                await self._handle(message, stream)
            except TimeoutError:
                await self._finish(stream, "idle")
            except BrokenProtocol as error:
                await self._break(error)
            except RequestError as error:
                await self._channel.refuse(error)

    async def _handle(self, message: dict[str, Any] | bytes, stream: RecognitionStream) -> None:
        if self._reason:
            return  # what came after the end
        if isinstance(message, bytes):
            self._has_audio = True
            await stream.write(message)
        else:
            fields = Fields(message)
            kind = message_kind(fields, self._take)
            await self._take[kind](fields, stream)

    async def _take_phrases(self, fields: Fields, stream: RecognitionStream) -> None:
        phrases = fields.texts("phrases")
        fields.refuse_unknown()
        assert self._ask is not None
        self._next = replace(self._ask, phrases=phrases)
        if self._has_audio:
            await stream.finish()
        else:
            await stream.cancel()

    async def _take_commit(self, fields: Fields, stream: RecognitionStream) -> None:
        fields.refuse_unknown()
        await stream.commit()
        await self._channel.send({"type": "commit_ack"})

    async def _take_end(self, fields: Fields, stream: RecognitionStream) -> None:
        fields.refuse_unknown()
        await self._finish(stream, "end")

    async def _finish(self, stream: RecognitionStream, reason: str) -> None:
        if not self._reason:
            self._reason = reason
            await stream.finish()

    # --- events out --------------------------------------------------------------------------------------------------

    async def _tell_ready(self, ask: RecognizeRequest, stream: RecognitionStream) -> None:
        ready = {
            "type": "ready",
            "pool": stream.pool,
            "tier": stream.tier,
            "wait_ms": milliseconds(stream.wait_seconds),
            "language": stream.language or None,
            "format": ask.format.codec.value,
            "sample_rate": ask.format.sample_rate_hz,
        }
        await self._channel.send(ready)

    async def _tell_events(self, stream: RecognitionStream) -> None:
        try:
            async for event in stream:
                await self._tell(event)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the socket is open: what is left is to say it there
            await self._fail(error)

    async def _tell(self, event: RecognizeEvent) -> None:
        send = self._channel.send
        match event:
            case SpeechStarted():
                await send({"type": "speech_start", "offset_ms": self._at(event.offset_seconds)})
            case SpeechEnded():
                await send({"type": "speech_end", "offset_ms": self._at(event.offset_seconds)})
            case Partial():
                await send({"type": "partial", "text": event.text, "offset_ms": self._at(event.offset_seconds)})
            case Final():
                await send(final_event(event, self._before_seconds))
            case Behind():
                await send({"type": "behind", "behind_ms": milliseconds(event.seconds)})
            case RecognitionSummary():
                await self._tell_end(event)

    async def _tell_end(self, summary: RecognitionSummary) -> None:
        self._before_seconds += summary.audio_seconds
        if self._next is not None:
            return  # another leg follows
        # a recognition that ended though nobody here ended it was canceled by its session, or reached its longest time
        reason = self._reason or ("canceled" if summary.outcome == "canceled" else "limit")
        closed = {
            "type": "closed",
            "reason": reason,
            "audio_ms": milliseconds(self._before_seconds),
            "tier": summary.tier,
            **report_event(summary.report, is_warm_miss=summary.warm_miss),
        }
        await self._channel.send(closed)
        await self._channel.close(self._close_code, reason)

    async def _fail(self, error: Exception) -> None:
        if not self._channel.is_closing:
            self._next = None
            problem = await self._channel.refuse(error)
            await self._channel.close(problem.close_code, problem.code)

    async def _break(self, error: BrokenProtocol) -> None:
        await self._channel.refuse(error)
        await self._channel.close(error.close_code, error.code or "")

    def _at(self, seconds: float) -> float | None:
        """A time of this leg as one of the whole conversation."""
        return milliseconds(self._before_seconds + seconds)


def _request(message: dict[str, Any] | bytes) -> RecognizeRequest:
    """What a config message asks for."""
    if isinstance(message, bytes):
        text = "the first message must be a config as a JSON object; audio follows it"
        raise BrokenProtocol(text, code="config_expected", close_code=WSCloseCode.POLICY_VIOLATION)
    fields = Fields(message)
    message_kind(fields, ("config",))
    name = fields.text("format", default="pcm")
    ask = RecognizeRequest(
        language=fields.text("language"),
        phrases=fields.texts("phrases"),
        grammar=fields.texts("grammar"),
        words=fields.flag("words", default=False),
        partials=fields.flag("partials", default=True),
        segmentation_silence_ms=fields.integer("segmentation_silence_ms"),
        segmentation_maximum_ms=fields.integer("segmentation_maximum_ms"),
        segmentation_strategy=fields.text("segmentation_strategy"),
        start_sensitivity=fields.text("start_sensitivity"),
        format=input_format(name, fields.integer("sample_rate")),
        session_id=fields.text("session_id"),
        pool=fields.text("pool"),
    )
    fields.refuse_unknown()
    return ask
