"""Whether a pod gets a sidecar, and why not. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from speechpool.settings import shown
from speechpool_operator import names
from speechpool_operator.injection.pods import containers, is_windows, items, mapping
from speechpool_operator.injection.sidecar import VOLUMES

__all__ = ["Outcome", "explained", "outcome"]


class Outcome(StrEnum):
    """What became of a pod."""

    INJECTED = "Injected"
    """It has a sidecar now."""
    ALREADY_INJECTED = "AlreadyInjected"
    """It had one: it is admitted for the second time, or somebody added one by hand."""
    NOT_ASKED_FOR = "NotAskedFor"
    """Neither the pod nor its namespace asks for one."""
    OPTED_OUT = "OptedOut"
    """Its label says that it wants none."""
    UNKNOWN_LABEL = "UnknownLabel"
    """Its label says something else than true or false."""
    NAME_TAKEN = "NameTaken"
    """A container or a volume of its own has a name that the sidecar needs."""
    WINDOWS = "Windows"
    """It is for Windows nodes, for which there is no sidecar."""
    STATIC_POD = "StaticPod"
    """The kubelet made it from a file of the node: nobody else may change it."""

    @property
    def is_refusal(self) -> bool:
        """Whether somebody asked for a sidecar that cannot be."""
        return self in _REFUSALS


_REFUSALS: Final = {Outcome.UNKNOWN_LABEL, Outcome.NAME_TAKEN, Outcome.WINDOWS, Outcome.STATIC_POD}

_STATIC: Final = "kubernetes.io/config.mirror"


def outcome(metadata: Mapping[str, Any], spec: Mapping[str, Any], *, namespace_asks: bool) -> Outcome:
    """Decide about one pod.

    Args:
        metadata: The pod's.
        spec: The pod's.
        namespace_asks: Whether its namespace's label asks for all its pods.
    """
    labels = mapping(metadata, "labels")
    if labels.get(names.INJECTED_LABEL) == names.ENABLED:
        return Outcome.ALREADY_INJECTED
    asked = labels.get(names.INJECT_LABEL)
    if asked == names.DISABLED:
        return Outcome.OPTED_OUT
    if asked is None and not namespace_asks:
        return Outcome.NOT_ASKED_FOR
    if asked not in (None, names.ENABLED):
        return Outcome.UNKNOWN_LABEL
    return _possible(metadata, spec)


def _possible(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Outcome:
    if _STATIC in mapping(metadata, "annotations"):
        return Outcome.STATIC_POD
    if is_windows(spec):
        return Outcome.WINDOWS
    return Outcome.NAME_TAKEN if _taken(spec) else Outcome.INJECTED


def _taken(spec: Mapping[str, Any]) -> str:
    if any(one.get("name") == names.SIDECAR_CONTAINER for one in containers(spec)):
        return f"container {names.SIDECAR_CONTAINER}"
    named = next((one["name"] for one in items(spec, "volumes") if one.get("name") in VOLUMES), None)
    return f"volume {named}" if named else ""


def explained(what: Outcome, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """One sentence for who made the pod: why it has no sidecar, and what to do; empty where there is nothing to say."""
    match what:
        case Outcome.UNKNOWN_LABEL:
            asked = mapping(metadata, "labels").get(names.INJECT_LABEL)
            return f'no sidecar: label {names.INJECT_LABEL} must be "true" or "false"; got {shown(asked)}'
        case Outcome.NAME_TAKEN:
            return (
                f"no sidecar: the pod has a {_taken(spec)} of its own; rename it, or, where that is a sidecar added by "
                f'hand, set label {names.INJECTED_LABEL}: "{names.ENABLED}"'
            )
        case Outcome.WINDOWS:
            return "no sidecar: there is none for Windows"
        case Outcome.STATIC_POD:
            return "no sidecar: a static pod cannot be changed; add the sidecar to its file (speechpool inject)"
        case Outcome.ALREADY_INJECTED if not any(
            one.get("name") == names.SIDECAR_CONTAINER for one in containers(spec)
        ):
            return (
                f"no sidecar: label {names.INJECTED_LABEL} says that the pod has one, and no container is named "
                f"{names.SIDECAR_CONTAINER}; remove the label to have one"
            )
    return ""
