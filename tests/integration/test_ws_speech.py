"""WebSocket /v1/speech/stream, spoken to with the websockets library."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from tests.fakes import audio_of
from tests.integration.api import Api, eventually, fast_engine, serving
from tests.integration.talk import LAST, Talk
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from speechpool.errors import EngineFailed
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import UseReport
from speechpool.web.ws_speech import MAX_TURNS

PCM = AudioFormat(Codec.PCM, 24_000)
PATH = "/v1/speech/stream"


class Speech(Talk):
    """The client's side, and the API that it speaks to."""

    def __init__(self, api: Api, socket: ClientConnection) -> None:
        super().__init__(socket)
        self.api = api


@contextlib.asynccontextmanager
async def speaking(api: Api) -> AsyncIterator[Speech]:
    async with api.websocket(PATH) as socket:
        yield Speech(api, socket)


async def test_an_utterance_from_started_to_completed():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One two.", voice="one")
        events, audio = await speech.utterance()
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["started", "word"] or kinds[:2] == ["started", "first_audio"]
    assert kinds.count("first_audio") == 1
    assert kinds[-1] == "completed"
    assert {event["id"] for event in events} == {"a"}
    assert len(audio) == len(audio_of("One two.", PCM))
    started, completed = events[0], events[-1]
    assert (started["tier"], started["response_format"], started["sample_rate"]) == ("warm", "pcm", 24_000)
    assert completed["audio_ms"] == 480.0
    assert completed["characters"] == 8
    assert completed["bytes"] == len(audio)


async def test_an_utterance_tells_how_the_engine_served_it():
    report = UseReport(was_warm=False, connect_seconds=0.2, endpoint="westeurope", reference="4711")
    async with serving(fast_engine(report=report)) as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One two.")
        events, _ = await speech.utterance()
    first = next(event for event in events if event["type"] == "first_audio")
    completed = events[-1]
    assert (events[0]["tier"], first["tier"], completed["tier"]) == ("warm", "cold", "cold")
    told = {name: completed[name] for name in ("warm_miss", "connect_ms", "endpoint", "reference", "attempts")}
    assert told == {
        "warm_miss": True,
        "connect_ms": 200.0,
        "endpoint": "westeurope",
        "reference": "4711",
        "attempts": 1,
    }


async def test_words_say_where_they_are_in_audio_and_text():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", input="One two.", visemes=True)
        events, _ = await speech.utterance()
    words = [event for event in events if event["type"] == "word"]
    assert [(word["text"], word["text_offset"], word["text_length"]) for word in words] == [
        ("One", 0, 3),
        ("two", 4, 3),
    ]
    assert [word["offset_ms"] for word in words] == [0.0, 240.0]
    assert [event["viseme_id"] for event in events if event["type"] == "viseme"] == [1, 1]


async def test_words_can_be_switched_off():
    async with serving() as api, speaking(api) as speech:
        await speech.send("config", words=False)
        await speech.send("speak", input="One two.")
        events, _ = await speech.utterance()
    assert [event["type"] for event in events] == ["started", "first_audio", "completed"]


async def test_an_ssml_mark_is_a_bookmark():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", input='<speak>One <mark name="mark"/> two.</speak>', input_type="ssml")
        events, _ = await speech.utterance()
    assert [event["name"] for event in events if event["type"] == "bookmark"] == ["mark"]


async def test_many_utterances_in_their_order_without_mixing():
    async with serving() as api, speaking(api) as speech:
        for number in range(MAX_TURNS):
            await speech.send("speak", id=f"u{number}", input="Hello " + "x" * number)
        for number in range(MAX_TURNS):
            events, audio = await speech.utterance()
            assert {event["id"] for event in events} == {f"u{number}"}
            assert len(audio) == len(audio_of("Hello " + "x" * number, PCM))


async def test_without_an_id_one_is_made():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", input="One.")
        await speech.send("speak", input="Two.")
        first, _ = await speech.utterance()
        second, _ = await speech.utterance()
    assert (first[0]["id"], second[0]["id"]) == ("utterance-1", "utterance-2")


async def test_text_piece_by_piece_is_one_utterance():
    pieces = ["The train ", "leaves at nine. ", "Be there ", "in time, please."]
    async with serving() as api, speaking(api) as speech:
        for piece in pieces:
            await speech.send("text", id="a", text=piece)
        await speech.send("flush", id="a")
        events, audio = await speech.utterance()
        said = [utterance.text for _, utterance in api.engine.said]
    assert [event["type"] for event in events].count("started") == 1
    assert events[-1]["type"] == "completed"
    assert " ".join("".join(said).split()) == " ".join("".join(pieces).split())
    assert audio
    whole = "".join(pieces)
    for word in (event for event in events if event["type"] == "word"):
        begin = word["text_offset"]
        assert whole[begin : begin + word["text_length"]] == word["text"]


async def test_the_first_clause_is_spoken_before_the_text_ends():
    async with serving() as api, speaking(api) as speech:
        await speech.send("text", text="The train leaves at nine o'clock sharp. And then ")
        await speech.event("first_audio")  # though nothing was flushed
        await speech.send("flush")
        await speech.event("completed")


async def test_a_flush_with_more_goes_on():
    async with serving() as api, speaking(api) as speech:
        await speech.send("text", id="a", text="Well")
        await speech.send("flush", id="a", more=True)
        await speech.event("first_audio")
        await speech.send("text", id="a", text=" then.")
        await speech.send("flush", id="a")
        completed = await speech.event("completed")
    assert completed["characters"] == len("Well then.")


async def test_text_waits_for_its_turn():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One two three.")
        await speech.send("text", id="b", text="Four ")
        await speech.send("text", text="five.")
        await speech.send("flush")
        first, _ = await speech.utterance()
        second, _ = await speech.utterance()
    assert (first[0]["id"], second[0]["id"]) == ("a", "b")
    assert second[-1]["characters"] == len("Four five.")


async def test_cancel_stops_the_audio_and_tells_what_went_out():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(None, after_chunks=6)  # 0.6 s: "One two th"
        await speech.send("speak", id="a", input="One two three four five.")
        received = b""
        while len(received) < 6 * 4800:
            message = await speech.receive()
            received += message if isinstance(message, bytes) else b""
        await speech.send("cancel", id="a")
        canceled = await speech.receive()
        assert isinstance(canceled, dict)
        assert (canceled["type"], canceled["id"], canceled["audio_ms"]) == ("canceled", "a", 600.0)
        assert "One two three four five.".startswith(canceled["text"].strip())
        await speech.send("speak", id="b", input="Go on.")
        events, _ = await speech.utterance()
    assert events[-1]["type"] == "completed"


async def test_cancel_can_tell_the_text_that_was_heard():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(None, after_chunks=12)  # 1.2 s: "One two three four f"
        await speech.send("speak", id="a", input="One two three four five.")
        received = b""
        while len(received) < 12 * 4800:
            message = await speech.receive()
            received += message if isinstance(message, bytes) else b""
        await speech.send("cancel", id="a", played_ms=300)  # 5 characters
        canceled = await speech.event("canceled")
    assert canceled["audio_ms"] == 300.0
    assert canceled["text"].split() == ["One", "two"]


async def test_cancel_without_an_id_cancels_all():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(None, after_chunks=1)
        for name in "abc":
            await speech.send("speak", id=name, input="One two three.")
        await speech.event("first_audio")
        await speech.send("cancel")
        canceled = {(await speech.event("canceled"))["id"] for _ in "abc"}
        assert canceled == {"a", "b", "c"}
        await speech.send("speak", id="a", input="Go on.")
        events, _ = await speech.utterance()
    assert events[-1]["type"] == "completed"


async def test_cancel_while_it_waits_for_a_client():
    async with serving(environ={"SPEECH_POOL_MAX_SIZE": "1"}) as api, speaking(api) as first, speaking(api) as second:
        api.engine.fail(None, after_chunks=1)
        await first.send("speak", id="a", input="One.  Two. Three.")
        await first.event("first_audio")
        await second.send("speak", id="b", input="Two.")
        await eventually(lambda: api.service.pool("tts")["waiting"] == 1)
        await second.send("cancel", id="b")
        canceled = await second.event("canceled")
        assert canceled["audio_ms"] == 0.0
        await eventually(lambda: api.service.pool("tts")["waiting"] == 0)


async def test_text_on_its_way_when_its_utterance_was_canceled_is_not_spoken():
    async with serving() as api, speaking(api) as speech:
        await speech.send("text", id="a", text="The train leaves at nine o'clock sharp. ")
        await speech.event("first_audio")
        await speech.send("cancel", id="a")
        await speech.send("text", id="a", text="This must not be heard. ")
        await speech.send("speak", id="b", input="Next.")
        await speech.event("canceled")
        events, _ = await speech.utterance()
        said = "".join(utterance.text for _, utterance in api.engine.said)
    assert events[0]["id"] == "b"
    assert "heard" not in said


async def test_a_failure_ends_its_utterance_alone():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(EngineFailed("broke"), after_chunks=1)
        await speech.send("speak", id="a", input="One two three.")
        await speech.send("speak", id="b", input="Four.")
        failed, _ = await speech.utterance()
        spoken, _ = await speech.utterance()
    assert (failed[-1]["type"], failed[-1]["id"]) == ("error", "a")
    assert failed[-1]["error"]["code"] == "engine_failed"
    assert failed[-1]["retry_after_ms"] == 1000
    assert spoken[-1]["type"] == "completed"


async def test_end_speaks_what_was_accepted_and_closes():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One.")
        await speech.send("text", id="b", text="Two.")
        await speech.send("end")
        await speech.send("speak", id="c", input="Three.")
        kinds = []
        try:
            while True:
                message = await speech.receive()
                if isinstance(message, dict) and message["type"] in LAST:
                    kinds.append((message["type"], message["id"]))
        except ConnectionClosed:
            assert speech.socket.close_code == 1000
    assert sorted(kinds) == [("completed", "a"), ("completed", "b"), ("error", "c")]


async def test_a_client_that_goes_away_stops_everything():
    async with serving() as api:
        async with speaking(api) as speech:
            api.engine.fail(None, after_chunks=1)
            await speech.send("speak", input="One two three.")
            await speech.event("first_audio")
            speech.socket.transport.abort()
        await eventually(lambda: not api.engine.busy_clients and api.service.active == 0 and not api.state.sockets)


async def test_a_session_speaks_on_a_socket():
    async with serving() as api, speaking(api) as speech:
        await api.http.put("/v1/sessions/call-1")
        await speech.send("config", session_id="call-1")
        await speech.send("speak", input="One.")
        events, _ = await speech.utterance()
        assert events[0]["tier"] == "dedicated"
        api.engine.fail(None, after_chunks=1)
        await speech.send("speak", input="One two three.")
        await speech.event("first_audio")
        result = (await api.http.post("/v1/sessions/call-1/cancel")).json()
        canceled = await speech.event("canceled")
    assert result["canceled"] is True
    assert canceled["audio_ms"] == result["audio_seconds_sent"] * 1000


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("no json", None, "invalid_json"),
        ("[]", None, "invalid_type"),
        ("{}", "type", "missing_required_parameter"),
        ('{"type": 5}', "type", "invalid_type"),
        ('{"type": "shout"}', "type", "unknown_type"),
        ('{"type": "speak"}', "input", "missing_required_parameter"),
        ('{"type": "speak", "input": 5}', "input", "invalid_type"),
        ('{"type": "speak", "input": "a", "voise": "one"}', "voise", "unknown_parameter"),
        ('{"type": "speak", "input": "a", "voice": "nobody"}', "voice", "voice_not_found"),
        ('{"type": "speak", "input": "a", "speed": 9}', "speed", "invalid_speed"),
        ('{"type": "speak", "input": "a", "response_format": "midi"}', "response_format", "unsupported_format"),
        ('{"type": "speak", "input": "a", "id": ""}', "id", "invalid_id"),
        ('{"type": "speak", "input": "a", "session_id": "no spaces"}', "session_id", "invalid_session_id"),
        ('{"type": "speak", "input": ""}', "input", "empty_input"),
        ('{"type": "speak", "input": "a\\u0007"}', "input", "control_character"),
        ('{"type": "config", "words": "yes"}', "words", "invalid_type"),
        ('{"type": "text"}', "text", "missing_required_parameter"),
        ('{"type": "flush"}', "id", "no_open_utterance"),
        ('{"type": "cancel", "id": "nobody"}', "id", "unknown_id"),
        ('{"type": "cancel", "played_ms": -1}', "played_ms", "invalid_value"),
    ],
)
async def test_a_wrong_message_gets_an_error_and_the_socket_stays(message: str, param: str | None, code: str):
    async with serving() as api, speaking(api) as speech:
        await speech.socket.send(message)
        error = await speech.event("error")
        assert (error["error"]["param"], error["error"]["code"]) == (param, code)
        await speech.send("speak", input="Still here.")
        events, _ = await speech.utterance()
    assert events[-1]["type"] == "completed"


async def test_an_id_that_is_in_use_is_refused_and_its_utterance_goes_on():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One two three.")
        await speech.send("speak", id="a", input="Again.")
        error = await speech.event("error")
        assert (error["id"], error["error"]["code"]) == (None, "duplicate_id")
        await speech.event("completed")


async def test_the_queue_is_bounded():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(None)
        for number in range(MAX_TURNS + 1):
            await speech.send("speak", id=f"u{number}", input="One.")
        error = await speech.event("error")
        assert (error["id"], error["error"]["code"]) == (f"u{MAX_TURNS}", "queue_full")


async def test_text_without_end_is_bounded():
    async with serving() as api, speaking(api) as speech:
        api.engine.fail(None)
        for _ in range(40):
            await speech.send("text", id="a", text="no end in sight " * 200)
        error = await speech.event("error")
        assert (error["id"], error["error"]["code"]) == ("a", "input_too_long")
        await eventually(lambda: not api.engine.busy_clients)


@pytest.mark.parametrize(("message", "code", "close_code"), [(b"\0\0", "binary_not_expected", 1003)])
async def test_binary_where_json_belongs_closes(message: bytes, code: str, close_code: int):
    async with serving() as api, speaking(api) as speech:
        await speech.socket.send(message)
        assert (await speech.event("error"))["error"]["code"] == code
        assert await speech.close_code() == close_code


async def test_a_message_that_is_too_large_closes_with_1009():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", input="a" * 2_000_000)
        assert (await speech.event("error"))["error"]["code"] == "message_too_large"
        assert await speech.close_code() == 1009


async def test_a_message_far_too_large_closes_with_1009_at_once():
    async with serving() as api, speaking(api) as speech:
        with contextlib.suppress(ConnectionClosed):
            await speech.send("speak", input="a" * 8_000_000)
        assert await speech.close_code() == 1009


async def test_an_idle_socket_is_closed_and_a_speaking_one_is_not():
    async with serving(fast_engine(), {"SPEECHPOOL_WEBSOCKET_IDLE": "1"}) as api, speaking(api) as speech:
        assert await speech.close_code() == 1000
        assert speech.socket.close_reason == "idle"


async def test_a_sidecar_that_stops_finishes_what_is_said_and_closes_with_1001():
    async with serving() as api, speaking(api) as speech:
        await speech.send("speak", id="a", input="One two three.")
        await speech.event("started")
        stopping = asyncio.create_task(api.runner.cleanup())
        await speech.event("completed")
        assert await speech.close_code() == 1001
        await stopping


async def test_a_slow_reader_gets_everything_and_costs_no_memory():
    async with serving() as api, api.websocket(PATH, max_queue=1) as socket:
        speech = Speech(api, socket)
        await speech.send("speak", input="a" * 4000, sample_rate=48000)
        await speech.event("started")
        await eventually(lambda: api.engine.busy_clients)
        events, audio = [], 0
        while not events or events[-1] != "completed":
            message = await speech.receive()
            if isinstance(message, bytes):
                audio += len(message)
            else:
                events.append(message["type"])
    assert audio == len(audio_of("a" * 4000, AudioFormat(Codec.PCM, 48_000)))


async def test_the_request_id_is_in_the_handshake():
    async with serving() as api, api.websocket(PATH, additional_headers={"x-request-id": "call-9"}) as socket:
        assert socket.response.headers["x-request-id"] == "call-9"


async def test_pieces_of_text_go_to_a_pool_for_them_and_whole_texts_do_not(tmp_path):
    settings = tmp_path / "settings.yaml"
    pools = [
        {"name": "tts", "kind": "TextToSpeech"},
        {"name": "stream", "kind": "TextToSpeech", "textStreaming": "Enabled"},
    ]
    settings.write_text(json.dumps({"pools": pools}))
    engine = fast_engine(text_streaming=True)
    async with serving(engine, {"SPEECHPOOL_CONFIG": str(settings)}) as api, speaking(api) as speech:
        for piece in ("Hel", "lo the", "re."):
            await speech.send("text", id="a", text=piece)
        await speech.send("flush", id="a")
        pieces, audio = await speech.utterance()
        await speech.send("speak", id="b", input="Hello.")
        whole, _ = await speech.utterance()
        spoken = await api.http.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
        pool = (await api.http.get("/v1/pools/stream")).json()
    assert (pieces[0]["pool"], pieces[0]["tier"], whole[0]["pool"]) == ("stream", "warm", "tts")
    assert "".join(engine.written[0]) == "Hello there."
    assert len(audio) == len(audio_of("Hello there.", PCM))
    assert [event["text"] for event in pieces if event["type"] == "word"]
    assert spoken.status_code == 200
    assert len(engine.written) == 1
    assert pool["text_streaming"] is True
