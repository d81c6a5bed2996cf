"""/v1/sessions over the socket."""

import asyncio

from tests.integration.api import eventually, fast_engine, serving

BODY = {"input": "One two three four five six seven.", "voice": "one", "response_format": "pcm", "session_id": "call-1"}


async def test_a_session_is_put_found_listed_and_deleted():
    async with serving() as api:
        made = await api.http.put("/v1/sessions/call-1")
        again = await api.http.put("/v1/sessions/call-1", json={})
        got = await api.http.get("/v1/sessions/call-1")
        listed = await api.http.get("/v1/sessions")
        gone = await api.http.delete("/v1/sessions/call-1")
        lost = await api.http.get("/v1/sessions/call-1")
    assert (made.status_code, again.status_code, gone.status_code, lost.status_code) == (201, 200, 204, 404)
    assert got.json()["id"] == "call-1"
    assert [session["id"] for session in listed.json()["data"]] == ["call-1"]
    assert not gone.content
    assert "x-request-id" in gone.headers


async def test_a_session_speaks_with_its_own_client():
    async with serving() as api:
        await api.http.put("/v1/sessions/call-1")
        replies = [await api.http.post("/v1/audio/speech", json=BODY) for _ in range(3)]
    assert [reply.headers["x-speechpool-tier"] for reply in replies] == ["dedicated"] * 3


async def test_a_session_that_speaks_is_busy():
    async with serving() as api:
        api.engine.fail(None, after_chunks=1)
        async with api.http.stream("POST", "/v1/audio/speech", json=BODY) as reply:
            await anext(reply.aiter_raw())
            second = await api.http.post("/v1/audio/speech", json=BODY)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "session_busy")
    assert second.headers["x-should-retry"] == "false"


async def test_cancel_ends_the_audio_and_tells_what_went_out():
    async with serving(fast_engine()) as api:
        api.engine.fail(None, after_chunks=6)  # 0.6 s of audio, 10 characters
        async with api.http.stream("POST", "/v1/audio/speech", json=BODY) as reply:
            chunks = reply.aiter_raw()
            received = b""
            while len(received) < 6 * 4800:
                received += await anext(chunks)
            canceled = (await api.http.post("/v1/sessions/call-1/cancel")).json()
            received += b"".join([chunk async for chunk in chunks])  # ends well-formed
    assert canceled["canceled"] is True
    assert canceled["audio_seconds_sent"] == 0.6
    assert BODY["input"].startswith(canceled["text_sent"].strip())
    assert canceled["characters_sent"] == len(canceled["text_sent"])
    assert len(received) == 6 * 4800


async def test_cancel_without_an_utterance_says_so():
    async with serving() as api:
        await api.http.put("/v1/sessions/call-1")
        reply = await api.http.post("/v1/sessions/call-1/cancel")
    assert (reply.status_code, reply.json()["canceled"]) == (200, False)


async def test_delete_stops_what_the_session_says():
    async with serving() as api:
        api.engine.fail(None, after_chunks=1)
        async with api.http.stream("POST", "/v1/audio/speech", json=BODY) as reply:
            await anext(reply.aiter_raw())
            gone = await api.http.delete("/v1/sessions/call-1")
            assert gone.status_code == 204
        await eventually(lambda: not api.engine.busy_clients)


async def test_too_many_sessions_are_429():
    async with serving(environ={"SPEECHPOOL_MAX_SESSIONS": "2"}) as api:
        replies = [await api.http.put(f"/v1/sessions/call-{number}") for number in range(3)]
    assert [reply.status_code for reply in replies] == [201, 201, 429]
    assert "retry-after" in replies[-1].headers


async def test_a_field_that_is_none_is_refused():
    async with serving() as api:
        unknown = await api.http.put("/v1/sessions/call-1", json={"sesion": "x"})
        wrong = await api.http.put("/v1/sessions/call-1", json={"language": 5})
        voice = await api.http.put("/v1/sessions/call-1", json={"tts_pool": "nobody"})
        listener = await api.http.put("/v1/sessions/call-1", json={"stt_pool": "nobody"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_parameter")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "language")
    assert (voice.status_code, voice.json()["error"]["param"]) == (404, "tts_pool")
    assert (listener.status_code, listener.json()["error"]["param"]) == (404, "stt_pool")


async def test_sessions_do_not_mix():
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "4"}) as api:
        names = [f"call-{number}" for number in range(8)]
        for name in names:
            await api.http.put(f"/v1/sessions/{name}")
        for _ in range(3):
            bodies = [{**BODY, "session_id": name, "input": name} for name in names]
            await asyncio.gather(*(api.http.post("/v1/audio/speech", json=body) for body in bodies))
        clients: dict[str, set[int]] = {name: set() for name in names}
        for number, utterance in api.engine.said:
            clients[utterance.text].add(number)
    assert all(len(numbers) == 1 for numbers in clients.values())
    assert len({min(numbers) for numbers in clients.values()}) == len(names)
