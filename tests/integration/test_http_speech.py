"""POST /v1/audio/speech over the socket."""

import asyncio
import base64
import io
import json
import wave

import httpx
import pytest
from tests.fakes import audio_of, makers_of
from tests.integration.api import Api, eventually, fast_engine, serving

from speechpool.errors import AuthenticationFailed, EngineFailed, InvalidInput, Throttled
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import UseReport

PCM = AudioFormat(Codec.PCM, 24_000)
BODY = {"input": "Hello there.", "voice": "one", "model": "tts-1", "response_format": "pcm"}


async def speak(api: Api, **fields: object) -> httpx.Response:
    return await api.http.post("/v1/audio/speech", json={**BODY, **fields})


async def test_pcm_is_the_engines_audio_to_the_last_byte():
    async with serving() as api:
        reply = await speak(api)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "audio/pcm;rate=24000"
    assert makers_of(reply.content)
    assert len(reply.content) == len(audio_of("Hello there.", PCM))


async def test_every_speech_reply_says_its_tier_wait_and_timing():
    async with serving() as api:
        reply = await speak(api)
    assert reply.headers["x-speechpool-tier"] == "warm"
    assert 0 <= float(reply.headers["x-speechpool-wait-ms"]) < 30_000
    assert [part.split(";")[0] for part in reply.headers["server-timing"].split(", ")] == ["acquire", "first_byte"]
    assert reply.headers["x-request-id"].startswith("req_")


async def test_wav_plays_though_its_length_was_not_known():
    async with serving() as api:
        reply = await speak(api, response_format="wav", sample_rate=16000)
    assert reply.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(reply.content)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)


@pytest.mark.parametrize(
    ("name", "content_type", "magic"),
    [
        ("mp3", "audio/mpeg", (b"\xff", b"ID3")),
        ("opus", "audio/ogg;codecs=opus", (b"OggS",)),
        ("flac", "audio/flac", (b"fLaC",)),
        ("aac", "audio/aac", (b"\xff",)),
        ("mulaw", "audio/PCMU;rate=8000", (b"",)),
        ("alaw", "audio/PCMA;rate=8000", (b"",)),
    ],
)
async def test_other_formats(name: str, content_type: str, magic: tuple[bytes, ...]):
    async with serving() as api:
        reply = await speak(api, response_format=name)
    assert (reply.status_code, reply.headers["content-type"]) == (200, content_type)
    assert reply.content.startswith(magic)
    assert reply.content


async def test_mp3_is_what_openai_gives_without_a_format():
    async with serving() as api:
        reply = await api.http.post("/v1/audio/speech", json={"input": "Hello.", "voice": "alloy", "model": "tts-1"})
    assert reply.headers["content-type"] == "audio/mpeg"


async def test_the_first_audio_goes_out_while_the_engine_still_works():
    async with serving() as api:
        api.engine.fail(None, after_chunks=2)  # hangs there for as long as the test wants
        async with api.http.stream("POST", "/v1/audio/speech", json=BODY) as reply:
            assert reply.status_code == 200
            first = await anext(reply.aiter_raw())
            assert first
            assert api.engine.busy_clients
        await eventually(lambda: not api.engine.busy_clients)


@pytest.mark.parametrize("voice", ["one", "alloy", {"id": "one"}])
async def test_a_voice_may_be_a_name_or_an_object(voice: object):
    async with serving() as api:
        reply = await speak(api, voice=voice)
        assert reply.status_code == 200
        assert api.engine.said[-1][1].voice == "one"


async def test_without_a_voice_the_default_one_speaks():
    async with serving() as api:
        reply = await api.http.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
        assert reply.status_code == 200
        assert api.engine.said[-1][1].voice == "one"


async def test_speed_and_ssml_reach_the_engine():
    async with serving() as api:
        reply = await speak(api, input="<speak>Hello.</speak>", input_type="ssml", speed=2)
        assert reply.status_code == 200
        utterance = api.engine.said[-1][1]
        assert utterance.is_ssml


async def test_fields_without_effect_are_named_in_a_header():
    async with serving() as api:
        reply = await speak(api, instructions="Speak like a pirate.", new_field=1, **{"näm\r\ne": 2})
    assert reply.headers["x-speechpool-warning"] == "no effect: instructions, new_field, n?m??e"


async def test_a_request_without_idle_fields_has_no_warning():
    async with serving() as api:
        reply = await speak(api)
    assert "x-speechpool-warning" not in reply.headers


async def test_the_body_is_json_whatever_its_content_type():
    async with serving() as api:
        headers = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d sends
        reply = await api.http.post("/v1/audio/speech", content=json.dumps(BODY), headers=headers)
    assert reply.status_code == 200


async def test_sse_carries_the_same_audio():
    async with serving() as api:
        reply = await speak(api, stream_format="sse")
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(audio) == len(audio_of("Hello there.", PCM))
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["input_tokens"] == len("Hello there.")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Throttled("slow down", retry_after_seconds=3), 429, "engine_throttled"),
        (AuthenticationFailed("no"), 502, "engine_authentication_failed"),
        (InvalidInput("no", param="input", code="invalid_ssml"), 400, "invalid_ssml"),
    ],
)
async def test_what_fails_before_the_first_audio_has_its_status(error: Exception, status: int, code: str):
    async with serving() as api:
        api.engine.fail(error, times=2)  # a key that is refused is tried by another client first
        reply = await speak(api)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    told = (reply.headers.get("retry-after"), reply.headers.get("retry-after-ms"))
    assert told == (("3", "3000") if status == 429 else (None, None))


async def test_the_tier_is_what_held_up_to_the_first_audio():
    async with serving() as api:
        warm = await speak(api)
        api.engine.report = UseReport(was_warm=False, connect_seconds=0.2)
        missed = await speak(api)
        metrics = (await api.telemetry.get("/metrics")).text
    assert (warm.headers["x-speechpool-tier"], missed.headers["x-speechpool-tier"]) == ("warm", "cold")
    assert 'speechpool_warm_miss_total{pool="tts"} 1.0' in metrics


async def test_another_client_takes_over_before_the_first_audio():
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "2"}) as api:
        api.engine.fail(EngineFailed("broke"))
        reply = await speak(api)
    assert reply.status_code == 200


async def test_half_an_utterance_is_never_taken_for_a_whole_one():
    async with serving() as api:
        api.engine.fail(EngineFailed("broke"), after_chunks=2)
        with pytest.raises(httpx.RemoteProtocolError):
            await speak(api)
        reply = await speak(api)
    assert reply.status_code == 200


async def test_sse_tells_an_error_in_its_stream():
    async with serving() as api:
        api.engine.fail(EngineFailed("broke"), after_chunks=2)
        reply = await speak(api, stream_format="sse")
    last = json.loads(reply.text.strip().splitlines()[-1].removeprefix("data: "))
    assert last["error"]["code"] == "engine_failed"


async def test_one_connection_serves_many_requests():
    async with serving() as api:
        sizes = {len((await speak(api)).content) for _ in range(20)}
    assert len(sizes) == 1


async def test_many_callers_share_the_pool():
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "3"}) as api:
        replies = await asyncio.gather(*(speak(api, input=f"Number {number:03}.") for number in range(50)))
    assert {reply.status_code for reply in replies} == {200}
    assert all(len(set(makers_of(reply.content))) == 1 for reply in replies)


async def test_a_full_waiting_line_is_429_and_a_long_wait_503():
    environ = {
        "SPEECH_POOL_MAX_SIZE": "1",
        "SPEECH_POOL_MAX_WAITING": "1",
        "SPEECH_POOL_ACQUIRE_TIMEOUT": "0.5",
    }
    async with serving(fast_engine(), environ) as api:
        api.engine.fail(None, after_chunks=1)
        async with api.http.stream("POST", "/v1/audio/speech", json=BODY) as busy:
            assert busy.status_code == 200
            replies = await asyncio.gather(speak(api), speak(api))
    assert sorted(reply.status_code for reply in replies) == [429, 503]
    codes = {reply.json()["error"]["code"] for reply in replies}
    assert codes == {"pool_full", "pool_timeout"}
    assert all(reply.headers["retry-after"] == "1" for reply in replies)


async def test_a_sidecar_that_stops_says_so():
    async with serving() as api:
        api.service.start_draining()
        reply = await speak(api)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "pool_closed")
