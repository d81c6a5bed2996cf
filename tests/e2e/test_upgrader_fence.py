"""What the upgrader's ServiceAccount may change, on a real API server: one image in one container, and nothing else."""

import time
from collections.abc import Iterator

import pytest
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer
from tests.e2e.upgrading import IMAGE, OLD, Fenced, fenced

from speechpool_operator.names import INJECTED_LABEL
from speechpool_operator.upgrade.fence import MESSAGE


@pytest.fixture(scope="module")
def inside(api: ApiServer) -> Iterator[Fenced]:
    with fenced(api) as made:
        yield made


@pytest.fixture
def pod(inside: Fenced, request: pytest.FixtureRequest) -> str:
    name = f"pod-{abs(hash(request.node.name)) % 10**9}"
    inside.pod(name)
    return name


SIDECAR = "/spec/initContainers/1"

REFUSED = {
    "another image": [{"op": "replace", "path": f"{SIDECAR}/image", "value": "evil:1"}],
    "a tag of our own": [{"op": "replace", "path": f"{SIDECAR}/image", "value": "speechpool/sidecar:0"}],
    "the application's image": [{"op": "replace", "path": "/spec/containers/0/image", "value": IMAGE}],
    "another init container's image": [{"op": "replace", "path": "/spec/initContainers/0/image", "value": IMAGE}],
    "a label": [{"op": "add", "path": "/metadata/labels/new", "value": "1"}],
    "the label that says it has a sidecar": [{"op": "remove", "path": "/metadata/labels/speechpool.dev~1injected"}],
    "an annotation": [{"op": "add", "path": "/metadata/annotations", "value": {"new": "1"}}],
    "a finalizer": [{"op": "add", "path": "/metadata/finalizers", "value": ["example.org/stay"]}],
    "an owner": [
        {
            "op": "add",
            "path": "/metadata/ownerReferences",
            "value": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
        }
    ],
    "a toleration": [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "k", "operator": "Exists"}}],
    "its deadline": [{"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 5}],
    "nothing at all": [],
}


@pytest.mark.parametrize("change", REFUSED)
def test_no_other_change_is_let_through(inside: Fenced, pod: str, change: str) -> None:
    with pytest.raises(ApiError) as refused:
        inside.patch(pod, REFUSED[change])

    assert refused.value.status == 403
    assert MESSAGE in refused.value.message
    assert inside.image(pod) == OLD


@pytest.mark.parametrize("change", ["the application's image", "a label", "an annotation", "another image"])
def test_nor_one_beside_the_right_one(inside: Fenced, pod: str, change: str) -> None:
    with pytest.raises(ApiError) as refused:
        inside.patch(pod, [{"op": "replace", "path": f"{SIDECAR}/image", "value": IMAGE}, *REFUSED[change]])

    assert MESSAGE in refused.value.message


def test_the_sidecars_image_is(inside: Fenced, pod: str) -> None:
    inside.patch(pod, [{"op": "replace", "path": f"{SIDECAR}/image", "value": IMAGE}])

    assert inside.image(pod) == IMAGE


def test_a_pod_that_does_not_say_that_it_has_a_sidecar_is_not_touched(inside: Fenced) -> None:
    inside.pod("unlabelled", labels={})

    with pytest.raises(ApiError) as refused:
        inside.patch("unlabelled", [{"op": "replace", "path": f"{SIDECAR}/image", "value": IMAGE}])

    assert f"no label {INJECTED_LABEL}" in refused.value.message


def test_neither_is_a_container_of_that_name_that_is_no_sidecar(inside: Fenced) -> None:
    inside.pod("ordinary", is_native=False)

    with pytest.raises(ApiError) as refused:
        inside.patch("ordinary", [{"op": "replace", "path": f"{SIDECAR}/image", "value": IMAGE}])

    assert IMAGE in refused.value.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "pods/{pod}"),
        ("POST", "pods/{pod}/eviction"),
        ("POST", "pods"),
        ("PATCH", "pods/{pod}/status"),
        ("PATCH", "pods/{pod}/ephemeralcontainers"),
        ("PATCH", "pods/{pod}/resize"),
        ("GET", "pods/{pod}/log"),
        ("POST", "pods/{pod}/exec"),
        ("GET", "secrets"),
        ("GET", "configmaps"),
        ("GET", "serviceaccounts"),
    ],
)
def test_rights_that_it_does_not_have_at_all(inside: Fenced, pod: str, method: str, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        inside.request(method, path.format(pod=pod), {} if method != "GET" else None)

    assert refused.value.status == 403
    assert "cannot" in refused.value.message


def test_everybody_else_changes_pods_as_before(inside: Fenced, pod: str) -> None:
    inside.api.patch(f"/api/v1/namespaces/{inside.namespace}/pods/{pod}", {"metadata": {"labels": {"new": "1"}}})


def test_with_the_right_to_a_subresource_it_is_refused_by_the_fence(inside: Fenced, pod: str) -> None:
    """RBAC that somebody widens by mistake does not widen what the upgrader can do."""
    inside.may("pods/status", "patch")
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:  # the API server learns of new rights in a moment
        with pytest.raises(ApiError) as refused:
            inside.request("PATCH", f"pods/{pod}/status", {"status": {"phase": "Running"}})
        if "cannot" not in refused.value.message or time.monotonic() > give_up_at:
            break
        time.sleep(0.05)

    assert "nor any other subresource" in refused.value.message
