"""The chart installed on the node, with the work tree's own images, and applications that speak through it."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from tests.cluster.images import image, image_tag
from tests.cluster.node import Node
from tests.e2e.charts import CHART, NAMESPACE, flags, helm

__all__ = ["RESTRICTED", "deployment", "images", "installed_release", "leftovers", "pods_of", "uninstall"]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

SPEAK_AND_STAY = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
words = ["speechpool", "say", "Good morning.", "-o", "/tmp/hello.wav"]
print(subprocess.run(words, stderr=subprocess.PIPE, text=True).stderr, flush=True)
while True:
    signal.pause()
"""
"""Speaks once, says how that went, and ends when it is told to."""


def images() -> dict[str, Any]:
    """The chart's values that name the images of the work tree."""
    registry, _, _ = image("sidecar").partition("/")
    tags = {f"image.{each}.tag": image_tag() for each in ("sidecar", "operator")}
    return {"image.registry": registry, "image.pullPolicy": "Never", **tags}


@contextlib.contextmanager
def installed_release(
    node: Node, values: Mapping[str, Any] | None = None, namespace: str = NAMESPACE
) -> Iterator[None]:
    """The release, installed and ready; uninstalled afterwards, if the test has not.

    Its namespace stays for the next one: Kubernetes takes five seconds before it begins to remove one.
    """
    words = ["install", "speechpool", str(CHART), "--namespace", namespace, "--create-namespace", "--wait"]
    try:
        done = helm(*words, "--timeout", "55s", *flags(images() | dict(values or {})), api=node)
        assert done.returncode == 0, f"{done.stderr}\n{node.story()}"
        yield
    finally:
        _uninstall(node, namespace)


def uninstall(node: Node, namespace: str = NAMESPACE) -> None:
    """Uninstall the release, and wait until its namespace is gone."""
    _uninstall(node, namespace)
    node.delete(f"/api/v1/namespaces/{namespace}")
    node.wait_for(lambda: node.found(f"/api/v1/namespaces/{namespace}") is None, f"{namespace} does not end")


def _uninstall(node: Node, namespace: str) -> None:
    """Uninstall the release if it is there, and wait until nothing of it runs."""
    done = helm("uninstall", "speechpool", "--namespace", namespace, "--wait", "--ignore-not-found", api=node)
    assert done.returncode == 0, done.stderr
    running = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=status.phase=Running"
    node.wait_for(lambda: not node.get(running)["items"], f"pods in {namespace} do not end")


def leftovers(node: Node) -> str:
    """What of a release is there beyond its namespace and its definition, a line each."""
    kinds = ("clusterroles", "clusterrolebindings", "mutatingwebhookconfigurations")
    policies = ("validatingadmissionpolicies", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
    labelled = "--selector=app.kubernetes.io/instance=speechpool"
    shown = node.kubectl("get", ",".join(kinds + policies), labelled, "--output=name")
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def deployment(
    name: str,
    replicas: int = 1,
    labels: Mapping[str, str] | None = None,
    program: str = SPEAK_AND_STAY,
    **pod: Any,
) -> dict[str, Any]:
    """A Deployment of an application that wants a sidecar; `program` is its Python."""
    strict = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    app = {
        "name": "app",
        "image": image("sidecar"),
        "command": ["python", "-c", program],
        "securityContext": strict,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    context = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "speechpool.dev/inject": "true", **(labels or {})}},
                "spec": {"securityContext": context, "containers": [app], **pod},
            },
        },
    }


def pods_of(node: Node, namespace: str, app: str) -> list[dict[str, Any]]:
    """The pods of an application."""
    found = node.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app={app}")
    pods: list[dict[str, Any]] = found["items"]
    return pods
