"""`helm upgrade` while applications speak, sidecars upgraded in their running pods, and an upgrade that fails."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.cluster.images import image, image_tag
from tests.cluster.node import Node
from tests.e2e.applications import (
    CALLING,
    POOLS,
    application,
    events_of,
    is_ready,
    said,
    sidecar_of,
    speechpool_object,
    start_pod,
)
from tests.e2e.charts import CHART, NAMESPACE, flags, helm
from tests.e2e.installations import asked, is_synced, the_pod
from tests.e2e.releases import RESTRICTED, images, installed_release

UPGRADER: dict[str, Any] = {"upgrader.enabled": True, "upgrader.perMinute": 600}
NEXT, ABSENT = f"{image_tag()}-next", "absent"


@pytest.fixture(scope="module")
def namespace(node: Node):
    """A namespace with an application that speaks all the time, and one that is silent; both were there before."""
    node.inside.run("ctr", "--namespace", "k8s.io", "images", "tag", "--force", image("sidecar"), image_of(NEXT))
    with installed_release(node):
        made = node.namespace(labels=RESTRICTED)
        node.post(POOLS.format(made), speechpool_object("calling", warmSize=2))
        start_pod(node, made, application("calling", program=CALLING))
        start_pod(node, made, application("quiet"))
        for name in ("calling", "quiet"):
            node.wait_for_pod(made, name, is_ready, "is not ready")
        yield made
        node.delete(f"/api/v1/namespaces/{made}")
    node.inside.run("ctr", "--namespace", "k8s.io", "images", "rm", image_of(NEXT))


def image_of(tag: str) -> str:
    return f"{image('sidecar').rpartition(':')[0]}:{tag}"


def upgrade(node: Node, values: Mapping[str, Any]) -> None:
    """Upgrade the release."""
    words = ["upgrade", "speechpool", str(CHART), "--namespace", NAMESPACE, "--wait", "--timeout", "55s"]
    done = helm(*words, *flags(images() | dict(values)), api=node)
    assert done.returncode == 0, f"{done.stderr}\n{node.story()}"


def sidecar_in(node: Node, namespace: str, name: str) -> str:
    return str(sidecar_of(the_pod(node, namespace, name))["containerID"])


def apps(node: Node, namespace: str, name: str) -> list[tuple[str, int]]:
    """A pod's application: its containers with their restarts."""
    found = the_pod(node, namespace, name)["status"]["containerStatuses"]
    return [(each["containerID"], each["restartCount"]) for each in found]


def wait_for_image(node: Node, namespace: str, tag: str, before: str) -> None:
    """Wait until the silent application has another sidecar than `before`, of an image, and is ready."""

    def is_there() -> bool:
        pod = the_pod(node, namespace, "quiet")
        sidecar = sidecar_of(pod)
        is_another = sidecar.get("containerID", "") not in ("", before)
        return is_another and pod["spec"]["initContainers"][0]["image"] == image_of(tag) and is_ready(pod)

    node.wait_for(is_there, f"the sidecar is not upgraded to {tag}", seconds=90)


def is_right(node: Node, line: str) -> bool:
    """Whether nothing is wrong with the installation, and `speechpool check` says this."""
    code, shown = asked(node, "check")
    return code == 0 and line in shown


def check_untouched(node: Node, namespace: str, container: str) -> None:
    """The application that speaks all the time has noticed nothing, and has the sidecar that it had."""
    opening, *calls = (line.split() for line in node.logs(namespace, "calling", "app").splitlines())
    assert opening[:2] == ["200", "warm"]
    assert len(calls) > 10
    assert [call for call in calls if call[:2] != ["200", "dedicated"]] == []
    whole = int(opening[2])  # but for the engine's own few samples
    assert [call for call in calls if abs(int(call[2]) - whole) > whole * 0.01] == []
    assert sidecar_in(node, namespace, "calling") == container


@pytest.fixture(scope="module")
def container(node: Node, namespace: str) -> str:
    """The sidecar of the application that speaks all the time."""
    node.wait_for(lambda: is_synced(node, namespace, "calling"), "the sidecar is not synced")
    return sidecar_in(node, namespace, "calling")


def test_nobody_who_speaks_notices_an_upgrade_of_the_release(node: Node, namespace: str, container: str):
    again = {"example.org/again": "1"}
    upgrade(node, {"operator.podAnnotations": again, "injector.podAnnotations": again})
    node.wait_for(lambda: is_synced(node, namespace, "calling"), "the new operator does not know the sidecar")
    check_untouched(node, namespace, container)


def test_a_sidecar_without_sessions_is_upgraded_in_its_running_pod(node: Node, namespace: str, container: str):
    before, sidecar = apps(node, namespace, "quiet"), sidecar_in(node, namespace, "quiet")
    upgrade(node, UPGRADER | {"image.sidecar.tag": NEXT})
    wait_for_image(node, namespace, NEXT, sidecar)
    assert said(node, namespace, "quiet").stderr.startswith("warm client")
    assert apps(node, namespace, "quiet") == before
    assert events_of(node, namespace, "quiet", "SidecarUpgraded")
    check_untouched(node, namespace, container)
    node.wait_for(lambda: is_right(node, "1 current, 1 busy"), "the upgrader does not say what it has done")


def test_the_first_failure_stops_all_upgrades_and_says_what_to_do(node: Node, namespace: str, container: str):
    upgrade(node, UPGRADER | {"upgrader.backSeconds": 5, "image.sidecar.tag": ABSENT})

    def failed() -> bool:
        return bool(events_of(node, namespace, "quiet", "SidecarUpgradeFailed"))

    node.wait_for(failed, "no event says that the upgrade failed", seconds=90)
    code, shown = asked(node, "check")
    assert code == 1, shown
    assert f"{namespace}/quiet is not warm 5 s after its upgrade" in shown
    assert apps(node, namespace, "quiet")[0][1] == 0
    check_untouched(node, namespace, container)


def test_a_rollback_mends_what_failed(node: Node, namespace: str, container: str):
    sidecar = sidecar_in(node, namespace, "quiet")
    done = helm("rollback", "speechpool", "--namespace", NAMESPACE, "--wait", "--timeout", "55s", api=node)
    assert done.returncode == 0, done.stderr
    wait_for_image(node, namespace, NEXT, sidecar)
    assert said(node, namespace, "quiet").stderr.startswith("warm client")
    code, shown = asked(node, "check", "--wait", "60")
    assert code == 0, shown
    check_untouched(node, namespace, container)
