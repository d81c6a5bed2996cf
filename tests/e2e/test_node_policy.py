"""Injection without a process of ours: a policy of the API server, installed by the chart, on a node."""

import pytest
from tests.cluster.node import Node
from tests.e2e.applications import POOLS, SIDECAR, is_ready, said, sidecar_of, speechpool_object
from tests.e2e.charts import NAMESPACE, helm
from tests.e2e.installations import asked, parts, wait_synced
from tests.e2e.releases import RESTRICTED, deployment, installed_release, leftovers, pods_of, uninstall


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A restricted namespace with an object and a pod, made as soon as `speechpool check` says that all is right."""
    with installed_release(node, {"injection.mode": "policy"}):
        code, shown = asked(node, "check", "--wait", "60")
        assert code == 0, shown
        assert "sidecars come by the API server's admission policy" in shown
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("voice", warmSize=1))
        node.post(f"/apis/apps/v1/namespaces/{made}/deployments", deployment("voice"))
        wait_synced(node, made, "voice", 1)
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def the_name(node: Node, namespace: str) -> str:
    [pod] = pods_of(node, namespace, "voice")
    name: str = pod["metadata"]["name"]
    node.wait_for_pod(namespace, name, is_ready, "is not ready")
    return name


def test_no_webhook_is_there_and_one_process_makes_the_certificates(node: Node, namespace: str):
    webhooks = node.get("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")["items"]
    assert [each["metadata"]["name"] for each in webhooks if "speechpool" in each["metadata"]["name"]] == []
    assert len(parts(node, "injector")) == 1


def test_a_labelled_pod_starts_with_a_sidecar_and_its_first_call_is_warm(node: Node, namespace: str):
    [pod] = pods_of(node, namespace, "voice")
    assert [each["name"] for each in pod["spec"]["initContainers"]] == [SIDECAR]
    name = the_name(node, namespace)
    node.wait_for(lambda: "first byte" in node.logs(namespace, name, "app"), "the application has not spoken")
    assert node.logs(namespace, name, "app").startswith("warm client")


def test_an_edit_is_applied(node: Node, namespace: str):
    name = the_name(node, namespace)
    before = sidecar_of(pods_of(node, namespace, "voice")[0])["containerID"]
    node.patch(f"{POOLS.format(namespace)}/voice", {"spec": {"warmSize": 2}})
    wait_synced(node, namespace, "voice", 1)
    assert node.get(f"{POOLS.format(namespace)}/voice")["status"]["warm"]["wanted"] >= 4
    assert said(node, namespace, name).stderr.startswith("warm client")
    assert sidecar_of(pods_of(node, namespace, "voice")[0])["containerID"] == before


def test_helms_own_test_speaks_a_sentence(node: Node, namespace: str):
    done = helm("test", "speechpool", "--namespace", NAMESPACE, "--logs", "--timeout", "55s", api=node)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{node.story()}"


def test_uninstalled_it_leaves_nothing_and_calls_go_on(node: Node, namespace: str):
    name = the_name(node, namespace)
    uninstall(node)
    assert leftovers(node) == ""
    assert said(node, namespace, name).returncode == 0
