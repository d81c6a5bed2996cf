"""POST /v1/audio/transcriptions: a recording in, text out."""

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web

from speechpool.errors import InvalidInput
from speechpool.service.events import RecognitionSummary
from speechpool.service.requests import TranscribeRequest
from speechpool.service.service import SpeechService
from speechpool.service.transcripts import Transcript, to_json, to_srt, to_text, to_verbose_json, to_vtt
from speechpool.speech.engine import Final
from speechpool.web.replies import StreamedResponse, note_ignored, speech_headers
from speechpool.web.sse import resumed, send_events
from speechpool.web.state import STATE
from speechpool.web.uploads import Form, open_form

__all__ = ["create_transcription"]

_TEXTUAL = {"text": to_text, "srt": to_srt, "vtt": to_vtt}
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_STREAMED_FORMATS = ("json", "text")
_GRANULARITIES = ("segment", "word")
_CONTENT_TYPES = {"vtt": "text/vtt"}
# Fields of OpenAI's that have no meaning here, and do no harm.
_TOLERATED = ("temperature", "include", "chunking_strategy", "known_speaker_names", "known_speaker_references")
_USED = (
    *("model", "language", "languages", "prompt", "keywords", "phrases", "grammar", "response_format", "stream"),
    *("timestamp_granularities", "session_id", "pool"),
)


async def create_transcription(request: web.Request) -> web.StreamResponse:
    """Answer one request for a transcription."""
    service = request.app[STATE].service
    async with open_form(request) as form:
        wanted = _Wanted(form, service)
        try:
            return await _answer(request, service, wanted)
        except InvalidInput as error:
            wanted.give_up_prompt(error)
            return await _answer(request, service, wanted)


async def _answer(request: web.Request, service: SpeechService, wanted: "_Wanted") -> web.StreamResponse:
    if wanted.is_stream:
        return await _stream(request, service, wanted)
    return _reply(request, wanted, await service.transcribe(wanted.request).result())


class _Wanted:
    """What a form asks for.

    Raises:
        InvalidInput: A field's value is not one of those that exist.
    """

    def __init__(self, form: Form, service: SpeechService) -> None:
        self._fields = form.fields
        self.is_stream = _flag("stream", self._last("stream") or "false")
        formats = _STREAMED_FORMATS if self.is_stream else _FORMATS
        self.format = _choice("response_format", self._last("response_format") or "json", formats)
        names = self._fields.get("timestamp_granularities", ["segment"])
        self.granularities = frozenset(_choice("timestamp_granularities", name, _GRANULARITIES) for name in names)
        _temperature(self._last("temperature"))
        self.ignored = [name for name in form.fields if name in _TOLERATED or name not in _USED]
        self._explicit = tuple(dict.fromkeys([*self._lines("phrases"), *self._lines("keywords")]))
        self.request = self._request(form, service)

    def give_up_prompt(self, error: InvalidInput) -> None:
        """Go on without the hints of `prompt`: it is free text for OpenAI's models, whatever our dictionary lacks.

        Raises:
            InvalidInput: `error`, where the prompt is not to blame.
        """
        if error.param != "phrases" or self.request.phrases == self._explicit:
            raise error
        self.request = replace(self.request, phrases=self._explicit)
        self.ignored.append("prompt")

    def _request(self, form: Form, service: SpeechService) -> TranscribeRequest:
        if form.file is None:
            raise InvalidInput("file is required: the audio", param="file", code="missing_required_parameter")
        return TranscribeRequest(
            upload=form.file,
            language=self._language(service),
            phrases=self._phrases(service),
            grammar=tuple(self._lines("grammar")),
            words="word" in self.granularities and self.format == "verbose_json",
            session_id=self._last("session_id"),
            pool=self._last("pool"),
        )

    def _last(self, name: str) -> str | None:
        values = self._fields.get(name)
        return values[-1] if values else None

    def _language(self, service: SpeechService) -> str | None:
        """The one language, or the first of several that a pool knows."""
        if (one := self._last("language")) or not (several := self._fields.get("languages")):
            return one or None
        known = {tag.lower() for tag in service.languages()}
        known |= {tag.partition("-")[0] for tag in known}
        return next((tag for tag in several if tag.lower() in known), several[0])

    def _phrases(self, service: SpeechService) -> tuple[str, ...]:
        """Hints: one a line of `phrases` and `keywords`, and OpenAI's `prompt` cut where a list of names is cut."""
        prompt = [part.strip() for part in re.split(r"[,;.\n]", self._last("prompt") or "")]
        hints = tuple(dict.fromkeys([*self._explicit, *filter(None, prompt)]))
        if hints and not service.engine.capabilities.phrases:
            self.ignored += [name for name in ("phrases", "keywords", "prompt") if name in self._fields]
            return ()
        return hints

    def _lines(self, name: str) -> Iterable[str]:
        stripped = (line.strip() for value in self._fields.get(name, ()) for line in value.splitlines())
        return (line for line in stripped if line)


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        known = ", ".join(choices)
        raise InvalidInput(f"{name} must be one of {known}; got {value[:64]!r}", param=name, code="unsupported_value")
    return value


def _flag(name: str, value: str) -> bool:
    return _choice(name, value.lower(), ("true", "false", "1", "0")) in {"true", "1"}


def _temperature(value: str | None) -> None:
    try:
        fits = value is None or 0 <= float(value) <= 1
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput("temperature must be a number from 0 to 1", param="temperature", code="invalid_value")


def _headers(request: web.Request, wanted: _Wanted, *, tier: str, wait_seconds: float) -> dict[str, str]:
    headers = speech_headers(request, tier=tier, wait_seconds=wait_seconds, timing={"acquire": wait_seconds})
    note_ignored(headers, wanted.ignored)
    return headers


def _reply(request: web.Request, wanted: _Wanted, transcript: Transcript) -> web.Response:
    headers = _headers(request, wanted, tier=transcript.tier, wait_seconds=transcript.wait_seconds)
    if (write := _TEXTUAL.get(wanted.format)) is not None:
        content_type = _CONTENT_TYPES.get(wanted.format, "text/plain")
        return web.Response(text=write(transcript), content_type=content_type, charset="utf-8", headers=headers)
    if wanted.format == "verbose_json":
        return web.json_response(to_verbose_json(transcript, wanted.granularities), headers=headers)
    return web.json_response(to_json(transcript), headers=headers)


async def _stream(request: web.Request, service: SpeechService, wanted: _Wanted) -> web.StreamResponse:
    async with service.transcribe(wanted.request) as stream:
        events = aiter(stream)
        first = await anext(events)  # what is wrong with the recording is told with a status of its own
        headers = _headers(request, wanted, tier=stream.tier, wait_seconds=stream.wait_seconds)
        return await send_events(request, StreamedResponse(headers=headers), _sse_events(resumed(first, events)))


async def _sse_events(events: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    texts: list[str] = []
    async for event in events:
        match event:
            case Final() if text := event.text.strip():
                yield {"type": "transcript.text.delta", "delta": f" {text}" if texts else text}
                texts.append(text)
            case RecognitionSummary():
                usage = {"type": "duration", "seconds": round(event.audio_seconds)}
                yield {"type": "transcript.text.done", "text": " ".join(texts), "usage": usage}
