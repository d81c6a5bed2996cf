"""Builds helm and kubeconform, once a machine, at the versions and sums that gotools/ pins."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cluster.build import built_once, go

__all__ = ["helm_binary", "kubeconform_binary"]

SOURCE = Path(__file__).parent / "gotools"


def helm_binary() -> Path:
    """Path of helm; built if it is not there."""
    return _tools() / "helm"


def kubeconform_binary() -> Path:
    """Path of kubeconform; built if it is not there."""
    return _tools() / "kubeconform"


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
