"""`speechpool serve` by someone who is not root and names no socket: it finds a place, and its clients find it."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, environment
from tests.privileges import NOBODY, ordinary_command

ONE_VOICE = "pools: [{name: tts, kind: TextToSpeech, warmSize: 1}]"
USER = os.geteuid() or NOBODY


class User:
    """Runs commands as the ordinary user, in a home of its own.

    Args:
        home: A directory that the user owns.
        variables: More of the user's environment.
    """

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self._environment = environment(SPEECHPOOL_ENGINE="local", HOME=str(home), TMPDIR=str(home), **variables)
        if "XDG_RUNTIME_DIR" not in variables:
            self._environment.pop("XDG_RUNTIME_DIR", None)

    def serve(self) -> Sidecar:
        config = self.home / "speechpool.yaml"
        config.write_text(ONE_VOICE)
        process = subprocess.Popen(
            self._command("serve", "--log-format", "json", "--config", str(config)),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Sidecar(process, Path("/unknown"), config)

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            self._command(*words), env=self._environment, capture_output=True, timeout=PATIENCE_SECONDS, check=False
        )

    @staticmethod
    def _command(*words: str) -> list[str]:
        return ordinary_command([sys.executable, "-m", "speechpool", *words])


@pytest.fixture
def home() -> Iterator[Path]:
    # pytest's own directories are entered by their owner alone
    with tempfile.TemporaryDirectory(prefix="speechpool-user-") as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.parametrize(
    ("variables", "place"),
    [({"XDG_RUNTIME_DIR": "{home}"}, "speechpool"), ({}, f"speechpool-{USER}")],
    ids=["runtime directory", "no runtime directory"],
)
def test_it_finds_a_private_place_and_clients_find_it(home: Path, variables: dict[str, str], place: str) -> None:
    user = User(home, **{name: value.format(home=home) for name, value in variables.items()})
    serving = user.serve()
    try:
        waited = user.run("wait")
        socket = Path(serving.listening("socket"))
        said = user.run("say", "Good morning.")
        status = user.run("status", "--json")
        directory, file = socket.parent.stat(), socket.stat()
        serving.signal(signal.SIGTERM)
        code = serving.wait()
    finally:
        serving.kill()

    assert (waited.returncode, code) == (0, 0), serving.stderr_text
    assert socket == home / place / "speechpool.sock"
    assert (directory.st_uid, stat.S_IMODE(directory.st_mode)) == (USER, 0o700)
    assert file.st_uid == USER
    assert said.stdout.startswith(b"RIFF")
    assert json.loads(status.stdout)["ready"] is True
    assert not socket.exists()


def test_a_place_that_may_not_be_written_to_is_told_with_what_to_do(home: Path) -> None:
    taken = home / "taken"
    taken.mkdir()
    taken.chmod(0o555)
    socket = taken / "sp.sock"

    done = User(home, SPEECHPOOL_SOCKET=str(socket)).run("serve")

    assert done.returncode == 2
    assert done.stderr.decode() == (
        f"speechpool: socket: cannot listen on {socket}: Permission denied; name another path in SPEECHPOOL_SOCKET\n"
    )
