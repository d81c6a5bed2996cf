"""What the application's own containers and the pod's metadata become."""

from typing import Any

import pytest
from tests.unit.control.injection.pods import CONFIG, env, injected, names, pod, result

SOCKET = "/run/speechpool/speechpool.sock"
MOUNT = {"name": "speechpool-socket", "mountPath": "/run/speechpool", "readOnly": True}


def test_every_application_container_finds_the_socket_and_cannot_replace_it() -> None:
    own = [
        {"name": "a"},
        {"name": "b", "env": [{"name": "X", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    ]
    made = injected(pod(containers=own, volumes=[{"name": "v", "emptyDir": {}}]))
    for one in made["spec"]["containers"]:
        assert env(one)["SPEECHPOOL_SOCKET"] == SOCKET
        assert MOUNT in one["volumeMounts"]
    assert names(made["spec"]["containers"][1]["volumeMounts"]) == ["v", "speechpool-socket"]
    assert names(made["spec"]["volumes"])[0] == "v"
    socket = next(one for one in made["spec"]["volumes"] if one["name"] == "speechpool-socket")
    assert socket["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}


def test_other_variables_may_refer_to_the_socket() -> None:
    own = [{"name": "a", "env": [{"name": "URL", "value": "unix://$(SPEECHPOOL_SOCKET)"}]}]
    assert names(injected(pod(containers=own))["spec"]["containers"][0]["env"]) == ["SPEECHPOOL_SOCKET", "URL"]


def test_a_variable_that_is_there_stays_and_its_owner_is_told() -> None:
    own = [{"name": "a", "env": [{"name": "SPEECHPOOL_SOCKET", "value": "/elsewhere"}]}]
    made = injected(pod(containers=own))["spec"]["containers"][0]
    assert env(made) == {"SPEECHPOOL_SOCKET": "/elsewhere"}
    assert made["volumeMounts"] == [MOUNT]
    assert result(pod(containers=own)).warnings == (
        f"container a keeps its own SPEECHPOOL_SOCKET; the socket is {SOCKET}",
    )


@pytest.mark.parametrize("path", ["/run/speechpool", "/run/speechpool/"])
def test_a_container_that_mounts_something_there_is_left_alone(path: str) -> None:
    own = [{"name": "a", "volumeMounts": [{"name": "mine", "mountPath": path}]}]
    made = injected(pod(containers=own))
    assert made["spec"]["containers"] == own
    assert result(pod(containers=own)).warnings == (
        "container a does not get the socket: it mounts mine at /run/speechpool",
    )


def test_init_containers_after_the_sidecar_speak_too_and_those_before_it_do_not() -> None:
    inits: list[dict[str, Any]] = [
        {"name": "istio-init"},
        {"name": "istio-proxy", "restartPolicy": "Always"},
        {"name": "greet", "env": [{"name": "X", "value": "1"}]},
        {"name": "logs", "restartPolicy": "Always"},
    ]
    made = {one["name"]: one for one in injected(pod(initContainers=inits))["spec"]["initContainers"]}
    assert "volumeMounts" not in made["istio-init"]
    assert "volumeMounts" not in made["istio-proxy"]
    assert env(made["greet"])["SPEECHPOOL_SOCKET"] == env(made["logs"])["SPEECHPOOL_SOCKET"] == SOCKET


def test_a_mesh_s_proxy_among_the_containers_is_no_application() -> None:
    own = [{"name": "istio-proxy"}, {"name": "app"}]
    made = injected(pod(containers=own))
    assert made["spec"]["containers"][0] == {"name": "istio-proxy"}
    assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "app"
    assert "let the mesh use native sidecars" in result(pod(containers=own)).warnings[0]


@pytest.mark.parametrize(
    ("there", "expected"), [(None, "15790"), ("9000, 9001", "9000,9001,15790"), ("15790", "15790"), ("*", "*")]
)
def test_istio_lets_the_kubelet_ask_the_sidecar(there: str | None, expected: str) -> None:
    name = "traffic.sidecar.istio.io/excludeInboundPorts"
    inits = [{"name": "istio-proxy", "restartPolicy": "Always"}]
    made = injected(pod(annotations={name: there} if there else {}, initContainers=inits))
    assert made["metadata"]["annotations"][name] == expected


def test_kubectl_keeps_to_the_application() -> None:
    name = "kubectl.kubernetes.io/default-container"
    two = [{"name": "first"}, {"name": "second"}]
    assert injected(pod(containers=two))["metadata"]["annotations"][name] == "first"
    assert injected(pod(containers=two, annotations={name: "second"}))["metadata"]["annotations"][name] == "second"


@pytest.mark.parametrize(
    "manifest", [{"spec": {"containers": [{"name": "app"}]}}, pod(labels={}), pod(annotations={"a/b~c": "1"})]
)
def test_the_pod_is_marked_whatever_metadata_it_had(manifest: dict[str, Any]) -> None:
    made = injected(manifest, namespace_asks=True)
    assert made["metadata"]["labels"]["speechpool.dev/injected"] == "true"
    for name, value in manifest.get("metadata", {}).get("annotations", {}).items():
        assert made["metadata"]["annotations"][name] == value


def test_a_pod_that_a_workload_makes_has_no_name_yet() -> None:
    manifest = pod()
    manifest["metadata"]["generateName"] = "voice-7d9-"
    assert injected(manifest)["metadata"]["generateName"] == "voice-7d9-"


def test_very_many_containers_all_find_the_socket() -> None:
    made = injected(pod(containers=[{"name": f"c{number}"} for number in range(500)]))
    assert all(env(one)["SPEECHPOOL_SOCKET"] == SOCKET for one in made["spec"]["containers"])


MALFORMED: list[dict[str, Any]] = [
    {},
    {"metadata": None, "spec": None},
    {"metadata": {"labels": []}, "spec": {"containers": {}}},
    {"metadata": {"labels": {"speechpool.dev/inject": "true"}, "annotations": []}, "spec": {"containers": [None]}},
    {"metadata": {"labels": {"speechpool.dev/inject": "true"}}, "spec": {"volumes": None, "initContainers": None}},
    {"metadata": {"labels": {"speechpool.dev/inject": 1}}, "spec": {"securityContext": 3, "resources": []}},
]


@pytest.mark.parametrize("manifest", MALFORMED)
def test_no_manifest_breaks_it(manifest: dict[str, Any]) -> None:
    assert len(result(manifest, CONFIG, namespace_asks=True).warnings) <= 12
