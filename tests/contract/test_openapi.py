"""/openapi.json tells what is served: every route, every status, every body."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from jsonschema import Draft202012Validator
from tests.integration.api import Api, serving
from tests.integration.test_http_transcriptions import wav

from speechpool.errors import AuthenticationFailed, EngineFailed, EngineTimeout, Throttled
from speechpool.settings import Settings
from speechpool.web.app import ROUTES
from speechpool.web.openapi import document

DOCUMENT = document(Settings(), "1")


def conforms(body: Any, schema: dict[str, Any]) -> None:
    """Check a body against a schema of the document."""
    jsonschema.validate(body, {**schema, "components": DOCUMENT["components"]}, Draft202012Validator)


def check(reply: httpx.Response, method: str, path: str) -> None:
    """Check a reply against what the document says of its operation."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(reply.status_code) in responses, (path, reply.status_code, reply.text[:200])
    described = responses[str(reply.status_code)]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rsplit("/", 1)[-1]]
    for header in described.get("headers", {}):
        if header in {"x-request-id", "X-SpeechPool-Tier", "X-SpeechPool-Wait-Ms", "Server-Timing"}:
            assert header in reply.headers, (path, header)
    if not described.get("content"):
        assert not reply.content
        return
    kind = reply.headers["content-type"]
    content = {name.partition(";")[0].lower(): media for name, media in described["content"].items()}
    media = content[kind.partition(";")[0].lower()]
    if kind.startswith("application/json"):
        conforms(reply.json(), media["schema"])


def test_every_route_is_documented_and_nothing_else():
    served = {(method, path) for method, path, _ in ROUTES}
    documented = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == documented


def test_every_schema_is_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "#/')[1:]:
        node: Any = DOCUMENT
        for key in part.partition('"')[0].split("/"):
            node = node[key]
        assert node


def test_bounds_are_those_in_force():
    body = document(Settings(max_input_characters=10, max_ssml_characters=20), "1")
    assert body["components"]["schemas"]["SpeechRequest"]["properties"]["input"]["maxLength"] == 20


async def test_what_is_served_is_what_is_made_from_the_settings():
    async with serving() as api:
        reply = await api.http.get("/openapi.json")
        made = document(api.store.current, reply.json()["info"]["version"])
    assert reply.json() == json.loads(json.dumps(made))


SPEAK = {"input": "Hello.", "voice": "one", "response_format": "pcm"}

REQUESTS: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("GET", "/v1/models", "/v1/models", {}, 200),
    ("GET", "/v1/models/tts", "/v1/models/{model}", {}, 200),
    ("GET", "/v1/models/none", "/v1/models/{model}", {}, 404),
    ("GET", "/v1/audio/voices", "/v1/audio/voices", {}, 200),
    ("GET", "/v1/pools", "/v1/pools", {}, 200),
    ("GET", "/v1/pools/tts", "/v1/pools/{name}", {}, 200),
    ("GET", "/v1/pools/none", "/v1/pools/{name}", {}, 404),
    ("GET", "/v1/config", "/v1/config", {}, 200),
    ("GET", "/readyz", "/readyz", {}, 200),
    ("GET", "/openapi.json", "/openapi.json", {}, 200),
    ("GET", "/docs", "/docs", {}, 200),
    ("PUT", "/v1/sessions/a", "/v1/sessions/{session_id}", {}, 201),
    ("PUT", "/v1/sessions/a", "/v1/sessions/{session_id}", {"json": {}}, 200),
    ("PUT", "/v1/sessions/a", "/v1/sessions/{session_id}", {"json": {"x": 1}}, 400),
    ("GET", "/v1/sessions", "/v1/sessions", {}, 200),
    ("GET", "/v1/sessions/a", "/v1/sessions/{session_id}", {}, 200),
    ("POST", "/v1/sessions/a/cancel", "/v1/sessions/{session_id}/cancel", {}, 200),
    ("POST", "/v1/sessions/none/cancel", "/v1/sessions/{session_id}/cancel", {}, 404),
    ("DELETE", "/v1/sessions/a", "/v1/sessions/{session_id}", {}, 204),
    ("DELETE", "/v1/sessions/a", "/v1/sessions/{session_id}", {}, 404),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": SPEAK}, 200),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": {**SPEAK, "stream_format": "sse"}}, 200),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": {**SPEAK, "response_format": "wav"}}, 200),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": {**SPEAK, "response_format": "mulaw"}}, 200),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": {**SPEAK, "pool": "none"}}, 404),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"json": {}}, 400),
    ("POST", "/v1/audio/speech", "/v1/audio/speech", {"content": b" " * 2_000_000}, 413),
    ("GET", "/v1/speech/stream", "/v1/speech/stream", {}, 426),
    ("GET", "/v1/recognize/stream", "/v1/recognize/stream", {}, 426),
    ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions", {"json": {}}, 400),
]
FILE = {"file": ("a.wav", wav())}
REQUESTS += [
    (
        "POST",
        "/v1/audio/transcriptions",
        "/v1/audio/transcriptions",
        {"files": FILE, "data": {"response_format": name}},
        200,
    )
    for name in ("json", "text", "srt", "vtt", "verbose_json")
]


async def test_every_reply_is_as_documented():
    async with serving() as api:
        for method, path, route, options, status in REQUESTS:
            reply = await api.http.request(method, path, **options)
            assert reply.status_code == status, (path, reply.text[:200])
            check(reply, method, route)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Throttled("m", retry_after_seconds=1), 429),
        (AuthenticationFailed("m"), 502),
        (EngineFailed("m"), 502),
        (EngineTimeout("m"), 504),
    ],
)
async def test_every_failure_of_the_engine_is_as_documented(error: Exception, status: int):
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "2"}) as api:
        api.engine.fail(error, times=4)
        reply = await api.http.post("/v1/audio/speech", json=SPEAK)
    assert reply.status_code == status
    check(reply, "POST", "/v1/audio/speech")


async def test_a_defect_of_ours_is_as_documented(monkeypatch: pytest.MonkeyPatch):
    async with serving() as api:
        broken: Api = api
        monkeypatch.setattr(broken.service, "voices", lambda: 1 / 0)
        reply = await broken.http.get("/v1/audio/voices")
    assert reply.status_code == 500
    assert "division" not in reply.text
    check(reply, "GET", "/v1/audio/voices")


async def test_events_are_as_documented():
    async with serving() as api:
        spoken = await api.http.post("/v1/audio/speech", json={**SPEAK, "stream_format": "sse"})
        heard = await api.http.post("/v1/audio/transcriptions", files=FILE, data={"stream": "true"})
    for reply, name in ((spoken, "SpeechEvent"), (heard, "TranscriptionEvent")):
        for line in filter(None, reply.text.splitlines()):
            conforms(json.loads(line.removeprefix("data: ")), DOCUMENT["components"]["schemas"][name])
