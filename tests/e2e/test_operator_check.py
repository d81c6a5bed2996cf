"""`speechpool-operator check` as a process, with the operator's own rights and with too few, on the real API server."""

import json
import os
import subprocess
import sys

import pytest
import trustme
from tests.cluster.operators import ACCOUNT, allow_operator
from tests.cluster.speechpools import manifest
from tests.unit.control.bad_specs import spec

PATIENCE_SECONDS = 60


@pytest.fixture
def namespace(pools_api):
    return pools_api.namespace()


@pytest.fixture
def files(tmp_path, namespace):
    """A certificate for the operator's Service, and who vouches for it."""
    authority = trustme.CA()
    made = authority.issue_cert(f"speechpool-operator.{namespace}.svc")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(tmp_path / "tls.key"))
    return tmp_path


@pytest.fixture
def kubeconfig(pools_api, namespace):
    """Of the operator's ServiceAccount, whose pod there is; without rights yet."""
    pools_api.service_account(namespace, ACCOUNT)
    pools_api.pod(namespace, "operator", account=ACCOUNT)
    audience = "https://kubernetes.default.svc"
    token = pools_api.token(namespace, "operator", account=ACCOUNT, audience=audience)
    return pools_api.kubeconfig(token=token, name=f"operator-{namespace}")


def check(kubeconfig, namespace, files, *words):
    """Run it; gives the exit code and the checks by their text's beginning."""
    names = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "speechpool_operator", "check", "--json", "--namespace", namespace),
            *("--kubeconfig", str(kubeconfig)),
            *(word for kind, name in names.items() for word in (f"--tls-{kind}-file", str(files / name))),
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("SPEECHPOOL_")},
    )
    assert done.stdout, done.stderr
    return done.returncode, {one["text"]: one for one in json.loads(done.stdout)["checks"]}


def found(checks, beginning):
    [one] = [one for text, one in checks.items() if beginning in text]
    return one


def test_an_operator_that_has_what_it_needs(pools_api, namespace, files, kubeconfig):
    allow_operator(pools_api, namespace)
    code, checks = check(kubeconfig, namespace, files)
    wrong = [one for one in checks.values() if one["verdict"] == "failed"]
    assert (code, wrong) == (0, [])
    assert found(checks, "may what the operator needs")["verdict"] == "passed"
    assert found(checks, "may read no Secret")["verdict"] == "passed"
    assert found(checks, "TokenReview")["verdict"] == "passed"
    assert found(checks, f"is good for speechpool-operator.{namespace}.svc")["verdict"] == "passed"


def test_an_operator_without_rights_is_told_which(pools_api, namespace, files, kubeconfig):
    code, checks = check(kubeconfig, namespace, files, "--lease-name", "speechpool-operator")
    assert code == 1
    rights = found(checks, "may what the operator needs")
    assert rights["verdict"] == "failed"
    assert "watch pods\n" in rights["advice"]
    assert f"update leases.coordination.k8s.io speechpool-operator in {namespace}" in rights["advice"]
    assert found(checks, "TokenReview")["verdict"] == "failed"
    assert found(checks, "every SpeechPool is accepted")["verdict"] == "skipped"


def test_an_operator_that_may_read_secrets_is_told_so(pools_api, namespace, files, kubeconfig):
    allow_operator(pools_api, namespace)
    in_namespace = ("-n", namespace)
    for words in (
        ("role", "too-much", "--verb=get", "--resource=secrets"),
        ("rolebinding", "too-much", "--role=too-much", f"--serviceaccount={namespace}:{ACCOUNT}"),
    ):
        made = pools_api.kubectl("create", *words, *in_namespace)
        assert made.returncode == 0, made.stderr
    code, checks = check(kubeconfig, namespace, files)
    assert found(checks, "may read no Secret")["verdict"] == "warned"
    assert code == 0


def test_an_administrator_sees_the_definition_and_a_lease_that_nobody_renews(pools_api, namespace, files):
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "speechpool-operator"},
        "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 15},
    }
    pools_api.post(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
    code, checks = check(pools_api.kubeconfig(), namespace, files, "--lease-name", "speechpool-operator")
    assert code == 1
    assert found(checks, "one operator leads")["advice"].startswith("nobody renews")
    assert found(checks, "SpeechPools are served")["verdict"] == "passed"
    assert "this program's version" in found(checks, "SpeechPools are served")["text"]


def test_an_object_that_nobody_looked_at_is_named(pools_api, namespace, files):
    path = f"/apis/speechpool.dev/v1alpha1/namespaces/{namespace}/speechpools"
    pools_api.post(path, manifest(spec()))
    _, checks = check(pools_api.kubeconfig(), namespace, files, "--watch-namespace", namespace)
    assert f"{namespace}/voice" in found(checks, "newest form")["advice"]


def test_a_certificate_of_another_authority_is_refused(pools_api, namespace, files):
    trustme.CA().cert_pem.write_to_path(str(files / "ca.crt"))
    code, checks = check(pools_api.kubeconfig(), namespace, files)
    assert code == 1
    assert "sidecars do not believe it" in found(checks, "is good for")["advice"]
