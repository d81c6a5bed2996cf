"""The clients that people have: OpenAI's, curl, aiohttp."""

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import AsyncIterator

import aiohttp
import httpx2
import openai
import pytest
from tests.fakes import audio_of
from tests.integration.api import Api, serving
from tests.integration.test_http_transcriptions import wav

from speechpool.formats import AudioFormat, Codec

PCM = AudioFormat(Codec.PCM, 24_000)


@contextlib.asynccontextmanager
async def openai_of(api: Api) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx2.AsyncHTTPTransport(uds=str(api.socket), verify=False)
    http = httpx2.AsyncClient(transport=transport)
    async with openai.AsyncOpenAI(base_url="http://speechpool/v1", api_key="unused", http_client=http) as client:
        yield client


async def test_openai_speaks():
    async with serving() as api, openai_of(api) as client:
        reply = await client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="pcm")
    assert len(reply.content) == len(audio_of("Hello.", PCM))


async def test_openai_speaks_chunk_by_chunk():
    async with serving() as api, openai_of(api) as client:
        arguments = {"model": "tts-1", "voice": "alloy", "input": "Hello there.", "response_format": "pcm"}
        async with client.audio.speech.with_streaming_response.create(**arguments) as reply:
            size = sum([len(chunk) async for chunk in reply.iter_bytes()])
    assert size == len(audio_of("Hello there.", PCM))


async def test_openai_reads_speech_events():
    async with serving() as api, openai_of(api) as client:
        arguments = {
            "model": "m",
            "voice": "alloy",
            "input": "Hello.",
            "response_format": "pcm",
            "stream_format": "sse",
        }
        async with client.audio.speech.with_streaming_response.create(**arguments) as reply:
            lines = [line async for line in reply.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    assert len(audio) == len(audio_of("Hello.", PCM))


@pytest.mark.parametrize("name", ["json", "text", "srt", "verbose_json", "vtt"])
async def test_openai_transcribes(name: str):
    async with serving() as api, openai_of(api) as client:
        reply = await client.audio.transcriptions.create(
            model="whisper-1",
            file=("a.wav", wav()),
            response_format=name,
            language="en",
            prompt="Some names.",
            temperature=0,
            timestamp_granularities=["word", "segment"],
        )
    text = reply if isinstance(reply, str) else reply.text
    assert "word1 word2" in text


async def test_openai_reads_transcription_events():
    async with serving() as api, openai_of(api) as client:
        stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", wav()), stream=True)
        events = [event async for event in stream]
    assert [event.type for event in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.done",
    ]
    assert events[-1].text == "word1 word2 word1"


async def test_openai_lists_models():
    async with serving() as api, openai_of(api) as client:
        assert [model.id async for model in client.models.list()] == ["tts", "stt"]
        assert (await client.models.retrieve("tts")).id == "tts"


async def test_openai_raises_its_own_errors():
    async with serving() as api, openai_of(api) as client:
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.audio.speech.create(model="m", voice="nobody", input="Hello.")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nothing")
    assert (wrong.value.param, wrong.value.code) == ("voice", "voice_not_found")


async def test_openai_does_not_repeat_what_is_of_no_use():
    async with serving() as api, openai_of(api) as client:
        api.engine.fail(None, after_chunks=1)
        body = {"input": "One two three.", "response_format": "pcm", "session_id": "call-1"}
        async with api.http.stream("POST", "/v1/audio/speech", json=body) as busy:
            await anext(busy.aiter_raw())
            with pytest.raises(openai.ConflictError) as conflict:
                await client.audio.speech.create(
                    model="m", voice="alloy", input="a", response_format="pcm", extra_body={"session_id": "call-1"}
                )
    assert conflict.value.response.headers["x-should-retry"] == "false"
    assert conflict.value.response.request.headers["x-stainless-retry-count"] == "0"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_speaks_and_transcribes(tmp_path):
    async with serving() as api:
        spoken = await curl(api, "/v1/audio/speech", "-d", '{"input": "Hello.", "response_format": "pcm"}')
        (tmp_path / "a.wav").write_bytes(wav())
        heard = await curl(api, "/v1/audio/transcriptions", "-F", f"file=@{tmp_path / 'a.wav'}")
    assert len(spoken) == len(audio_of("Hello.", PCM))
    assert json.loads(heard)["text"] == "word1 word2 word1"


async def curl(api: Api, path: str, *arguments: str) -> bytes:
    command = ("curl", "-sS", "--fail", "--unix-socket", str(api.socket), f"http://speechpool{path}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output


async def test_aiohttp_speaks_over_http_and_websocket():
    async with serving() as api:
        connector = aiohttp.UnixConnector(str(api.socket))
        async with aiohttp.ClientSession("http://speechpool", connector=connector) as session:
            body = {"input": "Hello.", "response_format": "pcm"}
            async with session.post("/v1/audio/speech", json=body) as reply:
                size = len(await reply.read())
            async with session.ws_connect("/v1/speech/stream") as socket:
                await socket.send_json({"type": "speak", "input": "Hello."})
                await socket.send_json({"type": "end"})
                kinds = [message.type async for message in socket]
    assert size == len(audio_of("Hello.", PCM))
    assert aiohttp.WSMsgType.BINARY in kinds
