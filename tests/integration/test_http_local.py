"""The API with the real local engine: what only real speech can show."""

import io
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.api import Api, serving
from tests.integration.test_ws_recognize import recognizing
from tests.integration.test_ws_speech import speaking

from speechpool.speech.loading import load_engine
from speechpool.web.models import OPENAI_VOICES

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "austen-0870.wav"
SENTENCE = "The quick brown fox jumps over the lazy dog."

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api() -> AsyncIterator[Api]:
    """One server for all tests: none leaves anything behind that another would notice."""
    async with serving(load_engine("local", {})) as api:
        yield api


async def test_every_voice_of_openais_speaks(api: Api):
    for voice in OPENAI_VOICES:
        body = {"input": SENTENCE, "voice": voice, "response_format": "wav"}
        reply = await api.http.post("/v1/audio/speech", json=body)
        assert reply.status_code == 200, voice
        assert 1 < seconds_of(reply.content) < 10


async def test_faster_speech_is_shorter(api: Api):
    lengths = []
    for speed in (0.5, 1.0, 2.0):
        body = {"input": SENTENCE, "speed": speed, "response_format": "wav"}
        lengths.append(seconds_of((await api.http.post("/v1/audio/speech", json=body)).content))
    assert lengths[0] > 1.4 * lengths[1] > 1.4 * 1.4 * lengths[2]


@pytest.mark.parametrize("document", ["<speak>Hello", "no markup", "<speak>&nothing;</speak>", "<a><b></a></b>"])
async def test_ssml_that_is_not_xml_is_400(api: Api, document: str):
    body = {"input": document, "input_type": "ssml", "response_format": "pcm"}
    reply = await api.http.post("/v1/audio/speech", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")


async def test_what_is_spoken_is_understood_where_the_sentences_are_known(api: Api):
    body = {"input": "stop the music", "response_format": "wav", "sample_rate": 16000}
    spoken = await api.http.post("/v1/audio/speech", json=body)
    fields = {"grammar[]": ["stop the music", "play the music"], "response_format": "verbose_json"}
    heard = await api.http.post("/v1/audio/transcriptions", files={"file": spoken.content}, data=fields)
    assert heard.status_code == 200, heard.text
    assert heard.json()["text"] == "stop the music"


async def test_a_word_outside_the_dictionary_is_400_and_named(api: Api):
    files = {"file": RECORDING.read_bytes()}
    reply = await api.http.post("/v1/audio/transcriptions", files=files, data={"grammar": "open the qwzrtl"})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "grammar")
    assert "qwzrtl" in error["message"]


async def test_a_prompt_of_any_words_does_no_harm(api: Api):
    files = {"file": RECORDING.read_bytes()}
    reply = await api.http.post("/v1/audio/transcriptions", files=files, data={"prompt": "Qwzrtl, Łódź und Köln"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-speechpool-warning"] == "no effect: prompt"
    assert reply.json()["text"]


async def test_a_human_voice_over_the_websocket(api: Api):
    with wave.open(str(RECORDING)) as sound:
        rate, audio = sound.getframerate(), sound.readframes(sound.getnframes())
    async with recognizing(api, sample_rate=rate, words=True) as recognition:
        await recognition.audio(audio, size=32_000)
        await recognition.send("end")
        events = await recognition.rest()
    finals = [event for event in events if event["type"] == "final"]
    words = [word for final in finals for word in final["words"]]
    assert words
    assert all(0 <= word["start_ms"] < word["end_ms"] <= len(audio) / 2 / rate * 1000 + 100 for word in words)
    assert events[-1]["type"] == "closed"


async def test_an_answer_written_token_by_token_is_spoken(api: Api):
    async with speaking(api) as speech:
        for token in json.dumps(SENTENCE).strip('"').split(" "):
            await speech.send("text", id="a", text=token + " ")
        await speech.send("flush", id="a")
        events, audio = await speech.utterance()
    assert events[-1]["type"] == "completed"
    assert len(audio) / 48_000 > 1
    words = [event["text"].strip(".").lower() for event in events if event["type"] == "word"]
    assert words[:4] == ["the", "quick", "brown", "fox"]


def seconds_of(data: bytes) -> float:
    """A streamed WAV's length: its header does not know it."""
    with wave.open(io.BytesIO(data)) as sound:
        return (len(data) - 44) / sound.getsampwidth() / sound.getframerate()
