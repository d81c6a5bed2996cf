"""Azure's SDK speaks with the emulator."""

import asyncio
import threading
import time
from collections.abc import Iterator

import azure.cognitiveservices.speech as sdk
import pytest
from tests.integration.azure_emulator_clients import KEEP, PATIENCE_SECONDS, Format, configuration, spoken, talker

from speechpool.formats import Codec
from speechpool_azure_emulator import AzureEmulator, Fault, RunningEmulator, marks_in, running_emulator

SSML = (
    "<speak version='1.0' xml:lang='en-US'><voice name='en-US-AvaNeural'>"
    "Hello <bookmark mark='here'/>world. Good bye.</voice></speak>"
)


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with running_emulator(first_chunk_seconds=0.0) as running:
        yield running


class TestAudio:
    def test_each_utterance_is_a_tone_of_its_own_on_the_same_socket(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            said = [client.say() for _ in range(3)]

        assert [marks_in(one.audio) for one in said] == [{1}, {2}, {3}]
        assert [one.connection_ms for one in said[1:]] == ["0", "0"]
        assert [utterance.nth_on_connection for utterance in emulator.utterances] == [1, 2, 3]
        assert emulator.counts.upgrades == 1

    @pytest.mark.parametrize(
        ("output", "codec", "size"),
        [
            (Format.Raw8Khz16BitMonoPcm, Codec.PCM, 16_000),
            (Format.Raw16Khz16BitMonoPcm, Codec.PCM, 32_000),
            (Format.Raw22050Hz16BitMonoPcm, Codec.PCM, 44_100),
            (Format.Raw24Khz16BitMonoPcm, Codec.PCM, 48_000),
            (Format.Raw44100Hz16BitMonoPcm, Codec.PCM, 88_200),
            (Format.Raw48Khz16BitMonoPcm, Codec.PCM, 96_000),
            (Format.Raw8Khz8BitMonoMULaw, Codec.MULAW, 8_000),
            (Format.Raw8Khz8BitMonoALaw, Codec.ALAW, 8_000),
        ],
    )
    def test_raw_formats_have_the_length_asked_for(
        self, emulator: RunningEmulator, output: Format, codec: Codec, size: int
    ) -> None:
        emulator.configure(utterance_seconds=1.0)
        with talker(emulator, output) as client:
            said = client.say()

        assert len(said.audio) == size
        assert marks_in(said.audio, codec) == {emulator.utterances[-1].mark}

    @pytest.mark.parametrize(
        ("output", "beginning"),
        [(Format.Audio24Khz96KBitRateMonoMp3, b"\xff"), (Format.Ogg24Khz16BitMonoOpus, b"OggS")],
    )
    def test_mp3_and_opus_are_real(self, emulator: RunningEmulator, output: Format, beginning: bytes) -> None:
        with talker(emulator, output) as client:
            said = client.say()

        assert said.reason == "SynthesizingAudioCompleted"
        assert said.audio.startswith(beginning)
        assert said.seconds == pytest.approx(1.5, abs=0.1)

    def test_a_format_that_it_does_not_make_is_refused(self, emulator: RunningEmulator) -> None:
        with talker(emulator, Format.Webm24Khz16BitMonoOpus) as client:
            said = client.say()

        assert said.code == "BadRequest"
        assert "Unsupported audio format webm-24khz-16bit-mono-opus." in said.details

    def test_audio_comes_at_its_pace(self, emulator: RunningEmulator) -> None:
        emulator.configure(first_chunk_seconds=0.05, pace=10.0, utterance_seconds=1.0)
        with talker(emulator) as client:
            client.say()
        utterance = emulator.utterances[0]

        assert utterance.first_chunk_at is not None
        assert utterance.ended_at is not None
        assert utterance.first_chunk_at - utterance.requested_at >= 0.05
        # nine intervals of 10 ms, less a clock's tick; one that is late is made up for by those that follow
        assert utterance.ended_at - utterance.requested_at >= 0.05 + 0.085
        assert utterance.chunks == 10


class TestConnections:
    @pytest.mark.parametrize(
        ("style", "path"),
        [("host", "/cognitiveservices/websocket/v1"), ("endpoint", "/tts/cognitiveservices/websocket/v1")],
    )
    def test_both_sets_of_paths_work(self, emulator: RunningEmulator, style: str, path: str) -> None:
        with talker(emulator, style=style) as client:
            client.say()

        assert emulator.counts.upgrades_by_path == {path: 1}

    def test_a_socket_opened_before_is_ridden_on(self, emulator: RunningEmulator) -> None:
        emulator.configure(upgrade_seconds=0.05)
        with talker(emulator) as client:
            client.open()
            asked_at = time.monotonic()
            said = client.say()
        utterance = emulator.utterances[0]

        assert said.connection_ms == "0"
        assert utterance.connection.opened_at < asked_at < utterance.requested_at
        assert utterance.connection.opened_at - utterance.connection.asked_at >= 0.05

    def test_a_released_client_leaves_no_socket(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            client.say()
            assert emulator.counts.open_sockets == 1

        emulator.wait_for(lambda: emulator.counts.open_sockets == 0)
        assert (emulator.connections[0].close_code, emulator.connections[0].closed_by) == (1000, "client")

    def test_headers_are_remembered_without_secrets(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(keys={"mine": "a-secret-key"})
        with talker(emulator, key="a-secret-key") as client:
            client.say()
        connection = emulator.connections[0]

        assert connection.credential == "key:mine"
        assert "X-ConnectionId" in connection.headers
        assert "a-secret-key" not in str(connection.as_json())

    def test_a_connection_ends_at_its_age(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            client.open()
            emulator.configure(max_connection_seconds=0.05, max_connection_code=1001)
            emulator.wait_for(lambda: emulator.counts.open_sockets == 0)

        assert (emulator.connections[0].close_code, emulator.connections[0].closed_by) == (1001, "emulator")

    def test_an_idle_connection_can_be_closed_while_it_runs(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            client.say()
            emulator.faults.set(Fault(at="idle", action="close", code=1001, times=1))
            emulator.wait_for(lambda: emulator.counts.open_sockets == 0)

            assert client.say().reason == "SynthesizingAudioCompleted"
        assert emulator.counts.upgrades == 2


class TestEvents:
    def test_all_that_is_asked_for_is_told(self, emulator: RunningEmulator) -> None:
        emulator.configure(seconds_per_word=0.5)
        config = configuration(emulator.url)
        config.set_property(sdk.PropertyId.SpeechServiceResponse_RequestSentenceBoundary, "true")
        synthesizer = sdk.SpeechSynthesizer(config, audio_config=None)
        words: list[tuple[str, str, float]] = []
        marks: list[tuple[str, float]] = []
        shapes: list[float] = []
        synthesizer.synthesis_word_boundary.connect(
            lambda event: words.append((event.boundary_type.name, event.text, event.audio_offset / 1e7))
        )
        synthesizer.bookmark_reached.connect(lambda event: marks.append((event.text, event.audio_offset / 1e7)))
        synthesizer.viseme_received.connect(lambda event: shapes.append(event.audio_offset / 1e7))
        completed = threading.Event()  # the future may be done before the last events have come
        synthesizer.synthesis_completed.connect(lambda _: completed.set())
        said = spoken(synthesizer.speak_ssml_async(SSML).get())
        assert completed.wait(PATIENCE_SECONDS)
        del synthesizer

        assert said.seconds == 2.0
        assert sorted(words, key=lambda word: (word[2], word[0])) == [
            ("Sentence", "Hello world", 0.0),
            ("Word", "Hello", 0.0),
            ("Word", "world", 0.5),
            ("Punctuation", ".", 1.0),
            ("Sentence", "Good bye", 1.0),
            ("Word", "Good", 1.0),
            ("Word", "bye", 1.5),
            ("Punctuation", ".", 2.0),
        ]
        assert marks == [("here", 0.5)]
        assert shapes == [0.0, 0.5, 1.0, 1.5]

    def test_what_is_not_asked_for_is_not_told(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            client.say()
        options = emulator.utterances[0].context["synthesis"]["audio"]["metadataOptions"]

        assert not options["wordBoundaryEnabled"]
        assert not options["visemeEnabled"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ("<speak", "Ssml parsing failed: unclosed token at line 1, column 1."),
            (SSML.replace("en-US-AvaNeural", "en-US-NobodyNeural"), "Unsupported voice en-US-NobodyNeural."),
            ("<speak version='1.0' xml:lang='en-US'>hello</speak>", "at least one element voice"),
        ],
    )
    def test_bad_ssml_is_a_bad_request_with_a_reason(
        self, emulator: RunningEmulator, document: str, reason: str
    ) -> None:
        with talker(emulator) as client:
            said = client.say_ssml(document)

            assert said.code == "BadRequest"
            assert "Error code: 1007." in said.details
            assert reason in said.details
            assert client.say().reason == "SynthesizingAudioCompleted"
        assert [utterance.state for utterance in emulator.utterances] == ["refused", "complete"]


class TestBargeIn:
    @pytest.mark.parametrize(("overlap", "state"), [("continue", "complete"), ("cut", "cut")])
    def test_the_next_utterance_has_no_byte_of_the_old_one(
        self, emulator: RunningEmulator, overlap: str, state: str
    ) -> None:
        # what is to be cut goes on for longer than any machine takes to ask for the next
        emulator.configure(tts_overlap=overlap, pace=4.0, utterance_seconds=240.0 if overlap == "cut" else 2.0)
        with talker(emulator, **KEEP) as client:
            result = client.synthesizer.start_speaking_text_async("Hello there").get()
            stream = sdk.AudioDataStream(result)
            assert stream.read_data(bytes(640)) == 640
            client.synthesizer.stop_speaking_async().get()
            emulator.configure(pace=4.0 if overlap == "cut" else 0.0, utterance_seconds=0.4)
            said = client.say("and now something else")

            assert marks_in(said.audio) == {2}
            emulator.wait_for(lambda: emulator.counts.utterances_running == 0)
        assert [utterance.state for utterance in emulator.utterances] == [state, "complete"]
        assert emulator.counts.upgrades == 1


class TestTextStreaming:
    def test_text_comes_in_pieces_and_audio_goes_out_before_the_end(self, emulator: RunningEmulator) -> None:
        url = f"{emulator.url}/cognitiveservices/websocket/v2"
        config = configuration(url, style="endpoint")
        config.set_speech_synthesis_output_format(Format.Raw24Khz16BitMonoPcm)
        synthesizer = sdk.SpeechSynthesizer(config, audio_config=None)
        request = sdk.SpeechSynthesisRequest(input_type=sdk.SpeechSynthesisRequestInputType.TextStream)
        saying = synthesizer.speak_async(request)
        for piece in ("Hel", "lo the", "re my "):
            request.input_stream.write(piece)
        emulator.wait_for(lambda: emulator.counts.utterances == 1 and emulator.utterances[0].audio_bytes > 0)
        request.input_stream.write("friend")
        request.input_stream.close()
        said = spoken(saying.get())
        del synthesizer
        utterance = emulator.utterances[0]

        assert said.seconds == pytest.approx(1.2)
        assert marks_in(said.audio) == {1}
        assert (utterance.text, utterance.pieces, utterance.ssml) == ("Hello there my friend", 4, "")
        assert emulator.counts.upgrades_by_path == {"/cognitiveservices/websocket/v2": 1}

    def test_an_unknown_voice_is_refused(self, emulator: RunningEmulator) -> None:
        config = configuration(f"{emulator.url}/cognitiveservices/websocket/v2", style="endpoint")
        config.speech_synthesis_voice_name = "en-US-NobodyNeural"
        synthesizer = sdk.SpeechSynthesizer(config, audio_config=None)
        request = sdk.SpeechSynthesisRequest(input_type=sdk.SpeechSynthesisRequestInputType.TextStream)
        saying = synthesizer.speak_async(request)
        request.input_stream.write("Hello ")
        request.input_stream.close()
        said = spoken(saying.get())
        del synthesizer

        assert "Unsupported voice en-US-NobodyNeural." in said.details


class TestVoices:
    def test_the_list_of_voices_is_the_services(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            found = client.synthesizer.get_voices_async("de-DE").get()

        assert "de-DE-KatjaNeural" in [voice.short_name for voice in found.voices]
        assert emulator.counts.voice_lists == 1


async def test_it_runs_on_the_tests_own_loop() -> None:
    async with AzureEmulator(first_chunk_seconds=0.0) as emulator:
        config = configuration(emulator.url)
        synthesizer = sdk.SpeechSynthesizer(config, audio_config=None)
        result = await asyncio.to_thread(lambda: synthesizer.speak_text_async("Hello").get())
        await asyncio.to_thread(synthesizer.__dict__.clear)  # releases it, which blocks
        await emulator.wait_for(lambda: emulator.counts.open_sockets == 0, seconds=PATIENCE_SECONDS)

        assert result.reason is sdk.ResultReason.SynthesizingAudioCompleted
        assert emulator.counts.utterances_complete == 1


def test_fifty_utterances_at_once_are_all_complete_and_their_own(emulator: RunningEmulator) -> None:
    emulator.configure(pace=20.0, utterance_seconds=2.0)
    config = configuration(emulator.url)
    config.set_speech_synthesis_output_format(Format.Raw24Khz16BitMonoPcm)
    synthesizers = [sdk.SpeechSynthesizer(config, audio_config=None) for _ in range(50)]
    said = [synthesizer.speak_text_async("Hello there") for synthesizer in synthesizers]
    marks = [marks_in(one.get().audio_data) for one in said]
    synthesizers.clear()

    assert sorted(mark for of_one in marks for mark in of_one) == list(range(1, 51))
    assert {utterance.audio_bytes for utterance in emulator.utterances} == {96_000}
