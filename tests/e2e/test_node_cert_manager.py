"""Certificates by cert-manager, on a node: issued, trusted by the API server and by sidecars, renewed while all run."""

from base64 import b64decode

import pytest
from tests.cluster.cert_manager import certificates_path, renew, running_cert_manager
from tests.cluster.node import Node
from tests.e2e.applications import POOLS, application, held_call, is_ready, said, speechpool_object, start_pod, touch
from tests.e2e.charts import NAMESPACE
from tests.e2e.installations import asked, is_synced, kill_operator, part, parts, served, the_pod, wait_synced
from tests.e2e.releases import RESTRICTED, installed_release

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/speechpool-injector"
PORTS = {"operator": 8443, "injector": 9443}


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A restricted namespace with an object and a pod."""
    with running_cert_manager(node), installed_release(node, {"certificates.mode": "certManager"}):
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("voice", warmSize=1))
        start_pod(node, made, application("voice"))
        wait_synced(node, made, "voice", 1)
        node.wait_for_pod(made, "voice", is_ready, "is not ready")
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def secret(node: Node, name: str, key: str) -> str:
    found = node.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-{name}")
    return b64decode(found["data"][key]).decode()


def issued(node: Node, component: str) -> str:
    """The certificate that cert-manager has made for a part of the release."""
    return secret(node, f"{component}-tls", "tls.crt").strip()


def are_served(node: Node) -> bool:
    """Whether both show what was issued; the kubelet is told to look, which else takes up to 90 s."""
    for component in PORTS:
        for pod in parts(node, component):
            touch(node, NAMESPACE, pod["metadata"]["name"])
    return all(served(node, component, port) == issued(node, component) for component, port in PORTS.items())


def bundles(node: Node) -> set[str]:
    return {b64decode(each["clientConfig"]["caBundle"]).decode() for each in node.get(WEBHOOK)["webhooks"]}


def check_all_is_right(node: Node) -> None:
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown


def test_all_certificates_are_cert_managers(node: Node, namespace: str):
    node.wait_for(lambda: are_served(node), "other certificates are served")
    assert bundles(node) == {secret(node, "injector-tls", "ca.crt")} == {secret(node, "ca", "tls.crt")}
    assert node.found(f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-certificates") is None


def test_the_api_server_trusts_the_injector_and_the_sidecar_the_operator(node: Node, namespace: str):
    assert "initContainers" in the_pod(node, namespace, "voice")["spec"]
    assert said(node, namespace, "voice").stderr.startswith("warm client")
    assert is_synced(node, namespace, "voice")
    check_all_is_right(node)


def is_signed_by_newest(node: Node, component: str) -> bool:
    """Whether a certificate is of the newest authority; made anew if not: an issuer knows its old one for a moment."""
    if secret(node, f"{component}-tls", "ca.crt") == secret(node, "ca", "tls.crt"):
        return True
    renew(node, NAMESPACE, f"speechpool-{component}-tls")
    return False


def test_renewed_certificates_and_authority_are_taken_up_without_a_restart(node: Node, namespace: str):
    authority = secret(node, "ca", "tls.crt")
    uids = {pod["metadata"]["uid"] for component in PORTS for pod in parts(node, component)}
    with held_call(node, namespace, "voice") as call:
        renew(node, NAMESPACE, "speechpool-ca")
        node.wait_for(lambda: secret(node, "ca", "tls.crt") != authority, "there is no new authority")
        for component in PORTS:
            node.wait_for(lambda name=component: is_signed_by_newest(node, name), f"the {component}'s is not renewed")
        node.wait_for(lambda: are_served(node), "the new certificates are not served")
        newest = secret(node, "ca", "tls.crt")  # cert-manager keeps the old one beside it until that ends
        node.wait_for(lambda: all(newest in each for each in bundles(node)), "the webhook has the old authority alone")
        assert call.go_on()[0] == "whole"
    assert uids == {pod["metadata"]["uid"] for component in PORTS for pod in parts(node, component)}
    assert sum(each["restartCount"] for each in part(node, "operator")["status"]["containerStatuses"]) == 0
    kill_operator(node)  # so that each sidecar looks at the new certificate
    node.wait_for(lambda: is_synced(node, namespace, "voice"), "the sidecar does not trust the new certificate")
    start_pod(node, namespace, application("newer", labels={"app": "voice"}))
    node.wait_for_pod(namespace, "newer", is_ready, "is not ready")
    wait_synced(node, namespace, "voice", 2)
    check_all_is_right(node)


def test_a_secret_that_was_deleted_is_made_again_and_taken_up(node: Node, namespace: str):
    for component in PORTS:
        node.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-{component}-tls")

    def is_there() -> bool:
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-{{}}-tls"
        return all(node.found(path.format(component)) for component in PORTS)

    node.wait_for(is_there, "no Secret is made again")
    node.wait_for(lambda: are_served(node), "the new certificates are not served")
    conditions = node.get(f"{certificates_path(NAMESPACE)}/speechpool-operator-tls")["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions}["Ready"] == "True"
    assert is_synced(node, namespace, "voice")
    check_all_is_right(node)
