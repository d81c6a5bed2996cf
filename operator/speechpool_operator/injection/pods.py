"""What a pod's manifest says that decides about its sidecar. Pure; whatever the manifest is, nothing raises.

A manifest is what JSON or YAML gives, so its mappings are dicts: to ask for any Mapping takes ten times as long.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from speechpool_operator.injection.quantities import amount

__all__ = [
    "MESH_PROXIES",
    "containers",
    "fs_group",
    "has_native_mesh_proxy",
    "is_guaranteed",
    "is_windows",
    "items",
    "mapping",
    "native",
    "sidecar_index",
]

MESH_PROXIES: Final = frozenset({"istio-proxy", "linkerd-proxy", "consul-dataplane", "kuma-sidecar"})
"""Containers that carry the pod's traffic: before them, what they redirect goes nowhere."""


def mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping within another; empty where there is none."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def items(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A list of mappings within a mapping; empty where there is none."""
    found = values.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every container, those that initialise the pod first."""
    yield from items(spec, "initContainers")
    yield from items(spec, "containers")


def native(container: Mapping[str, Any]) -> bool:
    """Whether an init container runs beside the application until its end."""
    return container.get("restartPolicy") == "Always"


def sidecar_index(spec: Mapping[str, Any]) -> int:
    """Where among the init containers the sidecar belongs: first, or right after what it needs for its network."""
    proxies = [at for at, one in enumerate(items(spec, "initContainers")) if _is_mesh(one) and native(one)]
    return proxies[-1] + 1 if proxies else 0


def has_native_mesh_proxy(spec: Mapping[str, Any]) -> bool | None:
    """Whether the mesh's proxy runs from the start; None where the pod is in no mesh that is known."""
    if sidecar_index(spec):
        return True
    return False if any(_is_mesh(one) for one in items(spec, "containers")) else None


def _is_mesh(container: Mapping[str, Any]) -> bool:
    return container.get("name") in MESH_PROXIES


def fs_group(spec: Mapping[str, Any]) -> int | None:
    """The group that owns the pod's volumes; None where it has none."""
    found = mapping(spec, "securityContext").get("fsGroup")
    return found if isinstance(found, int) else None


def is_windows(spec: Mapping[str, Any]) -> bool:
    """Whether the pod is for Windows nodes."""
    by_selector = mapping(spec, "nodeSelector").get("kubernetes.io/os")
    return "windows" in (mapping(spec, "os").get("name"), by_selector)


def is_guaranteed(spec: Mapping[str, Any]) -> bool:
    """Whether the pod's QoS class is Guaranteed: each container has limits, and asks for all of them."""
    every = list(containers(spec))
    return bool(every) and all(_is_bounded(mapping(one, "resources")) for one in every)


def _is_bounded(resources: Mapping[str, Any]) -> bool:
    limits, requests = mapping(resources, "limits"), mapping(resources, "requests")
    try:
        return all(
            amount(limits.get(what)) == amount(requests.get(what, limits.get(what))) > 0 for what in ("cpu", "memory")
        )
    except ValueError:  # not set, or not to be read
        return False
