"""What the commands read and write: pipes that end early, streams that are closed, disks that are full, Ctrl-C."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.integration.commands import Terminal, command, speechpool
from tests.integration.sidecar import ONE_VOICE, PATIENCE_SECONDS, Sidecar, environment, running_sidecar

RECORDING = Path(__file__).parent.parent / "data" / "recordings" / "austen-0930.wav"
LONG_TEXT = "A pipe holds far less than this. " * 120


def redirected(redirection: str, *words: str, socket: Path) -> "subprocess.CompletedProcess[bytes]":
    """Run a command as a shell does with `>&-` and the like behind it."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *command(*words)],
        env=environment(SPEECHPOOL_SOCKET=str(socket)),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def started(*words: str, socket: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command(*words),
        env=environment(SPEECHPOOL_SOCKET=str(socket)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class TestClosedStreams:
    @pytest.mark.parametrize(
        "words",
        [("say", "hello"), ("transcribe", str(RECORDING)), ("status",), ("config",), ("version",), ("--help",)],
        ids=lambda words: words[0],
    )
    def test_a_result_that_nobody_gets_is_an_error_of_one_line(
        self, words: tuple[str, ...], shared_sidecar: Sidecar
    ) -> None:
        done = redirected(">&-", *words, socket=shared_sidecar.socket)

        complaints = [line for line in done.stderr.splitlines() if not line.startswith(b"warm client")]
        assert done.returncode == 1
        assert len(complaints) == 1
        assert complaints[0].endswith(b"Bad file descriptor")

    def test_stdin_that_is_closed_is_empty(self, shared_sidecar: Sidecar) -> None:
        done = redirected("<&-", "say", "-", socket=shared_sidecar.socket)

        assert (done.returncode, done.stderr) == (1, b"speechpool: input must not be empty\n")

    @pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "2>/dev/full"])
    def test_a_file_is_written_whatever_becomes_of_the_streams(
        self, redirection: str, shared_sidecar: Sidecar, tmp_path: Path
    ) -> None:
        target = tmp_path / "hello.wav"

        done = redirected(redirection, "say", "hello", "-o", str(target), socket=shared_sidecar.socket)

        assert done.returncode == 0
        assert target.read_bytes().startswith(b"RIFF")

    def test_the_sidecar_needs_none_of_them(self, tmp_path: Path) -> None:
        words = command("serve", "--socket", str(tmp_path / "sp.sock"), "--warm-size", "0")
        script = '"$@" <&- >&- 2>&- & trap "kill $!; wait $!" EXIT; exec 3>&1; ' + _shell(command("wait"), tmp_path)

        done = subprocess.run(
            ["bash", "-c", script, "bash", *words],
            env=environment(SPEECHPOOL_ENGINE="local"),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

        assert (done.returncode, done.stdout) == (0, b""), done.stderr


def _shell(words: Sequence[str], directory: Path) -> str:
    return " ".join([*words, "--quiet", "--socket", str(directory / "sp.sock")])


class TestNoRoom:
    @pytest.mark.parametrize(
        ("words", "named"), [(("say", "hello"), b"stdout: "), (("status",), b""), (("version",), b"")]
    )
    def test_a_full_disk_behind_stdout_is_told(
        self, words: tuple[str, ...], named: bytes, shared_sidecar: Sidecar
    ) -> None:
        done = redirected("> /dev/full", *words, socket=shared_sidecar.socket)

        assert (done.returncode, done.stderr) == (1, b"speechpool: " + named + b"No space left on device\n")

    @pytest.mark.parametrize(
        ("output", "reason"),
        [("/dev/full", "No space left on device"), ("/no/such/place/a.wav", "No such file or directory")],
    )
    def test_a_file_that_cannot_be_written_is_named_as_the_user_did(
        self, output: str, reason: str, shared_sidecar: Sidecar
    ) -> None:
        done = speechpool("say", "hello", "-o", output, socket=shared_sidecar.socket)

        assert (done.returncode, done.stderr.decode()) == (1, f"speechpool: {output}: {reason}\n")

    def test_a_reader_that_has_enough_ends_it_quietly(self, shared_sidecar: Sidecar) -> None:
        with started("say", LONG_TEXT, socket=shared_sidecar.socket) as process:
            assert process.stdout
            assert process.stderr
            assert len(process.stdout.read(100)) == 100
            process.stdout.close()
            errors = process.stderr.read()

            assert (process.wait(PATIENCE_SECONDS), errors) == (141, b"")


class TestInterrupted:
    """Ctrl-C, each time at a moment when the command has shown that it is at work."""

    def test_while_it_speaks(self, shared_sidecar: Sidecar) -> None:
        with started("say", LONG_TEXT, socket=shared_sidecar.socket) as process:
            assert process.stdout
            process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)

            assert (process.returncode, errors) == (130, b"")

    def test_while_it_sends_a_recording(self, shared_sidecar: Sidecar) -> None:
        with Terminal(["transcribe", "-"], shared_sidecar.socket) as terminal:
            terminal.type(b"RIFF\n")
            terminal.read_until("sent 5 bytes")
            os.killpg(terminal.process.pid, signal.SIGINT)
            terminal.read_until(None)

            assert terminal.process.wait(PATIENCE_SECONDS) == 130
            assert "Traceback" not in terminal.text

    def test_while_it_waits(self, tmp_path: Path) -> None:
        with Terminal(["wait"], tmp_path / "nobody.sock", columns=50) as terminal:
            terminal.read_until("1 s: no sidecar answers")
            os.killpg(terminal.process.pid, signal.SIGINT)
            terminal.read_until(None)

            shown = terminal.text.split("\r\x1b[K")
            assert terminal.process.wait(PATIENCE_SECONDS) == 130
            assert max(map(len, shown)) == 49  # a line that wraps could not be cleared

    def test_while_it_starts(self, tmp_path: Path) -> None:
        with running_sidecar(tmp_path, config=ONE_VOICE, ready=False) as sidecar:
            sidecar.listening("socket")
            sidecar.signal(signal.SIGINT)

            assert sidecar.wait() == 0
            assert "Traceback" not in sidecar.stderr_text
