"""Builds helm and kubeconform, once a machine, at the versions and sums that gotools/ pins.

And fetches the definitions of other projects' resources that the chart makes: their Go modules bring them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.build import built_once, go

__all__ = ["foreign_definitions", "helm_binary", "kubeconform_binary"]

SOURCE = Path(__file__).parent / "gotools"

_DEFINITIONS = {
    "github.com/prometheus-operator/prometheus-operator": (
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,servicemonitors,prometheusrules}.yaml",
    ),
    "github.com/cert-manager/cert-manager": (
        "v1.19.0",
        "h1:pPKtK06zPriliwq7B12xa7DGKbc4SvnfOjE0BXaAspk=",
        "deploy/crds/cert-manager.io_{certificates,issuers}.yaml",
    ),
}
"""Module: its version, its sum, and the files in it."""


def helm_binary() -> Path:
    """Path of helm; built if it is not there."""
    return _tools() / "helm"


def kubeconform_binary() -> Path:
    """Path of kubeconform; built if it is not there."""
    return _tools() / "kubeconform"


def foreign_definitions() -> list[Path]:
    """CustomResourceDefinitions of the Prometheus operator and of cert-manager; fetched if they are not there."""
    return sorted(built_once("definitions", [Path(__file__)], _fetch).iterdir())


def _fetch(directory: Path, cache: Path) -> None:
    made = directory.with_suffix(".part")
    made.mkdir(exist_ok=True)
    for module, (version, expected, files) in _DEFINITIONS.items():
        words = [go(cache), "mod", "download", "-json", f"{module}@{version}"]
        done = subprocess.run(words, cwd=cache, capture_output=True, text=True, check=False)
        told = json.loads(done.stdout or "{}")
        assert told.get("Sum") == expected, f"{module}@{version}: {told.get('Error') or told.get('Sum') or done.stderr}"
        folder, _, names = files.partition("{")
        for name in names.partition("}")[0].split(","):
            shutil.copy(f"{told['Dir']}/{folder}{name}.yaml", made)
    made.rename(directory)


def _tools() -> Path:
    return built_once("tools", [SOURCE / "go.mod", SOURCE / "go.sum", Path(__file__)], _build)


def _build(directory: Path, cache: Path) -> None:
    made = directory.with_suffix(".part")
    made.mkdir(exist_ok=True)
    packages = re.findall(r"^\t(\S+/cmd/\S+)$", (SOURCE / "go.mod").read_text("utf-8"), re.MULTILINE)
    helm = _pinned("helm.sh/helm/v3")
    minor = _pinned("k8s.io/client-go").split(".")[1]
    # as its release has them: without, it takes itself for a client of Kubernetes 1.20
    stamps = {"helm.sh/helm/v3/internal/version.version": helm}
    for package in ("chartutil", "lint/rules"):
        stamps |= {f"helm.sh/helm/v3/pkg/{package}.k8sVersionMajor": "1"}
        stamps |= {f"helm.sh/helm/v3/pkg/{package}.k8sVersionMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in stamps.items())])
    words = [go(cache), "build", "-trimpath", "-mod=readonly", "-ldflags", flags, "-o", f"{made}/", *packages]
    print(f"building helm {helm} and kubeconform for the tests, once: a minute or two", file=sys.stderr, flush=True)
    subprocess.run(words, cwd=SOURCE, check=True, env={**os.environ, "GOTOOLCHAIN": "local"})
    made.rename(directory)


def _pinned(module: str) -> str:
    found = re.search(rf"^\t{re.escape(module)} (v\S+)", (SOURCE / "go.mod").read_text("utf-8"), re.MULTILINE)
    assert found, f"go.mod does not name {module}"
    return found[1]


if __name__ == "__main__":
    print(helm_binary())
