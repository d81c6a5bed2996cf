"""The loopback TCP listener: token, Host, Origin, CORS."""

import asyncio

import pytest
from tests.integration.api import serving

from speechpool.web.access import TcpAccess

ACCESS = TcpAccess(token="a-token-of-some-length", allowed_origins=("http://app.example",))
TOKEN = {"authorization": "Bearer a-token-of-some-length"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        (TOKEN, 200),
        ({**TOKEN, "host": "evil.example"}, 403),
        ({**TOKEN, "origin": "http://evil.example"}, 403),
        ({**TOKEN, "origin": "http://app.example"}, 200),
    ],
)
async def test_who_may(headers: dict[str, str], status: int):
    async with serving(access=ACCESS) as api:
        assert api.tcp
        reply = await api.tcp.get("/v1/models", headers=headers)
    assert reply.status_code == status
    assert "x-request-id" in reply.headers
    assert ("www-authenticate" in reply.headers) == (status == 401)


async def test_bytes_that_are_no_text_are_no_token():
    async with serving(access=ACCESS) as api:
        assert api.tcp
        reply = await api.tcp.get("/v1/models", headers=[(b"authorization", b"Bearer \xff\xfe")])
    assert reply.status_code == 401


async def test_a_refused_request_has_no_effect():
    async with serving(access=ACCESS) as api:
        assert api.tcp
        reply = await api.tcp.post("/v1/audio/speech", json={"input": "Hello."}, headers={"authorization": "Bearer no"})
        assert reply.status_code == 401
        assert not api.engine.said


async def test_a_websocket_needs_the_token_too():
    async with serving(access=ACCESS) as api:
        assert api.tcp
        base = api.tcp.base_url
        reader, writer = await asyncio.open_connection(base.host, base.port)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        writer.write(f"GET /v1/speech/stream HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}\r\n".encode())
        line = await reader.readline()
        writer.close()
    assert b" 401 " in line


async def test_an_allowed_page_may_ask_and_read():
    async with serving(access=ACCESS) as api:
        assert api.tcp
        origin = {"origin": "http://app.example"}
        preflight = await api.tcp.options(
            "/v1/audio/speech", headers={**origin, "access-control-request-method": "POST"}
        )
        body = {"input": "Hello.", "response_format": "pcm"}
        reply = await api.tcp.post("/v1/audio/speech", json=body, headers={**origin, **TOKEN})
        refused = await api.tcp.get("/v1/models", headers=origin)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "http://app.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert reply.headers["access-control-allow-origin"] == "http://app.example"
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://app.example")


async def test_the_page_opens_without_a_token():
    async with serving(access=ACCESS) as api:
        assert api.tcp
        page = await api.tcp.get("/docs")
        contract = await api.tcp.get("/openapi.json")
    assert (page.status_code, contract.status_code) == (200, 200)


async def test_the_unix_socket_tolerates_any_authorization():
    async with serving() as api:
        reply = await api.http.get("/v1/models", headers={"authorization": "Bearer unused"})
    assert reply.status_code == 200
