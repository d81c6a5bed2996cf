"""Recognition: what the service does with the messages of a speech-to-text connection."""

import asyncio
import json
import uuid
from collections import deque
from typing import Any

from speechpool.errors import InvalidInput, SpeechPoolError
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import Final, Partial, RecognitionEvent, Recognizing, SpeechEnded, SpeechStarted
from speechpool_azure_emulator import phrases
from speechpool_azure_emulator.connection import Connection, ConnectionOver
from speechpool_azure_emulator.frames import Message
from speechpool_azure_emulator.ledger import RecognitionRecord
from speechpool_azure_emulator.listening import Quiet
from speechpool_azure_emulator.request import read_request, silence_seconds
from speechpool_azure_emulator.riff import read_header
from speechpool_azure_emulator.timeline import ticks

__all__ = ["RecognitionConnection"]

_STREAM_GAP_SECONDS = 0.03
"""After the end of a stream the next one may follow in the same request: the SDK sends left-over audio first."""

_MAX_MESSAGES = 100_000  # of a turn that is behind: hours of audio in the SDK's messages of 100 ms
_BAD_INPUT, _FAILED = 1007, 1011
_ENDED_KEPT = 16  # request ids of turns that ended, whose late audio is no new turn


class RecognitionConnection:
    """Answers the messages of one connection.

    Args:
        connection: Of kind "stt".
        tasks: Where turns run.
    """

    def __init__(self, connection: Connection, tasks: asyncio.TaskGroup) -> None:
        self._connection = connection
        self._tasks = tasks
        self._turns: dict[str, _Turn] = {}
        self._ended: dict[str, None] = {}

    def take(self, message: Message) -> None:
        """Take one message of the client."""
        ledger = self._connection.state.ledger
        match message.path:
            case "speech.config":
                self._connection.record.speech_config = _json(message.body)
            case "speech.context":
                self._begin(message.request_id, _json(message.body))
            case "audio":
                self._take_audio(message)
            case "audio.commit" if message.request_id in self._turns:
                self._turns[message.request_id].take(message)
            case "telemetry":
                ledger.count("telemetry")
            case _:
                ledger.count("unknown_messages")

    def _take_audio(self, message: Message) -> None:
        if message.request_id not in self._turns:
            if message.request_id in self._ended or not message.body:
                return
            self._begin(message.request_id, {})
        self._turns[message.request_id].take(message)

    def _begin(self, request_id: str, context: dict[str, Any]) -> None:
        if request_id in self._turns:
            return
        record = self._connection.state.ledger.recognition_begun(self._connection.record, request_id)
        read_request(record, context)
        turn = _Turn(self._connection, record)
        self._turns[request_id] = turn
        task = self._tasks.create_task(turn.run())
        task.add_done_callback(lambda _: self._end(request_id))

    def _end(self, request_id: str) -> None:
        del self._turns[request_id]
        self._ended[request_id] = None
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]


class _Turn:
    """One request: audio in, phrases out."""

    def __init__(self, connection: Connection, record: RecognitionRecord) -> None:
        self._connection = connection
        self._record = record
        self._incoming: asyncio.Queue[Message] = asyncio.Queue(_MAX_MESSAGES)
        self._audio = AudioFormat(Codec.PCM, 16_000)
        self._faults = connection.state.faults.take("audio", "stt")
        self._commit_tokens: deque[str] = deque()
        self._has_spoken = False
        self._speech_ended: float | None = None
        self._quiet: Quiet | None = None

    def take(self, message: Message) -> None:
        """Audio, its end (no payload), or a commit.

        Raises:
            ConnectionOver: The turn is hopelessly behind.
        """
        try:
            self._incoming.put_nowait(message)
        except asyncio.QueueFull:
            raise ConnectionOver from None

    async def run(self) -> None:
        self._connection.turn_began()
        state = "broken"
        try:
            await self._answer()
            state = "complete"
        except InvalidInput as error:
            await self._connection.close(_BAD_INPUT, str(error))
        except SpeechPoolError:
            await self._connection.close(_FAILED, "The engine behind the emulator failed.")
        finally:
            self._connection.state.ledger.ended(self._record, state)
            self._connection.turn_ended()

    async def _answer(self) -> None:
        await self._connection.reach("request")
        if not await self._connection.reach("turn_start"):
            await self._send("turn.start", {"context": {"serviceTag": uuid.uuid4().hex}})
        first = await self._audio_of(await self._incoming.get())
        options = self._connection.state.options
        listener = self._connection.state.listener
        silence = silence_seconds(self._record.context, options.segmentation_silence_seconds)
        hearing = await listener.listen(self._audio, self._record, silence)
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed(hearing, first))
                await self._tell(hearing)
                feeding.cancel()
        finally:
            await hearing.cancel()
        await self._end()

    # --- audio in --------------------------------------------------------------------------------------------------

    async def _feed(self, hearing: Recognizing, first: bytes) -> None:
        await self._hear(hearing, first)
        while True:
            message = await self._incoming.get()
            if message.path == "audio.commit":
                await self._commit(hearing, message.commit_token)
            elif message.body:
                await self._hear(hearing, await self._audio_of(message))
                await asyncio.sleep(0)  # audio that is here already shall not keep back what was understood
            elif await self._is_last():
                await hearing.finish()
                return

    async def _commit(self, hearing: Recognizing, token: str) -> None:
        self._record.commits += 1
        self._connection.state.ledger.changed()
        if self._connection.state.options.inline_commit:
            self._commit_tokens.append(token)
            await hearing.commit()

    async def _audio_of(self, message: Message) -> bytes:
        if not message.body.startswith(b"RIFF"):
            return message.body
        audio, body = read_header(message.body)
        if audio is None:
            await self._connection.close(_BAD_INPUT, "Unsupported audio format.")
        self._audio = audio
        self._record.audio_format = f"{self._audio.codec}-{self._audio.sample_rate_hz}"
        return body

    async def _hear(self, hearing: Recognizing, audio: bytes) -> None:
        self._record.audio_bytes += len(audio)
        self._connection.state.ledger.changed()
        for fault in self._faults:
            if fault.after_bytes <= self._record.audio_bytes:
                self._faults.remove(fault)
                await self._connection.suffer(fault)
        await hearing.write(audio)
        await self._check_silence(hearing, audio)

    async def _check_silence(self, hearing: Recognizing, audio: bytes) -> None:
        options = self._connection.state.options
        if self._record.mode == "interactive":
            if not self._has_spoken and self._seconds >= options.initial_silence_seconds:
                await hearing.cancel()
            return
        self._quiet = self._quiet or Quiet(self._audio, options.no_match_seconds)
        for begun_seconds in self._quiet.add(audio):
            await self._send("speech.phrase", phrases.long_silence(begun_seconds, options.no_match_seconds))

    async def _is_last(self) -> bool:
        """Whether no further stream of the same request follows."""
        await asyncio.sleep(_STREAM_GAP_SECONDS)
        return self._incoming.empty()

    @property
    def _seconds(self) -> float:
        return self._audio.seconds(self._record.audio_bytes)

    # --- phrases out -----------------------------------------------------------------------------------------------

    async def _tell(self, hearing: Recognizing) -> None:
        async for event in hearing:
            await self._tell_event(event)
            if isinstance(event, Final) and self._record.mode == "interactive":
                self._speech_ended = event.offset_seconds + event.duration_seconds
                return

    async def _tell_event(self, event: RecognitionEvent) -> None:
        language = self._detected_language()
        match event:
            case SpeechStarted():
                self._has_spoken = True
                await self._send("speech.startDetected", {"Offset": ticks(event.offset_seconds)})
            case SpeechEnded():
                self._speech_ended = event.offset_seconds
            case Partial():
                self._record.hypotheses += 1
                await self._send("speech.hypothesis", phrases.hypothesis(event, self._seconds, language))
            case Final():
                await asyncio.sleep(self._connection.state.options.final_seconds)
                body = phrases.phrase(event, language, is_detailed=self._record.is_detailed)
                if self._commit_tokens:
                    body = phrases.with_commit(body, self._commit_tokens.popleft())
                await self._send_phrase(body)

    async def _send_phrase(self, body: dict[str, Any]) -> None:
        for fault in self._connection.state.faults.take("phrase", "stt"):
            if fault.action == "status":
                body = phrases.failed(body, fault.recognition_status)
            elif await self._connection.suffer(fault):
                return
        self._record.phrases.append(str(body.get("DisplayText", "")))
        self._connection.state.ledger.changed()
        await self._send("speech.phrase", body)

    def _detected_language(self) -> str | None:
        if not self._record.languages:
            return None
        return self._connection.state.options.detected_language or self._record.languages[0]

    async def _end(self) -> None:
        # Once, and only here: at `speech.endDetected` the SDK sends no more audio in this turn.
        if self._speech_ended is not None:
            await self._send("speech.endDetected", {"Offset": ticks(self._speech_ended)})
        if self._record.mode == "interactive":
            if not self._record.phrases:
                await self._send_phrase(phrases.nothing_said(self._seconds))
        else:
            await self._send("speech.phrase", phrases.end_of_dictation(self._seconds))
        if not await self._connection.reach("turn_end"):
            await self._send("turn.end", {})

    async def _send(self, path: str, body: dict[str, Any]) -> None:
        await self._connection.send(path, self._record.request_id, json.dumps(body))


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
