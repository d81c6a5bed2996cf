"""WebSocket /v1/recognize/stream. The fake engine hears "word1 word2 ...", a word for 0.5 s of sound."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.fakes import sound
from tests.integration.api import PATIENCE_SECONDS, Api, eventually, fast_engine, serving
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from speechpool.errors import EngineFailed
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import UseReport

PATH = "/v1/recognize/stream"
SILENCE = sound(0.6, 0)


class Recognition:
    """The client's side."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def audio(self, data: bytes, size: int = 6400) -> None:
        for begin in range(0, len(data), size):
            await self.socket.send(data[begin : begin + size])

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await self.socket.recv()
        assert isinstance(message, str)
        return json.loads(message)

    async def event(self, kind: str) -> dict[str, Any]:
        while True:
            message = await self.receive()
            if message["type"] == kind:
                return message

    async def rest(self) -> list[dict[str, Any]]:
        """Every event until the server closes."""
        events = []
        try:
            while True:
                events.append(await self.receive())
        except ConnectionClosed:
            return events


@asynccontextmanager
async def recognizing(api: Api, **config: Any) -> AsyncIterator[Recognition]:
    async with api.websocket(PATH) as socket:
        recognition = Recognition(socket)
        await recognition.send("config", **config)
        yield recognition


async def test_from_ready_to_closed():
    async with serving() as api, recognizing(api, words=True) as recognition:
        ready = await recognition.receive()
        await recognition.audio(sound(1.0) + SILENCE + sound(0.5))
        await recognition.send("end")
        events = await recognition.rest()
        code = recognition.socket.close_code
    assert (ready["type"], ready["tier"], ready["language"], ready["sample_rate"]) == ("ready", "warm", "en-US", 16_000)
    kinds = [event["type"] for event in events if event["type"] != "behind"]
    assert kinds == [
        *("speech_start", "partial", "partial", "speech_end", "final"),
        *("speech_start", "partial", "speech_end", "final", "closed"),
    ]
    finals = [event for event in events if event["type"] == "final"]
    assert [final["text"] for final in finals] == ["word1 word2", "word1"]
    assert [word["text"] for word in finals[0]["words"]] == ["word1", "word2"]
    assert finals[1]["offset_ms"] == 1600.0
    assert (events[-1]["reason"], events[-1]["audio_ms"]) == ("end", 2100.0)
    assert code == 1000


async def test_partials_and_words_only_where_wanted():
    async with serving() as api, recognizing(api, partials=False) as recognition:
        await recognition.audio(sound(1.0))
        await recognition.send("end")
        events = await recognition.rest()
    assert not [event for event in events if event["type"] == "partial"]
    assert [event["words"] for event in events if event["type"] == "final"] == [[]]


async def test_commit_makes_a_segment_of_what_was_said():
    async with serving() as api, recognizing(api) as recognition:
        await recognition.audio(sound(1.0))
        await recognition.send("commit")
        await recognition.event("commit_ack")
        final = await recognition.event("final")
        await recognition.audio(sound(0.5))
        await recognition.send("end")
        events = await recognition.rest()
    assert final["text"] == "word1 word2"
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1"]


async def test_other_audio_formats():
    async with serving() as api, recognizing(api, format="mulaw") as recognition:
        ready = await recognition.receive()
        await recognition.audio(b"\x20" * 8000)
        await recognition.send("end")
        events = await recognition.rest()
    assert (ready["format"], ready["sample_rate"]) == ("mulaw", 8000)
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1 word2"]


async def test_new_phrases_go_on_where_the_old_ones_ended(monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []
    async with serving() as api:
        recognize = api.service.recognize
        monkeypatch.setattr(api.service, "recognize", lambda request: seen.append(request) or recognize(request))
        async with recognizing(api, phrases=["one"]) as recognition:
            await recognition.event("ready")
            await recognition.audio(sound(1.0))
            await recognition.send("phrases", phrases=["two"])
            await recognition.event("ready")
            await recognition.audio(sound(0.5))
            await recognition.send("end")
            events = await recognition.rest()
    assert [request.phrases for request in seen] == [("one",), ("two",)]
    final = next(event for event in events if event["type"] == "final")
    assert (final["text"], final["offset_ms"]) == ("word1", 1000.0)
    assert events[-1]["audio_ms"] == 1500.0


async def test_samples_may_be_cut_anywhere():
    async with serving() as api, recognizing(api) as recognition:
        await recognition.audio(sound(1.0), size=1001)
        await recognition.send("end")
        events = await recognition.rest()
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1 word2"]


async def test_audio_faster_than_real_time_is_told_and_bounded():
    engine = fast_engine(recognition_rate=0.02)
    async with serving(engine) as api, recognizing(api) as recognition:
        sending = asyncio.create_task(recognition.audio(sound(60.0), size=32_000))
        behind = await recognition.event("behind")
        assert behind["behind_ms"] > 0
        await sending
        await recognition.send("end")
        events = await recognition.rest()
    assert events[-1]["audio_ms"] == 60_000.0
    assert max(event["behind_ms"] for event in events if event["type"] == "behind") < 15_000


@pytest.mark.parametrize(
    ("config", "param", "code"),
    [
        ({"format": "mp3"}, "format", None),
        ({"sample_rate": 11025}, "sample_rate", None),
        ({"format": "mulaw", "sample_rate": 16000}, "sample_rate", None),
        ({"language": 5}, "language", "invalid_type"),
        ({"phrases": "one"}, "phrases", "invalid_type"),
        ({"words": 1}, "words", "invalid_type"),
        ({"fraises": []}, "fraises", "unknown_parameter"),
    ],
)
async def test_a_wrong_config_gets_an_error_and_another_try(config: dict[str, Any], param: str, code: str | None):
    async with serving() as api, recognizing(api, **config) as recognition:
        error = await recognition.event("error")
        assert error["error"]["param"] == param
        assert code in {error["error"]["code"], None}
        await recognition.send("config")
        await recognition.event("ready")


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"language": "xx-XX"}, "language"),
        ({"grammar": ["xyzzy"]}, "grammar"),
        ({"session_id": "no spaces"}, "session_id"),
        ({"segmentation_silence_ms": 1}, "segmentation_silence_ms"),
        ({"pool": "nobody"}, "pool"),
    ],
)
async def test_what_no_recogniser_can_do_closes_with_1008(config: dict[str, Any], param: str):
    async with serving() as api, recognizing(api, **config) as recognition:
        await recognition.audio(sound(0.1))
        error = await recognition.event("error")
        assert error["error"]["param"] == param
        await recognition.rest()
        assert recognition.socket.close_code == 1008


async def test_audio_before_config_closes_with_1008():
    async with serving() as api, api.websocket(PATH) as socket:
        recognition = Recognition(socket)
        await recognition.audio(sound(0.1))
        assert (await recognition.event("error"))["error"]["code"] == "config_expected"
        await recognition.rest()
        assert socket.close_code == 1008


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", "invalid_json"),
        ("[]", "invalid_type"),
        ('{"type": "shout"}', "unknown_type"),
        ('{"type": "config"}', "unknown_type"),
        ('{"type": "phrases", "phrases": "one"}', "invalid_type"),
        ('{"type": "commit", "now": true}', "unknown_parameter"),
    ],
)
async def test_a_wrong_message_gets_an_error_and_the_recognition_goes_on(message: str, code: str):
    async with serving() as api, recognizing(api) as recognition:
        await recognition.event("ready")
        await recognition.socket.send(message)
        assert (await recognition.event("error"))["error"]["code"] == code
        await recognition.audio(sound(1.0))
        await recognition.send("end")
        events = await recognition.rest()
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1 word2"]


async def test_a_message_that_is_too_large_closes_with_1009():
    async with serving() as api, recognizing(api) as recognition:
        await recognition.event("ready")
        await recognition.socket.send(b"\0" * 2_000_000)
        assert (await recognition.event("error"))["error"]["code"] == "message_too_large"
        await recognition.rest()
        assert recognition.socket.close_code == 1009


async def test_a_recogniser_that_fails_tells_and_closes_with_1011():
    async with serving() as api, recognizing(api) as recognition:
        api.engine.fail(EngineFailed("broke"), times=3)
        await recognition.audio(sound(3.0))
        assert (await recognition.event("error"))["error"]["code"] == "engine_failed"
        await recognition.rest()
        assert recognition.socket.close_code == 1011


async def test_a_client_that_goes_away_gives_its_recogniser_back():
    async with serving(fast_engine(recognition_rate=5.0)) as api:
        async with recognizing(api) as recognition:
            await recognition.event("ready")
            await recognition.audio(sound(2.0))
            recognition.socket.transport.abort()
        await eventually(lambda: not api.engine.busy_clients and api.service.active == 0 and not api.state.sockets)


async def test_an_idle_recognition_is_finished_and_closed():
    async with serving(environ={"SPEECHPOOL_WEBSOCKET_IDLE": "1"}) as api, recognizing(api) as recognition:
        await recognition.audio(sound(1.0))
        events = await recognition.rest()
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1 word2"]
    assert events[-1]["reason"] == "idle"


async def test_a_sidecar_that_stops_tells_the_last_words():
    async with serving() as api, recognizing(api) as recognition:
        await recognition.event("ready")
        await recognition.audio(sound(1.0))
        await recognition.event("partial")
        stopping = asyncio.create_task(api.runner.cleanup())
        events = await recognition.rest()
        await stopping
    assert [event["text"] for event in events if event["type"] == "final"] == ["word1 word2"]
    assert events[-1]["reason"] == "shutting_down"
    assert recognition.socket.close_code == 1001


async def test_a_sidecar_that_stops_closes_a_socket_without_config():
    async with serving() as api, api.websocket(PATH) as socket:
        await eventually(lambda: api.state.sockets)
        await api.runner.cleanup()
        recognition = Recognition(socket)
        assert await recognition.rest() == []
        assert socket.close_code == 1001


async def test_a_session_listens_on_a_socket():
    async with serving() as api:
        await api.http.put("/v1/sessions/call-1")
        async with recognizing(api, session_id="call-1") as recognition:
            ready = await recognition.event("ready")
            assert ready["tier"] == "dedicated"
            async with recognizing(api, session_id="call-1") as second:
                error = await second.event("error")
                assert error["error"]["code"] == "session_busy"
            await recognition.send("end")
            await recognition.rest()


async def test_the_config_says_how_segments_are_cut():
    options = {
        "segmentation_silence_ms": 300,
        "segmentation_maximum_ms": 30_000,
        "segmentation_strategy": "Time",
        "start_sensitivity": "high",
    }
    async with serving(fast_engine(segmentation=True)) as api, recognizing(api, **options) as recognition:
        await recognition.event("ready")
        asked = api.engine.asked[0]
    assert {name: getattr(asked, name) for name in options} == options


@pytest.mark.parametrize(
    ("config", "param", "code"),
    [
        ({"segmentation_maximum_ms": 30_000}, "segmentation_maximum_ms", "unsupported_value"),
        ({"segmentation_silence_ms": 99}, "segmentation_silence_ms", "invalid_value"),
        ({"start_sensitivity": 3}, "start_sensitivity", "invalid_type"),
    ],
)
async def test_a_config_that_cannot_be_is_refused_by_its_field(config, param, code):
    async with serving() as api, recognizing(api, **config) as recognition:
        error = (await recognition.event("error"))["error"]
    assert (error["param"], error["code"]) == (param, code)


async def test_the_end_tells_how_the_engine_served_it():
    report = UseReport(was_warm=False, connect_seconds=0.2, endpoint="westeurope", reference="4711")
    async with serving(fast_engine(report=report)) as api, recognizing(api) as recognition:
        await recognition.audio(sound(1.0))
        await recognition.send("end")
        closed = (await recognition.rest())[-1]
    told = (closed["tier"], closed["warm_miss"], closed["connect_ms"], closed["endpoint"], closed["reference"])
    assert told == ("cold", True, 200.0, "westeurope", "4711")


async def test_a_pool_for_telephones_gets_its_audio_as_it_came(tmp_path):
    """Audio in another format is converted to it where its pool is named."""
    mulaw, pcm = AudioFormat(Codec.MULAW, 8_000), AudioFormat(Codec.PCM, 16_000)
    settings = tmp_path / "settings.yaml"
    pools = [
        {"name": "tts", "kind": "TextToSpeech"},
        {"name": "stt", "kind": "SpeechToText"},
        {"name": "phone", "kind": "SpeechToText", "inputFormat": "Raw8Khz8BitMonoMULaw"},
    ]
    settings.write_text(json.dumps({"pools": pools}))
    engine = fast_engine(input_formats=frozenset({mulaw, pcm}))
    async with serving(engine, {"SPEECHPOOL_CONFIG": str(settings)}) as api:
        async with recognizing(api, format="mulaw") as recognition:
            assert (await recognition.event("ready"))["pool"] == "phone"
        async with recognizing(api, format="pcm", pool="phone") as recognition:
            await recognition.event("ready")
            await recognition.audio(sound(1.0) + SILENCE)
            await recognition.send("end")
            final = await recognition.event("final")
    assert final["text"].startswith("word1")
