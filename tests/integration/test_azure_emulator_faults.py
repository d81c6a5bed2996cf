"""What Azure's SDK makes of each thing that can go wrong: the emulator's faults are the service's."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.azure_emulator_clients import silence, sound, talker, understand

from speechpool_azure_emulator import Fault, RunningEmulator, marks_in, running_emulator

SPEECH = sound(1.0) + silence(1.0)
WHOLE_BYTES = 72_000  # five words of a tone at 24 kHz


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningEmulator]:
    with running_emulator(first_chunk_seconds=0.0) as running:
        yield running


@pytest.fixture
def emulator(shared: RunningEmulator) -> Iterator[RunningEmulator]:
    yield shared
    shared.faults.clear()
    shared.wait_for(lambda: shared.counts.open_sockets == 0)
    shared.reset_records()


class TestSynthesis:
    @pytest.mark.parametrize(
        ("fault", "code", "upgrades"),
        [
            ({"at": "upgrade", "action": "refuse", "status": 400}, "BadRequest", 1),
            ({"at": "upgrade", "action": "refuse", "status": 401}, "AuthenticationFailure", 1),
            ({"at": "upgrade", "action": "refuse", "status": 403}, "AuthenticationFailure", 1),
            ({"at": "upgrade", "action": "refuse", "status": 404}, "ServiceError", 2),
            ({"at": "upgrade", "action": "refuse", "status": 408}, "ServiceTimeout", 2),
            ({"at": "upgrade", "action": "refuse", "status": 429, "retry_after_seconds": 2}, "TooManyRequests", 2),
            ({"at": "upgrade", "action": "refuse", "status": 500}, "ServiceError", 2),
            ({"at": "upgrade", "action": "refuse", "status": 503}, "ServiceUnavailable", 2),
            ({"at": "upgrade", "action": "reset"}, "ConnectionFailure", 2),
            ({"at": "upgrade", "action": "hang_up"}, "ConnectionFailure", 2),
            ({"at": "upgrade", "action": "ignore"}, "ServiceTimeout", 2),
            ({"at": "opened", "action": "close", "code": 1011}, "ServiceError", 2),
            ({"at": "opened", "action": "freeze"}, "ServiceTimeout", 1),
            ({"at": "request", "action": "close", "code": 1007}, "BadRequest", 1),
            ({"at": "request", "action": "close", "code": 1011}, "ServiceError", 2),
            ({"at": "request", "action": "close", "code": 4429}, "TooManyRequests", 1),
            ({"at": "request", "action": "reset"}, "ConnectionFailure", 2),
            ({"at": "request", "action": "freeze"}, "ServiceTimeout", 1),
            ({"at": "turn_start", "action": "omit"}, "ServiceTimeout", 1),
        ],
        ids=str,
    )
    def test_before_any_audio(self, emulator: RunningEmulator, fault: dict[str, Any], code: str, upgrades: int) -> None:
        emulator.faults.set(Fault(**fault, kind="tts"))
        quick = {"SpeechSynthesis_FirstChunkTimeoutMs": "500"} if code == "ServiceTimeout" else {}
        with talker(emulator, **quick) as client:
            said = client.say()

            assert said.code == code
            assert emulator.counts.upgrades == upgrades

    @pytest.mark.parametrize(
        ("action", "code"),
        [("close", "ServiceError"), ("reset", "ConnectionFailure"), ("hang_up", "ConnectionFailure")],
    )
    def test_in_mid_audio_exactly_as_many_bytes_came(self, emulator: RunningEmulator, action: str, code: str) -> None:
        emulator.faults.set(Fault(at="audio", action=action, after_bytes=10_000, times=1))
        with talker(emulator) as client:
            said = client.say()

            assert (said.code, len(said.audio)) == (code, 10_000)
            assert marks_in(said.audio) == {emulator.utterances[0].mark}
            assert client.say().reason == "SynthesizingAudioCompleted"
        assert [utterance.state for utterance in emulator.utterances] == ["broken", "complete"]

    def test_a_reason_reaches_the_caller(self, emulator: RunningEmulator) -> None:
        reason = "Throttled due to too many requests"
        emulator.faults.set(Fault(at="request", action="close", code=1007, reason=reason))
        with talker(emulator) as client:
            assert reason in client.say().details

    def test_a_frozen_service_is_silent_until_the_client_goes(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="audio", action="freeze", after_bytes=10_000))
        quick = {"SpeechSynthesis_FrameTimeoutInterval": "300", "SpeechSynthesis_RtfTimeoutThreshold": "0.1"}
        with talker(emulator, **quick) as client:
            said = client.say()

            assert (said.code, len(said.audio)) == ("ServiceTimeout", 10_000)
        emulator.wait_for(lambda: emulator.counts.open_sockets == 0)
        assert emulator.utterances[0].state == "broken"

    def test_garbage_is_survived(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(
            Fault(at="opened", action="garbage"),
            Fault(at="request", action="garbage"),
            Fault(at="audio", action="garbage", after_bytes=10_000),
        )
        with talker(emulator) as client:
            said = client.say()

        assert len(said.audio) == WHOLE_BYTES
        assert emulator.faults.struck() == 3

    def test_no_audio_looks_like_success(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="audio", action="omit"))
        with talker(emulator) as client:
            said = client.say()

        assert (said.reason, said.audio) == ("SynthesizingAudioCompleted", b"")

    def test_a_missing_end_is_a_timeout_with_all_audio(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="turn_end", action="omit"))
        with talker(
            emulator, SpeechSynthesis_FrameTimeoutInterval="300", SpeechSynthesis_RtfTimeoutThreshold="0.01"
        ) as client:
            said = client.say()

        assert (said.code, len(said.audio)) == ("ServiceTimeout", WHOLE_BYTES)

    def test_the_next_one_only(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="upgrade", action="refuse", status=503, times=1))
        with talker(emulator) as client:
            said = client.say()

        assert said.reason == "SynthesizingAudioCompleted"
        assert (emulator.counts.upgrades_refused, emulator.counts.upgrades_ok) == (1, 1)

    def test_throttled_after_some(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="request", action="close", code=4429, after=2))
        with talker(emulator) as client:
            codes = [client.say().code for _ in range(3)]

        assert codes == [None, None, "TooManyRequests"]

    def test_a_redirection_is_followed(self, emulator: RunningEmulator) -> None:
        location = f"{emulator.url}/cognitiveservices/websocket/v1?moved=yes"
        emulator.faults.set(Fault(at="upgrade", action="refuse", status=307, location=location, times=1))
        with talker(emulator) as client:
            assert client.say().reason == "SynthesizingAudioCompleted"

        assert emulator.connections[0].query == {"moved": "yes"}

    def test_the_list_of_voices_can_be_refused(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="voices", action="refuse", status=429))
        with talker(emulator) as client:
            found = client.synthesizer.get_voices_async().get()

        assert found.voices == []
        assert emulator.counts.voice_lists == 0


class TestRecognition:
    @pytest.mark.parametrize(
        ("status", "code", "upgrades"),
        [
            (400, "BadRequest", 1),
            (401, "AuthenticationFailure", 1),
            (429, "TooManyRequests", 5),
            (503, "ServiceUnavailable", 5),
        ],
    )
    def test_a_refused_upgrade(self, emulator: RunningEmulator, status: int, code: str, upgrades: int) -> None:
        emulator.faults.set(Fault(at="upgrade", action="refuse", status=status, kind="stt"))
        understood = understand(emulator, SPEECH, SPEECH_Error_RetryDurationMS="10")

        assert understood.code == code
        assert emulator.counts.upgrades == upgrades

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ({"at": "audio", "action": "close", "code": 1002}, "ConnectionFailure"),
            ({"at": "audio", "action": "close", "code": 1007}, "BadRequest"),
            ({"at": "audio", "action": "close", "code": 4429}, "TooManyRequests"),
            ({"at": "phrase", "action": "close", "code": 1011}, "ServiceError"),  # in mid audio a write may fail first
            ({"at": "audio", "action": "reset"}, "ConnectionFailure"),
            ({"at": "request", "action": "hang_up"}, "ConnectionFailure"),
        ],
        ids=str,
    )
    def test_an_end_in_mid_speech(self, emulator: RunningEmulator, fault: dict[str, Any], code: str) -> None:
        emulator.faults.set(Fault(**fault, after_bytes=20_000, kind="stt"))
        understood = understand(emulator, SPEECH, SPEECH_Error_RetryDurationMS="10")

        assert understood.code == code

    @pytest.mark.parametrize("action", ["close", "reset", "hang_up"])
    def test_one_loss_in_mid_speech_loses_nothing(self, emulator: RunningEmulator, action: str) -> None:
        emulator.transcripts.say("not heard to its end", "hello there")
        emulator.faults.set(Fault(at="audio", action=action, after_bytes=20_000, times=1))
        understood = understand(emulator, SPEECH)

        assert understood.code is None
        assert understood.finals == ["hello there"]
        assert [recognition.state for recognition in emulator.recognitions] == ["broken", "complete"]
        assert emulator.recognitions[1].audio_bytes == len(SPEECH)

    @pytest.mark.parametrize(
        ("status", "reason"),
        [("NoMatch", "NoMatch"), ("InitialSilenceTimeout", "NoMatch"), ("BabbleTimeout", "NoMatch")],
    )
    def test_a_phrase_that_is_none(self, emulator: RunningEmulator, status: str, reason: str) -> None:
        emulator.faults.set(Fault(at="phrase", action="status", recognition_status=status, times=1))
        understood = understand(emulator, SPEECH)

        assert understood.of("reason") == [reason]

    @pytest.mark.parametrize(
        ("status", "code"),
        [("TooManyRequests", "TooManyRequests"), ("Forbidden", "Forbidden"), ("Error", "ServiceError")],
    )
    def test_a_phrase_that_is_an_error(self, emulator: RunningEmulator, status: str, code: str) -> None:
        emulator.faults.set(Fault(at="phrase", action="status", recognition_status=status))
        understood = understand(emulator, SPEECH, SPEECH_Error_RetryDurationMS="10")

        assert understood.code == code

    def test_a_phrase_left_out_is_not_told(self, emulator: RunningEmulator) -> None:
        emulator.faults.set(Fault(at="phrase", action="omit", times=1))
        understood = understand(emulator, SPEECH)

        assert understood.finals == []
        assert understood.of("partial")

    def test_a_late_phrase_is_waited_for(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("hello")
        emulator.faults.set(Fault(at="phrase", action="delay", seconds=0.2, times=1))

        assert understand(emulator, SPEECH).finals == ["hello"]
