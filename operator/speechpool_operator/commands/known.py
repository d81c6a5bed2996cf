"""What the API server alone knows of the sidecars, for when the operator does not answer. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from speechpool_operator.fleet import Fleet
from speechpool_operator.names import NOT_INJECTED_ANNOTATION, SIDECAR_CONTAINER
from speechpool_operator.objects import SpeechPool, read_pod, read_speech_pool
from speechpool_operator.sidecars import Sidecar
from speechpool_operator.workloads import image_tag

__all__ = ["looked_at", "sidecar_container", "sidecars_of"]

_ENDED = ("Succeeded", "Failed")


def sidecars_of(pods: Iterable[Mapping[str, Any]], pools: Iterable[Mapping[str, Any]]) -> tuple[Sidecar, ...]:
    """Every pod that has a sidecar or asks for one, and the SpeechPool that it follows.

    Args:
        pods: Pods, as the API server has them.
        pools: The SpeechPools of their namespaces, likewise. The platform's default object is known only where it is
            among them, and is recognised by its scope.
    """
    living = [pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED]
    fleet = _fleet(living, [pool for pool in map(read_speech_pool, pools) if pool])
    found = [_sidecar(pod, fleet) for pod in living if pod["metadata"]["uid"] in fleet.members]
    return tuple(sorted(found, key=lambda one: (one.namespace, one.pod)))


def sidecar_container(pod: Mapping[str, Any], part: str = "spec") -> Mapping[str, Any]:
    """The sidecar of a pod; empty where it has none.

    Args:
        pod: As the API server has it.
        part: `spec` for what it should be, `status` for how it is.
    """
    listed = (pod.get(part) or {}).get("initContainers" if part == "spec" else "initContainerStatuses") or ()
    return next((one for one in listed if one.get("name") == SIDECAR_CONTAINER), {})


def looked_at(one: Sidecar, pod: Mapping[str, Any]) -> Sidecar:
    """What is known of a sidecar that does not connect, with what its pod says: one without a container never will.

    Args:
        one: As the operator knows it, which sees labels and no containers.
        pod: As the API server has it.
    """
    spec = pod.get("spec") or {}
    containers = [each for part in ("initContainers", "containers") for each in spec.get(part) or ()]
    if any(map(_is_sidecar, containers)):
        return one
    return replace(one, missing=True, error=one.error or _bare(pod["metadata"]))


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    """The injector's, or one that was added by hand, under whatever name: it has to know its operator."""
    variables = [each.get("name") for each in container.get("env") or ()]
    return container.get("name") == SIDECAR_CONTAINER or "SPEECHPOOL_OPERATOR" in variables


def _bare(metadata: Mapping[str, Any]) -> str:
    reason = (metadata.get("annotations") or {}).get(NOT_INJECTED_ANNOTATION)
    told = f"no container was injected ({reason}): see the pod's events; then" if reason else "no sidecar container:"
    return f"{told} make the pod anew, as with kubectl rollout restart"


def _fleet(pods: Iterable[Mapping[str, Any]], pools: list[SpeechPool]) -> Fleet:
    default = next((pool.namespace for pool in pools if pool.is_default), "")
    fleet = Fleet(default, clock=lambda: 0.0)
    fleet.keep_pools(pools)
    fleet.keep_pods(one for one in map(read_pod, pods) if one and one.wants_sidecar)
    return fleet


def _sidecar(pod: Mapping[str, Any], fleet: Fleet) -> Sidecar:
    metadata = pod["metadata"]
    winner = fleet.members[metadata["uid"]].choice.winner
    pool = fleet.entries[winner].pool if winner else None
    status = sidecar_container(pod, "status")
    return Sidecar(
        namespace=metadata["namespace"],
        pod=metadata["name"],
        uid=metadata["uid"],
        pool="/".join(winner) if winner else "",
        wanted_generation=pool.generation if pool else None,
        missing=not sidecar_container(pod),
        ready=status.get("started") is True,
        version=image_tag(str(sidecar_container(pod).get("image", ""))),
        error=_error(metadata, status, pool) or ("" if sidecar_container(pod) else _bare(metadata)),
    )


def _error(metadata: Mapping[str, Any], status: Mapping[str, Any], pool: SpeechPool | None) -> str:
    """What the object's status last said of this pod, or why its sidecar does not run."""
    last = pool.status.get("lastError") if pool else None
    if isinstance(last, Mapping) and last.get("pod") in (
        metadata["name"],
        f"{metadata['namespace']}/{metadata['name']}",
    ):
        return str(last.get("message", ""))
    waiting = (status.get("state") or {}).get("waiting") or {}
    return ": ".join(str(waiting[part]) for part in ("reason", "message") if waiting.get(part))
