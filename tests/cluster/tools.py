"""Builds helm, kubeconform, CoreDNS and cert-manager, once a machine, at the versions and sums that gotools/ pins.

One module for all of them, so that each finds built what the others need too. And fetches the definitions of other
projects' resources that the chart makes: their Go modules bring them.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.build import build_program, built_once, go

__all__ = ["cert_manager_binary", "coredns_binary", "foreign_definitions", "helm_binary", "kubeconform_binary"]

SOURCE = Path(__file__).parent / "gotools"

_PINS = [SOURCE / "go.mod", SOURCE / "go.sum", Path(__file__)]
_CERT_MANAGER = "github.com/cert-manager/cert-manager"
_PROMETHEUS = "github.com/prometheus-operator/prometheus-operator"
_PROMETHEUS_PIN = ("v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=")
"""Version and sum."""

_DEFINITIONS: dict[str, Sequence[str]] = {
    _PROMETHEUS: [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
        for kind in ("podmonitors", "servicemonitors", "prometheusrules")
    ],
    _CERT_MANAGER: [
        f"deploy/crds/cert-manager.io_{kind}.yaml"
        for kind in ("certificates", "issuers", "certificaterequests", "clusterissuers")
    ],
}
"""Module: the files in it."""


def helm_binary() -> Path:
    """Path of helm; built if it is not there."""
    stamps = {"helm.sh/helm/v3/internal/version.version": _pinned("helm.sh/helm/v3")}
    # as its release has them: without, it takes itself for a client of Kubernetes 1.20
    for package in ("chartutil", "lint/rules"):
        stamps[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMajor"] = "1"
        stamps[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMinor"] = _pinned("k8s.io/client-go").split(".")[1]
    return _program("helm.sh/helm/v3/cmd/helm", stamps)


def kubeconform_binary() -> Path:
    """Path of kubeconform; built if it is not there."""
    return _program("github.com/yannh/kubeconform/cmd/kubeconform")


def coredns_binary() -> Path:
    """Path of CoreDNS; built if it is not there."""
    return _program("github.com/coredns/coredns")


def cert_manager_binary() -> Path:
    """Path of what of cert-manager the tests need, one program that takes a kubeconfig; built if it is not there."""
    return _program("./certmanager", None, SOURCE / "certmanager" / "main.go")


def foreign_definitions(group: str = "") -> list[Path]:
    """CustomResourceDefinitions of the Prometheus operator and of cert-manager; fetched if they are not there.

    Args:
        group: Only those of this API group.
    """
    found = built_once("definitions", _PINS, _fetch).iterdir()
    return sorted(each for each in found if each.name.startswith(group))


def _fetch(directory: Path, cache: Path) -> None:
    made = directory.with_suffix(".part")
    made.mkdir(exist_ok=True)
    for module, (version, expected) in {_PROMETHEUS: _PROMETHEUS_PIN, _CERT_MANAGER: _pin(_CERT_MANAGER)}.items():
        words = [go(cache), "mod", "download", "-json", f"{module}@{version}"]
        done = subprocess.run(words, cwd=cache, capture_output=True, text=True, check=False)
        told = json.loads(done.stdout or "{}")
        assert told.get("Sum") == expected, f"{module}@{version}: {told.get('Error') or told.get('Sum') or done.stderr}"
        for file in _DEFINITIONS[module]:
            shutil.copy(f"{told['Dir']}/{file}", made)
    made.rename(directory)


def _program(package: str, stamps: Mapping[str, str] | None = None, *sources: Path) -> Path:
    name = package.rpartition("/")[2]

    def build(made: Path, cache: Path) -> None:
        print(f"building {name} for the tests, once: a minute or two", file=sys.stderr, flush=True)
        build_program(made, cache, source=SOURCE, package=package, stamps=stamps)

    return built_once(name, [*_PINS, *sources], build)


def _pinned(module: str) -> str:
    found = re.search(rf"^\t{re.escape(module)} (v\S+)", (SOURCE / "go.mod").read_text("utf-8"), re.MULTILINE)
    assert found, f"go.mod does not name {module}"
    return found[1]


def _pin(module: str) -> tuple[str, str]:
    """Version and sum."""
    version = _pinned(module)
    line = rf"^{re.escape(module)} {re.escape(version)} (h1:\S+)$"
    found = re.search(line, (SOURCE / "go.sum").read_text("utf-8"), re.MULTILINE)
    assert found, f"go.sum does not name {module}"
    return version, found[1]


if __name__ == "__main__":
    print(helm_binary())
