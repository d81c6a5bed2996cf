"""The commands of docs/operator.md, run as a reader runs them, on a real API server."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from tests.cluster.apiserver import running_api_server
from tests.cluster.build import kube_binary

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "operator.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A directory like the repository's root, with `kubectl` for a cluster of its own on the path."""
    home = tmp_path_factory.mktemp("reader")
    for name in ("crds", "examples"):
        (home / name).symlink_to(ROOT / name)
    with running_api_server(home) as api:
        (home / "bin").mkdir()
        kubectl = home / "bin" / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec {shlex.quote(str(kube_binary()))} kubectl "$@"\n')
        kubectl.chmod(0o755)
        path = f"{home / 'bin'}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        yield {
            "cwd": home,
            "env": {"PATH": path, "HOME": str(home), "KUBECONFIG": str(api.kubeconfig())},
        }


def test_all_commands_of_the_page_work_one_after_the_other(shell):
    script = "set -eux\ntrap 'kill 0' EXIT\n" + "\n".join(BLOCKS).replace(
        "apply -f crds/\n", "apply -f crds/\nsleep 1\n"
    )
    process = subprocess.Popen(
        ["bash", "-c", script],
        **shell,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # what it leaves in the background ends with it
    )
    try:
        said, _ = process.communicate(timeout=100)
    finally:
        with_all(process)
    assert "condition met" in said, said
    assert "Synced" in said
    assert "NoSidecars" in said
    assert '"sidecars": []' in said
    assert process.returncode == -signal.SIGTERM, said  # its own trap, at the end of all


def with_all(process: "subprocess.Popen[str]") -> None:
    """End what is left of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
