"""The emulator as a command, steered over HTTP as any language can."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import azure.cognitiveservices.speech as sdk
import pytest
from tests.integration.azure_emulator_clients import PATIENCE_SECONDS, configuration, spoken

COMMAND = [sys.executable, "-m", "speechpool_azure_emulator"]


@dataclass
class Command:
    """The command while it runs."""

    process: subprocess.Popen[str]
    greeting: str

    @property
    def url(self) -> str:
        return self.greeting.split()[2].rstrip(";")

    def connected(self) -> socket.socket:
        """A connection to it, on which nothing is said."""
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=PATIENCE_SECONDS)

    def is_there(self) -> bool:
        """Whether it takes connections."""
        try:
            with self.connected():
                return True
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url.replace('ws', 'http', 1)}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def say(self, *, key: str = "k") -> str | None:
        """Say something with a client of its own; the error's code, None where there is none."""
        config = configuration(self.url, key=key, SpeechSynthesis_FirstChunkTimeoutMs="30000")
        synthesizer = sdk.SpeechSynthesizer(config, audio_config=None)
        said = spoken(synthesizer.speak_text_async("Hello there").get())
        del synthesizer
        return said.code


@pytest.fixture
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    words = ["--port", "0", *getattr(request, "param", ())]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Command(process, process.stdout.readline())
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


class TestCommand:
    def test_it_says_where_it_is_and_what_it_does(self, command: Command) -> None:
        assert "listening at ws://127.0.0.1:" in command.greeting
        assert "speech: tones, recognition: scripted" in command.greeting
        assert command.say() is None

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_well_while_clients_are_connected(self, command: Command, number: signal.Signals) -> None:
        synthesizer = sdk.SpeechSynthesizer(configuration(command.url), audio_config=None)
        synthesizer.speak_text_async("Hello").get()
        command.process.send_signal(number)

        assert command.process.wait(PATIENCE_SECONDS) == 0
        del synthesizer

    @pytest.mark.parametrize(
        "command",
        [["--key", "mine=right", "--fault", '{"at": "request", "action": "close", "code": 4429}']],
        indirect=True,
    )
    def test_keys_and_faults_may_be_given_at_the_start(self, command: Command) -> None:
        assert command.say(key="wrong") == "AuthenticationFailure"
        assert command.say(key="right") == "TooManyRequests"

    def test_a_port_in_use_ends_with_1(self, command: Command) -> None:
        port = command.url.rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 1
        assert done.stderr == (
            f"speechpool-azure-emulator: cannot listen at 127.0.0.1:{port}: "
            "Address already in use; choose another port\n"
        )

    def test_a_wrong_option_ends_with_2(self) -> None:
        done = subprocess.run([*COMMAND, "--pace", "-1"], capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 2
        assert done.stderr == ("speechpool-azure-emulator: options.pace must be a number from 0 to 1000; got -1.0\n")


class TestControl:
    def test_what_it_saw_can_be_asked(self, command: Command) -> None:
        command.say()
        _, counts = command.ask("GET", "/emulator/counts")
        _, utterances = command.ask("GET", "/emulator/utterances?last=1")
        _, connections = command.ask("GET", "/emulator/connections")

        assert (counts["upgrades_ok"], counts["utterances_complete"]) == (1, 1)
        assert (utterances[0]["text"], utterances[0]["state"]) == ("Hello there", "complete")
        assert utterances[0]["connection"] == connections[0]["number"]
        assert command.ask("GET", "/emulator/recognitions") == (200, [])

    def test_records_can_be_forgotten(self, command: Command) -> None:
        command.say()

        assert command.ask("DELETE", "/emulator/records") == (204, None)
        assert command.ask("GET", "/emulator/utterances") == (200, [])

    def test_faults_come_and_go(self, command: Command) -> None:
        fault = {"at": "upgrade", "action": "refuse", "status": 401}
        command.ask("PUT", "/emulator/faults", [fault])
        assert command.say() == "AuthenticationFailure"
        status, faults = command.ask("POST", "/emulator/faults", [{"at": "request", "action": "reset", "times": 1}])

        assert (status, [one["struck"] for one in faults]) == (200, [1, 0])
        assert command.ask("DELETE", "/emulator/faults") == (204, None)
        assert command.say() is None

    def test_options_change(self, command: Command) -> None:
        status, options = command.ask("PATCH", "/emulator/options", {"utterance_seconds": 2.0})
        command.say()
        _, utterances = command.ask("GET", "/emulator/utterances")

        assert (status, options["utterance_seconds"]) == (200, 2.0)
        assert utterances[0]["audio_bytes"] == 64_000  # the SDK's default format has 16 kHz

    def test_credentials_change_and_are_never_shown(self, command: Command) -> None:
        answer = command.ask("PUT", "/emulator/credentials", {"keys": {"new": "a-secret"}, "tokens": None})

        assert answer == (200, ["key:new"])
        assert command.say(key="old") == "AuthenticationFailure"
        assert command.say(key="a-secret") is None
        assert "a-secret" not in str(command.ask("GET", "/emulator/connections"))

    def test_the_network_can_be_lost_for_a_while(self, command: Command) -> None:
        with command.connected() as before:
            assert command.ask("POST", "/emulator/outage", {"seconds": 0.2}) == (202, {"seconds": 0.2})
            with pytest.raises(ConnectionResetError):
                before.recv(1)
        while not command.is_there():  # the test's own timeout bounds it
            time.sleep(0.01)

        assert command.say() is None

    def test_the_list_of_paths_is_complete(self, command: Command) -> None:
        _, paths = command.ask("GET", "/emulator")

        for place in paths:
            method, _, path = place.partition(" ")
            assert command.ask(method, path)[0] in (200, 204, 400), place

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "message"),
        [
            ("PUT", "/emulator/faults", {"at": "request"}, 400, "faults must be a JSON list; got dict"),
            ("PUT", "/emulator/faults", [{"at": "request"}], 400, "faults[0].action is missing"),
            ("PATCH", "/emulator/options", {"pace": -1}, 400, "options.pace must be a number from 0 to 1000; got -1"),
            ("PATCH", "/emulator/options", {"speech": "local"}, 400, "options.speech is fixed while the emulator runs"),
            ("PUT", "/emulator/credentials", {"key": "x"}, 400, "credentials.key is unknown; known are keys, tokens"),
            ("PUT", "/emulator/credentials", {"keys": {"a": ""}}, 400, "keys.a must not be empty"),
            ("POST", "/emulator/transcripts", ["a", 1], 400, "transcripts[1] must be text; got int"),
            ("POST", "/emulator/outage", {}, 400, "outage.seconds must be a number from 0 to 3600; got None"),
            ("POST", "/emulator/outage", {"seconds": 1, "silently": 1}, 400, "outage.silently must be true or false"),
            ("GET", "/emulator/utterances?last=x", None, 400, "last must be a number of records, 0 or more; got 'x'"),
            ("POST", "/emulator/counts", None, 405, "POST /emulator/counts cannot be done; it takes GET"),
            ("GET", "/emulator/nothing", None, 404, "there is no /emulator/nothing; GET /emulator lists what there is"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, command: Command, method: str, path: str, body: object, status: int, message: str
    ) -> None:
        answered, told = command.ask(method, path, body)

        assert answered == status
        assert told["error"]["message"].startswith(message)
