"""Every command that the documents give for a cluster is run, on a real API server."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer
from tests.cluster.speechpools import manifest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "docs" / name for name in ("operations.md", "security.md")]
ALERTS = ROOT / "charts" / "speechpool" / "files" / "alerts.yaml"


def commands() -> Iterator[tuple[str, str]]:
    """Each line of each block, with its document."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                yield document.name, line


def in_sentences() -> Iterator[tuple[str, str]]:
    """Each command of ours that a sentence names with its arguments."""
    for document in DOCUMENTS:
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        for span in re.findall(r"`(speechpool(?:-operator)? [^`]+)`", prose):
            yield document.name, " ".join(span.split())


@pytest.fixture(scope="module")
def shell(pools_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user whose commands are kubectl and speechpool, with something to look at."""
    directory = tmp_path_factory.mktemp("bin")
    kube = shlex.quote(pools_api._kube)
    for name, what in (("kubectl", f"{kube} kubectl"), ("speechpool", f"{shlex.quote(sys.executable)} -m speechpool")):
        file = directory / name
        file.write_text(f'#!/bin/sh\nexec {what} "$@"\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    if pools_api.kubectl("get", "namespace", "speechpool-system").returncode:
        pools_api.namespace("speechpool-system")
    namespace = pools_api.namespace()
    spec = {"selector": {"matchLabels": {"app": "voice"}}}
    assert pools_api.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest(spec))).returncode == 0
    found = {"PATH": f"{directory}:{os.environ['PATH']}", "KUBECONFIG": str(pools_api.kubeconfig())}
    return {**os.environ, **found, "HOME": str(directory)}


@pytest.mark.parametrize(("document", "line"), list(dict.fromkeys(commands())))
def test_a_command_of_a_block_runs(document: str, line: str, shell: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", line], env=shell, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )

    assert line.split(maxsplit=1)[0] in ("kubectl", "speechpool"), f"{document}: a new kind of command"
    is_check = line == "speechpool check"  # nothing is installed here, and it says so
    assert done.returncode == (1 if is_check else 0), done.stdout + done.stderr
    assert "unknown" not in done.stderr
    assert "the operator is available" in done.stdout or not is_check


@pytest.mark.parametrize(("document", "line"), list(dict.fromkeys(in_sentences())))
def test_a_command_of_a_sentence_is_one_that_there_is(document: str, line: str) -> None:
    program, *words = shlex.split(line)
    module = {"speechpool": "speechpool", "speechpool-operator": "speechpool_operator"}[program]
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{document}: {line}: {done.stderr}"


def test_the_documents_have_what_is_looked_for() -> None:
    assert {line.split()[0] for _, line in commands()} == {"kubectl", "speechpool"}
    assert "speechpool inject" in {line for _, line in in_sentences()}


def test_every_alert_says_what_to_do() -> None:
    """The chart's alerts link to these headings."""
    headings = re.findall(r"^### (SpeechPool\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)

    assert headings == [alert["alert"] for alert in yaml.safe_load(ALERTS.read_text())]


def test_the_metrics_that_are_named_are_there() -> None:
    named = set(re.findall(r"`(speechpool_\w+)", (ROOT / "docs" / "operations.md").read_text()))
    sources = "\n".join(path.read_text() for part in ("sidecar", "operator") for path in (ROOT / part).rglob("*.py"))
    parts = {name: name.removeprefix("speechpool_").removesuffix("_total") for name in named}

    assert named
    assert [name for name, part in parts.items() if part not in sources] == []
