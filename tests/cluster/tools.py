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
    return built_once("tools", [SOURCE / "go.mod", SOURCE / "go.sum"], _build)


def _build(directory: Path, cache: Path) -> None:
    made = directory.with_suffix(".part")
    made.mkdir(exist_ok=True)
    pinned = (SOURCE / "go.mod").read_text("utf-8")
    packages = re.findall(r"^\t(\S+/cmd/\S+)$", pinned, re.MULTILINE)
    helm = re.search(r"^\thelm\.sh/helm/v3 (v\S+)", pinned, re.MULTILINE)
    assert helm
    flags = f"-s -w -X helm.sh/helm/v3/internal/version.version={helm[1]}"
    words = [go(cache), "build", "-trimpath", "-mod=readonly", "-ldflags", flags, "-o", f"{made}/", *packages]
    print(f"building helm {helm[1]} and kubeconform for the tests, once: a minute or two", file=sys.stderr, flush=True)
    subprocess.run(words, cwd=SOURCE, check=True, env={**os.environ, "GOTOOLCHAIN": "local"})
    made.rename(directory)


if __name__ == "__main__":
    print(helm_binary())
