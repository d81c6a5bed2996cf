"""What a user of both WebSockets and of every format gets from Azure, over the sidecar's own socket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.azure_listening import quiet, sound
from tests.integration.azure_sidecar import Talk, ask, azure_sidecar, in_order, speech_pool, talking
from tests.integration.sidecar import Sidecar

from speechpool.formats import AudioFormat, Codec
from speechpool_azure_emulator import RunningEmulator, marks_in, running_emulator

LISTEN = "/v1/recognize/stream"
POOLS = (
    speech_pool(warmSize=1),
    speech_pool("phone", warmSize=1, outputFormat="Raw8Khz8BitMonoMULaw"),
    speech_pool("music", warmSize=1, outputFormat="Audio24Khz96KBitRateMonoMp3"),
    {"name": "stt", "kind": "SpeechToText", "warmSize": 1, "languages": ["en-US", "de-DE"], "languageMode": "Detect"},
    {"name": "calls", "kind": "SpeechToText", "warmSize": 1, "inputFormat": "Raw8Khz8BitMonoMULaw"},
)
MULAW = AudioFormat(Codec.MULAW, 8_000)


@dataclass
class Place:
    """A sidecar with its Azure."""

    sidecar: Sidecar
    azure: RunningEmulator


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        running_emulator(detected_language="de-DE") as azure,
        azure_sidecar(tmp_path_factory.mktemp("azure"), azure.url, *POOLS) as sidecar,
    ):
        yield Place(sidecar, azure)


@pytest.fixture(autouse=True)
def rested(place: Place) -> None:
    """Each test begins with every client idle."""
    in_order(place.sidecar)


class TestFormats:
    def test_telephone_audio_comes_from_azure_as_it_is(self, place: Place) -> None:
        reply = ask(place.sidecar, response_format="mulaw")

        last = place.azure.utterances[-1]
        assert reply.headers["x-speechpool-tier"] == "warm"
        assert last.format == "raw-8khz-8bit-mono-mulaw"
        assert marks_in(reply.content, Codec.MULAW) == {last.mark}
        assert len(reply.content) == last.audio_bytes

    def test_mp3_comes_from_azure_as_it_is(self, place: Place) -> None:
        reply = ask(place.sidecar, response_format="mp3")

        last = place.azure.utterances[-1]
        assert reply.headers["x-speechpool-tier"] == "warm"
        assert last.format == "audio-24khz-96kbitrate-mono-mp3"
        assert len(reply.content) == last.audio_bytes

    @pytest.mark.parametrize(
        ("name", "magic"), [("opus", b"OggS"), ("flac", b"fLaC"), ("wav", b"RIFF"), ("aac", b"\xff"), ("alaw", b"")]
    )
    def test_others_are_made_of_pcm(self, place: Place, name: str, magic: bytes) -> None:
        reply = ask(place.sidecar, response_format=name)

        assert reply.status_code == 200
        assert reply.content.startswith(magic)
        assert len(reply.content) > 1000
        assert place.azure.utterances[-1].format == "raw-24khz-16bit-mono-pcm"


class TestSpeech:
    async def test_words_visemes_and_marks_of_either_kind_are_told(self, place: Place) -> None:
        text = '<speak>One <mark name="a"/>two <bookmark mark="b"/>three.</speak>'
        async with talking(place.sidecar) as talk:
            await talk.send("speak", input=text, input_type="ssml", visemes=True)
            events, audio = await talk.utterance()

        words = told(events, "word")
        assert [word["text"] for word in words] == ["One", "two", "three"]
        assert [text[word["text_offset"] :][: word["text_length"]] for word in words] == ["One", "two", "three"]
        assert [word["offset_ms"] for word in words] == [0.0, 300.0, 600.0]
        assert [(mark["name"], mark["offset_ms"]) for mark in told(events, "bookmark")] == [("a", 300.0), ("b", 600.0)]
        assert [viseme["offset_ms"] for viseme in told(events, "viseme")] == [0.0, 300.0, 600.0]
        assert events[-1]["audio_ms"] == len(audio) / 48
        assert events[-1]["reference"] == place.azure.utterances[-1].request_id

    def test_speed_and_style_reach_azure(self, place: Place) -> None:
        assert ask(place.sidecar, speed=1.5, voice="en-US-AriaNeural", instructions="cheerful").status_code == 200

        ssml = place.azure.utterances[-1].ssml
        assert '<prosody rate="+50.00%">' in ssml
        assert 'style="cheerful"' in ssml
        assert place.azure.utterances[-1].voice == "en-US-AriaNeural"


def told(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


class TestRecognition:
    async def test_from_ready_to_closed_with_the_language_that_was_detected(self, place: Place) -> None:
        place.azure.transcripts.say("guten morgen", "noch etwas")
        async with talking(place.sidecar, LISTEN) as talk:
            await talk.send("config", pool="stt", words=True, phrases=["Szczecin"], segmentation_silence_ms=700)
            ready = await talk.event("ready")
            await write(talk, sound(1.0) + quiet(1.0) + sound(1.0))
            await talk.send("end")
            events = await talk.rest()

        finals = told(events, "final")
        assert (ready["tier"], ready["language"]) == ("warm", None)
        assert [final["text"].rstrip(".").lower() for final in finals] == ["guten morgen", "noch etwas"]
        assert {final["language"] for final in finals} == {"de-DE"}
        assert [word["text"].lower() for word in finals[0]["words"]] == ["guten", "morgen"]
        assert told(events, "partial")
        assert told(events, "speech_start")
        assert (events[-1]["type"], events[-1]["reason"]) == ("closed", "end")
        assert (events[-1]["tier"], events[-1]["warm_miss"]) == ("warm", False)

        heard = place.azure.recognitions[-1]
        assert heard.languages == ("en-US", "de-DE")
        assert heard.phrase_list == ("Szczecin",)
        assert "700" in str(heard.context["phraseDetection"])
        assert heard.connection.opened_at < heard.requested_at

    async def test_a_commit_ends_the_segment_while_the_sound_goes_on(self, place: Place) -> None:
        place.azure.transcripts.say("call me back")
        async with talking(place.sidecar, LISTEN) as talk:
            await talk.send("config")
            await write(talk, sound(1.0))
            await talk.send("commit")
            final = await talk.event("final")
            await talk.send("end")
            closed = (await talk.rest())[-1]

        assert final["text"].rstrip(".").lower() == "call me back"
        assert closed["reason"] == "end"
        assert place.azure.recognitions[-1].commits == 1

    async def test_telephone_audio_goes_to_azure_as_it_is(self, place: Place) -> None:
        async with talking(place.sidecar, LISTEN) as talk:
            await talk.send("config", format="mulaw", sample_rate=8000)
            ready = await talk.event("ready")
            await write(talk, sound(1.0, MULAW) + quiet(1.0, MULAW))
            await talk.send("end")
            events = await talk.rest()

        assert (ready["pool"], ready["format"]) == ("calls", "mulaw")
        assert len(told(events, "final")) == 1
        heard = place.azure.recognitions[-1]
        assert (heard.audio_format, heard.audio_bytes) == ("mulaw-8000", 16_000)

    async def test_one_client_is_for_one_recognition(self, place: Place) -> None:
        for _ in range(2):
            async with talking(place.sidecar, LISTEN) as talk:
                await talk.send("config")
                await write(talk, sound(0.5))
                await talk.send("end")
                assert told(await talk.rest(), "closed")[0]["warm_miss"] is False
            in_order(place.sidecar)

        one, two = list(place.azure.recognitions)[-2:]
        assert one.connection.number != two.connection.number
        assert not one.connection.is_open


async def write(talk: Talk, audio: bytes) -> None:
    for at in range(0, len(audio), 6400):
        await talk.socket.send(audio[at : at + 6400])
