"""Frozen views of pods that have a sidecar, with what an upgrade must know of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechpool_operator.names import SIDECAR_CONTAINER

__all__ = ["SidecarPod", "read_sidecar_pod", "repository"]

_STARTING = ("PodInitializing", "ContainerCreating")
"""Why a container waits that has never been tried; every other reason is a failure (kubelet's events)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarPod:
    """One pod with a sidecar.

    Args:
        namespace: Its namespace.
        name: Its name.
        uid: Its uid.
        owner: The uid of its controller, a ReplicaSet or another; its own where it has none.
        index: The sidecar's place among the initContainers.
        image: The sidecar's, as the pod's spec says.
        container: The id of the container that runs; empty where none does.
        restarts: How often its container was started again.
        is_started: Whether the kubelet saw it start: its startup probe has passed.
        is_running: Whether the pod has begun its application and has not ended.
        is_broken: Whether the sidecar's container cannot be started, or ends again and again.
        is_terminating: Whether the pod is being deleted.
    """

    namespace: str
    name: str
    uid: str
    owner: str
    index: int
    image: str
    container: str = ""
    restarts: int = 0
    is_started: bool = False
    is_running: bool = False
    is_broken: bool = False
    is_terminating: bool = False

    @property
    def shown(self) -> str:
        """As people are told of it."""
        return f"{self.namespace}/{self.name}"


def read_sidecar_pod(pod: Mapping[str, Any]) -> SidecarPod | None:
    """Read a pod; None where it has no sidecar that keeps running beside the application."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    listed = spec.get("initContainers") or ()
    found = [number for number, one in enumerate(listed) if _is_sidecar(one)]
    if not found:
        return None
    index = found[0]
    reported = [one for one in status.get("initContainerStatuses") or () if one.get("name") == SIDECAR_CONTAINER]
    container: Mapping[str, Any] = reported[0] if reported else {}
    state = container.get("state") or {}
    is_running = status.get("phase") == "Running"
    return SidecarPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        owner=_owner(metadata),
        index=index,
        image=str(listed[index].get("image") or ""),
        container=str(container.get("containerID") or "") if "running" in state else "",
        restarts=int(container.get("restartCount") or 0),
        is_started=container.get("started") is True and "running" in state,
        is_running=is_running,
        is_broken=_is_broken(state, is_running=is_running),
        is_terminating=metadata.get("deletionTimestamp") is not None,
    )


def repository(image: str) -> str:
    """An image's name without its tag and its digest."""
    name, _, _ = image.partition("@")
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("name") == SIDECAR_CONTAINER and container.get("restartPolicy") == "Always"


def _is_broken(state: Mapping[str, Any], *, is_running: bool) -> bool:
    if "terminated" in state:  # it stays so where a running pod got an image that cannot be pulled
        return is_running
    waits_for = str((state.get("waiting") or {}).get("reason") or "")
    return bool(waits_for) and waits_for not in _STARTING


def _owner(metadata: Mapping[str, Any]) -> str:
    owners = [one for one in metadata.get("ownerReferences") or () if one.get("controller")]
    return str(owners[0]["uid"] if owners else metadata["uid"])
