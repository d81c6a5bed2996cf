"""What of a Deployment says whether it is well. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Workload", "component", "image_tag", "workload"]

_COMPONENT_LABEL = "app.kubernetes.io/component"
_VERSION_LABEL = "app.kubernetes.io/version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One Deployment.

    Args:
        namespace: Its namespace.
        name: Its name.
        wanted: Replicas that it should have.
        available: Replicas that are available.
        version: As its label says; empty without.
        selector: Selects its pods, as kubectl's `-l`.
        problem: What its conditions complain of; else empty.
    """

    namespace: str
    name: str
    wanted: int
    available: int
    version: str
    selector: str
    problem: str


def component(deployments: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Those of one part of the installation."""
    return [one for one in deployments if (one["metadata"].get("labels") or {}).get(_COMPONENT_LABEL) == name]


def workload(deployment: Mapping[str, Any]) -> Workload:
    """Read a Deployment."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    conditions = status.get("conditions") or ()
    return Workload(
        namespace=metadata["namespace"],
        name=metadata["name"],
        wanted=int(spec.get("replicas", 1)),
        available=int(status.get("availableReplicas", 0)),
        version=str((metadata.get("labels") or {}).get(_VERSION_LABEL, "")),
        selector=",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        problem="\n".join(str(one.get("message", "")) for one in conditions if _complains(one)),
    )


def image_tag(image: str) -> str:
    """The tag of an image's name; empty without."""
    name, _, _ = image.partition("@")
    return name.rpartition("/")[2].partition(":")[2]


def _complains(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == ("True" if condition.get("type") == "ReplicaFailure" else "False")
