"""From `helm install` to speech through an injected sidecar, an edit that holds at once, ten pods, and nothing left."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.images import image
from tests.cluster.node import Node
from tests.e2e.applications import POOLS, SIDECAR, is_ready, json_lines, speechpool_object, written_at
from tests.e2e.charts import NAMESPACE, helm
from tests.e2e.installations import wait_synced
from tests.e2e.releases import RESTRICTED, deployment, installed_release, leftovers, pods_of, uninstall

BY_HAND = Path(__file__).parents[2] / "examples" / "sidecar-by-hand.yaml"
KEY = "AZURE_SPEECH_KEY"


@pytest.fixture(scope="module")
def release(node: Node):
    with installed_release(node):
        yield


@pytest.fixture(scope="module")
def team(node: Node, release):
    """A restricted namespace with an object and one pod that it selects."""
    namespace = node.namespace(labels=RESTRICTED)
    node.post(POOLS.format(namespace), speechpool_object("voice", warmSize=1))
    node.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("voice"))
    wait_ready(node, namespace, 1)
    yield namespace
    node.delete(f"/api/v1/namespaces/{namespace}")


def wait_ready(node: Node, namespace: str, count: int) -> None:
    def all_ready() -> bool:
        pods = pods_of(node, namespace, "voice")
        return len(pods) == count and all(map(is_ready, pods))

    node.wait_for(all_ready, f"{count} pods are not ready", seconds=150)


def log_lines(node: Node, namespace: str, pod: str) -> list[dict[str, Any]]:
    return json_lines(node.logs(namespace, pod, SIDECAR))


def test_helms_own_test_speaks_a_sentence(node: Node, release):
    done = helm("test", "speechpool", "--namespace", NAMESPACE, "--logs", "--timeout", "55s", api=node)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{node.story()}"
    assert "warm client" in done.stdout


def test_the_application_starts_when_the_sidecar_is_warm_and_its_first_call_is_warm(node: Node, team: str):
    (pod,) = pods_of(node, team, "voice")
    (ready,) = [line for line in log_lines(node, team, pod["metadata"]["name"]) if line["message"] == "sidecar ready"]
    started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert datetime.fromisoformat(started).timestamp() + 1 > written_at(ready)  # the one is in whole seconds
    assert [one["name"] for one in pod["spec"]["initContainers"]] == [SIDECAR]
    name = pod["metadata"]["name"]
    node.wait_for(lambda: "first byte" in node.logs(team, name, "app"), "the application has not spoken")
    assert node.logs(team, name, "app").startswith("warm client")


def test_kubectl_shows_the_truth(node: Node, team: str):
    wait_synced(node, team, "voice", 1)
    shown = node.kubectl("get", "speechpools", "--namespace", team).stdout
    assert "voice" in shown
    assert "True" in shown


def test_an_edit_is_applied_at_once(node: Node, team: str, record_property):
    (pod,) = pods_of(node, team, "voice")
    name = pod["metadata"]["name"]
    wait_synced(node, team, "voice", 1)
    before = len(log_lines(node, team, name))
    node.patch(f"{POOLS.format(team)}/voice", {"spec": {"warmSize": 2}})
    edited_at = time.time()

    def applied() -> list[dict[str, Any]]:
        return [line for line in log_lines(node, team, name)[before:] if line["message"] == "settings applied"]

    node.wait_for(lambda: bool(applied()), "the sidecar has not applied the edit")
    record_property("applied_milliseconds_after_the_write", (written_at(applied()[0]) - edited_at) * 1e3)
    assert written_at(applied()[0]) - edited_at < 2  # a stalled machine's; docs/benchmarks.md has the figure
    wait_synced(node, team, "voice", 1)
    assert node.get(f"{POOLS.format(team)}/voice")["status"]["warm"]["wanted"] >= 4


def test_ten_pods_and_back(node: Node, team: str):
    scale = f"/apis/apps/v1/namespaces/{team}/deployments/voice/scale"
    node.patch(scale, {"spec": {"replicas": 10}})
    wait_ready(node, team, 10)
    wait_synced(node, team, "voice", 10)
    node.patch(scale, {"spec": {"replicas": 1}})
    node.wait_for(lambda: len(pods_of(node, team, "voice")) == 1, "pods do not go")
    wait_synced(node, team, "voice", 1)


def test_a_job_with_an_injected_sidecar_completes(node: Node, team: str):
    job = yaml.safe_load(BY_HAND.read_text("utf-8").replace("speechpool/sidecar:0.1.0", image("sidecar")))
    template = job["spec"]["template"]
    del template["spec"]["initContainers"], template["spec"]["volumes"]
    for key in ("env", "volumeMounts"):
        del template["spec"]["containers"][0][key]
    template["metadata"] = {"labels": {"speechpool.dev/inject": "true"}}
    node.post(f"/apis/batch/v1/namespaces/{team}/jobs", job)
    path = f"/apis/batch/v1/namespaces/{team}/jobs/good-morning"
    node.wait_for(lambda: "completionTime" in (node.get(path).get("status") or {}), "the Job does not complete")


def test_azures_sdk_in_an_injected_sidecar_speaks_over_a_socket_that_was_open_before(node: Node, team: str):
    start_emulator(node, team)
    node.post(f"/api/v1/namespaces/{team}/secrets", {"metadata": {"name": "azure"}, "stringData": {KEY: "emulated"}})
    app = deployment("azure-voice")
    app["spec"]["template"]["metadata"]["annotations"] = {
        "speechpool.dev/engine": "azure",
        "speechpool.dev/credentials-secret": "azure",
        "speechpool.dev/azure-endpoint": f"ws://azure.{team}.svc:7070",
    }
    node.post(f"/apis/apps/v1/namespaces/{team}/deployments", app)
    node.wait_for(lambda: any(map(is_ready, pods_of(node, team, "azure-voice"))), "the pod is not ready")
    (pod,) = pods_of(node, team, "azure-voice")
    name = pod["metadata"]["name"]
    node.wait_for(lambda: "first byte" in node.logs(team, name, "app"), "the application has not spoken")
    assert node.logs(team, name, "app").startswith("warm client")
    (utterance,) = node.get(f"/api/v1/namespaces/{team}/pods/azure:7070/proxy/emulator/utterances")
    assert utterance["connection_age_seconds"] > 0.1, utterance


def start_emulator(node: Node, namespace: str) -> None:
    strict = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "azure", "image": image("azure-emulator"), "securityContext": strict}
    container["readinessProbe"] = {"tcpSocket": {"port": 7070}, "periodSeconds": 1}
    metadata = {"name": "azure", "labels": {"app": "azure"}}
    spec = {"securityContext": context, "terminationGracePeriodSeconds": 1, "containers": [container]}
    node.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec})
    service = {"selector": {"app": "azure"}, "ports": [{"port": 7070}]}
    node.post(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "azure"}, "spec": service})
    node.wait_for_pod(namespace, "azure", is_ready, "the emulator is not ready")


def test_uninstalled_it_leaves_no_object_stuck_and_the_definition_in_place(node: Node, team: str):
    (before,) = pods_of(node, team, "voice")
    uninstall(node)
    assert leftovers(node) == ""
    (pod,) = pods_of(node, team, "voice")
    assert pod["metadata"]["uid"] == before["metadata"]["uid"]  # calls go on
    said = node.execute(team, pod["metadata"]["name"], "app", "speechpool", "say", "Still here.", "-o", "/tmp/x.wav")
    assert said.returncode == 0, said.stderr
    node.delete(f"{POOLS.format(team)}/voice")
    node.wait_for(lambda: not node.get(POOLS.format(team))["items"], "the object is stuck")
    assert node.found("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/speechpools.speechpool.dev")
