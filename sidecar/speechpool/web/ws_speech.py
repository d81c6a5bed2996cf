"""GET /v1/speech/stream: many utterances on one WebSocket, one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from typing import Any

from aiohttp import WSCloseCode, web

from speechpool.audio.formats import response_format as named_format
from speechpool.errors import InvalidInput, QuotaExceeded, RequestError
from speechpool.service.events import AudioBytes, SpeakEvent, SpeechSummary
from speechpool.service.requests import SpeakOptions, SpeakRequest, check_session_id, check_speed
from speechpool.service.text_streams import TextStream
from speechpool.service.utterances import UtteranceStream
from speechpool.speech.engine import Bookmark, Viseme, WordBoundary
from speechpool.web.channel import BrokenProtocol, Channel, message_kind, open_channel
from speechpool.web.events import NOTHING_PLAYED, mark_event, milliseconds, played_event, report_event, summary_event
from speechpool.web.fields import Fields
from speechpool.web.speech import voice_field
from speechpool.web.state import STATE, WebState
from speechpool.web.turns import TextInbox, Turn

__all__ = ["MAX_TURNS", "stream_speech"]

MAX_TURNS = 32
"""Utterances of one socket that may wait or be under way. A guess: several paragraphs ahead of the player."""

_MAX_ID_CHARACTERS = 128


async def stream_speech(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket until either side closes it."""
    channel = await open_channel(request)
    state = request.app[STATE]
    conversation = SpeechConversation(channel, state)
    state.sockets.add(conversation)
    try:
        await conversation.run()
    finally:
        state.sockets.discard(conversation)
    return channel.response


class SpeechConversation:
    """Takes messages, and speaks the utterances they ask for in their order.

    Args:
        channel: The socket.
        state: The service and the settings.
    """

    def __init__(self, channel: Channel, state: WebState) -> None:
        self._channel = channel
        self._state = state
        self._defaults = SpeakOptions(response_format="pcm", word_boundaries=True)
        self._queue: asyncio.Queue[Turn | None] = asyncio.Queue()  # bounded: what is in it is in `_turns`
        self._turns: dict[str, Turn] = {}
        self._tasks = asyncio.TaskGroup()
        self._is_accepting = True
        self._close_code: int = WSCloseCode.OK
        self._made_ids = 0
        self._broken_ids: deque[str] = deque(maxlen=2 * MAX_TURNS)
        self._take: dict[str, Callable[[Fields], None]] = {
            "config": self._take_config,
            "speak": self._take_speak,
            "text": self._take_text,
            "flush": self._take_flush,
            "end": self._take_end,
        }

    async def run(self) -> None:
        """Talk until the socket closes; what is still being said then stops."""
        try:
            async with self._tasks:
                speaker = self._tasks.create_task(self._speak_turns())
                await self._listen()
                if not self._channel.is_closing:
                    self._stop_tasks(speaker)
        except* ConnectionError:
            pass  # the client is gone: nobody is left to tell

    def drain(self) -> None:
        """Finish what was accepted, take nothing more, then close with 1001."""
        self._close_code = WSCloseCode.GOING_AWAY
        self._stop_accepting()

    # --- messages in -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            try:
                message = await self._channel.receive(self._state.settings.websocket_idle_seconds)
                if message is None:
                    return
                await self._handle(message)
            except TimeoutError:
                if not self._turns:
                    await self._channel.close(WSCloseCode.OK, "idle")
            except BrokenProtocol as error:
                await self._channel.refuse(error, None)
                await self._channel.close(error.close_code, error.code or "")
            except RequestError as error:
                await self._channel.refuse(error, None)

    async def _handle(self, message: dict[str, Any] | bytes) -> None:
        if isinstance(message, bytes):
            text = "this socket takes no binary messages; send JSON objects as text"
            raise BrokenProtocol(text, code="binary_not_expected", close_code=WSCloseCode.UNSUPPORTED_DATA)
        fields = Fields(message)
        kind = message_kind(fields, (*self._take, "cancel"))
        turn_id = fields.text("id")
        try:
            if kind == "cancel":
                await self._cancel(fields)
            else:
                self._take[kind](fields)
        except RequestError as error:
            # an id that is taken belongs to another utterance, which goes on
            known = turn_id if error.code != "duplicate_id" else None
            await self._channel.refuse(error, known)

    def _take_config(self, fields: Fields) -> None:
        options = self._options(fields)
        fields.refuse_unknown()
        self._defaults = options

    def _take_speak(self, fields: Fields) -> None:
        options = asdict(self._options(fields))
        is_ssml = fields.choice("input_type", ("text", "ssml"), "text") == "ssml"
        ask = SpeakRequest(text=fields.text("input", required=True), is_ssml=is_ssml, **options)
        turn_id = fields.text("id")
        fields.refuse_unknown()
        self._accept(turn_id, ask, None)

    def _take_text(self, fields: Fields) -> None:
        text = fields.text("text", required=True)
        turn_id = fields.text("id")
        if turn_id in self._broken_ids:
            return  # it was on its way when its utterance was canceled or failed
        turn = self._open_turn(turn_id)
        if turn is None:
            options = self._options(fields)
            fields.refuse_unknown()
            turn = self._accept(turn_id, options, self._inbox())
        fields.refuse_unknown()
        assert turn.inbox is not None
        try:
            turn.inbox.add(text)
        except InvalidInput as error:
            self._fail(turn, error)

    def _take_flush(self, fields: Fields) -> None:
        goes_on = fields.flag("more", default=False)
        turn = self._open_turn(fields.text("id"))
        fields.refuse_unknown()
        if turn is None or turn.inbox is None:
            raise InvalidInput("no utterance takes text now; begin one with text", param="id", code="no_open_utterance")
        turn.inbox.flush() if goes_on else turn.inbox.finish()

    def _take_end(self, fields: Fields) -> None:
        fields.text("id")
        fields.refuse_unknown()
        self._stop_accepting()

    # --- turns -----------------------------------------------------------------------------------------------------

    def _options(self, fields: Fields) -> SpeakOptions:
        """The options in force for this socket, with what the message says otherwise."""
        before = self._defaults
        voice = voice_field(fields)
        response_format = fields.text("response_format", default=before.response_format)
        rate = fields.integer("sample_rate")
        # the rate of another format is not this one's
        kept_rate = before.sample_rate_hz if response_format == before.response_format else None
        options = replace(
            before,
            voice=voice or before.voice,
            speed=fields.number("speed", before.speed),
            style=fields.text("style") or before.style,
            response_format=response_format,
            sample_rate_hz=rate if rate is not None else kept_rate,
            word_boundaries=fields.flag("words", default=before.word_boundaries),
            visemes=fields.flag("visemes", default=before.visemes),
            session_id=fields.text("session_id") or before.session_id,
            pool=fields.text("pool") or before.pool,
        )
        self._check(options)
        return options

    def _check(self, options: SpeakOptions) -> None:
        """Refuse at once what the service would refuse when the turn comes."""
        check_speed(options.speed)
        named_format(options.response_format, options.sample_rate_hz)
        service = self._state.service
        if options.voice is not None and service.voices():  # an engine that is not open yet knows none
            service.engine.resolve_voice(options.voice)
        if options.session_id is not None:
            check_session_id(options.session_id)

    def _inbox(self) -> TextInbox:
        settings = self._state.settings
        longest = max(settings.max_input_characters, settings.max_ssml_characters)
        return TextInbox(piece_characters=settings.max_input_characters, limit_characters=longest)

    def _open_turn(self, turn_id: str | None) -> Turn | None:
        """The utterance that takes text: the one named, else the newest."""
        found = None
        for turn in self._turns.values():
            if turn.inbox is not None and not turn.inbox.is_finished and turn_id in {None, turn.id}:
                found = turn
        return found

    def _accept(self, turn_id: str | None, ask: SpeakRequest | SpeakOptions, inbox: TextInbox | None) -> Turn:
        if not self._is_accepting:
            raise InvalidInput("this socket is ending and takes no utterance", code="socket_ending")
        if len(self._turns) >= MAX_TURNS:
            message = f"{MAX_TURNS} utterances wait or are under way; wait until one is completed"
            raise QuotaExceeded(message, retry_after_seconds=1.0, code="queue_full")
        turn = Turn(id=self._turn_id(turn_id), ask=ask, inbox=inbox)
        self._turns[turn.id] = turn
        self._queue.put_nowait(turn)
        return turn

    def _turn_id(self, wanted: str | None) -> str:
        if wanted is None:
            self._made_ids += 1
            wanted = f"utterance-{self._made_ids}"
        if not 1 <= len(wanted) <= _MAX_ID_CHARACTERS:
            raise InvalidInput(f"id must have 1 to {_MAX_ID_CHARACTERS} characters", param="id", code="invalid_id")
        if wanted in self._turns:
            raise InvalidInput("id is that of an utterance that is not over", param="id", code="duplicate_id")
        return wanted

    def _stop_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            for turn in self._turns.values():
                if turn.inbox is not None:
                    turn.inbox.finish()
            self._queue.put_nowait(None)

    async def _cancel(self, fields: Fields) -> None:
        wanted = fields.text("id")
        played_ms = fields.number("played_ms", None)
        fields.refuse_unknown()
        if played_ms is not None and played_ms < 0:
            raise InvalidInput(
                f"played_ms must be at least 0; got {played_ms:g}", param="played_ms", code="invalid_value"
            )
        turns = [turn for turn in self._turns.values() if wanted in {None, turn.id}]
        if wanted is not None and not turns:
            raise InvalidInput("no utterance with this id waits or is under way", param="id", code="unknown_id")
        for turn in turns:
            self._broken_ids.append(turn.id)
            if turn.task is not None:
                turn.played_seconds = None if played_ms is None else played_ms / 1000
                turn.task.cancel()
            else:
                del self._turns[turn.id]
                await self._tell_canceled(turn)

    def _fail(self, turn: Turn, error: Exception) -> None:
        """End a turn with an error of its own."""
        turn.error = turn.error or error
        self._broken_ids.append(turn.id)
        if turn.inbox is not None:
            turn.inbox.finish()
        if turn.task is not None:
            turn.task.cancel()

    def _stop_tasks(self, speaker: asyncio.Task[None]) -> None:
        speaker.cancel()
        for turn in self._turns.values():
            if turn.task is not None:
                turn.task.cancel()

    # --- speaking --------------------------------------------------------------------------------------------------

    async def _speak_turns(self) -> None:
        while (turn := await self._queue.get()) is not None:
            if self._turns.get(turn.id) is not turn:
                continue  # canceled while it waited
            if turn.error is None:
                turn.task = self._tasks.create_task(self._speak(turn))
                await asyncio.wait({turn.task})
            del self._turns[turn.id]
            await self._tell_broken(turn)
        await self._channel.close(self._close_code)

    async def _speak(self, turn: Turn) -> None:
        try:
            async with self._open_stream(turn) as stream:
                turn.stream = stream
                await self._tell_started(turn, stream)
                feeder = self._tasks.create_task(self._feed(turn))
                try:
                    async for event in stream:
                        await self._tell(turn, event)
                finally:
                    feeder.cancel()
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the utterance fails alone; the socket serves the next one
            turn.error = turn.error or error

    def _open_stream(self, turn: Turn) -> AbstractAsyncContextManager[UtteranceStream | TextStream]:
        service = self._state.service
        if isinstance(turn.ask, SpeakRequest):
            return service.speak(turn.ask)
        return service.speak_text(turn.ask)

    async def _feed(self, turn: Turn) -> None:
        if turn.inbox is None or not isinstance(turn.stream, TextStream):
            return
        try:
            await turn.inbox.feed(turn.stream)
        except RequestError as error:
            self._fail(turn, error)

    # --- events out ------------------------------------------------------------------------------------------------

    async def _tell_started(self, turn: Turn, stream: UtteranceStream | TextStream) -> None:
        started = {
            "type": "started",
            "pool": stream.pool,
            "tier": stream.tier,
            "wait_ms": milliseconds(stream.wait_seconds),
            "response_format": stream.response_format,
            "sample_rate": stream.content_format.sample_rate_hz,
        }
        await self._send(turn, started)

    async def _tell(self, turn: Turn, event: SpeakEvent) -> None:
        match event:
            case AudioBytes():
                if not turn.has_audio:
                    turn.has_audio = True
                    await self._tell_first_audio(turn)
                await self._channel.send_audio(event.data)
            case WordBoundary() | Viseme() | Bookmark():
                await self._send(turn, mark_event(event))
            case SpeechSummary():
                turn.is_told = True
                await self._send(turn, summary_event(event))

    async def _tell_first_audio(self, turn: Turn) -> None:
        assert turn.stream is not None
        first_ms = milliseconds(turn.stream.first_byte_seconds)
        await self._send(turn, {"type": "first_audio", "first_audio_ms": first_ms, "tier": turn.stream.tier})

    async def _tell_broken(self, turn: Turn) -> None:
        """Tell how a turn ended that did not end by itself."""
        if turn.is_told:
            return
        if turn.error is not None:
            await self._channel.refuse(turn.error, turn.id, _sent(turn))
        else:
            await self._tell_canceled(turn)

    async def _tell_canceled(self, turn: Turn) -> None:
        await self._send(turn, {"type": "canceled", **_sent(turn)})

    async def _send(self, turn: Turn, event: dict[str, Any]) -> None:
        await self._channel.send({**event, "id": turn.id})


def _sent(turn: Turn) -> dict[str, Any]:
    """What went out of an utterance that did not come to its end, and how the engine served it."""
    if (stream := turn.stream) is None:
        return NOTHING_PLAYED
    played = played_event(stream.played(turn.played_seconds))
    return played | report_event(stream.report, is_warm_miss=stream.is_warm_miss)
