"""/openapi.json: what the API serves, written down; a test compares it with the routes and with real replies."""

from typing import Any

from speechpool.settings import Settings
from speechpool.web.schemas import SESSION_ID, schemas

__all__ = ["document"]

Node = dict[str, Any]

_ERRORS = {
    400: "Malformed, or a value is wrong: `param` names the field.",
    401: "TCP listener only: no bearer token, or a wrong one.",
    403: "TCP listener only: this Host or Origin is not allowed.",
    404: "No such thing.",
    408: "The body did not come in time.",
    409: "The session does this already: one utterance and one recognition at a time.",
    413: "Too large; told before the end of the body.",
    426: "This route is a WebSocket.",
    429: "Too many: the pool's waiting line is full, or a cap is reached.",
    500: "A defect of SpeechPool's.",
    502: "The engine failed, or refused its credentials.",
    503: "No client in time, the engine cannot be reached, or the sidecar is stopping.",
    504: "The engine sent nothing in time.",
}
_ANY = (400, 401, 403, 500)
_BODY = (408, 413)
_ENGINE = (409, 429, 502, 503, 504)

_AUDIO_TYPES = (
    *("audio/mpeg", "audio/ogg;codecs=opus", "audio/aac", "audio/flac", "audio/wav"),
    *("audio/pcm", "audio/PCMU", "audio/PCMA"),
)

_TEXT: Node = {"schema": {"type": "string"}}


def document(settings: Settings, version: str) -> Node:
    """The OpenAPI 3.1 document.

    Args:
        settings: Those in force; bounds come from them.
        version: SpeechPool's.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SpeechPool",
            "version": version,
            "description": "Text to audio and audio to text with warm clients. OpenAI's clients can speak to it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The Unix socket, or the loopback TCP listener where it is on."}],
        "security": [{}, {"bearer": []}],
        "paths": {**_audio(), **_streams(), **_models(), **_sessions(), **_status()},
        "components": {
            "schemas": schemas(settings),
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
            "headers": _headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "TCP listener only."},
            },
        },
    }


def _operation(
    name: str,
    summary: str,
    ok: Node,
    *,
    status: int = 200,
    errors: tuple[int, ...] = (),
    body: Node | None = None,
    parameters: tuple[Node, ...] = (),
) -> Node:
    node: Node = {"operationId": name, "summary": summary}
    if parameters:
        node["parameters"] = list(parameters)
    if body is not None:
        node["requestBody"] = body
    failures = {str(error): {"$ref": f"#/components/responses/{error}"} for error in sorted({*_ANY, *errors})}
    node["responses"] = {str(status): ok, **failures}
    return node


def _audio() -> Node:
    audio = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _AUDIO_TYPES}
    spoken = _ok("The audio, as it is made.", {**audio, **_events("SpeechEvent")}, is_speech=True)
    texts = {
        "application/json": {"schema": {"anyOf": [_ref("Transcription"), _ref("VerboseTranscription")]}},
        "text/plain": _TEXT,
        "text/vtt": _TEXT,
        **_events("TranscriptionEvent"),
    }
    form = {"multipart/form-data": {"schema": _ref("TranscriptionRequest")}}
    return {
        "/v1/audio/speech": {
            "post": _operation(
                "createSpeech",
                "Text to audio, streamed from the first chunk",
                spoken,
                errors=(*_BODY, *_ENGINE, 404),
                body=_json_body("SpeechRequest"),
            )
        },
        "/v1/audio/transcriptions": {
            "post": _operation(
                "createTranscription",
                "A recording to text",
                _ok("The text, in the format that was asked for.", texts, is_speech=True),
                errors=(*_BODY, *_ENGINE, 404),
                body={"required": True, "content": form},
            )
        },
        "/v1/audio/voices": {
            "get": _operation(
                "listVoices",
                "The engine's voices",
                _json("VoiceList"),
                parameters=(
                    _parameter("language", "query", {"type": "string"}, "Only tags that begin so: en, en-GB."),
                ),
            )
        },
    }


def _streams() -> Node:
    upgraded: Node = {"description": "A WebSocket; docs/api.md tells its messages."}
    return {
        path: {"get": _operation(name, summary, upgraded, status=101, errors=(426,))}
        for path, name, summary in (
            ("/v1/speech/stream", "streamSpeech", "WebSocket: many utterances, text piece by piece, cancel"),
            ("/v1/recognize/stream", "streamRecognition", "WebSocket: audio in, partial and final text out"),
        )
    }


def _models() -> Node:
    model = _parameter("model", "path", {"type": "string"}, "A model's id.")
    return {
        "/v1/models": {"get": _operation("listModels", "One model a pool", _json("ModelList"))},
        "/v1/models/{model}": {
            "get": _operation("getModel", "One model", _json("Model"), errors=(404,), parameters=(model,))
        },
    }


def _sessions() -> Node:
    session = (_parameter("session_id", "path", SESSION_ID, "The session's id; the caller chooses it."),)
    put = _operation(
        "putSession",
        "Open a session: its clients are acquired now",
        _json("Session", "It was open."),
        errors=(*_BODY, *_ENGINE, 404),
        body=_json_body("SessionRequest", required=False),
        parameters=session,
    )
    put["responses"]["201"] = _json("Session", "It is open now.")
    get = _operation("getSession", "One session", _json("Session"), errors=(404,), parameters=session)
    gone: Node = {"description": "It is gone.", "headers": _base_headers()}
    delete = _operation("deleteSession", "End a session", gone, status=204, errors=(404, *_ENGINE), parameters=session)
    cancel = _operation(
        "cancelSession",
        "Barge-in: stop what the session says, and tell how much went out",
        _json("CancelResult"),
        errors=(404, *_ENGINE),
        parameters=session,
    )
    return {
        "/v1/sessions": {"get": _operation("listSessions", "All sessions", _json("SessionList"))},
        "/v1/sessions/{session_id}": {"get": get, "put": put, "delete": delete},
        "/v1/sessions/{session_id}/cancel": {"post": cancel},
    }


def _status() -> Node:
    name = _parameter("name", "path", {"type": "string"}, "The pool's name.")
    ready = _operation("readyz", "Whether every pool is warm", _json("Readiness", "Every pool is warm."))
    ready["responses"]["503"] = _json("Readiness", "Not yet, or no more; the reasons tell why.")
    page = _ok("A page for people.", {"text/html": _TEXT})
    described = _ok("This document.", {"application/json": {"schema": {"type": "object"}}})
    return {
        "/v1/pools": {"get": _operation("listPools", "The snapshot of every pool", _json("PoolList"))},
        "/v1/pools/{name}": {
            "get": _operation("getPool", "The snapshot of one pool", _json("Pool"), errors=(404,), parameters=(name,))
        },
        "/v1/config": {"get": _operation("getConfig", "The settings in force and their sources", _json("Config"))},
        "/readyz": {"get": ready},
        "/openapi.json": {"get": _operation("getOpenapi", "This document", described)},
        "/docs": {"get": _operation("getDocs", "A page to read and try the API", page)},
    }


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _json_body(name: str, *, required: bool = True) -> Node:
    return {"required": required, "content": {"application/json": {"schema": _ref(name)}}}


def _json(name: str, text: str = "Done.") -> Node:
    return _ok(text, {"application/json": {"schema": _ref(name)}})


def _ok(text: str, content: Node, *, is_speech: bool = False) -> Node:
    headers = _base_headers()
    if is_speech:
        names = ("X-SpeechPool-Tier", "X-SpeechPool-Wait-Ms", "Server-Timing", "X-SpeechPool-Warning")
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"description": text, "headers": headers, "content": content}


def _events(name: str) -> Node:
    """Server-sent events: the schema is that of one, whose data is JSON."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": _ref(name)}
    event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    return {"text/event-stream": {"schema": event}}


def _error(text: str) -> Node:
    names = ("x-request-id", "retry-after", "retry-after-ms", "x-should-retry")
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"description": text, "headers": headers, "content": {"application/json": {"schema": _ref("Error")}}}


def _base_headers() -> Node:
    return {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}


def _parameter(name: str, where: str, schema: Node, text: str) -> Node:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": text}


def _headers() -> Node:
    texts = {
        "x-request-id": "The request's own, or a new one; the log has it too.",
        "X-SpeechPool-Tier": "Where the client came from: dedicated, warm or cold; cached: none was needed.",
        "X-SpeechPool-Wait-Ms": "How long the request waited for it, in milliseconds.",
        "Server-Timing": "acquire, first_byte, in milliseconds.",
        "X-SpeechPool-Warning": "Fields of the request that had no effect.",
        "retry-after": "Seconds after which trying again may help.",
        "retry-after-ms": "The same in milliseconds.",
        "x-should-retry": "false where trying again is of no use.",
    }
    return {name: {"schema": {"type": "string"}, "description": text} for name, text in texts.items()}
