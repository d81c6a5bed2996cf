"""The examples do what they say."""

import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, environment, processes_end

ROOT = Path(__file__).parent.parent.parent


def example(name: str, directory: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=directory,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: "subprocess.Popen[str]") -> str:
    """What it printed, once it has ended well."""
    out, errors = process.communicate(timeout=2 * PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return out


def test_of_two_demos_at_once_one_shows_all_of_it_and_one_ends_clean_with_ctrl_c(tmp_path: Path) -> None:
    whole, stopped = example("demo.py", tmp_path), example("demo.py", tmp_path)
    children = stop_in_the_middle(stopped)
    output = finished(whole)

    assert "warm client, waited" in output
    assert "cold client, waited" in output
    assert output.count('understood "he might even have been made amiable himself" (a grammar') == 2
    with wave.open(str(ROOT / "build" / "demo" / "good-morning.wav")) as file:
        assert 2 < file.getnframes() / file.getframerate() < 10
    assert children
    assert processes_end(children)


def stop_in_the_middle(process: "subprocess.Popen[str]") -> set[int]:
    """Press Ctrl-C once the sentence is in its file; what processes it had."""
    assert process.stdout
    while "recording" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    children = {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}

    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "Traceback" not in errors
    return children


def test_the_official_client_speaks_and_listens(shared_sidecar: Sidecar, tmp_path: Path) -> None:
    output = finished(example("openai_speech.py", tmp_path, SPEECHPOOL_SOCKET=str(shared_sidecar.socket)))

    assert "tier: " in output
    assert "understood: hello from a warm client" in output


def test_curl_speaks_listens_and_asks(shared_sidecar: Sidecar, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "examples" / "curl.sh")],
        cwd=tmp_path,
        env=environment(SPEECHPOOL_SOCKET=str(shared_sidecar.socket)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "x-speechpool-tier: " in done.stdout.lower()
    assert "hello from a warm client" in done.stdout
    assert '"warm_pool_size"' in done.stdout


def test_the_pool_alone_gives_warm_and_dedicated_clients(tmp_path: Path) -> None:
    output = finished(example("pool.py", tmp_path))

    assert "AllocationTier.WARM" in output
    assert "AllocationTier.DEDICATED" in output
