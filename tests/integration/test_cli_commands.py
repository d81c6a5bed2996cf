"""The commands as a user runs them: processes of their own, their output, their exit codes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.commands import Terminal, command, speechpool
from tests.integration.sidecar import ONE_VOICE, PATIENCE_SECONDS, Sidecar, environment, running_sidecar

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
COMMANDS = ("serve", "say", "transcribe", "status", "config", "wait", "version")


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    return tmp_path / "nobody.sock"


class TestHelp:
    def test_the_commands_are_listed_with_what_they_do(self) -> None:
        done = speechpool("--help")

        assert done.returncode == 0
        assert all(name in done.stdout.decode() for name in COMMANDS)
        assert b"exit codes" in done.stdout

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_explains_itself(self, name: str) -> None:
        done = speechpool(name, "--help")

        assert done.returncode == 0
        assert len(done.stdout.splitlines()) > 5
        assert done.stderr == b""

    def test_an_unknown_command_is_one_line_and_exit_code_2(self) -> None:
        done = speechpool("sing")

        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert b"'sing'" in done.stderr

    def test_clients_do_not_load_the_server(self) -> None:
        names = ("say", "transcribe", "status", "wait", "version")
        imports = "; ".join(f"import speechpool.cli.{name}" for name in names)
        heavy = "{'aiohttp', 'asyncio', 'yaml', 'prometheus_client'} & set(sys.modules)"

        done = subprocess.run(
            [sys.executable, "-c", f"import sys; {imports}; loaded = {heavy}; sys.exit(str(loaded) if loaded else 0)"],
            check=False,
        )

        assert done.returncode == 0


class TestWithoutASidecar:
    @pytest.mark.parametrize(
        "words", [("say", "hello"), ("transcribe", "-"), ("status",), ("wait", "--timeout", "0.1")], ids=lambda w: w[0]
    )
    def test_clients_say_what_to_do_and_exit_with_3(self, words: tuple[str, ...], nobody: Path) -> None:
        done = speechpool(*words, socket=nobody)

        assert done.returncode == 3
        assert done.stdout == b""
        assert done.stderr.decode() == (
            f"speechpool: no sidecar answers at {nobody}: start one with `speechpool serve`, or name its socket in "
            "SPEECHPOOL_SOCKET\n"
        )

    def test_config_shows_what_a_start_would_use(self, nobody: Path) -> None:
        done = speechpool("config", "--json", socket=nobody, env={"SPEECH_POOL_WARM_SIZE": "7"})

        assert done.returncode == 0
        assert {pool["warmSize"] for pool in json.loads(done.stdout)["settings"]["pools"]} == {7}

    def test_version_tells_the_engines(self) -> None:
        done = speechpool("version")

        assert done.returncode == 0
        assert "engines: azure, local" in done.stdout.decode().splitlines()
        assert speechpool("--version").stdout == done.stdout


class TestSomethingElseAnswers:
    @pytest.mark.parametrize(
        ("answer", "complaint"),
        [
            (b"", b"speechpool: the sidecar broke off in the middle of its answer\n"),
            (b"220 mail\r\n", b"speechpool: the sidecar broke off in the middle of its answer\n"),
            (b"HTTP/1.0 200 OK\r\n\r\nhello", b"speechpool: what answers at the socket is not a SpeechPool sidecar\n"),
        ],
        ids=["nothing", "not HTTP", "not JSON"],
    )
    def test_it_is_one_line_and_exit_code_1(self, nobody: Path, answer: bytes, complaint: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor() as threads:
            listener.bind(str(nobody))
            listener.listen()
            answered = threads.submit(answer_once, listener, answer)

            done = speechpool("status", socket=nobody)

            assert (done.returncode, done.stderr) == (1, complaint)
            answered.result(PATIENCE_SECONDS)


def answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


class TestSay:
    def test_a_file_is_a_whole_wav_with_its_true_length(self, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        target = tmp_path / "hello.wav"

        done = speechpool("say", "Good morning.", "-o", str(target), socket=shared_sidecar.socket)

        assert (done.returncode, done.stdout) == (0, b"")
        with wave.open(str(target)) as file:
            seconds = file.getnframes() / file.getframerate()
            assert len(file.readframes(file.getnframes())) == file.getnframes() * 2
        assert 0.3 < seconds < 5
        assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]

    def test_stderr_tells_tier_wait_first_byte_and_real_time_factor(
        self, shared_sidecar: Sidecar, tmp_path: Path
    ) -> None:
        done = speechpool("say", "Good morning.", "-o", str(tmp_path / "a.wav"), socket=shared_sidecar.socket)

        assert all(
            fact in done.stderr.decode() for fact in ("client, waited ", "first byte after ", "real-time factor ")
        )
        assert b"\x1b" not in done.stderr

    def test_quiet_tells_nothing(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("say", "-q", "Good morning.", socket=shared_sidecar.socket)

        assert done.stderr == b""
        assert done.stdout.startswith(b"RIFF")

    def test_the_text_may_come_from_stdin(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("say", "-", "--format", "pcm", stdin=b"one two three", socket=shared_sidecar.socket)

        assert done.returncode == 0
        assert len(done.stdout) > 10_000

    def test_a_text_that_is_not_utf_8_is_refused(self, nobody: Path) -> None:
        done = speechpool("say", "-", stdin=b"caf\xe9", socket=nobody)

        assert (done.returncode, done.stderr) == (2, b"speechpool: the text on stdin is not UTF-8\n")

    def test_the_ending_of_the_file_chooses_the_format(self, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        target = tmp_path / "hello.flac"

        done = speechpool("say", "Hello.", "-o", str(target), socket=shared_sidecar.socket)

        assert done.returncode == 0
        assert target.read_bytes().startswith(b"fLaC")

    def test_what_the_sidecar_refuses_is_one_line_and_leaves_no_file(
        self, shared_sidecar: Sidecar, tmp_path: Path
    ) -> None:
        target = tmp_path / "hello.wav"

        done = speechpool("say", "x", "--voice", "nobody", "-o", str(target), socket=shared_sidecar.socket)

        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1
        assert b"nobody" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_broken_ssml_is_refused(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("say", "--ssml", "<speak>unclosed", socket=shared_sidecar.socket)

        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1

    def test_a_terminal_gets_no_audio(self, shared_sidecar: Sidecar) -> None:
        with Terminal(["say", "hello"], shared_sidecar.socket) as terminal:
            terminal.read_until(None)

            assert "give -o FILE" in terminal.text
            assert terminal.process.wait(PATIENCE_SECONDS) == 2

    def test_progress_is_shown_on_a_terminal_and_wiped(self, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        with Terminal(["say", "hello", "-o", str(tmp_path / "a.wav")], shared_sidecar.socket) as terminal:
            terminal.read_until(None)

            assert " s of audio\r\x1b[K" in terminal.text
            assert terminal.process.wait(PATIENCE_SECONDS) == 0


class TestTranscribe:
    def test_a_human_voice_becomes_text(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("transcribe", str(RECORDINGS / "austen-0930.wav"), socket=shared_sidecar.socket)

        assert done.returncode == 0
        assert "even have been made" in done.stdout.decode()
        assert "client, waited " in done.stderr.decode()

    def test_known_sentences_are_understood_exactly(self, shared_sidecar: Sidecar) -> None:
        said = "he might even have been made amiable himself"

        done = speechpool(
            *("transcribe", "-q", str(RECORDINGS / "austen-0930.wav")),
            *("--sentence", said, "--sentence", "he was not an ill disposed young man"),
            socket=shared_sidecar.socket,
        )

        assert done.stdout.decode().strip().lower() == said
        assert done.stderr == b""

    def test_stdin_and_json_with_word_times(self, shared_sidecar: Sidecar) -> None:
        recording = (RECORDINGS / "austen-0930.wav").read_bytes()

        done = speechpool(
            *("transcribe", "-", "--format", "verbose_json", "--words"), stdin=recording, socket=shared_sidecar.socket
        )

        answer = json.loads(done.stdout)
        assert len(answer["words"]) > 4
        assert answer["duration"] == pytest.approx(3.3, abs=0.3)

    def test_subtitles_have_times(self, shared_sidecar: Sidecar) -> None:
        recording = str(RECORDINGS / "austen-0930.wav")

        done = speechpool("transcribe", recording, "--format", "srt", socket=shared_sidecar.socket)

        assert " --> " in done.stdout.decode()

    def test_what_is_not_audio_is_one_line(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("transcribe", "-", stdin=b"this is no audio" * 100, socket=shared_sidecar.socket)

        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1

    def test_a_missing_file_is_named(self, shared_sidecar: Sidecar) -> None:
        done = speechpool("transcribe", "/no/such/file.wav", socket=shared_sidecar.socket)

        assert done.returncode == 1
        assert b"/no/such/file.wav" in done.stderr
        assert done.stderr.count(b"\n") == 1

    def test_an_upload_over_the_limit_is_refused_with_the_sidecars_words(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--max-upload-bytes", "100000", "--warm-size", "1") as sidecar:
            done = speechpool("transcribe", "-", stdin=b"\0" * 3_000_000, socket=sidecar.socket)

        assert done.returncode == 1
        assert b"100000" in done.stderr.replace(b",", b"")


class TestStatus:
    def test_the_table_has_every_pool_and_session(self, shared_sidecar: Sidecar) -> None:
        shared_sidecar.client.create_session("call-1")

        text = speechpool("status", socket=shared_sidecar.socket).stdout.decode()
        shared_sidecar.client.delete_session("call-1")

        assert text.startswith("ready\n")
        assert {"tts", "stt", "call-1"} <= {line.split()[0] for line in text.splitlines() if line}
        assert "\x1b" not in text

    def test_json_is_for_programs(self, shared_sidecar: Sidecar) -> None:
        status = json.loads(speechpool("status", "--json", socket=shared_sidecar.socket).stdout)

        assert status["ready"] is True
        assert {pool["name"] for pool in status["pools"]} == {"tts", "stt"}

    def test_watching_in_a_pipe_has_no_escape_codes_and_ends_quietly_with_its_reader(
        self, shared_sidecar: Sidecar
    ) -> None:
        with watching("--json", "--watch", "0.01", socket=shared_sidecar.socket) as process:
            assert process.stdout
            assert process.stderr
            lines = [json.loads(process.stdout.readline()) for _ in range(3)]
            process.stdout.close()
            errors = process.stderr.read()
            code = process.wait(PATIENCE_SECONDS)

        assert all(line["ready"] for line in lines)
        assert (code, errors) == (141, b"")

    def test_watching_on_a_terminal_draws_over_itself_and_leaves_it_as_it_was(self, shared_sidecar: Sidecar) -> None:
        with Terminal(["status", "--watch", "0.01"], shared_sidecar.socket) as terminal:
            terminal.read_until("\x1b[J")
            os.killpg(terminal.process.pid, signal.SIGINT)
            terminal.read_until(None)

            assert terminal.process.wait(PATIENCE_SECONDS) == 130
            assert terminal.text.endswith("\x1b[?25h\x1b[?1049l")
            assert "Traceback" not in terminal.text


@contextlib.contextmanager
def watching(*words: str, socket: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        command("status", *words),
        env=environment(SPEECHPOOL_SOCKET=str(socket)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class TestWaitAndConfig:
    def test_waiting_ends_when_the_sidecar_is_ready(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE, ready=False) as sidecar:
            done = speechpool("wait", socket=sidecar.socket)

            assert done.returncode == 0
            assert done.stderr.startswith(b"ready after ")
            assert sidecar.client.not_ready_reason() is None

    def test_config_tells_where_each_value_came_from(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, "--max-sessions", "9", config=ONE_VOICE) as sidecar:
            text = speechpool("config", socket=sidecar.socket).stdout.decode()
            assert text.startswith(f"Settings of the sidecar that runs at {sidecar.socket}.\n")

        lines = {line.split()[0]: line for line in text.splitlines() if line}
        assert "flag" in lines["maxSessions"]
        assert "file" in lines["pools[tts].warmSize"]

    def test_a_file_is_checked_without_a_sidecar(self, tmp_path: Path, nobody: Path) -> None:
        bad = tmp_path / "bad.yaml"
        bad.write_text("warmSize: lots\n")

        done = speechpool("config", "--check", str(bad), socket=nobody)

        assert done.returncode == 2
        assert b"warmSize" in done.stderr
