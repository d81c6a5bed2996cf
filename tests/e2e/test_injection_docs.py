"""The commands and manifests of docs/injection.md, run as a reader runs them, on a real API server with an injector."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.apiserver import ApiServer, running_api_server
from tests.cluster.build import kube_binary
from tests.e2e.injectors import Installed, eventually, installed, running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "injection.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MANIFESTS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("reader")) as server:
        server.service_account("default", "default")
        yield server


@pytest.fixture(scope="module")
def place(api: ApiServer) -> Iterator[Installed]:
    with installed(api, api.directory, namespace="speechpool-system") as made:
        made.register("default")
        with running(made):
            yield made


def reader(api: ApiServer, script: str) -> str:
    tools = api.directory / "bin"
    tools.mkdir(exist_ok=True)
    kubectl = tools / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {shlex.quote(str(kube_binary()))} kubectl "$@"\n')
    kubectl.chmod(0o755)
    path = f"{tools}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -eux\n{script}"],
        cwd=api.directory,
        env={"PATH": path, "HOME": str(api.directory), "KUBECONFIG": str(api.kubeconfig())},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_what_is_run_here() -> None:
    assert (len(BLOCKS), len(MANIFESTS)) == (3, 1)


def test_a_namespace_that_asks(api: ApiServer, place: Installed) -> None:
    assert reader(api, BLOCKS[0]).endswith("speechpool")


def test_a_template_that_asks(api: ApiServer, place: Installed) -> None:
    (api.directory / "deployment.yaml").write_text(MANIFESTS[0])
    reader(api, "kubectl apply --validate=strict -f deployment.yaml")
    template = api.get("/apis/apps/v1/namespaces/default/deployments/voice")["spec"]["template"]
    pod = template | {"metadata": template["metadata"] | {"name": "of-it"}}
    made = api.post("/api/v1/namespaces/default/pods?dryRun=All", pod)
    assert made["spec"]["initContainers"][0]["name"] == "speechpool"


def test_by_hand(api: ApiServer, place: Installed) -> None:
    (api.directory / "deployment.yaml").write_text(MANIFESTS[0])
    reader(api, BLOCKS[1])
    template = api.get("/apis/apps/v1/namespaces/default/deployments/voice")["spec"]["template"]
    assert template["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert template["metadata"]["labels"]["speechpool.dev/injected"] == "true"


def test_a_key_that_has_leaked(api: ApiServer, place: Installed) -> None:
    before = place.texts()["operator.crt"]
    reader(api, BLOCKS[2])
    eventually(lambda: place.texts().get("operator.crt") != before)
    assert place.texts()["ca-signing.key"]
