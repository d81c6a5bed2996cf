"""The sidecar, started with the very environment that an injection gives it: its probes hold in every kind of pod."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, environment, eventually, running_sidecar
from tests.unit.control.injection.pods import env, injected, pod, sidecar

ANNOTATIONS: dict[str, dict[str, str]] = {
    "nothing said": {},
    "a Secret that is missing": {"credentials-secret": "azure"},
    "a Secret that is missing, in a known region": {"credentials-secret": "azure", "azure-region": "westeurope"},
    "a region whose Secret was forgotten": {"engine": "azure", "azure-region": "westeurope"},
    "a container that does not answer": {"engine": "azure", "azure-endpoint": "ws://127.0.0.1:1"},
}


@contextlib.contextmanager
def started(directory: Path, manifest: dict[str, Any]) -> Iterator[tuple[Sidecar, dict[str, Any]]]:
    """A sidecar with the variables of an injected pod, of which the places alone are others."""
    container = sidecar(injected(manifest))
    variables = {name: value for name, value in env(container).items() if isinstance(value, str)}
    del variables["SPEECHPOOL_SOCKET"]
    variables |= {"SPEECHPOOL_STATE_DIR": str(directory), "SPEECHPOOL_OPERATOR": "127.0.0.1:1"}
    variables.setdefault("SPEECHPOOL_ENGINE", "")
    if "SPEECHPOOL_TELEMETRY_ADDRESS" in variables:
        variables["SPEECHPOOL_TELEMETRY_ADDRESS"] = "127.0.0.1:0"
    with running_sidecar(directory, env=variables, ready=False) as running:
        yield running, container


def status(address: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_SECONDS) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("annotations", ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
def test_the_application_starts_whatever_the_engine_does(tmp_path: Path, annotations: dict[str, str]) -> None:
    asked = {f"speechpool.dev/{name}": value for name, value in {"startup-wait-seconds": "0.5", **annotations}.items()}
    with started(tmp_path, pod(annotations=asked)) as (running, container):
        address = running.listening("telemetryAddress")
        assert eventually(lambda: status(address, container["startupProbe"]["httpGet"]["path"]) == 200)
        assert status(address, container["livenessProbe"]["httpGet"]["path"]) == 200


def test_in_the_node_s_network_the_probe_asks_over_the_socket(tmp_path: Path) -> None:
    asked = {
        "speechpool.dev/startup-wait-seconds": "2",
        "speechpool.dev/engine": "azure",
        "speechpool.dev/azure-region": "westeurope",
    }
    with started(tmp_path, pod(annotations=asked, hostNetwork=True)) as (running, container):
        words = container["startupProbe"]["exec"]["command"]
        assert words[0] == "speechpool"
        assert eventually(lambda: probe(words[1:], running) == 0)
        assert running.client.not_ready_reason() is not None  # it is started, and not ready
        assert probe(["wait", "--quiet", "--timeout", "0.1"], running) == 1


def probe(words: list[str], running: Sidecar) -> int:
    command = [sys.executable, "-m", "speechpool", *words]
    return subprocess.run(
        command,
        env=environment(SPEECHPOOL_SOCKET=str(running.socket)),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    ).returncode


def test_a_secret_that_comes_ends_the_sidecar_so_that_it_starts_again_with_all_of_it(tmp_path: Path) -> None:
    key = tmp_path / "AZURE_SPEECH_KEY"
    variables = {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_KEY_FILE": str(key), "SPEECHPOOL_STARTUP_WAIT": "0.2"}
    with running_sidecar(tmp_path, env=variables, ready=False) as running:
        told = running.wait_for_log("engine not open")["reason"]
        assert "there is no such file; mount the Secret" in told
        assert "AZURE_SPEECH_REGION" in str(running.client.not_ready_reason())
        key.write_text("k" * 32)
        assert running.wait() == 2
        assert "it again, with AZURE_SPEECH_REGION" in running.stderr_text


def test_a_secret_that_names_no_place_keeps_the_sidecar_up_until_it_does(tmp_path: Path) -> None:
    mounted = mount(tmp_path, AZURE_SPEECH_KEY="k" * 32)
    variables = {
        "SPEECHPOOL_ENGINE": "azure",
        "AZURE_SPEECH_KEY_FILE": str(mounted / "AZURE_SPEECH_KEY"),
        "SPEECHPOOL_STARTUP_WAIT": "0.2",
    }
    with running_sidecar(tmp_path, env=variables, ready=False) as running:
        assert "needs a place to connect to" in running.wait_for_log("engine not open")["reason"]
        assert "Correct it in the Secret" in str(running.client.not_ready_reason())
        mount(tmp_path, AZURE_SPEECH_KEY="k" * 32, AZURE_SPEECH_REGION="westeurope")
        assert running.wait() == 2
        assert "start it again, with AZURE_SPEECH_REGION" in running.stderr_text


def mount(directory: Path, **entries: str) -> Path:
    """A Secret as the kubelet mounts it: all its files change at once, by one link."""
    mounted = directory / "secret"
    content = mounted / f"..{len(entries)}"
    content.mkdir(parents=True)
    for name, text in entries.items():
        (content / name).write_text(text)
        if not (mounted / name).is_symlink():
            (mounted / name).symlink_to(f"..data/{name}")
    (mounted / "..new").symlink_to(content.name)
    (mounted / "..new").rename(mounted / "..data")
    return mounted
