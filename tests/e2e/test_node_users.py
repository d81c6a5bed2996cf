"""Who may speak through an injected sidecar, and what becomes of pods that ask for something that is not there."""

import json
from typing import Any

import pytest
from tests.cluster.images import image
from tests.cluster.node import Node
from tests.e2e.applications import (
    POOLS,
    SIDECAR,
    application,
    events_of,
    is_ready,
    json_lines,
    said,
    sidecar_of,
    speechpool_object,
    start_pod,
    touch,
)
from tests.e2e.releases import RESTRICTED, installed_release

SECURE: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
USERS = {
    "the-same-user": (SECURE | {"runAsUser": 65532}, "666"),
    "a-group-of-the-pod": (SECURE | {"runAsUser": 1000, "fsGroup": 2000}, "660 2000"),
    "another-user": (SECURE | {"runAsUser": 1000}, "666"),
}
LOOK = "import os; found = os.stat(os.environ['SPEECHPOOL_SOCKET']); print(f'{found.st_mode & 0o777:o} {found.st_gid}')"
REPLACE = "import os; os.unlink(os.environ['SPEECHPOOL_SOCKET'])"

WRONG = {
    "speechpool.dev/cpu-request": "a lot",
    "speechpool.dev/memory-limt": "1Gi",
    "speechpool.dev/startup-wait-seconds": "-1",
}
EMULATOR = "/api/v1/namespaces/{}/pods/emulator:7070/proxy/emulator"
BROKEN = {
    "speechpool.dev/engine": "azure",
    "speechpool.dev/credentials-secret": "nowhere",
    "speechpool.dev/azure-region": "westeurope",
    "speechpool.dev/startup-wait-seconds": "3",
}


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A restricted namespace with all the pods of these tests, which start side by side."""
    with installed_release(node):
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("broken", warmSize=1))
        for name, (context, _) in USERS.items():
            start_pod(node, made, application(name, securityContext=context))
        start_pod(node, made, emulator())
        start_pod(node, made, application("broken", BROKEN))
        start_pod(node, made, application("astray", {"speechpool.dev/pool": "nowhere"}))
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def emulator() -> dict[str, Any]:
    """Azure Speech as a pod, which lets one key in."""
    strict = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    arguments = ["--host", "0.0.0.0", "--key", "old=the-first-key"]
    container = {"name": "app", "image": image("azure-emulator"), "args": arguments, "securityContext": strict}
    spec = {"securityContext": SECURE, "containers": [container]}
    return {"metadata": {"name": "emulator"}, "spec": spec}


def secret(key: str) -> dict[str, Any]:
    return {"metadata": {"name": "azure"}, "stringData": {"AZURE_SPEECH_KEY": key}}


def speaks(node: Node, namespace: str, pod: str) -> bool:
    """Whether it speaks now; the kubelet is told to look at the pod, which else takes up to 90 s."""
    touch(node, namespace, pod)
    return said(node, namespace, pod).returncode == 0


@pytest.mark.parametrize("name", USERS)
def test_the_application_speaks_in_a_restricted_namespace(node: Node, namespace: str, name: str):
    node.wait_for_pod(namespace, name, is_ready, "is not ready")
    spoken = said(node, namespace, name)
    assert spoken.returncode == 0, spoken.stderr
    assert spoken.stderr.startswith("warm client")
    rights = node.execute(namespace, name, "app", "python", "-c", LOOK).stdout
    assert rights.startswith(USERS[name][1])


@pytest.mark.parametrize("name", USERS)
def test_no_application_can_put_another_socket_in_its_place(node: Node, namespace: str, name: str):
    node.wait_for_pod(namespace, name, is_ready, "is not ready")
    tried = node.execute(namespace, name, "app", "python", "-c", REPLACE)
    assert "Read-only file system" in tried.stderr


def test_wrong_annotations_are_left_aside_with_a_warning_and_an_event(node: Node, namespace: str):
    words = ("create", "--namespace", namespace, "--filename", "-")
    made = node.kubectl(*words, stdin=json.dumps(application("astray-words", WRONG)))
    assert made.returncode == 0, made.stderr
    warnings = [line for line in made.stderr.splitlines() if line.startswith("Warning: speechpool: ")]
    assert [each for each in WRONG if not any(each in line for line in warnings)] == []
    node.wait_for_pod(namespace, "astray-words", is_ready, "is not ready")
    assert said(node, namespace, "astray-words").returncode == 0

    def told() -> bool:
        events = events_of(node, namespace, "astray-words", "Injected")
        return any(event["type"] == "Warning" and "memory-limt" in event["message"] for event in events)

    node.wait_for(told, "no event says what was ignored")


def test_without_its_secret_a_sidecar_is_up_says_why_and_holds_nobody_up(node: Node, namespace: str):
    node.wait_for_pod(namespace, "broken", is_ready, "the application does not start")
    spoken = said(node, namespace, "broken")
    assert spoken.returncode == 1
    assert "AZURE_SPEECH_KEY" in spoken.stderr
    pod = node.get(f"/api/v1/namespaces/{namespace}/pods/broken")
    assert sidecar_of(pod)["restartCount"] == 0
    log = json_lines(node.logs(namespace, "broken", SIDECAR))
    assert any("AZURE_SPEECH_KEY" in json.dumps(line) for line in log)

    def condition() -> dict[str, str]:
        status = node.get(f"{POOLS.format(namespace)}/broken").get("status", {})
        return next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})

    node.wait_for(lambda: condition().get("status") == "False", "the object does not say it")
    assert condition()["reason"] == "Warming"


def test_a_pool_that_is_not_there_leaves_the_sidecars_own_settings_and_an_event(node: Node, namespace: str):
    node.wait_for_pod(namespace, "astray", is_ready, "is not ready")
    assert said(node, namespace, "astray").stderr.startswith("warm client")
    node.wait_for(lambda: bool(events_of(node, namespace, "astray", "NamedPoolNotFound")), "no event says it")


def test_a_secret_that_comes_and_one_that_changes_are_taken_up_by_themselves(node: Node, namespace: str):
    node.wait_for(lambda: "listening at" in node.logs(namespace, "emulator", "app"), "the emulator does not listen")
    address = node.get(f"/api/v1/namespaces/{namespace}/pods/emulator")["status"]["podIP"]
    azure = {"credentials-secret": "azure", "azure-endpoint": f"ws://{address}:7070", "startup-wait-seconds": "1"}
    pod = application("azure", {f"speechpool.dev/{key}": value for key, value in azure.items()})
    start_pod(node, namespace, pod)
    node.wait_for_pod(namespace, "azure", is_ready, "the application does not start")
    assert said(node, namespace, "azure").returncode == 1

    node.post(f"/api/v1/namespaces/{namespace}/secrets", secret("the-first-key"))
    node.wait_for(lambda: speaks(node, namespace, "azure"), "the Secret that came is not taken up")
    node.request("PUT", f"{EMULATOR.format(namespace)}/credentials", {"keys": {"new": "the-second-key"}})
    node.patch(f"/api/v1/namespaces/{namespace}/secrets/azure", secret("the-second-key"))

    def uses_new_key() -> bool:
        assert speaks(node, namespace, "azure")  # nobody notices
        return "key:new" in json.dumps(node.get(f"{EMULATOR.format(namespace)}/connections"))

    node.wait_for(uses_new_key, "the Secret that changed is not taken up")
    log = node.logs(namespace, "azure", SIDECAR)
    assert "the-second-key" not in log
