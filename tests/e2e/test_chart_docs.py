"""What docs/install.md and the README say of a cluster is run, line by line, on a real API server."""

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
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer, running_api_server
from tests.cluster.tools import helm_binary

ROOT = Path(__file__).parents[2]
FEATURE = (
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
    "--feature-gates=MutatingAdmissionPolicy=true",
)


def lines(document: str, language: str) -> list[str]:
    """Every line of the document's blocks of one language."""
    text = (ROOT / document).read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def shell(tmp_path: Path, api_of_its_own: ApiServer) -> dict[str, str]:
    """The environment of a user who has kubectl, helm and speechpool."""
    programs = {
        "kubectl": f"{shlex.quote(api_of_its_own._kube)} kubectl",
        "helm": shlex.quote(str(helm_binary())),
        "speechpool": f"{shlex.quote(sys.executable)} -m speechpool",
    }
    for name, what in programs.items():
        file = tmp_path / name
        file.write_text(f'#!/bin/sh\nexec {what} "$@"\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    found = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(api_of_its_own.kubeconfig())}
    return {**os.environ, **found, "HOME": str(tmp_path)}


@pytest.fixture(scope="module")
def api_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("docs"), *FEATURE) as server:
        yield server


@pytest.mark.parametrize(("document", "language"), [("docs/install.md", "sh"), ("README.md", "sh cluster")])
def test_the_commands_run_from_top_to_bottom(document: str, language: str, shell: dict[str, str], tmp_path: Path):
    found = lines(document, language)
    assert {line.split()[0] for line in found} >= {"helm", "kubectl"}
    for line in found:
        if line.startswith("helm test"):  # needs a node: test_node_install.py
            continue
        here = line.replace("/tmp/speechpool.yaml", str(tmp_path / "speechpool.yaml"))
        done = subprocess.run(
            ["bash", "-c", here],
            env=shell,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_what_needs_a_node_is_known():
    assert lines("docs/install.md", "sh node") == [
        "speechpool check",  # test_docs_cluster.py
        "helm test speechpool -n speechpool-system --logs",  # test_node_install.py
    ]


def test_every_value_that_the_page_names_is_one():
    values = yaml.safe_load((ROOT / "charts" / "speechpool" / "values.yaml").read_text("utf-8"))
    named = re.findall(
        r"`((?:[a-zA-Z]+\.)+[a-zA-Z]+|watchNamespace|listenHost)(?:=[^`]*)?`", (ROOT / "docs/install.md").read_text()
    )
    for path in (one for one in named if one.split(".")[0] in values):
        found = values
        for key in path.split("."):
            assert key in found, path
            found = found[key]
