"""What the API server asks of an admission webhook, and what it is answered (admission.k8s.io/v1). Pure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechpool.errors import SpeechPoolError
from speechpool_operator.injection.injecting import Injection
from speechpool_operator.injection.pods import mapping

__all__ = ["BadReview", "Review", "answered", "read_review"]

_VERSION: Final = "admission.k8s.io/v1"


class BadReview(SpeechPoolError):
    """What was sent is no AdmissionReview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One question.

    Args:
        uid: Told back with the answer.
        pod: The pod that is to be admitted; None where it is about something else.
    """

    uid: str
    pod: Mapping[str, Any] | None


def read_review(body: bytes) -> Review:
    """Read a question.

    Raises:
        BadReview: It is none.
    """
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReview("the body must be JSON") from None
    if not isinstance(tree, dict) or tree.get("kind") != "AdmissionReview" or tree.get("apiVersion") != _VERSION:
        raise BadReview(f"the body must be an AdmissionReview of {_VERSION}")
    request = mapping(tree, "request")
    uid, pod = request.get("uid"), request.get("object")
    if not isinstance(uid, str) or not uid:
        raise BadReview("request.uid must be a text")
    is_new_pod = mapping(request, "kind").get("kind") == "Pod" and request.get("operation") == "CREATE"
    return Review(uid=uid, pod=pod if is_new_pod and isinstance(pod, dict) else None)


def answered(review: Review, injection: Injection | None) -> bytes:
    """The answer: the pod is admitted in any case.

    Args:
        review: The question.
        injection: What becomes of the pod; None for nothing.
    """
    response: dict[str, Any] = {"uid": review.uid, "allowed": True}
    if injection and injection.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(injection.patch).encode()).decode()
    if injection and injection.warnings:
        response["warnings"] = [f"speechpool: {warning}" for warning in injection.warnings]
    return json.dumps({"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}).encode()
