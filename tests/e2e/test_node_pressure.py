"""A node that runs out of disk: who speaks is evicted in good order, the control plane stays, and all is warm again."""

import contextlib
from collections.abc import Iterator

import pytest
from tests.cluster.node import Node
from tests.cluster.node_config import DISK_MEGABYTES, HARD_MEGABYTES, NODE_NAME, SOFT_MEGABYTES
from tests.e2e.applications import LISTENING, POOLS, Lines, followed, is_ready, speechpool_object
from tests.e2e.installations import asked, known, parts, the_pod, wait_synced
from tests.e2e.releases import RESTRICTED, deployment, installed_release, pods_of

ENDED = ("Succeeded", "Failed")
KUBELET_SECONDS = 150.0
"""The kubelet looks each 10 s at figures that are up to 15 s old, and acts when it has seen the same twice."""


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A namespace whose one application is in the midst of an utterance; the control plane is what must not go."""
    with installed_release(node, {"priorityClassName": "system-cluster-critical"}):
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("voice", warmSize=1))
        node.post(f"/apis/apps/v1/namespaces/{made}/deployments", deployment("voice", program=LISTENING))
        yield made
        node.delete(f"/api/v1/namespaces/{made}")


def speaking(node: Node, namespace: str) -> str:
    """The pod that runs, once its object says that it is warm, and nothing of another one."""
    wait_synced(node, namespace, "voice", 1)
    [pod] = [each for each in pods_of(node, namespace, "voice") if each["status"]["phase"] not in ENDED]
    name: str = pod["metadata"]["name"]
    node.wait_for_pod(namespace, name, is_ready, "is not ready")
    return name


def is_pressed(node: Node) -> bool:
    """Whether the node says that its disk is full, and takes no pods."""
    found = node.get(f"/api/v1/nodes/{NODE_NAME}")
    taints = [each["key"] for each in found["spec"].get("taints", ())]
    said = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    return said["DiskPressure"] == "True" or "node.kubernetes.io/disk-pressure" in taints


@contextlib.contextmanager
def filled(node: Node, free_megabytes: int) -> Iterator[None]:
    """A kubelet whose file system has no more free than this, until it has room again."""
    file = str(node.disk / "filling")
    node.inside.run("fallocate", f"--length={DISK_MEGABYTES - free_megabytes}M", file)
    try:
        yield
    finally:
        node.inside.run("rm", file)
        node.wait_for(lambda: not is_pressed(node), "the pressure does not end", seconds=KUBELET_SECONDS)


def wait_evicted(node: Node, namespace: str, name: str) -> tuple[int, int]:
    """Wait until a pod is evicted and nothing of it runs; the exit codes of its application and of its sidecar."""

    def ended() -> list[int]:
        status = the_pod(node, namespace, name)["status"]
        [app], [sidecar] = status["containerStatuses"], status["initContainerStatuses"]
        states = [each["state"].get("terminated") for each in (app, sidecar)]
        # the phase is Failed, or Succeeded where both end well
        is_evicted = "DisruptionTarget" in {each["type"] for each in status["conditions"]}
        return [each["exitCode"] for each in states] if is_evicted and all(states) else []

    node.wait_for(lambda: bool(ended()), f"{name} is not evicted", seconds=KUBELET_SECONDS)
    assert is_pressed(node)
    app, sidecar = ended()
    return app, sidecar


def control_plane(node: Node) -> dict[str, tuple[str, int, bool]]:
    """The pods of the operator and the injector, with how often they started and whether they are ready."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(each["restartCount"] for each in pod["status"]["containerStatuses"]),
            is_ready(pod),
        )
        for component in ("operator", "injector")
        for pod in parts(node, component)
    }


def counted(node: Node, namespace: str) -> tuple[int, int]:
    """Of how many sidecars the object knows, and how many of them are connected."""
    status = node.get(f"{POOLS.format(namespace)}/voice")["status"]
    return status["matched"], status["connected"]


def check_all_is_right(node: Node) -> None:
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown


def check_begun(lines: Lines) -> None:
    tier, heard = lines.line()
    assert (tier, int(heard) > 0) == ("warm", True)


def test_a_soft_eviction_lets_the_utterance_end_and_the_next_pod_is_warm(node: Node, namespace: str):
    name, before = speaking(node, namespace), control_plane(node)
    with followed(node, namespace, name, "app") as lines:
        check_begun(lines)
        with filled(node, (SOFT_MEGABYTES + HARD_MEGABYTES) // 2):
            assert wait_evicted(node, namespace, name) == (0, 0)
            assert [lines.line(), lines.line()] == [["ending"], ["whole"]]
            assert control_plane(node) == before
            node.wait_for(lambda: counted(node, namespace) == (1, 0), "the object does not wait for the next pod")
            assert known(node, namespace, name) == {}
            check_all_is_right(node)  # and a pod that asks for a sidecar would get one
    assert speaking(node, namespace) != name
    assert control_plane(node) == before
    check_all_is_right(node)


def test_a_hard_eviction_cuts_the_application_and_the_next_pod_is_warm(node: Node, namespace: str):
    """The kubelet gives either two seconds, and tells the sidecar one second after the application."""
    name, before = speaking(node, namespace), control_plane(node)
    with followed(node, namespace, name, "app") as lines:
        check_begun(lines)
        with filled(node, HARD_MEGABYTES // 2):
            app, sidecar = wait_evicted(node, namespace, name)
            assert app == 137
            assert sidecar in (0, 137)  # as fast as the machine is
            assert lines.line() == ["ending"]
            assert lines.line()[0] == "ended"
            assert control_plane(node) == before
    assert speaking(node, namespace) != name
    assert control_plane(node) == before
    check_all_is_right(node)
