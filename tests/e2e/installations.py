"""An installation on the node, as its administrator's commands show it."""

import json
import sys
from typing import Any

from tests.cluster.node import Node
from tests.e2e.applications import POOLS, is_ready
from tests.e2e.charts import NAMESPACE
from tests.integration.commands import speechpool

__all__ = [
    "PODS",
    "asked",
    "is_synced",
    "kill_operator",
    "known",
    "part",
    "parts",
    "served",
    "the_pod",
    "wait_synced",
]

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
    before = part(node, "operator")["metadata"]
    node.delete(f"{PODS.format(NAMESPACE)}/{before['name']}", grace_seconds=0)

    def is_back() -> bool:
        pod = part(node, "operator")
        return is_ready(pod) and pod["metadata"]["uid"] != before["uid"]

    node.wait_for(is_back, "no operator comes back")


def parts(node: Node, component: str) -> list[dict[str, Any]]:
    """The pods of a part of the release that do not end: "operator", "injector" or "upgrader"."""
    found = node.get(f"{PODS.format(NAMESPACE)}?labelSelector=app.kubernetes.io/component={component}")["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def part(node: Node, component: str) -> dict[str, Any]:
    """The first of them; empty where there is none."""
    return next(iter(parts(node, component)), {})


def served(node: Node, component: str, port: int) -> str:
    """The certificate that a part of the release shows now."""
    program = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))"
    address = part(node, component)["status"]["podIP"]
    return node.inside.run(sys.executable, "-c", program, address, str(port)).strip()


def wait_synced(node: Node, namespace: str, name: str, count: int, *, seconds: float = 150.0) -> None:
    """Wait until an object says that so many pods, and no others, are warm with its newest settings."""

    def is_so() -> bool:
        found = node.get(f"{POOLS.format(namespace)}/{name}")
        status = found.get("status", {})
        true = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
        counted = [status.get(key) for key in ("matched", "connected", "synced")]
        is_new = status.get("observedGeneration") == found["metadata"]["generation"]
        return is_new and counted == [count] * 3 and {"Accepted", "Synced", "Ready"} <= true

    try:
        node.wait_for(is_so, f"the object does not say that {count} pods have its settings", seconds=seconds)
    except AssertionError as error:
        error.add_note(json.dumps(node.get(f"{POOLS.format(namespace)}/{name}")["status"], indent=1))
        raise
