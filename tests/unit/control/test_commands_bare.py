"""`speechpool status --cluster`: a pod that asks for a sidecar and has no container of one is told at once."""

from typing import Any

import pytest

from speechpool_operator.commands.known import looked_at, sidecars_of
from speechpool_operator.commands.sidecar_view import standing
from speechpool_operator.names import INJECT_LABEL, NOT_INJECTED_ANNOTATION, SIDECAR_CONTAINER
from speechpool_operator.sidecars import Sidecar

ASKS = Sidecar(namespace="calls", pod="voice-0", uid="u0")
APPLICATION = {"name": "app", "env": [{"name": "SPEECHPOOL_SOCKET", "value": "/run/speechpool/speechpool.sock"}]}


def pod(*sidecars: dict[str, Any], containers: tuple[dict[str, Any], ...] = (APPLICATION,), **annotations: str) -> Any:
    metadata = {"namespace": "calls", "name": "voice-0", "uid": "u0", "labels": {INJECT_LABEL: "true"}}
    return {
        "metadata": metadata | {"annotations": annotations},
        "spec": {"initContainers": list(sidecars), "containers": list(containers)},
        "status": {"phase": "Running"},
    }


def test_a_pod_without_a_sidecar_is_missing_it_at_once() -> None:
    found = looked_at(ASKS, pod())

    assert (standing(ASKS), standing(found)) == ("connecting", "missing")
    assert found.error == "no sidecar container: make the pod anew, as with kubectl rollout restart"


def test_why_the_injector_added_none_is_told() -> None:
    found = looked_at(ASKS, pod(**{NOT_INJECTED_ANNOTATION: "NameTaken"}))

    assert "no container was injected (NameTaken): see the pod's events" in found.error


@pytest.mark.parametrize(
    "bare",
    [
        {"metadata": {"namespace": "calls", "name": "voice-0"}},
        {"metadata": {"annotations": None}, "spec": {"initContainers": None, "containers": None}},
    ],
)
def test_whatever_a_pod_lacks_it_can_be_looked_at(bare: dict[str, Any]) -> None:
    assert looked_at(ASKS, bare).missing


@pytest.mark.parametrize(
    "whole",
    [
        pod({"name": SIDECAR_CONTAINER}),
        pod({"name": "voice", "env": [{"name": "SPEECHPOOL_OPERATOR", "value": "operator:8443"}]}),
        pod(containers=(APPLICATION, {"name": SIDECAR_CONTAINER})),
    ],
    ids=["injected", "by hand", "by hand, beside the application"],
)
def test_one_that_has_a_sidecar_is_still_connecting(whole: dict[str, Any]) -> None:
    assert looked_at(ASKS, whole) == ASKS


def test_without_the_operator_it_is_told_too() -> None:
    [found] = sidecars_of([pod()], [])

    assert found.error.startswith("no sidecar container")
