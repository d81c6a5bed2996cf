"""What goes wrong while applications speak: no operator, no injector, a dead sidecar, no memory, a leaked key."""

from base64 import b64decode

import pytest
from tests.cluster.apiserver import ApiError
from tests.cluster.node import Node
from tests.e2e.applications import (
    POOLS,
    SIDECAR,
    application,
    events_of,
    held_call,
    is_ready,
    kill_sidecar,
    said,
    sidecar_of,
    speechpool_object,
    start_pod,
    touch,
)
from tests.e2e.charts import NAMESPACE
from tests.e2e.installations import PODS, asked, is_synced, kill_operator, known, part, parts, served, the_pod
from tests.e2e.releases import RESTRICTED, installed_release

INJECTOR = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/speechpool-injector"
CERTIFICATES = f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-certificates"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/speechpool-injector"
HUNGRY = {"speechpool.dev/memory-limit": "300Mi"}

BURNING = """
import os
for _ in range(2 * (os.cpu_count() or 1)):
    if os.fork() == 0:
        break
while True:
    pass
"""


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A namespace with an object, a pod that is older than SpeechPool, and one that speaks through its sidecar."""
    made = node.namespace(labels=RESTRICTED)
    start_pod(node, made, application("older"))
    with installed_release(node):
        node.post(POOLS.format(made), speechpool_object("voice", warmSize=1))
        node.post(POOLS.format(made), speechpool_object("hungry", warmSize=1))
        start_pod(node, made, application("voice"))
        start_pod(node, made, application("hungry", HUNGRY))
        node.wait_for_pod(made, "voice", is_ready, "is not ready")
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def evict(node: Node, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    node.post(f"{PODS.format(NAMESPACE)}/{name}/eviction", body)


def test_the_installation_is_right_but_for_the_pod_that_is_older(node: Node, namespace: str):
    node.wait_for(lambda: is_synced(node, namespace, "voice"), "the sidecar is not synced")
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown
    assert f"without: {namespace}/older" in shown
    assert "kubectl rollout restart" in shown
    node.wait_for_pod(namespace, "older", is_ready, "is not ready")
    assert "initContainers" not in the_pod(node, namespace, "older")["spec"]


def test_a_sidecar_that_is_killed_in_mid_call_is_back_and_warm(node: Node, namespace: str):
    with held_call(node, namespace, "voice") as call:
        kill_sidecar(node, namespace, "voice")
        assert call.go_on()[0] == "cut"  # the application is told, and takes no half an utterance for a whole one
    node.wait_for_pod(namespace, "voice", lambda pod: sidecar_of(pod)["restartCount"] == 1, "is not started again")
    node.wait_for_pod(namespace, "voice", is_ready, "is not ready again")
    assert said(node, namespace, "voice").stderr.startswith("warm client")
    [app] = the_pod(node, namespace, "voice")["status"]["containerStatuses"]
    assert app["restartCount"] == 0
    node.wait_for(lambda: is_synced(node, namespace, "voice"), "it does not follow its object again")


def test_memory_that_runs_out_harms_no_application_and_is_mended_by_an_edit(node: Node, namespace: str):
    """The kernel kills what is largest: a listener alone, or the whole sidecar where cgroups are of version 2."""
    node.wait_for_pod(namespace, "hungry", is_ready, "is not ready")
    node.wait_for(lambda: is_synced(node, namespace, "hungry"), "the sidecar is not synced")
    node.patch(f"{POOLS.format(namespace)}/hungry", {"spec": {"warmSize": 8}})  # a listener takes 0.1 GB

    def has_run_out() -> bool:
        sidecar = sidecar_of(the_pod(node, namespace, "hungry"))
        return bool(sidecar["restartCount"]) or "WorkerDied" in node.logs(namespace, "hungry", SIDECAR)

    node.wait_for(has_run_out, "the memory does not run out", seconds=150)
    node.patch(f"{POOLS.format(namespace)}/hungry", {"spec": {"warmSize": 1}})
    node.wait_for(lambda: is_synced(node, namespace, "hungry"), "the edit does not mend it")
    assert said(node, namespace, "hungry").stderr.startswith("warm client")
    [app] = the_pod(node, namespace, "hungry")["status"]["containerStatuses"]
    assert app["restartCount"] == 0


def test_a_node_whose_processors_are_all_busy_lets_sidecars_speak(node: Node, namespace: str):
    start_pod(node, namespace, application("burner", program=BURNING, labels={"speechpool.dev/inject": "false"}))
    node.wait_for_pod(namespace, "burner", is_ready, "is not ready")
    before = sidecar_of(the_pod(node, namespace, "voice"))["containerID"]
    assert [said(node, namespace, "voice").stderr.startswith("warm client") for _ in range(3)] == [True] * 3
    assert known(node, namespace, "voice")["standing"] == "synced"
    assert sidecar_of(the_pod(node, namespace, "voice"))["containerID"] == before
    node.delete(f"{PODS.format(namespace)}/burner", grace_seconds=0)


def test_a_drain_leaves_an_injector(node: Node):
    first, second = (pod["metadata"]["name"] for pod in parts(node, "injector"))
    evict(node, first)
    with pytest.raises(ApiError) as refused:
        evict(node, second)
    assert refused.value.status == 429


def test_without_an_injector_pods_start_and_everybody_is_told(node: Node, namespace: str):
    node.patch(INJECTOR, {"spec": {"replicas": 0}})
    gone = f"{PODS.format(NAMESPACE)}?labelSelector=app.kubernetes.io/component=injector"
    node.wait_for(lambda: not node.get(gone)["items"], "the injector does not end")
    start_pod(node, namespace, application("bare"))
    node.wait_for_pod(namespace, "bare", is_ready, "is not ready")
    assert "initContainers" not in the_pod(node, namespace, "bare")["spec"]
    node.wait_for(lambda: bool(events_of(node, namespace, "bare", "NotInjected")), "no event says it")
    code, shown = asked(node, "check")
    assert code == 1, shown
    assert "the injector did not answer" in shown
    assert said(node, namespace, "voice").stderr.startswith("warm client")

    node.patch(INJECTOR, {"spec": {"replicas": 2}})
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown


def certificate(node: Node, name: str) -> str:
    return b64decode(node.get(CERTIFICATES)["data"].get(name, "")).decode()


def remove(node: Node, *names: str) -> None:
    removal = [{"op": "remove", "path": f"/data/{name}"} for name in names]
    node.request("PATCH", CERTIFICATES, removal, content_type="application/json-patch+json")


def test_new_certificates_are_served_without_a_restart(node: Node, namespace: str):
    remove(node, "operator.crt", "injector.crt")
    node.wait_for(lambda: all(certificate(node, f"{each}.crt") for each in ("operator", "injector")), "none is made")
    new = {component: certificate(node, f"{component}.crt").strip() for component in ("operator", "injector")}
    operator = part(node, "operator")["metadata"]

    def are_served() -> bool:
        touch(node, NAMESPACE, operator["name"])
        return new == {
            "operator": served(node, "operator", 8443),
            "injector": served(node, "injector", 9443),
        }

    node.wait_for(are_served, "the new certificates are not served")
    assert part(node, "operator")["metadata"]["uid"] == operator["uid"]
    assert sum(each["restartCount"] for each in part(node, "operator")["status"]["containerStatuses"]) == 0
    code, shown = asked(node, "check")
    assert code == 0, shown
    assert is_synced(node, namespace, "voice")


def test_a_pod_that_has_none_is_told_of(node: Node, namespace: str):
    node.wait_for(lambda: known(node, namespace, "older").get("standing") == "missing", "status does not say it")


def test_no_call_notices_that_the_operator_dies(node: Node, namespace: str):
    before = sidecar_of(the_pod(node, namespace, "voice"))["containerID"]
    with held_call(node, namespace, "voice") as call:
        kill_operator(node)
        assert said(node, namespace, "voice").stderr.startswith("warm client")
        node.patch(f"{POOLS.format(namespace)}/voice", {"spec": {"warmSize": 2}})
        node.wait_for(lambda: is_synced(node, namespace, "voice"), "nobody syncs it")
        assert call.go_on()[0] == "whole"
    assert known(node, namespace, "voice")["generation"] == 2
    assert sidecar_of(the_pod(node, namespace, "voice"))["containerID"] == before


def test_after_a_leaked_key_everything_is_signed_anew(node: Node, namespace: str):
    before = node.get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]
    remove(node, "ca-signing.key")

    def is_new() -> bool:
        return all(each["clientConfig"]["caBundle"] != before for each in node.get(WEBHOOK)["webhooks"])

    node.wait_for(is_new, "the webhook has the old authority")
    kill_operator(node)

    def is_back() -> bool:
        touch(node, namespace, "voice")
        return is_synced(node, namespace, "voice")

    node.wait_for(is_back, "the sidecar does not trust the operator's new certificate")
    start_pod(node, namespace, application("newer", labels={"app": "voice"}))
    node.wait_for_pod(namespace, "newer", is_ready, "is not ready")
    node.wait_for(lambda: is_synced(node, namespace, "newer"), "the new pod's sidecar is not synced")
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown
