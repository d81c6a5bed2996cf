"""`speechpool check` and `speechpool status --cluster` on a real API server, as processes with a user's kubeconfig."""

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer
from tests.cluster.speechpools import manifest
from tests.e2e.operator_pods import machine_address, operator_pod
from tests.integration.commands import command, speechpool

from speechpool_operator.names import INJECT_LABEL, INJECTED_LABEL, SIDECAR_CONTAINER

SPEC = {"selector": {"matchLabels": {"app": "voice"}}}


@contextlib.contextmanager
def telemetry(answer: dict[str, Any] | None) -> Iterator[tuple[str, int]]:
    """What answers `GET /sidecars` in an operator's pod; with None it has no such page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_there = answer is not None and self.path == "/sidecars"
            self.send_response(200 if is_there else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode() if is_there else b"")

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer((machine_address(), 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[0], server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def sidecar_pod(api: ApiServer, namespace: str, name: str, *, started: bool) -> None:
    spec = {
        "nodeName": "nowhere",
        "automountServiceAccountToken": False,
        "initContainers": [{"name": SIDECAR_CONTAINER, "image": "speechpool/sidecar:0.1.0", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "image": "app"}],
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    labels = {"app": "voice", INJECTED_LABEL: "true"}
    api.post(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    status = {
        "name": SIDECAR_CONTAINER,
        "image": "speechpool/sidecar:0.1.0",
        "imageID": "",
        "ready": started,
        "started": started,
        "restartCount": 0,
    }
    api.patch(f"{path}/{name}/status", {"status": {"phase": "Running", "initContainerStatuses": [status]}})


def answer(namespace: str, *pods: str, leads: bool = True) -> dict[str, Any]:
    sidecars = [
        {"namespace": namespace, "pod": pod, "uid": pod, "pool": f"{namespace}/voice", "generation": 1}
        | {"wanted_generation": 1, "state": "applied", "connected": True, "synced": True, "ready": True}
        | {"warm": 3, "wanted": 3, "sessions": 0, "version": "0.1.0", "error": ""}
        for pod in pods
    ]
    return {"version": "0.1.0", "leader": leads, "known": True, "sidecars": sidecars}


def run(kubeconfig: Path, *words: str) -> tuple[int, str, str]:
    done = speechpool(*words, "--kubeconfig", str(kubeconfig))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def user(api: ApiServer, namespace: str, *rules: dict[str, list[str]]) -> Path:
    """The kubeconfig of a ServiceAccount that may do this in its namespace, and nothing else."""
    api.service_account(namespace, "user")
    within = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api.post(f"{within}/roles", {"metadata": {"name": "user"}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": "user", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "user"}
    api.post(f"{within}/rolebindings", {"metadata": {"name": "user"}, "subjects": [subject], "roleRef": role})
    token = api.token(namespace, None, account="user", audience="https://kubernetes.default.svc")
    return api.kubeconfig(token=token, name=f"user-{namespace}")


MAY_LOOK = {"apiGroups": ["", "speechpool.dev"], "resources": ["pods", "speechpools"], "verbs": ["get", "list"]}


@pytest.fixture
def calls(pools_api: ApiServer) -> str:
    namespace = pools_api.namespace()
    assert pools_api.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest(SPEC))).returncode == 0
    return namespace


class TestStatusOfTheCluster:
    def test_it_is_what_the_operator_knows(self, pools_api: ApiServer, calls: str) -> None:
        with telemetry(answer(calls, "voice-0", "voice-1")) as (address, port):
            operator_pod(pools_api, calls, address, port)
            words = ("status", "--cluster", "-n", calls, "--operator-namespace", calls)
            code, shown, complaint = run(pools_api.kubeconfig(), *words)

        assert (code, complaint) == (0, "")
        head, _, _, *rows = shown.splitlines()
        assert head == "2 sidecars: 2 connected, 2 synced, 2 warm"
        assert [row.split()[1:6] for row in rows] == [[f"voice-{n}", "voice", "1", "synced", "3/3"] for n in (0, 1)]

    def test_a_pod_without_a_sidecar_is_missing_it_at_once(self, pools_api: ApiServer, calls: str) -> None:
        pools_api.pod(calls, "bare", labels={INJECT_LABEL: "true"})
        sidecar_pod(pools_api, calls, "voice-0", started=False)
        told = answer(calls, "bare", "voice-0", "gone")
        for one in told["sidecars"]:
            one |= {"connected": False, "synced": False, "state": None}
        with telemetry(told) as (address, port):
            operator_pod(pools_api, calls, address, port)
            words = ("status", "--cluster", "-n", calls, "--operator-namespace", calls)
            code, shown, _ = run(pools_api.kubeconfig(), *words)

        assert code == 0
        standing = {row.split()[1]: row.split()[4] for row in shown.splitlines()[3:]}
        assert standing == {"bare": "missing", "voice-0": "connecting", "gone": "connecting"}
        assert "no sidecar container: make the pod anew" in shown

    def test_as_json_of_all_namespaces(self, pools_api: ApiServer, calls: str) -> None:
        with telemetry(answer(calls, "voice-0")) as (address, port):
            operator_pod(pools_api, calls, address, port)
            words = ("status", "--cluster", "-A", "--json", "--operator-namespace", calls)
            _, shown, _ = run(pools_api.kubeconfig(), *words)

        found = json.loads(shown)
        assert (found["source"], found["operator_version"]) == ("operator", "0.1.0")
        assert [(one["pod"], one["standing"]) for one in found["sidecars"]] == [("voice-0", "synced")]

    def test_a_replica_that_does_not_lead_is_not_believed(self, pools_api: ApiServer, calls: str) -> None:
        with telemetry(answer(calls, leads=False)) as (address, port):
            operator_pod(pools_api, calls, address, port)
            words = ("status", "--cluster", "-n", calls, "--operator-namespace", calls)
            code, shown, _ = run(pools_api.kubeconfig(), *words)

        assert code == 0
        assert shown.startswith("the operator did not answer: no operator leads")

    def test_without_an_operator_it_is_what_the_api_server_knows(self, pools_api: ApiServer, calls: str) -> None:
        sidecar_pod(pools_api, calls, "voice-0", started=True)
        pools_api.pod(calls, "voice-1", labels={INJECT_LABEL: "true"})

        words = ("status", "--cluster", "-n", calls, "--operator-namespace", calls)
        code, shown, _ = run(pools_api.kubeconfig(), *words)

        assert code == 0
        assert shown.startswith("the operator did not answer: no pod has the labels of an operator")
        rows = [row.split() for row in shown.splitlines()[-2:]]
        assert rows[0][:5] == [calls, "voice-0", "voice", "?", "of"]
        assert rows[1][1] == "voice-1"

    def test_a_user_of_one_namespace_learns_which_right_is_missing(self, pools_api: ApiServer, calls: str) -> None:
        sidecar_pod(pools_api, calls, "voice-0", started=True)

        code, shown, _ = run(user(pools_api, calls, MAY_LOOK), "status", "--cluster", "-n", calls)

        assert code == 0
        assert "this user may not list pods in all namespaces: name the operator's with --operator-namespace" in shown
        assert shown.splitlines()[-1].split()[1] == "voice-0"

    def test_a_user_who_may_not_reach_the_operators_pod(self, pools_api: ApiServer, calls: str) -> None:
        operator_pod(pools_api, calls, machine_address(), 9)

        words = ("status", "--cluster", "-n", calls, "--operator-namespace", calls)
        _, shown, _ = run(user(pools_api, calls, MAY_LOOK), *words)

        assert f"this user may not get pods/proxy in namespace {calls}" in shown

    def test_without_any_right_it_fails_and_says_which(self, pools_api: ApiServer, calls: str) -> None:
        code, shown, complaint = run(user(pools_api, calls), "status", "--cluster", "-n", calls)

        assert (code, shown) == (1, "")
        assert 'cannot list resource "pods"' in complaint

    def test_it_is_shown_again_and_again(self, pools_api: ApiServer, calls: str) -> None:
        with telemetry(answer(calls, "voice-0")) as (address, port):
            operator_pod(pools_api, calls, address, port)
            words = ("status", "--cluster", "--json", "--watch", "0.1", "-n", calls, "--operator-namespace", calls)
            process = subprocess.Popen(
                command(*words, "--kubeconfig", str(pools_api.kubeconfig())), stdout=subprocess.PIPE, text=True
            )
            try:
                assert process.stdout
                lines = [json.loads(process.stdout.readline()) for _ in range(3)]
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=PATIENCE_SECONDS)

        assert [len(one["sidecars"]) for one in lines] == [1, 1, 1]
        assert process.returncode == 130

    def test_a_kubeconfig_whose_token_a_program_gives(self, pools_api: ApiServer, calls: str, tmp_path: Path) -> None:
        with_token = json.loads(user(pools_api, calls, MAY_LOOK).read_text())
        credential = {"kind": "ExecCredential", "status": {"token": with_token["users"][0]["user"]["token"]}}
        (tmp_path / "credential").write_text(json.dumps(credential))
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [f"{tmp_path}/credential"]}
        with_token["users"][0]["user"] = {"exec": plugin}
        (tmp_path / "config").write_text(json.dumps(with_token))

        code, shown, complaint = run(tmp_path / "config", "status", "--cluster", "-n", calls)

        assert (code, complaint) == (0, "")
        assert shown.endswith("no sidecars\n")

    def test_a_namespace_without_cluster_is_a_mistake(self, tmp_path: Path) -> None:
        code, _, complaint = run(tmp_path / "none", "status", "-n", "calls")

        assert code == 2
        assert "--cluster" in complaint


def checked(kubeconfig: Path, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and each check by the beginning of its text."""
    done = speechpool("check", "--json", "--kubeconfig", str(kubeconfig), *words)
    assert done.stderr == b""
    return done.returncode, {one["text"]: one for one in json.loads(done.stdout)["checks"]}


def line(checks: dict[str, dict[str, str]], beginning: str) -> tuple[str, str]:
    (found,) = [one for text, one in checks.items() if text.startswith(beginning)]
    return found["verdict"], f"{found['text']}\n{found['advice'] or ''}"


class TestCheck:
    def test_a_cluster_where_nothing_is_installed(self, pools_api: ApiServer, calls: str) -> None:
        code, checks = checked(pools_api.kubeconfig(), "-n", calls, "--operator-namespace", calls)

        assert code == 1
        assert line(checks, "the API server answers") == ("passed", f"the API server answers: {pools_api.url}\n")
        assert line(checks, "it is Kubernetes")[0] == "passed"
        assert line(checks, "the CustomResourceDefinition of SpeechPools is installed, and of this")[0] == "passed"
        assert line(checks, "the operator is available")[0] == "failed"
        assert line(checks, f"{calls}/voice is up to date")[0] == "warned"

    def test_an_installation_whose_operator_is_there(self, pools_api: ApiServer, calls: str) -> None:
        installed(pools_api, calls, "operator")
        with telemetry(answer(calls, "voice-0")) as (address, port):
            operator_pod(pools_api, calls, address, port)
            code, checks = checked(pools_api.kubeconfig(), "-n", calls, "--operator-namespace", calls)

        assert code == 0, checks
        assert line(checks, "the operator is available")[0] == "passed"
        assert line(checks, "one operator leads")[0] == "passed"
        assert line(checks, "every sidecar is connected")[0] == "passed"

    def test_pods_of_a_labelled_namespace_that_have_none(self, pools_api: ApiServer, calls: str) -> None:
        pools_api.patch(f"/api/v1/namespaces/{calls}", {"metadata": {"labels": {INJECT_LABEL: "enabled"}}})
        pools_api.pod(calls, "old")
        pools_api.pod(calls, "not-wanted", labels={INJECT_LABEL: "false"})
        sidecar_pod(pools_api, calls, "voice-0", started=True)

        _, checks = checked(pools_api.kubeconfig(), "-n", calls, "--operator-namespace", calls)

        verdict, text = line(checks, "every pod that asks")
        assert verdict == "warned"
        assert f"without: {calls}/old\n" in text
        assert calls in line(checks, "namespaces that ask")[1]

    def test_a_pod_is_tried_and_never_made(self, pools_api: ApiServer, calls: str) -> None:
        name = f"speechpool-injector-{calls}"
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        entry = {
            "name": "pods.speechpool.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:9/nobody"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": calls}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }
        labels = {"app.kubernetes.io/name": "speechpool"}
        pools_api.post(path, {"metadata": {"name": name, "labels": labels}, "webhooks": [entry]})
        try:
            code, checks = checked(pools_api.kubeconfig(), "-n", calls, "--operator-namespace", calls)
        finally:
            pools_api.delete(f"{path}/{name}")

        assert code == 1
        assert line(checks, "a pod that asks")[0] == "failed"
        assert "caBundle is empty" in line(checks, f"{name}: the API server can check")[1]
        assert pools_api.get(f"/api/v1/namespaces/{calls}/pods")["items"] == []

    def test_a_user_without_rights_learns_what_is_missing(self, pools_api: ApiServer, calls: str) -> None:
        code, checks = checked(user(pools_api, calls), "-n", calls, "--operator-namespace", calls)

        assert code == 1
        verdict, text = line(checks, "the CustomResourceDefinition")
        assert verdict == "skipped"
        assert "cannot get resource" in text
        assert line(checks, "every pod that asks")[0] == "skipped"

    def test_an_api_server_that_is_not_there_is_the_only_line(self, tmp_path: Path) -> None:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "current-context": "c",
        }
        (tmp_path / "config").write_text(json.dumps(config))

        code, checks = checked(tmp_path / "config")

        assert code == 1
        assert [one["verdict"] for one in checks.values()] == ["failed"]

    def test_no_kubeconfig_is_a_line_too(self, tmp_path: Path) -> None:
        code, checks = checked(tmp_path / "none")

        assert code == 1
        assert [one["verdict"] for one in checks.values()] == ["failed"]
        assert str(tmp_path / "none") in next(iter(checks.values()))["advice"]

    def test_it_waits_until_it_is_right(self, pools_api: ApiServer, calls: str) -> None:
        with telemetry(answer(calls)) as (address, port):
            operator_pod(pools_api, calls, address, port)
            late = threading.Timer(1.0, installed, (pools_api, calls, "operator"))
            late.start()
            words = ("-n", calls, "--operator-namespace", calls, "--wait", "60")
            code, _ = checked(pools_api.kubeconfig(), *words)
            late.join()

        assert code == 0

    def test_for_people_it_is_a_line_a_check(self, pools_api: ApiServer, calls: str) -> None:
        words = ("check", "-n", calls, "--operator-namespace", calls)
        code, shown, _ = run(pools_api.kubeconfig(), *words)

        assert code == 1
        assert shown.splitlines()[0] == "kubernetes"
        assert shown.splitlines()[-1].startswith("not right: ")


def installed(api: ApiServer, namespace: str, part: str) -> None:
    """A Deployment of the installation whose pods are available, as its controller would report it."""
    labels = {"app.kubernetes.io/name": "speechpool", "app.kubernetes.io/component": part}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": part, "image": "i"}]}}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    body = {
        "metadata": {"name": f"speechpool-{part}", "labels": labels | {"app.kubernetes.io/version": "0.1.0"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    api.post(path, body)
    status = {"replicas": 1, "availableReplicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    api.patch(f"{path}/speechpool-{part}/status", {"status": status})
