"""The chart as tests have it: rendered, linted and installed by the real helm."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer
from tests.cluster.tools import helm_binary

__all__ = ["CHART", "KNOWN", "MODES", "NAMESPACE", "flags", "helm", "installed", "rendered", "template"]

CHART = Path(__file__).parents[2] / "charts" / "speechpool"
NAMESPACE = "speechpool-system"
KUBE_VERSION = "1.35.4"

KNOWN = ("--api-versions", "speechpool.dev/v1alpha1/SpeechPool")
"""What `helm template` would else not know of a cluster that has the definition."""

MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "policy": {"injection.mode": "policy", "sidecar.credentialsSecret": "azure", "defaultPool.enabled": True},
    "none": {"injection.mode": "none"},
    "namespaced": {"watchNamespace": "team-a", "defaultPool.enabled": True, "upgrader.enabled": True},
    "all": {
        "certificates.mode": "certManager",
        "operator.replicas": 2,
        "upgrader.enabled": True,
        "networkPolicy.enabled": True,
        "monitoring.podMonitor.enabled": True,
        "monitoring.serviceMonitor.enabled": True,
        "monitoring.prometheusRule.enabled": True,
        "monitoring.dashboard.enabled": True,
        "image.registry": "registry.example.org",
        "image.operator.digest": f"sha256:{'0' * 64}",
        "image.pullSecrets[0].name": "pull",
        "priorityClassName": "system-cluster-critical",
    },
}
"""Values of the modes that are held in tests/data/chart and given to the API server."""


def flags(values: Mapping[str, Any]) -> list[str]:
    """Values as helm's command line has them."""
    return [word for path, value in values.items() for word in ("--set-json", f"{path}={json.dumps(value)}")]


def helm(*words: str, api: ApiServer | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real helm; never raises for its exit code."""
    server = ["--kubeconfig", str(api.kubeconfig())] if api else []
    return subprocess.run(
        [str(helm_binary()), *words, *server], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def template(values: Mapping[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    """What helm makes of these values, or why it refuses them."""
    words = ["template", "speechpool", str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBE_VERSION]
    return helm(*words, *flags(values), *more)


def rendered(values: Mapping[str, Any], *more: str) -> list[dict[str, Any]]:
    """Every object of a release with these values."""
    done = template(values, *more)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def installed(api: ApiServer, values: Mapping[str, Any], namespace: str = NAMESPACE) -> None:
    """Install the release, or upgrade it."""
    words = ["upgrade", "--install", "speechpool", str(CHART), "--namespace", namespace, "--create-namespace"]
    done = helm(*words, *flags(values), api=api)
    assert done.returncode == 0, done.stderr
