"""Brings a sidecar into a pod. Pure: a manifest in, a patch out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechpool_operator import names
from speechpool_operator.injection.annotations import wanted
from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.outcomes import Outcome, explained, outcome
from speechpool_operator.injection.patches import Operation, add, pointer
from speechpool_operator.injection.pods import MESH_PROXIES, has_native_mesh_proxy, items, mapping, sidecar_index
from speechpool_operator.injection.sidecar import (
    SOCKET,
    SOCKET_DIRECTORY,
    SOCKET_VOLUME,
    container,
    volumes,
)

__all__ = ["MAX_WARNINGS", "MAX_WARNING_CHARACTERS", "Injection", "inject"]

MAX_WARNINGS: Final = 12
MAX_WARNING_CHARACTERS: Final = 256
"""That much of one is shown, and 4,096 of all (AdmissionResponse.warnings of admission.k8s.io/v1)."""

_MAX_NOTE_CHARACTERS: Final = 1024
_SOCKET_VARIABLE: Final = "SPEECHPOOL_SOCKET"
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_ISTIO_PORTS: Final = "traffic.sidecar.istio.io/excludeInboundPorts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What becomes of one pod.

    Args:
        outcome: Whether it gets a sidecar, and why not.
        patch: What is changed.
        warnings: For who made the pod; each says what to do.
    """

    outcome: Outcome
    patch: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()


def inject(pod: Mapping[str, Any], config: InjectorConfig, *, namespace_asks: bool = False, ca: str = "") -> Injection:
    """Bring a sidecar into a pod that asks for one, or whose namespace does.

    Args:
        pod: Its manifest, or a pod template: metadata and spec.
        config: How sidecars are made.
        namespace_asks: Whether its namespace's label asks for all its pods.
        ca: Certificates that vouch for the operator, in PEM; empty where they are not known: the sidecar then waits
            for the ConfigMap that has them.
    """
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    what = outcome(metadata, spec, namespace_asks=namespace_asks)
    if what is not Outcome.INJECTED:
        return _refused(what, metadata, spec)
    wants = wanted(mapping(metadata, "annotations"), mapping(metadata, "labels"), config)
    made = wants.config
    changes, left_aside = _applications(spec)
    warnings = _bounded([*wants.warnings, *left_aside, *_doubts(spec)])
    sidecar = container(made, spec)
    operations = [
        *changes,
        *_init_containers(spec, sidecar),
        *_append(spec, "volumes", volumes(made, has_ca=bool(ca and made.operator))),
        *_pull_secrets(spec, made),
        *_metadata(metadata, _annotations(metadata, spec, sidecar, warnings, ca if made.operator else "")),
    ]
    return Injection(outcome=what, patch=tuple(operations), warnings=warnings)


def _refused(what: Outcome, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Injection:
    sentence = explained(what, metadata, spec)
    warnings = _bounded([sentence] if sentence else [])
    if not what.is_refusal or what is Outcome.STATIC_POD:
        return Injection(outcome=what, warnings=warnings)
    noted = {names.NOT_INJECTED_ANNOTATION: what.value, names.INJECTION_WARNINGS_ANNOTATION: "\n".join(warnings)}
    return Injection(outcome=what, patch=tuple(_members(metadata, "annotations", noted)), warnings=warnings)


def _bounded(warnings: list[str]) -> tuple[str, ...]:
    left = len(warnings) - MAX_WARNINGS
    shortened = [one[:MAX_WARNING_CHARACTERS] for one in warnings[:MAX_WARNINGS]]
    return (*shortened, f"{left} more warnings are not shown") if left > 0 else tuple(shortened)


# --- the pod's own containers ----------------------------------------------------------------------------------------


def _applications(spec: Mapping[str, Any]) -> tuple[list[Operation], list[str]]:
    """What its own containers get: the socket, those that initialise it after the sidecar too."""
    operations: list[Operation] = []
    warnings: list[str] = []
    inits = items(spec, "initContainers")
    for at in range(sidecar_index(spec), len(inits)):
        _connect(("initContainers", at), inits[at], operations, warnings)
    for at, one in enumerate(items(spec, "containers")):
        if one.get("name") not in MESH_PROXIES:
            _connect(("containers", at), one, operations, warnings)
    return operations, warnings


def _connect(where: tuple[str, int], one: Mapping[str, Any], operations: list[Operation], warnings: list[str]) -> None:
    path, named, env = pointer("spec", *where), f"container {one.get('name')}", items(one, "env")
    own = next((mount for mount in items(one, "volumeMounts") if _is_socket_place(mount)), None)
    if own:
        warnings.append(f"{named} does not get the socket: it mounts {own.get('name')} at {SOCKET_DIRECTORY}")
        return
    mount = {"name": SOCKET_VOLUME, "mountPath": SOCKET_DIRECTORY, "readOnly": True}
    if any(variable.get("name") == _SOCKET_VARIABLE for variable in env):
        warnings.append(f"{named} keeps its own {_SOCKET_VARIABLE}; the socket is {SOCKET}")
    elif env:  # first, so that later ones can refer to it
        operations.append(add(f"{path}/env/0", {"name": _SOCKET_VARIABLE, "value": SOCKET}))
    else:
        operations.append(add(f"{path}/env", [{"name": _SOCKET_VARIABLE, "value": SOCKET}]))
    operations.extend(_append(one, "volumeMounts", [mount], path))


def _is_socket_place(mount: Mapping[str, Any]) -> bool:
    return str(mount.get("mountPath", "")).rstrip("/") == SOCKET_DIRECTORY


# --- the pod ---------------------------------------------------------------------------------------------------------


def _init_containers(spec: Mapping[str, Any], sidecar: Mapping[str, Any]) -> Iterator[Operation]:
    if not items(spec, "initContainers"):
        yield add("/spec/initContainers", [sidecar])
    else:
        yield add(pointer("spec", "initContainers", sidecar_index(spec)), sidecar)


def _append(
    values: Mapping[str, Any], name: str, more: list[dict[str, Any]], path: str = "/spec"
) -> Iterator[Operation]:
    if not more:
        return
    if not items(values, name):
        yield add(f"{path}/{name}", more)
    else:
        yield from (add(f"{path}/{name}/-", one) for one in more)


def _pull_secrets(spec: Mapping[str, Any], config: InjectorConfig) -> Iterator[Operation]:
    there = {one.get("name") for one in items(spec, "imagePullSecrets")}
    missing = [{"name": name} for name in config.image_pull_secrets if name not in there]
    yield from _append(spec, "imagePullSecrets", missing)


def _metadata(metadata: Mapping[str, Any], annotations: Mapping[str, str]) -> Iterator[Operation]:
    if not metadata:  # a template may have none
        yield add("/metadata", {})
    yield from _members(metadata, "labels", {names.INJECTED_LABEL: names.ENABLED})
    yield from _members(metadata, "annotations", annotations)


def _members(metadata: Mapping[str, Any], name: str, values: Mapping[str, str]) -> Iterator[Operation]:
    if not values:
        return
    if not mapping(metadata, name):
        yield add(pointer("metadata", name), dict(values))
    else:
        yield from (add(pointer("metadata", name, key), value) for key, value in values.items())


def _annotations(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], sidecar: Mapping[str, Any], warnings: tuple[str, ...], ca: str
) -> dict[str, str]:
    there = mapping(metadata, "annotations")
    made = {}
    if ca:
        made[names.OPERATOR_CA_ANNOTATION] = ca
    if warnings:
        made[names.INJECTION_WARNINGS_ANNOTATION] = "\n".join(warnings)[:_MAX_NOTE_CHARACTERS]
    application = next((one for one in items(spec, "containers") if one.get("name") not in MESH_PROXIES), None)
    if application and _DEFAULT_CONTAINER not in there:
        made[_DEFAULT_CONTAINER] = str(application.get("name"))
    ports = [str(port["containerPort"]) for port in sidecar.get("ports", ())]
    if ports and _is_in_istio(spec):
        made |= _excluded_ports(str(there.get(_ISTIO_PORTS, "")), ports[0])
    return made


def _is_in_istio(spec: Mapping[str, Any]) -> bool:
    return any(
        one.get("name") == "istio-proxy" for name in ("initContainers", "containers") for one in items(spec, name)
    )


def _excluded_ports(there: str, port: str) -> dict[str, str]:
    # where the mesh wants mutual TLS it would refuse the kubelet, which has no certificate
    ports = [one.strip() for one in there.split(",") if one.strip()]
    return {} if port in ports or "*" in ports else {_ISTIO_PORTS: ",".join([*ports, port])}


def _doubts(spec: Mapping[str, Any]) -> Iterator[str]:
    if has_native_mesh_proxy(spec) is False:
        yield (
            "the mesh's proxy is an ordinary container, so that the sidecar starts before it and may not reach its "
            "engine until then: let the mesh use native sidecars"
        )
