"""Injection by hand: every kind with a pod, Lists, many documents, and YAML as kubectl reads it."""

from typing import Any

import pytest
import yaml
from tests.unit.control.injection.pods import CA, CONFIG, injected, pod

from speechpool_operator.injection.manifests import ByHand, CannotInject, read_manifests, written
from speechpool_operator.injection.outcomes import Outcome

TEMPLATE = {"metadata": {"labels": {"app": "voice"}}, "spec": {"containers": [{"name": "app", "image": "app"}]}}


def workload(kind: str, template: dict[str, Any] = TEMPLATE) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": spec}}
    made: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "voice"}}
    if kind == "PodTemplate":
        return made | {"template": template}
    if kind == "Pod":
        return made | {"metadata": {"name": "voice", **template["metadata"]}, "spec": template["spec"]}
    return made | {"spec": spec}


def template_of(document: dict[str, Any]) -> dict[str, Any]:
    match document["kind"]:
        case "Pod":
            return document
        case "PodTemplate":
            return document["template"]
        case "CronJob":
            return document["spec"]["jobTemplate"]["spec"]["template"]
    return document["spec"]["template"]


KINDS = [
    "Pod",
    "PodTemplate",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pod_by_hand_is_as_the_injector_would_make_it(kind: str) -> None:
    by_hand = ByHand(CONFIG, ca=CA)
    made = template_of(by_hand.document(workload(kind)))
    expected = injected(TEMPLATE, namespace_asks=True)
    assert made["spec"] == expected["spec"]
    assert made["metadata"]["labels"]["speechpool.dev/injected"] == "true"
    assert [(one.name, one.injection.outcome) for one in by_hand.changed if one.injection] == [
        (f"{kind.lower()}/voice", Outcome.INJECTED)
    ]


def test_nothing_else_of_a_workload_changes() -> None:
    before = workload("Deployment")
    made = ByHand(CONFIG).document(before)
    assert made["metadata"] == before["metadata"]
    assert before == workload("Deployment")


def test_lists_and_what_has_no_pod() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "voice"}}
    items = [workload("Pod"), service, {"kind": "List", "items": [workload("Job")]}]
    by_hand = ByHand(CONFIG)
    made = by_hand.document({"apiVersion": "v1", "kind": "List", "items": items})
    assert made["items"][1] == service
    assert made["items"][2]["items"][0]["spec"]["template"]["spec"]["initContainers"]
    assert [one.name for one in by_hand.changed] == ["pod/voice", "service/voice", "job/voice"]


@pytest.mark.parametrize(
    ("labels", "outcome"),
    [
        ({"speechpool.dev/inject": "false"}, Outcome.OPTED_OUT),
        ({"speechpool.dev/injected": "true"}, Outcome.ALREADY_INJECTED),
    ],
)
def test_pods_that_want_none_or_have_one_stay(labels: dict[str, str], outcome: Outcome) -> None:
    by_hand = ByHand(CONFIG)
    before = workload("Pod", pod(labels=labels))
    assert by_hand.document(before) == before
    assert by_hand.changed[0].injection
    assert by_hand.changed[0].injection.outcome is outcome


def test_twice_is_once() -> None:
    once = ByHand(CONFIG).document(workload("Deployment"))
    assert ByHand(CONFIG).document(once) == once


BAD: list[tuple[object, str]] = [
    ([], "must be a manifest with a kind"),
    ("text", "must be a manifest with a kind"),
    ({"kind": 3}, "must be a manifest with a kind"),
    ({"kind": "Pod"}, "pod/?: spec must be a mapping"),
    (
        {"kind": "Deployment", "metadata": {"name": "v"}, "spec": {}},
        "deployment/v: spec.template.spec must be a mapping",
    ),
    ({"kind": "CronJob", "spec": {"jobTemplate": []}}, "spec.jobTemplate.spec.template.spec must be a mapping"),
    ({"kind": "Pod", "spec": {}}, "pod/?: spec.containers must be a list of mappings"),
    ({"kind": "Pod", "spec": {"containers": [None]}}, "spec.containers must be a list of mappings"),
    ({"kind": "Pod", "spec": {"containers": [], "volumes": {}}}, "spec.volumes must be a list of mappings"),
    ({"kind": "Pod", "spec": {"containers": [{"name": "speechpool"}]}}, "a container speechpool of its own"),
    (workload("Pod", pod(labels={"speechpool.dev/inject": "yes"})), 'must be "true" or "false"'),
]


@pytest.mark.parametrize(("document", "sentence"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_what_cannot_have_a_sidecar_is_said_by_name(document: object, sentence: str) -> None:
    with pytest.raises(CannotInject) as refused:
        ByHand(CONFIG).document(document)
    assert sentence in str(refused.value)


def test_lists_are_of_bounded_depth() -> None:
    document: dict[str, Any] = workload("Pod")
    for _ in range(20):
        document = {"kind": "List", "items": [document]}
    with pytest.raises(CannotInject, match="at most 8 deep"):
        ByHand(CONFIG).document(document)


def test_nulls_are_as_if_they_were_not_there() -> None:
    template = {
        "metadata": {"creationTimestamp": None, "labels": None},
        "spec": {"containers": [{"name": "app", "env": None}], "volumes": None, "initContainers": None},
    }
    made = ByHand(CONFIG).document(workload("Deployment", template))["spec"]["template"]
    assert made["metadata"]["labels"] == {"speechpool.dev/injected": "true"}
    assert made["spec"]["containers"][0]["env"][0]["name"] == "SPEECHPOOL_SOCKET"


TEXTS = [
    "22:22",
    "2026-01-01",
    "1e3",
    "+1.5E-3",
    "0o17",
    "y",
    "N",
    "yes",
    "a:b",
    "ünïcode",
    "語",
    "1_000",
    "~x",
    "190:20:30.15",
    "0x1F",
    "null",
    "~",
    "1.5",
    "0644",
]
TEXTS += ["a: b", "- dash", "multi\nline\n", "two words", "", " "]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_texts(text: str) -> None:
    (document,) = read_manifests(written([{"kind": "x", "value": text}]), "file")
    assert document == {"kind": "x", "value": text}
    assert yaml.safe_load(written([{"value": text}])) == {"value": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        ("12", 12),
        ("1.5", 1.5),
        ("0644", 420),
        ("true", True),
        ("null", None),
        ("190:20:30.15", "190:20:30.15"),
        ("-1", -1),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("0x1E", 30),
    ],
)
def test_scalars_are_what_they_are_to_kubectl(text: str, value: object) -> None:
    assert read_manifests(f"value: {text}", "file") == [{"value": value}]


def test_documents_without_content_are_left_out_and_json_is_yaml() -> None:
    assert read_manifests('---\n---\nkind: A\n---\n# nothing\n---\n{"kind": "B"}\n', "file") == [
        {"kind": "A"},
        {"kind": "B"},
    ]


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\x00", "!!python/object:os.system {}", "&a [*b]"])
def test_what_is_no_yaml_is_said_with_its_file(text: str) -> None:
    with pytest.raises(CannotInject, match=r"^deployment.yaml must be YAML"):
        read_manifests(text, "deployment.yaml")


def test_certificates_are_written_as_people_read_them() -> None:
    assert "|\n" in written([ByHand(CONFIG, ca=CA).document(workload("Pod"))])
