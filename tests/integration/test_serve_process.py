"""The sidecar as a process: how it starts, what signals do to it, what it leaves behind."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.sidecar import (
    ONE_VOICE,
    PATIENCE_SECONDS,
    Sidecar,
    environment,
    eventually,
    processes_end,
    running_sidecar,
)

from speechpool.client import SidecarUnreachable, Speech

LONG_TEXT = "This sentence is said again and again, until nobody listens any more. " * 50


def serve(*flags: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A start that must end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "speechpool", "serve", *flags],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextlib.contextmanager
def speaking(sidecar: Sidecar) -> Iterator[tuple[Speech, Iterator[bytes]]]:
    """An utterance under way: its first chunk has come, and much more is to come."""
    with sidecar.client.speak(LONG_TEXT, response_format="wav", sample_rate=48_000) as speech:
        chunks = iter(speech)
        next(chunks)
        yield speech, chunks


class TestStart:
    def test_it_is_ready_when_its_pools_are_warm(self, sidecar: Sidecar) -> None:
        pools = {pool["name"]: pool["warm_pool_size"] for pool in sidecar.client.get_json("/v1/pools")["data"]}

        assert sidecar.client.not_ready_reason() is None
        assert pools == {"tts": 3, "stt": 1}
        assert sidecar.listening("socket") == str(sidecar.socket)

    @pytest.mark.parametrize("event_loop", ["uvloop", "asyncio"])
    def test_it_speaks_on_either_event_loop(self, tmp_path: Path, event_loop: str) -> None:
        with running_sidecar(tmp_path, "--event-loop", event_loop, config=ONE_VOICE) as sidecar:
            with sidecar.client.speak("Hello.") as speech:
                audio = speech.read()

            assert audio.startswith(b"RIFF")
            assert speech.tier == "warm"
            assert sidecar.stop() == 0

    @pytest.mark.parametrize(
        ("flags", "variables", "facts"),
        [
            (("--warm-size", "many"), {}, ("--warm-size", "many", "0 to 1000")),
            ((), {"SPEECH_POOL_WARM_SIZE": "-1"}, ("SPEECH_POOL_WARM_SIZE", "-1", "0 to 1000")),
            (("--engine", "telepathy"), {}, ("telepathy", "local")),
            (("--config", "/no/such.yaml"), {}, ("/no/such.yaml",)),
            (("--socket", "/tmp/" + "x" * 120), {}, ("107",)),
            (("--telemetry-address", "203.0.113.7:1"), {}, ("203.0.113.7:1",)),
        ],
        ids=["flag", "environment", "engine", "file", "socket", "address"],
    )
    def test_a_wrong_setting_is_exit_code_2_with_name_value_and_bound(
        self, tmp_path: Path, flags: tuple[str, ...], variables: dict[str, str], facts: tuple[str, ...]
    ) -> None:
        place = () if "--socket" in flags else ("--socket", str(tmp_path / "sp.sock"))

        done = serve("--engine", "local", *place, *flags, **variables)

        assert done.returncode == 2
        assert all(fact in done.stderr for fact in facts), done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_an_option_that_only_the_engine_can_judge_ends_the_start_with_its_name(self, tmp_path: Path) -> None:
        config = "engines: {local: {voices: {receptionist: nobody-has-this-voice}}}"

        with running_sidecar(tmp_path, config=config, ready=False) as sidecar:
            code = sidecar.wait()

        assert code == 2
        assert sidecar.lines[-1] == (
            "speechpool: engines.local.voices: receptionist: each must name a voice that exists\n"
        )
        assert not sidecar.socket.exists()

    def test_a_second_sidecar_on_the_socket_is_refused_and_harms_nobody(self, one_voice: Sidecar) -> None:
        done = serve("--engine", "local", "--socket", str(one_voice.socket))

        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"speechpool: another process listens on {one_voice.socket}: stop it, or name another path in "
            "SPEECHPOOL_SOCKET"
        )
        assert one_voice.client.not_ready_reason() is None

    def test_of_two_that_start_at_once_one_serves(self, tmp_path: Path) -> None:
        path = tmp_path / "sp.sock"
        words = [sys.executable, "-m", "speechpool", "serve", "--engine", "local", "--socket", str(path)]
        both = [
            subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        with both[0], both[1]:
            # the one that serves is asked to stop as soon as the other was refused
            while both[0].poll() is None and both[1].poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    both[0].wait(0.01)
            refused, serving = sorted(both, key=lambda process: process.poll() is None)
            serving.terminate()

            assert refused.returncode == 1
            assert serving.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
            for process in both:
                process.communicate(timeout=PATIENCE_SECONDS)


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_with_nothing_left(self, one_voice: Sidecar, number: signal.Signals) -> None:
        workers = one_voice.worker_pids()

        one_voice.signal(number)

        assert one_voice.wait() == 0
        assert one_voice.wait_for_log("sidecar stopping")["signal"] == number.name
        assert one_voice.logs[-1]["message"] == "sidecar stopped"
        assert not one_voice.socket.exists()
        assert workers
        assert processes_end(workers)

    def test_an_utterance_under_way_ends_whole_and_new_ones_are_refused(self, one_voice: Sidecar) -> None:
        with speaking(one_voice) as (speech, chunks):
            one_voice.signal(signal.SIGTERM)
            one_voice.wait_for_log("sidecar stopping")
            for _ in chunks:
                pass

        assert speech.size_bytes > 1_000_000
        assert one_voice.wait() == 0
        with pytest.raises(SidecarUnreachable):
            one_voice.client.not_ready_reason()

    def test_who_does_not_read_is_waited_for_only_so_long(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--shutdown-timeout", "0.3", config=ONE_VOICE) as sidecar, speaking(sidecar):
            workers = sidecar.worker_pids()

            assert sidecar.stop() == 0
            assert processes_end(workers)
            assert not sidecar.socket.exists()

    def test_a_second_signal_ends_it_at_once(self, one_voice: Sidecar) -> None:
        with speaking(one_voice):
            workers = one_voice.worker_pids()
            one_voice.signal(signal.SIGTERM)
            one_voice.wait_for_log("sidecar stopping")
            one_voice.signal(signal.SIGTERM)

            assert one_voice.wait() == 128 + signal.SIGTERM
        assert not one_voice.socket.exists()
        assert processes_end(workers)

    def test_a_signal_before_it_is_ready_ends_it_too(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--warm-size", "8", ready=False) as sidecar:
            sidecar.wait_for_log("listening")

            assert sidecar.stop() == 0
            assert not sidecar.socket.exists()

    def test_killed_it_leaves_no_workers_and_the_next_takes_its_socket(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE) as first:
            workers = first.worker_pids()
            first.kill()

        assert first.socket.is_socket()
        assert processes_end(workers)
        with running_sidecar(tmp_path, config=ONE_VOICE) as second:
            assert second.socket == first.socket
            assert second.client.not_ready_reason() is None

    def test_work_leaves_no_descriptor_and_no_process_behind(self, one_voice: Sidecar) -> None:
        def round_trip() -> None:
            with one_voice.client.speak("Hello.", response_format="pcm", sample_rate=24_000) as speech:
                speech.read()

        round_trip()
        with speaking(one_voice):  # its format starts a codec worker, which stays
            pass
        one_voice.settled()
        descriptors, workers = one_voice.open_fds(), len(one_voice.worker_pids())

        for _ in range(20):
            round_trip()
        with speaking(one_voice):
            pass  # and one that goes away

        one_voice.settled()
        assert eventually(lambda: one_voice.open_fds() <= descriptors)
        assert len(one_voice.worker_pids()) == workers


class TestSettingsFile:
    def test_a_change_is_applied_while_it_runs(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE) as sidecar:
            sidecar.write_config({"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": 2}]})
            sidecar.signal(signal.SIGHUP)
            sidecar.wait_for_log("settings applied")

            targets = {pool["warm_pool_target"] for pool in sidecar.client.get_json("/v1/pools")["data"]}
        assert targets == {2}

    def test_it_is_noticed_without_a_signal_too(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE) as sidecar:
            sidecar.write_config(ONE_VOICE | {"maxSessions": 3})

            assert sidecar.wait_for_log("settings applied")["changes"] == ["maxSessions"]

    def test_a_bad_file_changes_nothing_and_is_reported(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE) as sidecar:
            sidecar.write_config("warmSize: [")
            sidecar.signal(signal.SIGHUP)
            sidecar.wait_for_log("settings refused")

            config = sidecar.client.get_json("/v1/config")
            assert [source["ok"] for source in config["sources"] if source["source"] == "file"] == [False]
            assert {pool["warmSize"] for pool in config["settings"]["pools"]} == {1}
            assert sidecar.client.not_ready_reason() is None

    def test_the_log_level_is_live(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE) as sidecar:
            sidecar.write_config(ONE_VOICE | {"logLevel": "debug"})
            sidecar.wait_for_log("settings applied")
            sidecar.client.get_json("/v1/pools")

            assert sidecar.wait_for_log("request", route="/v1/pools")["level"] == "debug"


class TestListeners:
    def test_telemetry_answers_probes_and_prometheus(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--telemetry-address", "127.0.0.1:0", config=ONE_VOICE) as sidecar:
            base = f"http://{sidecar.listening('telemetryAddress')}"
            bodies = {path: fetch(base + path) for path in ("/startupz", "/readyz", "/healthz", "/metrics")}

        assert "speechpool_" in bodies["/metrics"]
        assert json.loads(bodies["/readyz"])["ready"] is True

    def test_tcp_needs_the_token(self, tmp_path: Path) -> None:
        token = "a-token-of-this-test-only"
        flags, env = ("--listen", "127.0.0.1:0"), {"SPEECHPOOL_LISTEN_TOKEN": token}
        with running_sidecar(tmp_path, *flags, config=ONE_VOICE, env=env) as sidecar:
            url = f"http://{sidecar.listening('listen')}/v1/models"
            with pytest.raises(urllib.error.HTTPError, match="401"):
                fetch(url)
            body = fetch(url, Authorization=f"Bearer {token}")

            assert json.loads(body)["object"] == "list"
            sidecar.stop()
            assert token not in sidecar.stderr_text

    def test_every_address_means_those_of_both_families(self, tmp_path: Path) -> None:
        hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        with running_sidecar(tmp_path, "--telemetry-address", "[::]:0", config=ONE_VOICE) as sidecar:
            port = sidecar.listening("telemetryAddress").rpartition(":")[2]
            assert all("ok" in fetch(f"http://{host}:{port}/healthz") for host in hosts)

    def test_an_address_in_use_is_exit_code_2(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "{}:{}".format(*taken.getsockname())

            done = serve("--engine", "local", "--socket", str(tmp_path / "a.sock"), "--telemetry-address", address)

        assert done.returncode == 2
        assert address in done.stderr
        assert list(tmp_path.iterdir()) == []


class TestLog:
    def test_it_never_holds_what_was_said_or_heard(self, tmp_path: Path) -> None:
        marker = "the purple elephant"
        with running_sidecar(tmp_path, "--log-level", "debug") as sidecar:
            with sidecar.client.speak(marker) as speech:
                audio = speech.read()
            with contextlib.suppress(Exception):
                sidecar.client.get_json(f"/v1/sessions/{marker.replace(' ', '%20')}")
            transcribe_from(sidecar, audio, marker)
            sidecar.stop()

        assert len(sidecar.logs) > 5
        assert all(word not in sidecar.stderr_text for word in ("purple", "elephant"))

    def test_text_is_for_people(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--log-format", "text", config=ONE_VOICE, ready=False) as sidecar:
            sidecar.wait_for_text("sidecar ready")

            assert "info    listening " in sidecar.stderr_text


def transcribe_from(sidecar: Sidecar, audio: bytes, sentence: str) -> str:
    path = sidecar.socket.with_suffix(".wav")
    path.write_bytes(audio)
    with path.open("rb") as file:
        return str(sidecar.client.transcribe(file, grammar=[sentence, "something else"]).json()["text"])


def fetch(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_SECONDS) as reply:
        return str(reply.read().decode())
