"""Bad input gets a clear error with the field's name, and the sidecar goes on."""

import asyncio
import json
from typing import Any

import pytest
from tests.integration.api import serving

GOOD = {"input": "Hello.", "voice": "one", "response_format": "pcm"}

BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "invalid_json"),
    ("half an object", b'{"input": "Hello', "invalid_json"),
    ("no JSON", b"input=Hello", "invalid_json"),
    ("not UTF-8", b'{"input": "\xff\xfe"}', "invalid_json"),
    ("NaN", b'{"input": "a", "speed": NaN}', "invalid_json"),
    ("deep", b'{"a":' * 50_000, "invalid_json"),
    ("an array", b"[]", "invalid_type"),
    ("a string", b'"Hello."', "invalid_type"),
]

FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"input": None}, "input", "missing_required_parameter"),
    ({"input": 7}, "input", "invalid_type"),
    ({"input": ["a"]}, "input", "invalid_type"),
    ({"input": ""}, "input", "empty_input"),
    ({"input": " \n"}, "input", "empty_input"),
    ({"input": "a" * 4097}, "input", "input_too_long"),
    ({"input": "a\x07b"}, "input", "control_character"),
    ({"input": "a\x00b"}, "input", "control_character"),
    ({"input": "\ud800"}, "input", "control_character"),
    ({"input_type": "markdown"}, "input_type", "invalid_value"),
    ({"voice": "nobody"}, "voice", "voice_not_found"),
    ({"voice": 5}, "voice", "invalid_type"),
    ({"voice": {}}, "voice", "invalid_type"),
    ({"voice": {"id": 5}}, "voice", "invalid_type"),
    ({"response_format": "midi"}, "response_format", "unsupported_format"),
    ({"response_format": 3}, "response_format", "invalid_type"),
    ({"sample_rate": 12345}, "sample_rate", "unsupported_sample_rate"),
    ({"sample_rate": "fast"}, "sample_rate", "invalid_type"),
    ({"sample_rate": 44100, "response_format": "opus"}, "sample_rate", "unsupported_sample_rate"),
    ({"speed": 0.2}, "speed", "invalid_speed"),
    ({"speed": 4.1}, "speed", "invalid_speed"),
    ({"speed": 1e400}, "speed", "invalid_speed"),
    ({"speed": "fast"}, "speed", "invalid_type"),
    ({"speed": True}, "speed", "invalid_type"),
    ({"stream_format": "chunks"}, "stream_format", "invalid_value"),
    ({"session_id": "no spaces"}, "session_id", "invalid_session_id"),
    ({"session_id": "x" * 129}, "session_id", "invalid_session_id"),
    ({"session_id": ""}, "session_id", "invalid_session_id"),
    ({"model": 3}, "model", "invalid_type"),
]


@pytest.mark.parametrize(("body", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_a_body_that_is_no_object_is_400(body: bytes, code: str):
    async with serving() as api:
        reply = await api.http.post("/v1/audio/speech", content=body)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["type"]) == (400, code, "invalid_request_error")
        assert reply.headers["x-should-retry"] == "false"


async def test_every_wrong_value_is_400_and_names_its_field():
    """One server for all rows: none of them harms it."""
    async with serving() as api:
        for fields, param, code in FIELDS:
            body = json.dumps({**GOOD, **fields}).replace("Infinity", "1e400")
            reply = await api.http.post("/v1/audio/speech", content=body)
            assert reply.status_code == 400, fields
            error = reply.json()["error"]
            assert (error["param"], error["code"]) == (param, code), (fields, error)
            assert error["message"]
        reply = await api.http.post("/v1/audio/speech", json=GOOD)
        assert reply.status_code == 200
        assert not api.engine.busy_clients


async def test_an_error_never_repeats_the_text():
    async with serving() as api:
        reply = await api.http.post("/v1/audio/speech", json={**GOOD, "input": "my secret \x07"})
    assert "secret" not in reply.text


async def test_a_pool_that_does_not_exist_is_404():
    async with serving() as api:
        reply = await api.http.post("/v1/audio/speech", json={**GOOD, "pool": "nobody"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "pool")


async def test_a_body_over_any_limit_is_413_without_reading_it():
    async with serving() as api:
        reader, writer = await asyncio.open_unix_connection(str(api.socket))
        writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 8589934592\r\n\r\n{")
        line = await reader.readline()
        writer.close()
    assert b" 413 " in line


async def test_a_chunked_body_over_the_limit_is_413_while_it_comes():
    async with serving(environ={"SPEECHPOOL_MAX_SSML_CHARACTERS": "4096"}) as api:
        reply = await api.http.post("/v1/audio/speech", content=_slowly(b" " * 65536, 64))
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "route_not_found"),
        ("GET", "/v1/nothing", 404, "route_not_found"),
        ("GET", "/v1/audio/speech", 405, "method_not_allowed"),
        ("PATCH", "/v1/sessions/a", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
        ("GET", "/v1/pools/nothing", 404, None),
        ("GET", "/v1/sessions/nothing", 404, None),
        ("DELETE", "/v1/sessions/nothing", 404, None),
        ("POST", "/v1/sessions/nothing/cancel", 404, None),
        ("GET", "/v1/sessions/no%20spaces", 400, "invalid_session_id"),
        ("PUT", "/v1/sessions/" + "x" * 129, 400, "invalid_session_id"),
        ("GET", "/v1/speech/stream", 426, "upgrade_required"),
        ("GET", "/v1/recognize/stream", 426, "upgrade_required"),
    ],
)
async def test_what_does_not_exist(method: str, path: str, status: int, code: str | None):
    async with serving() as api:
        reply = await api.http.request(method, path)
    error = reply.json()["error"]
    assert reply.status_code == status
    assert code in {error["code"], None}
    assert set(error) == {"message", "type", "param", "code"}
    assert ("allow" in reply.headers) == (status == 405)


async def test_a_request_id_is_echoed_where_it_is_harmless():
    async with serving() as api:
        kept = await api.http.get("/v1/models", headers={"x-request-id": "call-17/a"})
        made = await api.http.get("/v1/models", headers={"x-request-id": "two words"})
        lost = await api.http.get("/nothing", headers={"x-request-id": "call-18"})
    assert kept.headers["x-request-id"] == "call-17/a"
    assert made.headers["x-request-id"].startswith("req_")
    assert lost.headers["x-request-id"] == "call-18"


async def _slowly(chunk: bytes, times: int):
    for _ in range(times):
        yield chunk
