"""Azure's SDK listens with the emulator."""

import json
import threading
from collections.abc import Iterator

import azure.cognitiveservices.speech as sdk
import pytest
from tests.integration.azure_emulator_clients import (
    MULAW_8K,
    PATIENCE_SECONDS,
    Format,
    listener,
    silence,
    sound,
    talker,
    understand,
)

from speechpool_azure_emulator import RunningEmulator, running_emulator

SPEECH = silence(0.5) + sound(1.0) + silence(1.0)


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with running_emulator() as running:
        yield running


class TestContinuous:
    def test_each_stretch_of_sound_is_a_phrase(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("hello there friend", "good bye")
        understood = understand(emulator, SPEECH + SPEECH)

        assert understood.finals == ["hello there friend", "good bye"]
        assert understood.of("partial")[:2] == ["hello", "hello there"]
        assert understood.code is None
        assert emulator.recognitions[0].phrases == ["hello there friend", "good bye"]
        assert emulator.recognitions[0].state == "complete"

    def test_times_count_from_the_first_sample(self, emulator: RunningEmulator) -> None:
        understood = understand(emulator, SPEECH + SPEECH)

        assert [offset / 1e7 for offset in understood.of("start")] == pytest.approx([0.5, 3.0], abs=0.03)
        assert [offset / 1e7 for offset in understood.of("end")] == pytest.approx([4.0], abs=0.03)
        assert [result.offset / 1e7 for result in understood.results] == pytest.approx([0.5, 3.0], abs=0.03)
        assert [result.duration / 1e7 for result in understood.results] == pytest.approx([1.0, 1.0], abs=0.05)

    def test_silence_is_no_phrase(self, emulator: RunningEmulator) -> None:
        understood = understand(emulator, silence(3.0))

        assert understood.events == [("canceled", "NoError")]
        assert emulator.recognitions[0].audio_bytes == len(silence(3.0))

    @pytest.mark.parametrize(
        ("style", "path"),
        [
            ("host", "/speech/recognition/conversation/cognitiveservices/v1"),
            ("endpoint", "/stt/speech/universal/v2"),
        ],
    )
    def test_both_sets_of_paths_work(self, emulator: RunningEmulator, style: str, path: str) -> None:
        emulator.transcripts.say("hello")

        assert understand(emulator, SPEECH, style=style).finals == ["hello"]
        assert emulator.counts.upgrades_by_path == {path: 1}
        assert emulator.recognitions[0].mode == "conversation"

    def test_the_clients_silence_ends_a_segment(self, emulator: RunningEmulator) -> None:
        audio = sound(0.5) + silence(0.4) + sound(0.5)

        assert len(understand(emulator, audio).finals) == 1
        assert len(understand(emulator, audio, Speech_SegmentationSilenceTimeoutMs="200").finals) == 2

    def test_phrases_are_noted(self, emulator: RunningEmulator) -> None:
        understand(emulator, SPEECH, phrases=("Contoso", "Fabrikam"))

        assert emulator.recognitions[0].phrase_list == ("Contoso", "Fabrikam")

    def test_details_have_words_with_times(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("Hello there.")
        understood = understand(emulator, SPEECH, detailed=True)
        best = json.loads(understood.results[0].json)["NBest"][0]

        assert (best["Display"], best["Lexical"]) == ("Hello there.", "hello there")
        assert [word["Word"] for word in best["Words"]] == ["Hello", "there."]
        assert [word["Offset"] / 1e7 for word in best["Words"]] == pytest.approx([0.5, 1.0], abs=0.03)

    @pytest.mark.parametrize("style", ["host", "endpoint"])
    def test_the_language_is_detected(self, emulator: RunningEmulator, style: str) -> None:
        emulator.configure(detected_language="de-DE")
        understood = understand(emulator, SPEECH, style=style, languages=["en-US", "de-DE"])
        detected = sdk.PropertyId.SpeechServiceConnection_AutoDetectSourceLanguageResult

        assert understood.results[0].properties[detected] == "de-DE"
        assert emulator.recognitions[0].languages == ("en-US", "de-DE")

    def test_telephone_audio_is_heard(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("hello")
        audio = b"\xff" * 4_000 + b"\x8f\x0f" * 4_000 + b"\xff" * 8_000
        understood = understand(emulator, audio, audio_format=MULAW_8K)

        assert understood.finals == ["hello"]
        assert understood.results[0].offset / 1e7 == pytest.approx(0.5, abs=0.03)
        assert emulator.recognitions[0].audio_format == "mulaw-8000"

    def test_a_commit_brings_the_phrase_at_once(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("hello")
        with listener(emulator) as (recognizer, stream, understood, stopped):
            recognized = threading.Event()
            recognizer.recognized.connect(lambda _: recognized.set())
            recognizer.start_continuous_recognition_async().get()
            stream.write(sound(0.5))
            emulator.wait_for(lambda: bool(emulator.recognitions) and emulator.recognitions[0].audio_bytes >= 16_000)
            token = stream.commit()
            assert recognized.wait(PATIENCE_SECONDS)
            assert (understood.finals, understood.results[0].commit_token) == (["hello"], token)
            stream.close()
            assert stopped.wait(PATIENCE_SECONDS)
            recognizer.stop_continuous_recognition_async().get()

        assert emulator.recognitions[0].commits == 1

    def test_a_commit_of_silence_is_answered_too(self, emulator: RunningEmulator) -> None:
        with listener(emulator) as (recognizer, stream, understood, stopped):
            recognized = threading.Event()
            recognizer.recognized.connect(lambda _: recognized.set())
            recognizer.start_continuous_recognition_async().get()
            stream.write(silence(0.5))
            emulator.wait_for(lambda: bool(emulator.recognitions) and emulator.recognitions[0].audio_bytes >= 16_000)
            token = stream.commit()
            assert recognized.wait(PATIENCE_SECONDS)
            stream.close()
            assert stopped.wait(PATIENCE_SECONDS)
            recognizer.stop_continuous_recognition_async().get()

        assert understood.of("reason") == ["NoMatch"]
        assert (understood.results[0].commit_token, understood.results[0].duration) == (token, 0)

    def test_commits_can_be_ignored(self, emulator: RunningEmulator) -> None:
        emulator.configure(inline_commit=False)
        emulator.transcripts.say("hello")
        with listener(emulator) as (recognizer, stream, understood, stopped):
            recognizer.start_continuous_recognition_async().get()
            stream.write(sound(0.5))
            stream.commit()
            emulator.wait_for(lambda: bool(emulator.recognitions) and emulator.recognitions[0].commits == 1)
            stream.write(sound(0.5))
            stream.close()
            assert stopped.wait(PATIENCE_SECONDS)
            recognizer.stop_continuous_recognition_async().get()

        assert [(result.text, result.commit_token) for result in understood.results] == [("hello", 0)]

    def test_a_long_silence_is_told_again_and_again(self, emulator: RunningEmulator) -> None:
        emulator.configure(no_match_seconds=2.0)
        understood = understand(emulator, silence(5.0))
        reasons = [result.no_match_details.reason for result in understood.results]

        assert reasons == [sdk.NoMatchReason.InitialSilenceTimeout] * 2
        assert [(result.offset / 1e7, result.duration / 1e7) for result in understood.results] == [
            (0.0, 2.0),
            (2.0, 2.0),
        ]

    def test_a_socket_opened_before_is_ridden_on(self, emulator: RunningEmulator) -> None:
        with listener(emulator) as (recognizer, stream, _, stopped):
            connected = threading.Event()
            connection = sdk.Connection.from_recognizer(recognizer)
            connection.connected.connect(lambda _: connected.set())
            connection.open(True)
            assert connected.wait(PATIENCE_SECONDS)
            emulator.wait_for(lambda: emulator.counts.open_sockets == 1)
            recognizer.start_continuous_recognition_async().get()
            stream.write(SPEECH)
            stream.close()
            assert stopped.wait(PATIENCE_SECONDS)
            recognizer.stop_continuous_recognition_async().get()
            connection.connected.disconnect_all()
            del connection

        assert emulator.counts.upgrades == 1
        assert emulator.recognitions[0].connection_age_seconds > 0


class TestOnce:
    @pytest.mark.parametrize("style", ["host", "endpoint"])
    def test_one_phrase_ends_it(self, emulator: RunningEmulator, style: str) -> None:
        emulator.transcripts.say("hello", "not reached")
        with listener(emulator, style=style) as (recognizer, stream, _, _):
            stream.write(SPEECH + SPEECH)
            result = recognizer.recognize_once_async().get()

        assert result.text == "hello"
        assert emulator.recognitions[0].mode == "interactive"

    def test_silence_is_told(self, emulator: RunningEmulator) -> None:
        emulator.configure(initial_silence_seconds=1.0)
        with listener(emulator) as (recognizer, stream, _, _):
            stream.write(silence(3.0))
            result = recognizer.recognize_once_async().get()

        assert result.reason is sdk.ResultReason.NoMatch
        assert result.no_match_details.reason is sdk.NoMatchReason.InitialSilenceTimeout

    def test_dictation_has_a_mode_of_its_own(self, emulator: RunningEmulator) -> None:
        understand(emulator, SPEECH, SpeechServiceConnection_RecoMode="DICTATION")

        assert emulator.recognitions[0].mode == "dictation"


class TestRealSpeech:
    def test_what_the_emulator_says_the_emulator_understands(self) -> None:
        grammar = ("open the door", "hello nice world")
        with running_emulator(speech="local", recognition="local", grammar=grammar) as emulator:
            with talker(emulator, Format.Raw16Khz16BitMonoPcm) as client:
                said = client.say("Open the door.")
            with talker(emulator, Format.Raw8Khz8BitMonoMULaw) as client:
                telephoned = client.say("Hello nice world.")
            first = understand(emulator, said.audio + silence(1.0), detailed=True)
            second = understand(emulator, telephoned.audio + b"\xff" * 8_000, audio_format=MULAW_8K)

        assert (said.reason, emulator.utterances[0].mark) == ("SynthesizingAudioCompleted", None)
        assert first.finals == ["open the door"]
        assert [word["Word"] for word in json.loads(first.results[0].json)["NBest"][0]["Words"]] == [
            "open",
            "the",
            "door",
        ]
        assert second.finals == ["hello nice world"]

    def test_real_speech_has_words_sentences_and_marks(self) -> None:
        document = (
            "<speak version='1.0' xml:lang='en-US'><voice name='en-US-AvaNeural'>"
            "Hello, <bookmark mark='here'/>nice world! Good bye.</voice></speak>"
        )
        events: list[tuple[str, str]] = []
        completed = threading.Event()
        with running_emulator(speech="local") as emulator, talker(emulator) as client:
            client.synthesizer.synthesis_word_boundary.connect(
                lambda event: events.append((event.boundary_type.name, event.text))
            )
            client.synthesizer.bookmark_reached.connect(lambda event: events.append(("Mark", event.text)))
            client.synthesizer.synthesis_completed.connect(lambda _: completed.set())
            said = client.say_ssml(document)
            assert completed.wait(PATIENCE_SECONDS)

        assert said.reason == "SynthesizingAudioCompleted"
        assert ("Mark", "here") in events
        assert [text for kind, text in events if kind == "Word"] == ["Hello", "nice", "world", "Good", "bye"]
        assert [text for kind, text in events if kind == "Punctuation"] == [",", "!", "."]
