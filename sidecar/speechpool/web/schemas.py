"""The JSON Schemas of /openapi.json: every body that the API takes or gives."""

from typing import Any

from speechpool.audio.formats import RESPONSE_FORMATS, SAMPLE_RATES_HZ
from speechpool.service.requests import SPEEDS
from speechpool.settings import PROCESS_KNOBS, PoolKind, Settings
from speechpool.web.models import OPENAI_VOICES

__all__ = ["SESSION_ID", "schemas"]

Schema = dict[str, Any]

SESSION_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}

_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_INTEGER: Schema = {"type": "integer"}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}


def schemas(settings: Settings) -> dict[str, Schema]:
    """Every schema by its name, with the bounds that are in force."""
    return {
        "Error": _error(),
        "SpeechRequest": _speech_request(settings),
        "SpeechEvent": _speech_event(),
        "TranscriptionRequest": _transcription_request(),
        "Transcription": _transcription(),
        "VerboseTranscription": _verbose_transcription(),
        "TranscriptionEvent": _transcription_event(),
        "Model": _model(),
        "ModelList": _list_of("Model"),
        "VoiceList": _voice_list(),
        "SessionRequest": _session_request(),
        "Session": _session(),
        "SessionList": _list_of("Session"),
        "CancelResult": _cancel_result(),
        "Pool": _pool(),
        "PoolList": _list_of("Pool"),
        "Config": _config(),
        "Readiness": _readiness(),
    }


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), is_open: bool = False) -> Schema:
    required = [name for name in properties if name not in optional]
    made: Schema = {"type": "object", "properties": properties, "required": required}
    return made if is_open else {**made, "additionalProperties": False}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> Schema:
    return _object({"object": {"const": "list"}, "data": _array(_ref(name))})


def _error() -> Schema:
    error = _object({"message": _STRING, "type": _STRING, "param": _nullable(_STRING), "code": _STRING})
    return _object({"error": error})


def _speech_request(settings: Settings) -> Schema:
    low, high = SPEEDS
    longest = max(settings.max_input_characters, settings.max_ssml_characters)
    text = f"At most {settings.max_input_characters} characters, of SSML {settings.max_ssml_characters}."
    name = _described(_STRING, f"A voice of GET /v1/audio/voices, or one of OpenAI's: {', '.join(OPENAI_VOICES)}.")
    voice = {"anyOf": [name, _object({"id": _STRING}, is_open=True), {"type": "null"}]}
    properties: dict[str, Schema] = {
        "input": {"type": "string", "minLength": 1, "maxLength": longest, "description": text},
        "model": _described(_nullable(_STRING), "Any name; the pool is chosen by format."),
        "voice": voice,
        "response_format": _nullable({"type": "string", "enum": list(RESPONSE_FORMATS), "default": "mp3"}),
        "speed": _described(
            _nullable({"type": "number", "minimum": low, "maximum": high, "default": 1.0}), "1 is the voice's own."
        ),
        "stream_format": _described(
            _nullable({"type": "string", "enum": ["audio", "sse"], "default": "audio"}),
            "sse: the audio in Base64 in server-sent events.",
        ),
        "instructions": _described(_nullable(_STRING), "Followed where it is the name of one of the voice's styles."),
        "input_type": _nullable({"type": "string", "enum": ["text", "ssml"], "default": "text"}),
        "sample_rate": _described(
            _nullable({"type": "integer", "enum": list(SAMPLE_RATES_HZ)}),
            "Samples a second. 24000, for mulaw and alaw 8000; opus has no 22050 and 44100.",
        ),
        "session_id": _described(_nullable(SESSION_ID), "The session whose client speaks; opened where it is not."),
        "pool": _described(_nullable(_STRING), "A pool of GET /v1/pools that makes speech."),
    }
    return _object(properties, optional=tuple(name for name in properties if name != "input"), is_open=True)


def _speech_event() -> Schema:
    usage = _object({"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT})
    delta = _object({"type": {"const": "speech.audio.delta"}, "audio": _described(_STRING, "Base64.")})
    return {"anyOf": [delta, _object({"type": {"const": "speech.audio.done"}, "usage": usage}), _ref("Error")]}


def _transcription_request() -> Schema:
    texts = {"type": "array", "items": _STRING}
    properties: dict[str, Schema] = {
        "file": _described({"type": "string", "format": "binary"}, "A recording in any usual container."),
        "model": _described(_STRING, "Any name."),
        "language": _described(_STRING, "As en or en-US; the pool's own where it is absent."),
        "languages[]": _described(texts, "The first that a pool knows."),
        "response_format": {
            "type": "string",
            "enum": ["json", "text", "srt", "verbose_json", "vtt"],
            "default": "json",
        },
        "timestamp_granularities[]": _described(
            _array({"type": "string", "enum": ["segment", "word"]}), "For verbose_json; segments where it is absent."
        ),
        "stream": _described(
            {"type": "string", "enum": ["true", "false"]}, "true: server-sent events, with json or text."
        ),
        "prompt": _described(_STRING, "Hints: names and words that are likely."),
        "keywords[]": _described(texts, "Hints."),
        "phrases[]": _described(texts, "Hints, one a line."),
        "grammar[]": _described(texts, "The closed set of sentences that can be recognised, one a line."),
        "temperature": _described({"type": "number", "minimum": 0, "maximum": 1}, "Without effect."),
        "session_id": _described(SESSION_ID, "The session whose client listens; opened where it is not."),
        "pool": _described(_STRING, "A pool of GET /v1/pools that recognises."),
    }
    return _object(properties, optional=tuple(name for name in properties if name != "file"), is_open=True)


def _duration_usage() -> Schema:
    return _object({"type": {"const": "duration"}, "seconds": _SECONDS})


def _transcription() -> Schema:
    return _object({"text": _STRING, "usage": _duration_usage()})


def _verbose_transcription() -> Schema:
    word = _object({"word": _STRING, "start": _SECONDS, "end": _SECONDS})
    segment = _object(
        {
            "id": _COUNT,
            "seek": _COUNT,
            "start": _SECONDS,
            "end": _SECONDS,
            "text": _STRING,
            "tokens": _array(_INTEGER),
            "temperature": _NUMBER,
            "avg_logprob": _NUMBER,
            "compression_ratio": _NUMBER,
            "no_speech_prob": _NUMBER,
            "confidence": _nullable(_NUMBER),
        }
    )
    properties: dict[str, Schema] = {
        "task": {"const": "transcribe"},
        "language": _STRING,
        "duration": _SECONDS,
        "text": _STRING,
        "segments": _array(segment),
        "words": _array(word),
        "usage": _duration_usage(),
    }
    return _object(properties, optional=("segments", "words"))


def _transcription_event() -> Schema:
    delta = _object({"type": {"const": "transcript.text.delta"}, "delta": _STRING})
    done = _object({"type": {"const": "transcript.text.done"}, "text": _STRING, "usage": _duration_usage()})
    return {"anyOf": [delta, done, _ref("Error")]}


def _model() -> Schema:
    kinds = [kind.value for kind in PoolKind]
    return _object(
        {
            "id": _described(_STRING, "The pool's name."),
            "object": {"const": "model"},
            "created": _COUNT,
            "owned_by": _described(_STRING, "The engine."),
            "kind": {"type": "string", "enum": kinds},
        }
    )


def _voice_list() -> Schema:
    voice = _object(
        {
            "id": _STRING,
            "name": _STRING,
            "language": _STRING,
            "gender": {"type": "string", "enum": ["male", "female", "neutral"]},
            "description": _STRING,
            "styles": _array(_STRING),
        }
    )
    aliases = {
        "type": "object",
        "additionalProperties": _STRING,
        "description": "OpenAI's names and what they stand for.",
    }
    return _object({"object": {"const": "list"}, "voices": _array(voice), "aliases": aliases})


def _session_request() -> Schema:
    properties = {
        "tts_pool": _described(_nullable(_STRING), "The pool of the client that speaks."),
        "stt_pool": _described(_nullable(_STRING), "The pool of the client that listens."),
        "language": _described(_nullable(_STRING), "What it will hear: chooses the pool that listens."),
        "response_format": _described(
            _nullable({"type": "string", "enum": list(RESPONSE_FORMATS)}),
            "What it will say: chooses the pool that speaks.",
        ),
    }
    return _object(properties, optional=tuple(properties))


def _session() -> Schema:
    client = _nullable(_object({"pool": _STRING, "tier": _nullable(_STRING)}))
    return _object(
        {
            "id": SESSION_ID,
            "object": {"const": "session"},
            "state": {"type": "string", "enum": ["idle", "speaking", "listening", "both"]},
            "tts": client,
            "stt": client,
            "age_seconds": _SECONDS,
            "idle_seconds": _SECONDS,
            "utterances": _COUNT,
            "recognitions": _COUNT,
        }
    )


def _cancel_result() -> Schema:
    return _object(
        {
            "canceled": _described(_BOOLEAN, "Whether something was being said."),
            "audio_seconds_sent": _SECONDS,
            "text_sent": _described(_STRING, "The text of that audio."),
            "characters_sent": _COUNT,
            "estimated": _described(_BOOLEAN, "Whether the text is proportional to the audio: no word times."),
        }
    )


def _pool() -> Schema:
    counts = {"type": "object", "additionalProperties": _COUNT}
    return _object(
        {
            "name": _STRING,
            "kind": {"type": "string", "enum": [kind.value for kind in PoolKind]},
            "ready": _BOOLEAN,
            "state": _STRING,
            "warm_pool_size": _described(_COUNT, "Idle and warm now."),
            "warm_pool_target": _COUNT,
            "recommended_warm_pool_size": _nullable(_COUNT),
            "session_awareness": _BOOLEAN,
            "active_sessions": _COUNT,
            "background_warmup": _BOOLEAN,
            "items": counts,
            "clients": _described(_array({"type": "object"}), "Each client: its state, age, idleness and uses."),
            "metrics": {"type": "object"},
        },
        optional=("clients",),
        is_open=True,
    )


def _config() -> Schema:
    names = ", ".join(knob.key for knob in PROCESS_KNOBS[:3])
    settings = {"type": "object", "description": f"As a settings file would hold them: {names}, ..., pools."}
    origin = _object({"source": _STRING, "name": _nullable(_STRING)}, is_open=True)
    return _object(
        {
            "generation": _COUNT,
            "hash": _STRING,
            "settings": settings,
            "provenance": {"type": "object", "additionalProperties": origin},
            "sources": _array({"type": "object"}),
        },
        is_open=True,
    )


def _readiness() -> Schema:
    reason = _object({"component": _STRING, "reason": _STRING, "message": _STRING})
    return _object({"ready": _BOOLEAN, "started": _BOOLEAN, "reasons": _array(reason)})
