"""Synthesis: what the service does with the messages of a text-to-speech connection."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from speechpool.errors import InvalidInput, SpeechPoolError
from speechpool_azure_emulator.connection import Connection
from speechpool_azure_emulator.faults import Fault
from speechpool_azure_emulator.formats import OutputFormat, output_format
from speechpool_azure_emulator.frames import Message, audio_prefix
from speechpool_azure_emulator.ledger import UtteranceRecord
from speechpool_azure_emulator.pieces import Pieces
from speechpool_azure_emulator.script import BadScript, Script, plain_script, ssml_script
from speechpool_azure_emulator.sound import Sound
from speechpool_azure_emulator.timeline import Entry, wanted
from speechpool_azure_emulator.voices import is_voice

__all__ = ["SynthesisConnection"]

_DEFAULT_FORMAT = "riff-16khz-16bit-mono-pcm"  # the SDK's
_BAD_INPUT, _FAILED = 1007, 1011
_MAX_CONTEXTS = 100


class SynthesisConnection:
    """Answers the messages of one connection.

    Args:
        connection: Of kind "tts".
        tasks: Where utterances run.
    """

    def __init__(self, connection: Connection, tasks: asyncio.TaskGroup) -> None:
        self._connection = connection
        self._tasks = tasks
        self._contexts: dict[str, dict[str, Any]] = {}
        self._running: dict[str, tuple[asyncio.Task[None], Pieces | None]] = {}

    def take(self, message: Message) -> None:
        """Take one message of the client."""
        match message.path:
            case "speech.config":
                self._connection.record.speech_config = _json(message.body)
            case "synthesis.context":
                self._take_context(message)
            case "ssml":
                self._begin(message, None)
            case "text.piece" | "text.end":
                self._take_piece(message)
            case "telemetry":
                self._connection.state.ledger.count("telemetry")
            case _:
                self._connection.state.ledger.count("unknown_messages")

    def _take_context(self, message: Message) -> None:
        if len(self._contexts) >= _MAX_CONTEXTS:  # of requests that never came
            del self._contexts[next(iter(self._contexts))]
        self._contexts[message.request_id] = _json(message.body)

    def _take_piece(self, message: Message) -> None:
        known = self._running.get(message.request_id)
        pieces = known[1] if known else None
        if pieces is None:
            if message.request_id not in self._contexts:
                self._connection.state.ledger.count("unknown_messages")
                return
            pieces = Pieces(by_sentence=self._connection.state.speaker.by_sentence)
            self._begin(message, pieces)
        if message.path == "text.end":
            pieces.finish()
            self._connection.state.ledger.count("texts_ended")
        else:
            pieces.add(message.body.decode("utf-8", "replace"))

    def _begin(self, message: Message, pieces: Pieces | None) -> None:
        if self._connection.state.options.tts_overlap == "cut":
            for task, _ in self._running.values():
                task.cancel()
        context = self._contexts.pop(message.request_id, {})
        record = self._connection.state.ledger.utterance_begun(self._connection.record, message.request_id)
        record.context = context
        turn = _Turn(self._connection, record, pieces, message.body.decode("utf-8", "replace"))
        task = self._tasks.create_task(turn.run())
        self._running[message.request_id] = (task, pieces)
        task.add_done_callback(lambda _: self._running.pop(message.request_id, None))


class _Turn:
    """One utterance."""

    def __init__(self, connection: Connection, record: UtteranceRecord, pieces: Pieces | None, body: str) -> None:
        self._connection = connection
        self._options = connection.state.options
        self._record = record
        self._pieces = pieces
        self._body = body
        self._stream_id = uuid.uuid4().hex

    async def run(self) -> None:
        self._connection.turn_began()
        state = "broken"
        try:
            await self._answer()
            state = "complete"
        except (BadScript, InvalidInput) as error:
            state = "refused"
            self._connection.state.ledger.ended(self._record, state)
            await self._connection.close(_BAD_INPUT, str(error))
        except SpeechPoolError:
            await self._connection.close(_FAILED, "The engine behind the emulator failed.")
        except asyncio.CancelledError:
            state = "cut"
            raise
        finally:
            if self._connection.is_gone and state == "cut":
                state = "broken"
            self._connection.state.ledger.ended(self._record, state)
            self._connection.turn_ended()

    async def _answer(self) -> None:
        await self._connection.reach("request")
        output = self._output()
        scripts = self._scripts()
        tag = uuid.uuid4().hex
        if not await self._connection.reach("turn_start"):
            await self._send("turn.start", {"context": {"serviceTag": tag}})
        audio = {"type": "inline", "streamId": self._stream_id}
        await self._send("response", {"context": {"serviceTag": tag}, "audio": audio})
        await self._send_all_audio(scripts, output)
        if not await self._connection.reach("turn_end"):
            await self._send("turn.end", {})

    def _output(self) -> OutputFormat:
        context = self._record.context
        name = str(context.get("synthesis", {}).get("audio", {}).get("outputFormat", _DEFAULT_FORMAT))
        self._record.format = name
        output = output_format(name)
        if output is None or not self._connection.state.speaker.makes(output):
            raise BadScript(f"Unsupported audio format {name}.")
        return output

    def _scripts(self) -> AsyncIterator[Script]:
        if self._pieces is None:
            script = ssml_script(self._body)
            self._record.ssml = self._body
            self._note(script)
            return _once(script)
        given = self._record.context.get("synthesis", {}).get("input", {})
        voice = str(given.get("voiceName") or "en-US-AvaMultilingualNeural")
        self._check_voices((voice,))
        self._record.voice = voice
        return self._streamed(self._pieces, voice, str(given.get("language", "")))

    def _note(self, script: Script) -> None:
        self._record.text, self._record.voice = script.text, script.voices[0]
        self._check_voices(script.voices)

    def _check_voices(self, names: tuple[str, ...]) -> None:
        for name in names:
            if not is_voice(name):
                raise BadScript(f"Unsupported voice {name}.")

    async def _streamed(self, pieces: Pieces, voice: str, language: str) -> AsyncIterator[Script]:
        async for text in pieces:
            self._record.pieces = pieces.count
            self._record.text += text
            yield plain_script(text, voice, language)
        self._record.pieces = pieces.count

    async def _send_all_audio(self, scripts: AsyncIterator[Script], output: OutputFormat) -> None:
        faults = self._connection.state.faults.take("audio", "tts")
        pump = _Pump(self._connection, self._record, output, self._stream_id, self._options.first_chunk_seconds)
        if await pump.begin(faults):
            return
        async for script in scripts:
            await pump.say(script)
        await pump.finish()

    async def _send(self, path: str, body: dict[str, Any]) -> None:
        await self._connection.send(path, self._record.request_id, json.dumps(body))


class _Pump:
    """Sends the audio of one utterance at its pace, with what happens in it, up to the bytes where a fault strikes."""

    def __init__(
        self, connection: Connection, record: UtteranceRecord, output: OutputFormat, stream_id: str, wait_seconds: float
    ) -> None:
        self._connection = connection
        self._record = record
        self._output = output
        self._prefix = audio_prefix(record.request_id, stream_id, output.content_type)
        self._end = audio_prefix(record.request_id, stream_id, None)
        self._due_at = record.requested_at + wait_seconds
        self._shift_seconds = 0.0
        self._seconds = 0.0
        self._faults: list[Fault] = []

    async def begin(self, faults: list[Fault]) -> bool:
        """Take the faults that will strike; returns whether there shall be no audio at all."""
        strikes = [fault for fault in faults if fault.action != "omit"]
        self._faults = sorted(strikes, key=lambda fault: fault.after_bytes)
        await self._strike()
        return len(strikes) < len(faults)

    async def say(self, script: Script) -> None:
        """Send all of a script, after what was sent before."""
        self._shift_seconds = self._seconds
        state = self._connection.state
        async for piece in state.speaker.speak(script, self._output, self._record, state.options):
            if isinstance(piece, Entry):
                if wanted(piece, self._record.context):
                    await self._send_entry(piece.as_json(self._shift_seconds))
            else:
                await self._pace()
                await self._send_sound(piece)

    async def finish(self) -> None:
        """Send the end of the audio."""
        await self._connection.send_audio(self._end, b"")
        await self._send_entry(Entry("SessionEnd", self._seconds).as_json())

    async def _send_entry(self, body: str) -> None:
        await self._connection.send("audio.metadata", self._record.request_id, body)

    async def _pace(self) -> None:
        wait_seconds = self._due_at - time.monotonic()
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)

    async def _send_sound(self, sound: Sound) -> None:
        data = sound.data
        while self._faults and self._faults[0].after_bytes <= self._record.audio_bytes + len(data):
            room = self._faults[0].after_bytes - self._record.audio_bytes
            await self._send_part(data[:room])
            data = data[room:]
            await self._strike()
        await self._send_part(data)
        now, pace = time.monotonic(), self._connection.state.options.pace
        self._seconds += sound.seconds
        # A pace that was missed for a while is not made up for in a burst of more than one chunk.
        self._due_at = max(self._due_at + sound.seconds / pace, now - sound.seconds) if pace else 0.0

    async def _send_part(self, data: bytes | memoryview) -> None:
        if not data:
            return
        await self._connection.send_audio(self._prefix, data)
        record = self._record
        record.chunks += 1
        record.audio_bytes += len(data)
        record.first_chunk_at = record.first_chunk_at or time.monotonic()
        self._connection.state.ledger.changed()

    async def _strike(self) -> None:
        while self._faults and self._faults[0].after_bytes <= self._record.audio_bytes:
            await self._connection.suffer(self._faults.pop(0))


async def _once(script: Script) -> AsyncIterator[Script]:
    yield script


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
