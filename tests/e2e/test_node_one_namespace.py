"""A release for one namespace: its pods get sidecars that follow its objects, and nothing of others is looked at."""

import pytest
from tests.cluster.node import Node
from tests.cluster.operators import KUBE_AUDIENCE
from tests.e2e.applications import POOLS, application, is_ready, said, speechpool_object, start_pod
from tests.e2e.charts import NAMESPACE, helm
from tests.e2e.installations import asked, is_synced, the_pod
from tests.e2e.releases import RESTRICTED, installed_release


@pytest.fixture(scope="module")
def other(node: Node):
    """A namespace that the release is not for."""
    made = node.namespace()
    yield made
    node.delete(f"/api/v1/namespaces/{made}")


@pytest.fixture(scope="module")
def team(node: Node, other: str):
    """The namespace that it is for, with an object and a pod; the other one has the same."""
    made = node.namespace(labels=RESTRICTED)
    with installed_release(node, {"watchNamespace": made}):
        for each in (made, other):
            node.post(POOLS.format(each), speechpool_object("voice", warmSize=2))
            start_pod(node, each, application("voice"))
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def test_its_pods_get_sidecars_that_follow_its_objects(node: Node, team: str):
    node.wait_for_pod(team, "voice", is_ready, "is not ready")
    node.wait_for(lambda: is_synced(node, team, "voice"), "the sidecar is not synced")
    assert said(node, team, "voice").stderr.startswith("warm client")
    code, shown = asked(node, "check", "--namespace", team)
    assert code == 0, shown


def test_other_namespaces_are_left_alone(node: Node, team: str, other: str):
    node.wait_for_pod(other, "voice", is_ready, "is not ready")
    assert "initContainers" not in the_pod(node, other, "voice")["spec"]
    node.wait_for(lambda: is_synced(node, team, "voice"), "the sidecar is not synced")
    assert "status" not in node.get(f"{POOLS.format(other)}/voice")


def test_helms_own_test_speaks_a_sentence(node: Node, team: str):
    done = helm("test", "speechpool", "--namespace", NAMESPACE, "--logs", "--timeout", "55s", api=node)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{node.story()}"


@pytest.mark.parametrize("account", ["speechpool-operator", "speechpool-injector"])
def test_its_service_accounts_may_do_nothing_else(node: Node, team: str, other: str, account: str):
    token = node.token(NAMESPACE, None, account=account, audience=KUBE_AUDIENCE)
    kubeconfig = str(node.kubeconfig(token=token, name=account))
    for words in (
        ("get", "secrets", "--namespace", team),
        ("get", "secrets", "--namespace", NAMESPACE),
        ("get", "pods", "--namespace", other),
        ("get", "pods", "--all-namespaces"),
        ("get", "speechpools", "--namespace", other),
        ("delete", "pod", "voice", "--namespace", team),
        ("label", "speechpool", "voice", "a=b", "--namespace", team),
        ("create", "configmap", "speechpool-ca", "--namespace", other),
        ("create", "namespace", "mine"),
    ):
        tried = node.kubectl("--kubeconfig", kubeconfig, *words)
        assert tried.returncode == 1, words
        assert "forbidden" in tried.stderr.lower(), words
