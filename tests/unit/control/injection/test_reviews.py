"""What the API server asks, and the answer in which every pod is admitted."""

import base64
import json
from typing import Any

import pytest
from tests.unit.control.injection.pods import CONFIG, pod, result

from speechpool_operator.injection.reviews import BadReview, answered, read_review


def question(**request: Any) -> bytes:
    asked = {"uid": "u1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "object": pod()}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked | request}
    return json.dumps(review).encode()


def test_a_question_about_a_new_pod() -> None:
    review = read_review(question())
    assert review.uid == "u1"
    assert review.pod == pod()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_is_like_any_other(dry_run: bool) -> None:
    assert read_review(question(dryRun=dry_run)) == read_review(question())


@pytest.mark.parametrize(
    "request_",
    [{"kind": {"kind": "Deployment"}}, {"operation": "DELETE", "object": None}, {"object": None}, {"kind": None}],
)
def test_what_is_no_new_pod_is_left_alone(request_: dict[str, Any]) -> None:
    review = read_review(question(**request_))
    assert review.pod is None
    assert json.loads(answered(review, None))["response"] == {"uid": "u1", "allowed": True}


BAD: list[tuple[bytes, str]] = [
    (b"", "must be JSON"),
    (b"{", "must be JSON"),
    (b"\xff\xfe", "must be JSON"),
    (b"[" * 100_000, "must be JSON"),
    (b"[]", "must be an AdmissionReview"),
    (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}', "must be an AdmissionReview"),
    (b'{"kind": "Pod", "apiVersion": "v1"}', "must be an AdmissionReview"),
    (question(uid=None), "request.uid must be a text"),
    (question(uid=""), "request.uid must be a text"),
    (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": []}', "request.uid must be a text"),
]


@pytest.mark.parametrize(("body", "sentence"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_what_is_no_question(body: bytes, sentence: str) -> None:
    with pytest.raises(BadReview, match=sentence):
        read_review(body)


def test_the_answer_has_the_patch_and_the_warnings() -> None:
    manifest = pod(annotations={"speechpool.dev/x": "1"})
    injection = result(manifest, CONFIG)
    answer = json.loads(answered(read_review(question(object=manifest)), injection))
    assert answer["kind"] == "AdmissionReview"
    response = answer["response"]
    assert response["allowed"] is True
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == list(injection.patch)
    assert response["warnings"] == [f"speechpool: {injection.warnings[0]}"]


def test_without_a_sidecar_there_is_no_patch() -> None:
    response = json.loads(answered(read_review(question()), result(pod(labels={}))))["response"]
    assert response == {"uid": "u1", "allowed": True}
