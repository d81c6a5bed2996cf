"""Sixty pods with sidecars on one node: all are warm, and one edit reaches all of them."""

from collections import defaultdict
from typing import Any

import pytest
from tests.cluster.node import Node
from tests.e2e.applications import POOLS, SIDECAR, STAYING, is_ready, json_lines, speechpool_object, written_at
from tests.e2e.installations import asked
from tests.e2e.releases import RESTRICTED, deployment, installed_release, pods_of

COUNT = 60
SPEAKER = {"name": "tts", "kind": "TextToSpeech"}  # a listener takes 0.1 GB, and the node may be a small machine
SMALL = {  # and nothing is warm before the object says so
    "sidecar.resources.requests": {"cpu": "1m", "memory": "64Mi"},
    "sidecar.startupWaitSeconds": 300,
    "sidecar.env": [{"name": "SPEECH_POOL_WARM_SIZE", "value": "0"}],
}
PATIENCE = 400.0
"""So long two cores may take to start sixty sidecars; four take a minute."""


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A namespace with sixty ready pods, that follow one object."""
    with installed_release(node, SMALL):
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("crowd", pools=[SPEAKER], warmSize=1))
        node.post(f"/apis/apps/v1/namespaces/{made}/deployments", crowd())
        node.wait_for(lambda: all_ready(node, made), "the pods are not ready", seconds=PATIENCE)
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def crowd() -> dict[str, Any]:
    made = deployment("crowd", COUNT, terminationGracePeriodSeconds=5)
    [app] = made["spec"]["template"]["spec"]["containers"]
    app |= {"command": ["python", "-c", STAYING], "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}}}
    return made


def all_ready(node: Node, namespace: str) -> bool:
    pods = pods_of(node, namespace, "crowd")
    return len(pods) == COUNT and all(map(is_ready, pods))


def wait_synced(node: Node, namespace: str, generation: int) -> None:
    def is_synced() -> bool:
        status = node.get(f"{POOLS.format(namespace)}/crowd").get("status", {})
        true = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
        counts = [status.get(key) for key in ("matched", "connected", "synced")]
        return status.get("observedGeneration") == generation and counts == [COUNT] * 3 and {"Synced", "Ready"} <= true

    node.wait_for(is_synced, "the object does not say that all pods have its settings", seconds=PATIENCE)


def applied(node: Node, namespace: str) -> dict[str, list[dict[str, Any]]]:
    """What each sidecar said when it took up settings."""
    selected = ("logs", "--namespace", namespace, "--selector", "app=crowd", "--container", SIDECAR)
    shown = node.kubectl(*selected, "--prefix", "--tail", "-1", "--max-log-requests", str(COUNT)).stdout
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for pod, _, text in (line.partition(" ") for line in shown.splitlines()):
        found[pod] += [line for line in json_lines(text) if line["message"] == "settings applied"]
    return found


def test_one_edit_reaches_sixty_sidecars(node: Node, namespace: str, record_property):
    wait_synced(node, namespace, 1)
    before = applied(node, namespace)
    # this starts no process, of which sixty would be measured in place of the way to the sidecars
    node.patch(f"{POOLS.format(namespace)}/crowd", {"spec": {"maxSize": 7}})
    wait_synced(node, namespace, 2)
    after = applied(node, namespace)
    assert len(after) == COUNT
    assert {pod: len(told) - len(before[pod]) for pod, told in after.items()} == dict.fromkeys(after, 1)
    times = sorted(written_at(told[-1]) for told in after.values())
    record_property("milliseconds_from_the_first_to_the_last", round((times[-1] - times[0]) * 1e3))
    status = node.get(f"{POOLS.format(namespace)}/crowd")["status"]
    assert status["warm"] == {"now": COUNT, "wanted": COUNT}
    code, shown = asked(node, "check")
    assert code == 0, shown
    assert f"every sidecar is connected: {COUNT} of {COUNT}" in shown
