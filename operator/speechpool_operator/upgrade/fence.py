"""The fence around the upgrader: an admission policy that lets it change our container's image and nothing else. Pure.

RBAC can give the right to patch pods only as a whole: with it alone a stolen token of the upgrader could put any image
into any pod. The API server holds this policy against each change that the upgrader's ServiceAccount asks for.
"""

from typing import Any, Final

from speechpool_operator.names import ENABLED, INJECTED_LABEL, SIDECAR_CONTAINER

__all__ = ["MESSAGE", "fence"]

MESSAGE: Final = f"the upgrader may change the image of the container {SIDECAR_CONTAINER} of pods with a sidecar"
"""How each refusal of the policy begins."""

_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_SPEC = (
    "ephemeralContainers",
    "tolerations",
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "schedulingGates",
    "nodeSelector",
    "affinity",
)
"""With images, all that the API server lets anybody change in a pod (ValidatePodUpdate of Kubernetes)."""


def fence(*, image: str, user: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A ValidatingAdmissionPolicy and its binding (admissionregistration.k8s.io/v1, from Kubernetes 1.30 on).

    Args:
        image: The only one that the container may get.
        user: Whom it fences in, as `system:serviceaccount:NAMESPACE:NAME`.
        name: Of both objects.
    """
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods", "pods/*"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "is-the-upgrader", "expression": f"request.userInfo.username == '{user}'"}],
            "validations": _validations(image),
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return policy, binding


def _validations(image: str) -> list[dict[str, str]]:
    return [
        _validation("request.?subResource.orValue('') == ''", "not its status nor any other subresource"),
        _validation(
            f"object.metadata.?labels[?'{INJECTED_LABEL}'].orValue('') == '{ENABLED}'",
            f"this one has no label {INJECTED_LABEL}",
        ),
        _validation(_unchanged("metadata", _METADATA), "not its metadata"),
        _validation(
            "object.spec.containers == oldObject.spec.containers && " + _unchanged("spec", _SPEC),
            "not its application's containers nor the rest of its spec",
        ),
        _validation(
            "object.spec.?initContainers.orValue([]).all(c,"
            f" c.name == '{SIDECAR_CONTAINER}' || oldObject.spec.?initContainers.orValue([]).exists(o, o == c))",
            "not another container's",
        ),
        _validation(
            "object.spec.?initContainers.orValue([]).all(c,"
            f" c.name != '{SIDECAR_CONTAINER}' || c.image == '{image}' && c.?restartPolicy.orValue('') == 'Always')",
            f"and that to {image}",
        ),
    ]


def _unchanged(part: str, names: tuple[str, ...]) -> str:
    return " && ".join(f"object.{part}.?{name} == oldObject.{part}.?{name}" for name in names)


def _validation(expression: str, rest: str) -> dict[str, str]:
    return {"expression": expression, "message": f"{MESSAGE}, {rest}", "reason": "Forbidden"}
