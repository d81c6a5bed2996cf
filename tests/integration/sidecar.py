"""The real sidecar as a process on a socket of its own, for every test that speaks to it.

Waiting is for events: the sidecar's own log lines, read as they come, or the end of the process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.program import PATIENCE_SECONDS, Program

from speechpool.client import SidecarClient
from speechpool.config.file import digest_of

__all__ = [
    "ONE_VOICE",
    "PATIENCE_SECONDS",
    "PATIENT",
    "Sidecar",
    "environment",
    "eventually",
    "processes_end",
    "running_sidecar",
]

PATIENT = dict.fromkeys(
    (
        "SPEECHPOOL_FIRST_CHUNK_TIMEOUT",
        "SPEECHPOOL_CHUNK_GAP_TIMEOUT",
        "SPEECH_POOL_ACQUIRE_TIMEOUT",
        "SPEECH_POOL_CREATE_TIMEOUT",
    ),
    f"{PATIENCE_SECONDS:g}",
)
"""Settings for real engines: their workers give way to everything else on a machine, and tests share it with others."""

ONE_VOICE: dict[str, Any] = {"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": 1}]}
"""A settings file with the least that speaks: it starts in a fraction of the time that a model to listen needs."""


class Sidecar(Program):
    """One running `speechpool serve`.

    Args:
        process: The process; its stderr is a pipe.
        socket: Where it listens.
        config_file: Its settings file, or None.
    """

    def __init__(self, process: "subprocess.Popen[str]", socket: Path, config_file: Path | None) -> None:
        super().__init__(process)
        self.socket = socket
        self.config_file = config_file
        self.client = SidecarClient(socket, timeout_seconds=PATIENCE_SECONDS)

    def listening(self, setting: str) -> str:
        """The address of a listener, by its setting: "socket", "listen" or "telemetryAddress"."""
        return str(self.wait_for_log("listening", setting=setting)["address"])

    def worker_pids(self) -> set[int]:
        """Its worker processes that are alive; it starts nothing else."""
        return _descendants(self.pid)

    def open_fds(self) -> int:
        """How many file descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def settled(self) -> None:
        """Wait until nothing is under way: every client is idle again, no connection is left."""
        eventually(lambda: not any(self._busy(pool) for pool in self.client.get_json("/v1/pools")["data"]))

    @staticmethod
    def _busy(pool: dict[str, Any]) -> bool:
        resting = pool["items"]["idle"]
        return sum(pool["items"].values()) != resting or resting < pool["warm_pool_target"]

    def write_config(self, config: Mapping[str, Any] | str) -> None:
        """Replace the settings file in one step, as an editor or a ConfigMap does."""
        assert self.config_file, "the sidecar was started without a settings file"
        _write_config(self.config_file, config)

    def apply_config(self, config: Mapping[str, Any]) -> None:
        """Replace the settings file, and wait until it is in force."""
        self.write_config(config)
        self.signal(signal.SIGHUP)
        assert self.config_file
        wanted = digest_of(self.config_file.read_bytes())
        told = lambda: self.client.get_json("/v1/config")["sources"]  # noqa: E731 - asked again and again
        eventually(lambda: any((one["source"], one["hash"], one["ok"]) == ("file", wanted, True) for one in told()))


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without any setting of SpeechPool or Azure, then with `changes`."""
    foreign = ("SPEECHPOOL_", "SPEECH_POOL_", "AZURE_SPEECH_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)} | changes


@contextlib.contextmanager
def running_sidecar(
    directory: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | str | None = None,
    ready: bool = True,
    socket: Path | None = None,
) -> Iterator[Sidecar]:
    """A sidecar with the local engine; stopped with SIGTERM at the end, if it still runs.

    Args:
        directory: Where its socket and its settings file are.
        flags: More words after `speechpool serve`.
        env: More variables of its environment.
        config: Its settings file: its content, or a mapping to write as YAML.
        ready: Wait until every pool is warm.
        socket: Where it listens; in `directory` by default.
    """
    socket = socket or directory / "sp.sock"
    config_file = None if config is None else directory / "speechpool.yaml"
    if config_file and config is not None:
        _write_config(config_file, config)
    words = ["--socket", str(socket), "--log-format", "json", *flags]
    words += ["--config", str(config_file)] if config_file else []
    process = subprocess.Popen(
        [sys.executable, "-m", "speechpool", "serve", *words],
        env=environment(**{"SPEECHPOOL_ENGINE": "local", **PATIENT, **(env or {})}),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    sidecar = Sidecar(process, socket, config_file)
    try:
        if ready:
            sidecar.wait_for_log("sidecar ready")
        yield sidecar
        sidecar.stop()
    finally:
        sidecar.kill()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A fresh sidecar of this test's own, ready."""
    with running_sidecar(tmp_path) as running:
        yield running


@pytest.fixture
def one_voice(tmp_path: Path) -> Iterator[Sidecar]:
    """A fresh sidecar of this test's own, ready, with one warm voice and nothing else."""
    with running_sidecar(tmp_path, config=ONE_VOICE) as running:
        yield running


@pytest.fixture(scope="session")
def shared_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for the whole run, ready; tests must leave it as they found it."""
    with running_sidecar(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def start_sidecar(tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Start sidecars as `running_sidecar` does; all are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **options: Any) -> Sidecar:
            return stack.enter_context(running_sidecar(tmp_path, *flags, **options))

        yield start


def eventually(is_so: Callable[[], bool]) -> bool:
    """Wait for what has no event: something outside of this process; True, or an AssertionError after all patience."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at, "it did not become so"
        time.sleep(0.01)
    return True


def processes_end(pids: set[int]) -> bool:
    """Whether all of these processes end (a killed parent's workers are reaped by init)."""
    return eventually(lambda: not any(_is_alive(pid) for pid in pids))


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _descendants(pid: int) -> set[int]:
    children: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children |= {int(child) for child in task.read_text().split()}
    return children.union(*(_descendants(child) for child in children))


def _write_config(path: Path, config: Mapping[str, Any] | str) -> None:
    whole = path.with_suffix(".new")
    whole.write_text(config if isinstance(config, str) else yaml.safe_dump(dict(config)))
    whole.replace(path)
