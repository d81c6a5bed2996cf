"""POST /v1/audio/speech: text in, audio out from the first chunk."""

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from speechpool.errors import InvalidInput
from speechpool.service.events import AudioBytes, SpeechSummary
from speechpool.service.requests import SpeakRequest
from speechpool.service.service import SpeechService
from speechpool.service.utterances import UtteranceStream
from speechpool.web.fields import Fields
from speechpool.web.middleware import REQUEST_ID, request_id
from speechpool.web.replies import StreamedResponse, json_body, note_ignored, speech_headers, write
from speechpool.web.sse import resumed, send_events
from speechpool.web.state import STATE

__all__ = ["create_speech", "voice_field"]

# OpenAI counts a token of its audio for every 50 ms (its Realtime guide, "Managing costs").
_TOKEN_SECONDS = 0.05


async def create_speech(request: web.Request) -> web.StreamResponse:
    """Answer one request for speech."""
    fields = Fields(await json_body(request))
    service = request.app[STATE].service
    fields.text("model")
    is_sse = fields.choice("stream_format", ("audio", "sse"), "audio") == "sse"
    ask, ignored = _request(fields, service)
    async with service.speak(ask) as stream:
        response = _begin(request, stream, [*ignored, *fields.unknown])  # while the engine makes the first audio
        events = aiter(stream)
        first = await _first(events)
        response.headers.update(_timed(request, stream))
        if is_sse:
            return await send_events(request, response, _sse_events(resumed(first, events)))
        return await _send_audio(request, response, first, events)


def voice_field(fields: Fields) -> str | None:
    """The voice's name: a string, or OpenAI's object with an id.

    Raises:
        InvalidInput: It is neither.
    """
    value = fields.take("voice")
    if not isinstance(value, dict):
        return fields.text("voice")
    name = value.get("id")
    if not isinstance(name, str):
        raise InvalidInput("voice must be a name, or an object whose id is one", param="voice", code="invalid_type")
    return name


def _request(fields: Fields, service: SpeechService) -> tuple[SpeakRequest, list[str]]:
    """What a body asks for, and the names of those of its fields that have no effect."""
    is_ssml = fields.choice("input_type", ("text", "ssml"), "text") == "ssml"
    voice = voice_field(fields)
    instructions = fields.text("instructions", default="")
    session_id = fields.text("session_id")
    style = _style(service, voice, instructions)
    ask = SpeakRequest(
        text=fields.text("input", required=True),
        is_ssml=is_ssml,
        voice=voice,
        speed=fields.number("speed", 1.0),
        style=style,
        response_format=fields.text("response_format", default="mp3"),
        sample_rate_hz=fields.integer("sample_rate"),
        tells_played=session_id is not None,  # only a session can be interrupted and asked
        session_id=session_id,
        pool=fields.text("pool"),
    )
    return ask, ["instructions"] if instructions and style is None else []


def _style(service: SpeechService, voice: str | None, instructions: str) -> str | None:
    """Instructions are free text; an engine can follow them only where they name one of the voice's styles."""
    wanted = instructions.strip().lower()
    voices = service.voices() if wanted else ()
    if not voices:
        return None
    name = service.engine.resolve_voice(voice or service.settings.default_voice)
    styles = next((known.styles for known in voices if known.name == name), ())
    return next((style for style in styles if style.lower() == wanted), None)


async def _first(events: AsyncIterator[Any]) -> AudioBytes | SpeechSummary:
    """The first audio; what fails before it is an error with a status of its own."""
    async for event in events:
        if isinstance(event, (AudioBytes, SpeechSummary)):
            return event
    raise RuntimeError("an utterance ended without a summary")


def _begin(request: web.Request, stream: UtteranceStream, ignored: Sequence[str]) -> StreamedResponse:
    """The response, with what can be said before the first audio."""
    headers = {REQUEST_ID: request_id(request), "Content-Type": stream.content_type}
    note_ignored(headers, ignored)
    return StreamedResponse(headers=headers)


def _timed(request: web.Request, stream: UtteranceStream) -> dict[str, str]:
    """What is known with the first audio: when it came, and from which client in the end."""
    timing = {"acquire": stream.wait_seconds}
    if stream.first_byte_seconds is not None:
        timing["first_byte"] = stream.first_byte_seconds
    return speech_headers(request, tier=stream.tier, wait_seconds=stream.wait_seconds, timing=timing)


async def _send_audio(
    request: web.Request, response: StreamedResponse, first: AudioBytes | SpeechSummary, events: AsyncIterator[Any]
) -> web.StreamResponse:
    await response.prepare(request)
    if isinstance(first, AudioBytes):
        await write(request, response, first.data)
    async for event in events:
        if isinstance(event, AudioBytes):
            await write(request, response, event.data)
    await response.write_eof()
    return response


async def _sse_events(events: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    async for event in events:
        if isinstance(event, AudioBytes):
            yield {"type": "speech.audio.delta", "audio": base64.b64encode(event.data).decode()}
        elif isinstance(event, SpeechSummary):
            yield _done(event)


def _done(summary: SpeechSummary) -> dict[str, Any]:
    """OpenAI's last event; there are no tokens here, so the input's are its characters."""
    tokens_in, tokens_out = summary.characters, round(summary.audio_seconds / _TOKEN_SECONDS)
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {"type": "speech.audio.done", "usage": usage}
