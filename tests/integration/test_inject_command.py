"""`speechpool inject` as a user has it: files, directories, pipes, and what is said when it cannot be."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from speechpool.cli.commands import run

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: voice}
spec:
  selector: {matchLabels: {app: voice}}
  template:
    metadata: {labels: {app: voice}}
    spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: voice}
"""


def inject(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "speechpool", "inject", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_a_file_with_several_documents(tmp_path: Path) -> None:
    file = tmp_path / "voice.yaml"
    file.write_text(DEPLOYMENT)
    done = inject("-f", str(file), "--operator", "operator.ns.svc:8443", "--image", "registry/sidecar:9")
    assert done.returncode == 0, done.stderr
    deployment, service = yaml.safe_load_all(done.stdout)
    sidecar = deployment["spec"]["template"]["spec"]["initContainers"][0]
    assert (sidecar["name"], sidecar["image"]) == ("speechpool", "registry/sidecar:9")
    assert {"name": "SPEECHPOOL_OPERATOR", "value": "operator.ns.svc:8443"} in sidecar["env"]
    assert service["kind"] == "Service"
    assert done.stderr.splitlines() == ["deployment/voice: sidecar added", "service/voice: left as it is"]


def test_a_pipe_a_directory_a_file_of_settings_and_a_ca(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "voice.yml").write_text(DEPLOYMENT)
    (tmp_path / "all" / "README.md").write_text("no manifest")
    (tmp_path / "config.yaml").write_text("image: mine:1\noperator: operator:8443\n")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    words = ("--config", str(tmp_path / "config.yaml"), "--operator-ca", str(tmp_path / "ca.crt"), "-q")
    done = inject("-f", "-", "-f", str(tmp_path / "all"), *words, stdin=DEPLOYMENT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    documents = list(yaml.safe_load_all(done.stdout))
    assert documents[0] == documents[2]
    annotations = documents[0]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["speechpool.dev/operator-ca"] == "-----BEGIN CERTIFICATE-----\n"


def test_what_was_left_aside_is_told_even_where_the_rest_is_quiet() -> None:
    metadata = "{name: p, annotations: {speechpool.dev/cpu-request: much}}"
    pod = f"{{kind: Pod, metadata: {metadata}, spec: {{containers: [{{name: a}}]}}}}"
    done = inject("-q", "-f", "-", stdin=pod)
    assert done.returncode == 0
    assert done.stderr.startswith("pod/p: warning: speechpool.dev/cpu-request is ignored: it must be a quantity")


def test_a_file_that_is_not_there_is_named() -> None:
    done = inject("-f", "/nonexistent.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "speechpool: /nonexistent.yaml: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "stdin", "code", "sentence"),
    [
        (["-f", "-"], "{kind: Pod}", 1, "pod/?: spec must be a mapping"),
        (["-f", "-"], "a: [", 1, "stdin must be YAML at line 1"),
        (["-f", "-"], DEPLOYMENT + "---\n{kind: Pod, spec: {containers: [{name: speechpool}]}}", 1, "of its own"),
        (["-f", "-", "--operator", "operator"], "", 2, "--operator must be host:port"),
        (["-f", "-", "--image", "a b"], "", 2, "--image must be an image"),
        (["-f", "-", "--config", "/nonexistent.yaml"], "", 2, "No such file"),
        ([], "", 2, "-f/--filename"),
    ],
)
def test_where_it_cannot_be_nothing_is_printed(
    words: list[str],
    stdin: str,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    assert run(["inject", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
