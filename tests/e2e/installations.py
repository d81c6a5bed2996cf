"""An installation on the node, as its administrator's commands show it."""

import json
from typing import Any

from tests.cluster.node import Node
from tests.e2e.applications import is_ready
from tests.e2e.charts import NAMESPACE
from tests.integration.commands import speechpool

__all__ = ["PODS", "asked", "is_synced", "kill_operator", "known", "the_pod"]

PODS = "/api/v1/namespaces/{}/pods"


def asked(node: Node, *words: str) -> tuple[int, str]:
    """What a command of `speechpool` says, with its exit code."""
    done = speechpool(*words, "--kubeconfig", str(node.kubeconfig()))
    return done.returncode, done.stdout.decode()


def known(node: Node, namespace: str, pod: str) -> dict[str, Any]:
    """A sidecar as `speechpool status --cluster` shows it; empty while the operator does not answer."""
    _, shown = asked(node, "status", "--cluster", "--namespace", namespace, "--json")
    overview = json.loads(shown)
    found = [each for each in overview["sidecars"] if each["pod"] == pod and overview["source"] == "operator"]
    return found[0] if found else {}


def is_synced(node: Node, namespace: str, pod: str) -> bool:
    """Whether a sidecar runs its object's newest settings, and is warm."""
    found = known(node, namespace, pod)
    return bool(found.get("standing") == "synced" and found["ready"])


def the_pod(node: Node, namespace: str, name: str) -> dict[str, Any]:
    """A pod."""
    found: dict[str, Any] = node.get(f"{PODS.format(namespace)}/{name}")
    return found


def kill_operator(node: Node) -> None:
    """Take the operator's pod away without a word, and wait for the next one."""
    before = _operator_pod(node)["metadata"]
    node.delete(f"{PODS.format(NAMESPACE)}/{before['name']}", grace_seconds=0)

    def is_back() -> bool:
        pod = _operator_pod(node)
        return is_ready(pod) and pod["metadata"]["uid"] != before["uid"]

    node.wait_for(is_back, "no operator comes back")


def _operator_pod(node: Node) -> dict[str, Any]:
    selector = "labelSelector=app.kubernetes.io/component=operator"
    found = node.get(f"{PODS.format(NAMESPACE)}?{selector}")["items"]
    return next((each for each in found if "deletionTimestamp" not in each["metadata"]), {})
