"""POST /v1/audio/transcriptions over the socket. The fake engine hears "word1 word2 ..." a word for 0.5 s of sound."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.fakes import sound
from tests.integration.api import Api, eventually, fast_engine, serving

from speechpool.audio.wav import wav_header
from speechpool.errors import EngineFailed
from speechpool.formats import AudioFormat, Codec

PCM_16K = AudioFormat(Codec.PCM, 16_000)
SPOKEN = sound(1.0) + sound(0.6, 0) + sound(0.5)  # two segments


def wav(samples: bytes = SPOKEN) -> bytes:
    return wav_header(PCM_16K, len(samples)) + samples


async def transcribe(api: Api, upload: bytes | None = None, **fields: Any) -> httpx.Response:
    files = {"file": ("a.wav", wav() if upload is None else upload)}
    return await api.http.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1", **fields})


async def test_json_is_text_and_usage():
    async with serving() as api:
        reply = await transcribe(api)
    assert reply.status_code == 200
    assert reply.json() == {"text": "word1 word2 word1", "usage": {"type": "duration", "seconds": 2}}
    assert reply.headers["x-speechpool-tier"] == "warm"
    assert "x-speechpool-wait-ms" in reply.headers
    assert "server-timing" in reply.headers


@pytest.mark.parametrize(
    ("name", "content_type", "begin"),
    [
        ("text", "text/plain; charset=utf-8", "word1 word2 word1\n"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> "),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> "),
    ],
)
async def test_textual_formats(name: str, content_type: str, begin: str):
    async with serving() as api:
        reply = await transcribe(api, response_format=name)
    assert reply.headers["content-type"] == content_type
    assert reply.text.startswith(begin)


async def test_verbose_json_lists_what_was_asked_for():
    async with serving() as api:
        both = (
            await transcribe(api, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]})
        ).json()
        plain = (await transcribe(api, response_format="verbose_json")).json()
    assert both["task"] == "transcribe"
    assert both["language"] == "en-US"
    assert both["duration"] == pytest.approx(2.1)
    assert [word["word"] for word in both["words"]] == ["word1", "word2", "word1"]
    assert [segment["text"] for segment in both["segments"]] == ["word1 word2", "word1"]
    assert "words" not in plain
    assert len(plain["segments"]) == 2


async def test_a_stream_sends_each_segment_and_then_all_of_it():
    async with serving() as api:
        reply = await transcribe(api, stream="true")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]
    deltas = [event["delta"] for event in events if event["type"] == "transcript.text.delta"]
    assert deltas == ["word1 word2", " word1"]
    assert events[-1]["type"] == "transcript.text.done"
    assert events[-1]["text"] == "".join(deltas)


async def test_hints_and_grammar_reach_the_engine(monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []
    async with serving() as api:
        transcribe_of = api.service.transcribe
        monkeypatch.setattr(api.service, "transcribe", lambda request: seen.append(request) or transcribe_of(request))
        fields = {
            "prompt": "Szczecin, Łódź; a name",
            "keywords[]": ["one", "two"],
            "phrases": "three\nfour",
            "grammar[]": ["go left", "go right\nstop"],
            "language": "en",
        }
        reply = await transcribe(api, **fields)
    assert reply.status_code == 200
    assert seen[0].phrases == ("three", "four", "one", "two", "Szczecin", "Łódź", "a name")
    assert seen[0].grammar == ("go left", "go right", "stop")


async def test_of_several_languages_the_first_known_is_taken():
    async with serving() as api:
        reply = await transcribe(api, response_format="verbose_json", **{"languages[]": ["xx", "en"]})
    assert reply.json()["language"] == "en-US"


async def test_openais_other_fields_do_no_harm_and_are_named():
    async with serving() as api:
        reply = await transcribe(api, temperature="0.2", chunking_strategy="auto", **{"include[]": "logprobs"})
    assert reply.status_code == 200
    assert reply.headers["x-speechpool-warning"] == "no effect: temperature, chunking_strategy, include"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": "diarized_json"}, "response_format", "unsupported_value"),
        ({"response_format": "docx"}, "response_format", "unsupported_value"),
        ({"response_format": "srt", "stream": "true"}, "response_format", "unsupported_value"),
        ({"stream": "maybe"}, "stream", "unsupported_value"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities", "unsupported_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"temperature": "1.5"}, "temperature", "invalid_value"),
        ({"temperature": "nan"}, "temperature", "invalid_value"),
        ({"language": "klingon"}, "language", None),
        ({"language": "xx-XX"}, "language", None),
        ({"session_id": "no spaces"}, "session_id", "invalid_session_id"),
        ({"grammar": "xyzzy"}, "grammar", "unknown_words"),
    ],
)
async def test_a_wrong_value_is_400_and_names_its_field(fields: dict[str, Any], param: str, code: str | None):
    async with serving() as api:
        reply = await transcribe(api, **fields)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param)
    assert code in {error["code"], None}


@pytest.mark.parametrize(
    "upload",
    [
        b"",
        b"this is no audio",
        b"RIFF",
        wav()[:40],
        b"\x00" * 5000,
        wav()[:20] + b"\x02\x00" + wav()[22:],  # ADPCM
        wav()[:22] + b"\x00\x00" + wav()[24:],  # no channels
    ],
    ids=["empty", "text", "RIFF", "truncated", "zeros", "adpcm", "no channels"],
)
async def test_an_upload_that_is_not_audio_is_400(upload: bytes):
    async with serving() as api:
        reply = await transcribe(api, upload)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "file")
        assert (await transcribe(api)).status_code == 200


async def test_without_a_file_it_is_400():
    async with serving() as api:
        reply = await api.http.post("/v1/audio/transcriptions", data={"model": "a"}, files={"other": b"x"})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, "file", "missing_required_parameter")


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("application/json", b"{}", "invalid_content_type"),
        ("", b"", "invalid_content_type"),
        ("multipart/form-data", b"--x--", "invalid_form"),
        ("multipart/form-data; boundary=x", b"", "invalid_form"),
        ("multipart/form-data; boundary=x", b"no boundary anywhere", "invalid_form"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--\r\n", "invalid_form"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut',
            "invalid_form",
        ),
        ("multipart/form-data; boundary=" + "x" * 100, b"", "invalid_form"),
    ],
)
async def test_a_form_that_is_none_is_400(content_type: str, body: bytes, code: str):
    async with serving() as api:
        headers = {"content-type": content_type}
        reply = await api.http.post("/v1/audio/transcriptions", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)


async def test_an_engine_that_fails_twice_is_502():
    async with serving(environ={"SPEECH_POOL_WARM_SIZE": "2"}) as api:
        api.engine.fail(EngineFailed("broke"), times=3)
        reply = await transcribe(api)
    assert reply.status_code == 502


async def test_a_stream_tells_an_error_in_its_stream():
    async with serving() as api:
        api.engine.fail(EngineFailed("broke"), after_chunks=40)
        reply = await transcribe(api, wav((sound(1.0) + sound(0.6, 0)) * 40), stream="true")
    last = json.loads(reply.text.strip().splitlines()[-1].removeprefix("data: "))
    assert reply.status_code == 502 or "error" in last


async def test_a_client_that_goes_away_gives_its_recogniser_back():
    async with serving(fast_engine(recognition_rate=100.0)) as api:
        task = asyncio.create_task(transcribe(api))
        await eventually(lambda: api.engine.busy_clients)
        task.cancel()
        await eventually(lambda: not api.engine.busy_clients and api.service.active == 0)
        await eventually(lambda: api.state.uploads.held_bytes == 0)
