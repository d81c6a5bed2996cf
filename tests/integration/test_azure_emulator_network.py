"""The emulator's network and its credentials, while Azure's SDK is connected."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from tests.integration.azure_emulator_clients import PATIENCE_SECONDS, silence, sound, talker, understand

from speechpool_azure_emulator import AzureEmulator, EmulatorFailed, Fault, RunningEmulator, running_emulator


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with running_emulator(first_chunk_seconds=0.0) as running:
        yield running


class TestNetwork:
    def test_nobody_gets_in_while_it_is_lost(self, emulator: RunningEmulator) -> None:
        with talker(emulator) as client:
            client.say()
            emulator.lose_network()
            emulator.wait_for(lambda: emulator.counts.open_sockets == 0)

            assert client.say().code in ("ConnectionFailure", "ServiceTimeout")  # as noticed, or not, by SDK 1.53

    def test_it_comes_back_at_the_same_port(self, emulator: RunningEmulator) -> None:
        url = emulator.url
        with talker(emulator) as client:
            emulator.lose_network()
            client.say()
            emulator.restore_network()

            assert emulator.url == url
            assert client.say().reason == "SynthesizingAudioCompleted"

    def test_a_restart_ends_what_is_under_way(self, emulator: RunningEmulator) -> None:
        emulator.configure(pace=1.0, utterance_seconds=30.0)
        with talker(emulator) as client:
            saying = client.synthesizer.speak_text_async("Hello")
            emulator.wait_for(lambda: bool(emulator.utterances) and emulator.utterances[0].chunks > 0)
            emulator.restart()
            result = saying.get()

            assert result.cancellation_details.error_code.name == "ConnectionFailure"
        emulator.wait_for(lambda: emulator.utterances[0].state == "broken")

    def test_a_network_that_swallows_everything_leaves_connections_open(self, emulator: RunningEmulator) -> None:
        with talker(emulator, SpeechSynthesis_FirstChunkTimeoutMs="500") as client:
            client.say()
            emulator.lose_network(silently=True)

            assert emulator.counts.open_sockets == 1
            assert client.say().code == "ServiceTimeout"

    def test_a_recognition_survives_a_reset(self, emulator: RunningEmulator) -> None:
        emulator.transcripts.say("half", "hello")
        emulator.faults.set(Fault(at="audio", action="reset", after_bytes=16_000, times=1))

        assert understand(emulator, sound(1.0) + silence(1.0)).finals == ["hello"]

    async def test_waiting_in_vain_says_what_was_seen(self) -> None:
        async with AzureEmulator() as emulator:
            with pytest.raises(EmulatorFailed, match=r"did not hold within 0.01 s; Counts\(upgrades=0"):
                await emulator.wait_for(lambda: False, seconds=0.01)

    async def test_a_port_in_use_is_said_clearly(self) -> None:
        async with AzureEmulator() as emulator:
            with pytest.raises(EmulatorFailed, match=f"127.0.0.1:{emulator.port}: Address already in use; choose"):
                await AzureEmulator(port=emulator.port).open()

    def test_the_thread_tells_why_it_did_not_start(self, emulator: RunningEmulator) -> None:
        with pytest.raises(EmulatorFailed, match="Address already in use"), running_emulator(port=emulator.port):
            pass


class TestCredentials:
    def test_a_wrong_key_is_refused(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(keys={"mine": "right"})
        with talker(emulator, key="wrong") as client:
            assert client.say().code == "AuthenticationFailure"
        with talker(emulator, key="right") as client:
            assert client.say().code is None

        assert emulator.counts.refusals_by_status == {401: 1}

    def test_a_key_expires_while_connections_go_on(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(keys={"old": "one"})
        with talker(emulator, key="one") as client:
            client.say()
            emulator.credentials.accept(keys={"new": "two"})
            went_on = client.say()
            emulator.restart()
            emulator.wait_for(lambda: emulator.counts.open_sockets == 0)
            came_back = client.say()

        assert (went_on.code, came_back.code) == (None, "AuthenticationFailure")

    def test_a_renewed_token_is_let_in(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(tokens={"new": "fresh"})
        with talker(emulator, key=None) as client:
            client.synthesizer.authorization_token = "stale"
            stale = client.say()
            client.synthesizer.authorization_token = "aad#/subscriptions/x#fresh"
            fresh = client.say()

        assert (stale.code, fresh.code) == ("AuthenticationFailure", None)
        assert emulator.connections[0].credential == "token:new"

    def test_the_list_of_voices_needs_a_key_too(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(keys={"mine": "right"})
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"{emulator.http_url}/cognitiveservices/voices/list", timeout=PATIENCE_SECONDS)
        raised.value.close()

        assert raised.value.code == 401

    def test_a_key_is_changed_for_a_token(self, emulator: RunningEmulator) -> None:
        emulator.credentials.accept(keys={"mine": "right"})
        request = urllib.request.Request(
            f"{emulator.http_url}/sts/v1.0/issueToken", b"", {"Ocp-Apim-Subscription-Key": "right"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            token = answer.read().decode()
        with talker(emulator, key=None) as client:
            client.synthesizer.authorization_token = token
            assert client.say().code is None

        assert emulator.connections[0].credential == "token:issued"
