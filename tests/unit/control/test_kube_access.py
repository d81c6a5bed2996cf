"""Where the API server is, and how to prove who asks."""

import base64
import json

import pytest
import trustme

from speechpool.errors import SettingsError
from speechpool_operator.kube_access import access, from_kubeconfig, in_cluster


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def account(authority, tmp_path):
    """A ServiceAccount as the kubelet mounts it."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("speechpool")
    return tmp_path


@pytest.fixture
def kubeconfig(authority, tmp_path):
    """Writes a kubeconfig with a cluster and a user."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))

    def write(user=None, cluster=None, **changes):
        config = {
            "clusters": [
                {"name": "c", "cluster": cluster or {"server": "https://host/", "certificate-authority": "ca.crt"}}
            ],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "calls"}}],
            "current-context": "x",
        }
        path = tmp_path / "config"
        path.write_text(json.dumps(config | changes))
        return path

    return write


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_uses_its_service_account(account, host, server):
    found = in_cluster({"KUBERNETES_SERVICE_HOST": host}, account)
    assert (found.server, found.namespace) == (server, "speechpool")


def test_the_token_is_read_again_because_the_kubelet_renews_it(account):
    found = in_cluster({"KUBERNETES_SERVICE_HOST": "h"}, account)
    assert found.token() == "first"
    (account / "token").write_text("second")
    assert found.token() == "second"
    assert "second" not in repr(found)


def test_without_a_mounted_account_it_is_said_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match="automountServiceAccountToken"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "h"}, tmp_path)


def test_outside_of_a_pod_it_is_said_what_to_do():
    with pytest.raises(SettingsError, match="name a kubeconfig"):
        in_cluster({})


def test_the_kubeconfig_that_is_named_wins_over_the_environment(kubeconfig, tmp_path):
    path = kubeconfig({"token": "t"})
    environment = {"KUBECONFIG": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": "h"}
    assert access(str(path), environment).server == "https://host"
    assert access(environment={"KUBECONFIG": f":{path}:other"}).namespace == "calls"


def test_of_several_files_the_first_that_says_something_wins(kubeconfig, tmp_path):
    base = kubeconfig({"tokenFile": "of-base"}, contexts=[])
    over = tmp_path / "over"
    over.mkdir()
    user = {"name": "u", "user": {"tokenFile": "of-over"}}
    contexts = [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "mine"}}]
    (over / "config").write_text(json.dumps({"users": [user], "contexts": contexts, "current-context": ""}))
    (over / "of-over").write_text("token of over")
    found = access(environment={"KUBECONFIG": f"{tmp_path / 'none'}:{over / 'config'}:{base}"})
    assert (found.server, found.namespace, found.token()) == ("https://host", "mine", "token of over")
    assert found.tls_files == (tmp_path / "ca.crt",)
    with pytest.raises(SettingsError, match=r"over/config:.*config: contexts has no 'z'"):
        access(environment={"KUBECONFIG": f"{over / 'config'}:{base}", "KUBERNETES_SERVICE_HOST": "h"}, context="z")


def test_a_client_certificate_may_be_a_file_or_in_the_kubeconfig(authority, kubeconfig, tmp_path):
    made = authority.issue_cert("someone@example.org")
    certificate, key = made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes()
    (tmp_path / "c.pem").write_bytes(certificate)
    (tmp_path / "k.pem").write_bytes(key)
    by_file = from_kubeconfig(kubeconfig({"client-certificate": "c.pem", "client-key": "k.pem"}))
    assert {path.name for path in by_file.tls_files} == {"ca.crt", "c.pem", "k.pem"}
    data = {"client-certificate-data": certificate, "client-key-data": key}
    inline = from_kubeconfig(kubeconfig({name: base64.b64encode(value).decode() for name, value in data.items()}))
    assert inline.tls() is not inline.tls()


@pytest.mark.parametrize(
    ("user", "changes", "message"),
    [
        ({"exec": {}}, {}, "exec is not understood"),
        ({"username": "a", "password": "secret"}, {}, "username is not understood"),
        ({"client-certificate": "none", "client-key": "none"}, {}, "cannot be used"),
        ({"client-certificate-data": "!", "client-key-data": "!"}, {}, "is not base64"),
        ({}, {"current-context": "y"}, "contexts has no 'y'"),
        ({}, {"current-context": ""}, "current-context is not set"),
        ({}, {"clusters": []}, "clusters has no 'c'"),
        ({}, {"users": None}, "users has no 'u'"),
        ({}, {"clusters": [{"name": "c", "cluster": {"server": "host"}}]}, "server must be"),
    ],
)
def test_what_cannot_be_used_is_named(kubeconfig, user, changes, message):
    with pytest.raises(SettingsError, match=message) as refused:
        from_kubeconfig(kubeconfig(user, **changes))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["token: [secret", "- secret", "\x00secret"])
def test_a_file_that_is_no_kubeconfig_is_not_quoted(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"must be a mapping|is not YAML") as refused:
        from_kubeconfig(path)
    assert "secret" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        from_kubeconfig(tmp_path / "none")
