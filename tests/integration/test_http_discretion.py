"""Nothing that a client sent gets into the log, and a client that stands still is not waited for."""

import asyncio
import contextlib
import json
import logging

import pytest
from aiohttp import ClientConnectionResetError
from aiohttp.http_exceptions import BadHttpMessage
from tests.integration.api import eventually, serving
from tests.integration.test_http_disconnect import begin
from tests.integration.test_http_transcriptions import wav
from websockets.exceptions import ConnectionClosed

from speechpool.errors import EngineFailed
from speechpool.web import channel, replies
from speechpool.web.discretion import discreet_logger

SECRET = "quercus"


def said(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that our code and the server library logged; the tests' own clients may quote what they send."""
    ours = [record for record in caplog.records if record.name.startswith(("speechpool", "aiohttp", "asyncio"))]
    return "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)


async def test_text_sessions_and_keys_stay_out_of_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving() as api:
        headers = {"authorization": f"Bearer {SECRET}"}
        body = {"input": f"{SECRET}.", "response_format": "pcm", SECRET: 1}
        await api.http.post("/v1/audio/speech", json=body, headers=headers)
        await api.http.post("/v1/audio/speech", json={**body, "voice": SECRET}, headers=headers)
        api.engine.fail(EngineFailed("broke"), times=4)
        await api.http.post("/v1/audio/speech", json=body, headers=headers)
        fields = {"prompt": SECRET, "grammar": SECRET}
        await api.http.post("/v1/audio/transcriptions", files={"file": (SECRET, wav())}, data=fields)
        await api.http.get(f"/v1/models/{SECRET}?{SECRET}={SECRET}")
    assert "request" in said(caplog)
    assert SECRET not in said(caplog)


async def test_a_malformed_request_is_not_quoted(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving() as api:
        reader, writer = await asyncio.open_unix_connection(str(api.socket))
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nbad header {SECRET}\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
    assert b" 400 " in line
    assert "request could not be read" in said(caplog)
    assert SECRET not in said(caplog)


def test_a_client_that_went_away_is_no_request_that_could_not_be_read(caplog: pytest.LogCaptureFixture):
    for error in (ClientConnectionResetError("Cannot write to closing transport"), BadHttpMessage(SECRET)):
        discreet_logger().error("Error handling request", exc_info=error)
    assert [record.error_class for record in caplog.records] == ["BadHttpMessage"]


async def test_a_key_in_a_subprotocol_is_not_quoted(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving() as api, api.websocket("/v1/speech/stream", subprotocols=[f"key.{SECRET}"]) as socket:
        assert socket.subprotocol is None
    assert SECRET not in said(caplog)


async def test_a_defect_is_logged_once_with_the_request_id(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async with serving() as api:
        monkeypatch.setattr(api.service, "voices", lambda: {}[SECRET])
        reply = await api.http.get("/v1/audio/voices")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (reply.status_code, record.error_class) == (500, "KeyError")
    assert record.request_id == reply.headers["x-request-id"]
    assert SECRET not in str(vars(record))


async def test_a_reader_that_stands_still_loses_its_client(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replies, "SEND_STALL_SECONDS", 0.1)
    async with serving() as api:
        body = {"input": "a" * 4000, "response_format": "pcm", "sample_rate": 48000}
        _, writer = await begin(api, body)
        writer.transport.pause_reading()
        await eventually(lambda: api.engine.said)
        await eventually(lambda: not api.engine.busy_clients and api.service.active == 0)
        writer.transport.abort()


async def test_a_socket_reader_that_stands_still_loses_its_client(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channel, "SEND_STALL_SECONDS", 0.1)
    async with serving() as api, api.websocket("/v1/speech/stream", max_queue=1) as socket:
        await socket.send(json.dumps({"type": "speak", "input": "a" * 4000, "sample_rate": 48000}))
        await eventually(lambda: api.engine.said)
        await eventually(lambda: not api.engine.busy_clients and not api.state.sockets)
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass


@pytest.mark.parametrize("path", ["/v1/models", "/readyz", "/docs"])
async def test_head_is_get_without_a_body(path: str):
    async with serving() as api:
        head, got = await api.http.head(path), await api.http.get(path)
    assert head.status_code == got.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert not head.content
