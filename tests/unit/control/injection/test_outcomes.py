"""Which pods get a sidecar, and what the others are told."""

from typing import Any

import pytest
from tests.unit.control.injection.pods import injected, pod, result

from speechpool_operator.injection.outcomes import Outcome

LABEL, INJECTED = "speechpool.dev/inject", "speechpool.dev/injected"

DECISIONS: list[tuple[str, dict[str, str], bool, Outcome]] = [
    ("the pod asks", {LABEL: "true"}, False, Outcome.INJECTED),
    ("the namespace asks", {}, True, Outcome.INJECTED),
    ("both ask", {LABEL: "true"}, True, Outcome.INJECTED),
    ("nobody asks", {}, False, Outcome.NOT_ASKED_FOR),
    ("the pod opts out", {LABEL: "false"}, True, Outcome.OPTED_OUT),
    ("the pod says no by itself", {LABEL: "false"}, False, Outcome.OPTED_OUT),
    ("yes is no answer", {LABEL: "yes"}, False, Outcome.UNKNOWN_LABEL),
    ("True is no answer", {LABEL: "True"}, False, Outcome.UNKNOWN_LABEL),
    ("enabled is a namespace's answer", {LABEL: "enabled"}, True, Outcome.UNKNOWN_LABEL),
    ("an empty answer is none", {LABEL: ""}, True, Outcome.UNKNOWN_LABEL),
    ("the sidecar is there", {LABEL: "true", INJECTED: "true"}, False, Outcome.ALREADY_INJECTED),
    ("the sidecar is there by hand", {INJECTED: "true"}, True, Outcome.ALREADY_INJECTED),
]


@pytest.mark.parametrize(
    ("labels", "namespace_asks", "expected"), [row[1:] for row in DECISIONS], ids=[row[0] for row in DECISIONS]
)
def test_labels_decide(labels: dict[str, str], namespace_asks: bool, expected: Outcome) -> None:
    assert result(pod(labels=labels), namespace_asks=namespace_asks).outcome is expected


REFUSED: list[tuple[str, dict[str, Any], Outcome, str]] = [
    ("label", pod(labels={LABEL: "yes"}), Outcome.UNKNOWN_LABEL, 'must be "true" or "false"; got \'yes\''),
    ("container", pod(containers=[{"name": "speechpool"}]), Outcome.NAME_TAKEN, "a container speechpool of its own"),
    ("init container", pod(initContainers=[{"name": "speechpool"}]), Outcome.NAME_TAKEN, "a container speechpool"),
    ("volume", pod(volumes=[{"name": "speechpool-socket"}]), Outcome.NAME_TAKEN, "a volume speechpool-socket"),
    ("another volume", pod(volumes=[{"name": "speechpool-state"}]), Outcome.NAME_TAKEN, "a volume speechpool-state"),
    ("os", pod(os={"name": "windows"}), Outcome.WINDOWS, "none for Windows"),
    ("node selector", pod(nodeSelector={"kubernetes.io/os": "windows"}), Outcome.WINDOWS, "none for Windows"),
]


@pytest.mark.parametrize(
    ("manifest", "expected", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_who_asks_in_vain_is_told_why_and_the_pod_says_so(
    manifest: dict[str, Any], expected: Outcome, sentence: str
) -> None:
    made = result(manifest)
    assert made.outcome is expected
    assert len(made.warnings) == 1
    assert sentence in made.warnings[0]
    after = injected(manifest)
    assert after["spec"] == manifest["spec"]
    assert after["metadata"]["annotations"]["speechpool.dev/not-injected"] == expected.value
    assert after["metadata"]["annotations"]["speechpool.dev/injection-warnings"] == made.warnings[0]


def test_a_static_pod_is_left_as_it_is() -> None:
    made = result(pod(annotations={"kubernetes.io/config.mirror": "hash"}))
    assert made.outcome is Outcome.STATIC_POD
    assert made.patch == ()
    assert "static pod" in made.warnings[0]


def test_a_label_without_a_sidecar_behind_it_is_told() -> None:
    made = result(pod(labels={INJECTED: "true"}))
    assert made.outcome is Outcome.ALREADY_INJECTED
    assert made.patch == ()
    assert "no container is named speechpool" in made.warnings[0]


@pytest.mark.parametrize("namespace_asks", [True, False])
def test_a_second_admission_changes_nothing(namespace_asks: bool) -> None:
    once = injected(pod(), namespace_asks=namespace_asks)
    again = result(once, namespace_asks=namespace_asks)
    assert again.outcome is Outcome.ALREADY_INJECTED
    assert again.patch == ()
    assert again.warnings == ()


@pytest.mark.parametrize("labels", [{}, {LABEL: "false"}])
def test_who_did_not_ask_is_not_told_anything(labels: dict[str, str]) -> None:
    made = result(pod(labels=labels))
    assert made.patch == ()
    assert made.warnings == ()
