"""A sidecar written by hand, as examples/sidecar-by-hand.yaml has it, in a namespace of the restricted profile."""

from pathlib import Path

import pytest
from tests.cluster.images import image
from tests.cluster.node import Node

EXAMPLE = Path(__file__).parents[2] / "examples" / "sidecar-by-hand.yaml"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def job(node: Node):
    namespace = node.namespace(labels=RESTRICTED)
    text = EXAMPLE.read_text("utf-8").replace("speechpool/sidecar:0.1.0", image("sidecar"))
    applied = node.kubectl("apply", "--validate=strict", "--namespace", namespace, "-f", "-", stdin=text)
    assert applied.returncode == 0, applied.stderr
    assert "would violate" not in applied.stderr
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/good-morning"
    node.wait_for(lambda: "completionTime" in (node.get(path).get("status") or {}), "the Job does not complete")
    (pod,) = node.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=job-name=good-morning")["items"]
    yield pod
    node.delete(f"/api/v1/namespaces/{namespace}")


def test_the_application_speaks_and_the_job_completes(node: Node, job):
    assert job["status"]["phase"] == "Succeeded"
    said = node.logs(job["metadata"]["namespace"], job["metadata"]["name"], "app")
    assert said.startswith("warm client"), said


def test_the_application_starts_when_the_sidecar_is_warm_and_the_sidecar_ends_well_after_it(node: Node, job):
    (sidecar,), (app,) = job["status"]["initContainerStatuses"], job["status"]["containerStatuses"]
    assert app["state"]["terminated"]["exitCode"] == 0
    assert sidecar["state"]["terminated"]["exitCode"] == 0
    assert sidecar["restartCount"] == 0
    assert sidecar["state"]["terminated"]["finishedAt"] >= app["state"]["terminated"]["finishedAt"]
    log = node.logs(job["metadata"]["namespace"], job["metadata"]["name"], "speechpool")
    assert log.index("sidecar ready") < log.index("sidecar stopping") < log.index("sidecar stopped")
