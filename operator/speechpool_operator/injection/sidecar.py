"""The sidecar's container and the volumes that it brings into a pod. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from speechpool_operator import names
from speechpool_operator.identity import AUDIENCE
from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.pods import containers, fs_group, is_guaranteed, items, mapping

__all__ = [
    "PORT_NAME",
    "SOCKET",
    "SOCKET_DIRECTORY",
    "SOCKET_VOLUME",
    "VOLUMES",
    "container",
    "volumes",
]

SOCKET_DIRECTORY: Final = "/run/speechpool"
SOCKET: Final = f"{SOCKET_DIRECTORY}/speechpool.sock"
"""Where applications find the sidecar; the sidecar's own default too."""

SOCKET_VOLUME: Final = "speechpool-socket"
OPERATOR_VOLUME: Final = "speechpool-operator"
STATE_VOLUME: Final = "speechpool-state"
CREDENTIALS_VOLUME: Final = "speechpool-credentials"
NO_TOKEN_VOLUME: Final = "speechpool-no-token"  # noqa: S105 -- a volume's name
VOLUMES: Final = (SOCKET_VOLUME, NO_TOKEN_VOLUME, OPERATOR_VOLUME, STATE_VOLUME, CREDENTIALS_VOLUME)
"""Every name that a pod's own volumes must not have."""

PORT_NAME: Final = "speechpool"
"""Of the port with the metrics: its number differs where an application has the usual one."""

_OPERATOR_DIRECTORY: Final = "/var/run/secrets/speechpool.dev"  # the default of operatorCaFile and operatorTokenFile
_STATE_DIRECTORY: Final = "/var/lib/speechpool"
_CREDENTIALS_DIRECTORY: Final = "/var/run/secrets/speechpool-credentials"
_API_TOKEN_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 -- a directory
_KEY: Final = "AZURE_SPEECH_KEY"
_PLACES: Final = ("AZURE_SPEECH_REGION", "AZURE_SPEECH_ENDPOINT")

_PROBE_MARGIN_SECONDS: Final = 60
"""By which the probe waits longer than the sidecar: starting the process counts too, on a busy node for long. A guess;
a start takes 2 s (docs/benchmarks.md)."""

_EXEC_PERIOD_SECONDS: Final = 2  # each look starts a process
_GRACE_MARGIN_SECONDS: Final = 5.0
"""Between the end of the sidecar's own patience and SIGKILL, as its default has it for a pod's 30 s."""

_DEFAULT_GRACE_SECONDS: Final = 30
_NO_USER: Final = 65532  # where the namespace decides the uid, and the pod wants root


def container(config: InjectorConfig, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The sidecar.

    Args:
        config: How it shall be.
        spec: Of the pod that it comes into.
    """
    port = None if spec.get("hostNetwork") else _free_port(config, spec)
    made: dict[str, Any] = {
        "name": names.SIDECAR_CONTAINER,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "restartPolicy": "Always",
        "env": [*_environment(config, spec, port), *config.env],
        "resources": _resources(config, spec),
        "securityContext": _security_context(config, spec),
        "startupProbe": _startup_probe(config, port),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(_mounts(config)),
    }
    if port:
        made["ports"] = [{"name": PORT_NAME, "containerPort": port, "protocol": "TCP"}]
        made["livenessProbe"] = _liveness_probe(port)
    return made


def volumes(config: InjectorConfig, *, has_ca: bool) -> list[dict[str, Any]]:
    """The volumes that it needs.

    Args:
        config: How it shall be.
        has_ca: Whether the pod's annotation holds the CA.
    """
    made: list[dict[str, Any]] = [
        {"name": SOCKET_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": config.socket_volume_size}},
        {"name": NO_TOKEN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}},
    ]
    if config.operator:
        made.append({"name": STATE_VOLUME, "emptyDir": {"sizeLimit": config.state_volume_size}})
        made.append({"name": OPERATOR_VOLUME, "projected": {"sources": list(_operator_sources(config, has_ca))}})
    if config.credentials_secret:
        secret = {"secretName": config.credentials_secret, "optional": True}
        # the places are read from variables; their files tell a sidecar that waits for one that it has come
        entries = [{"key": key, "path": key} for key in (_KEY, *_PLACES)]
        made.append({"name": CREDENTIALS_VOLUME, "secret": secret | {"items": entries}})
    return made


def _is_azure(config: InjectorConfig) -> bool:
    """Whether the sidecar is told to use Azure: a Secret that is missing must not make it speak with another voice."""
    return (config.engine or ("azure" if config.credentials_secret else "")) == "azure"


def _operator_sources(config: InjectorConfig, has_ca: bool) -> Iterator[dict[str, Any]]:
    token = {"audience": AUDIENCE, "expirationSeconds": config.token_expiration_seconds, "path": "token"}
    yield {"serviceAccountToken": token}
    if has_ca:
        field = f"metadata.annotations['{names.OPERATOR_CA_ANNOTATION}']"
        yield {"downwardAPI": {"items": [{"path": "ca/admission.crt", "fieldRef": {"fieldPath": field}}]}}
    items_ = [{"key": names.CA_KEY, "path": "ca/current.crt"}]
    yield {"configMap": {"name": names.CA_CONFIG_MAP, "optional": True, "items": items_}}


def _mounts(config: InjectorConfig) -> Iterator[dict[str, Any]]:
    yield {"name": SOCKET_VOLUME, "mountPath": SOCKET_DIRECTORY}
    # where something is mounted already, the API server does not mount the application's own token
    yield {"name": NO_TOKEN_VOLUME, "mountPath": _API_TOKEN_DIRECTORY, "readOnly": True}
    if config.operator:
        yield {"name": STATE_VOLUME, "mountPath": _STATE_DIRECTORY}
        yield {"name": OPERATOR_VOLUME, "mountPath": _OPERATOR_DIRECTORY, "readOnly": True}
    if config.credentials_secret:
        yield {"name": CREDENTIALS_VOLUME, "mountPath": _CREDENTIALS_DIRECTORY, "readOnly": True}


# --- environment -----------------------------------------------------------------------------------------------------


def _environment(config: InjectorConfig, spec: Mapping[str, Any], port: int | None) -> Iterator[dict[str, Any]]:
    host = f"[{config.telemetry_host}]" if ":" in config.telemetry_host else config.telemetry_host
    values = {
        "SPEECHPOOL_SOCKET": SOCKET,
        # who shares the pod's group may speak; without a group nobody but root and the same uid could
        "SPEECHPOOL_SOCKET_MODE": "0666" if fs_group(spec) is None else "0660",
        "SPEECHPOOL_TELEMETRY_ADDRESS": f"{host}:{port}" if port else "",
        "SPEECHPOOL_STARTUP_WAIT": f"{config.startup_wait_seconds:g}",
        "SPEECHPOOL_SHUTDOWN_TIMEOUT": f"{_shutdown_seconds(spec):g}",
        "SPEECHPOOL_LOG_LEVEL": config.log_level,
        "SPEECHPOOL_LOG_FORMAT": config.log_format,
        "SPEECHPOOL_ENGINE": "azure" if _is_azure(config) else config.engine,
        "SPEECHPOOL_OPERATOR": config.operator,
        "SPEECHPOOL_STATE_DIR": _STATE_DIRECTORY if config.operator else "",
        "HTTPS_PROXY": config.https_proxy,
        "NO_PROXY": config.no_proxy,
    }
    yield from ({"name": name, "value": value} for name, value in values.items() if value)
    yield from _azure(config)


def _azure(config: InjectorConfig) -> Iterator[dict[str, Any]]:
    if config.engine not in {"", "azure"}:
        return
    place = {
        "AZURE_SPEECH_REGION": config.azure_region,
        "AZURE_SPEECH_ENDPOINT": config.azure_endpoint,
        "AZURE_SPEECH_RESOURCE_ID": config.azure_resource_id,
    }
    yield from ({"name": name, "value": value} for name, value in place.items() if value)
    if config.credentials_secret and not (config.azure_region or config.azure_endpoint):
        for name in _PLACES:
            key = {"name": config.credentials_secret, "key": name, "optional": True}
            yield {"name": name, "valueFrom": {"secretKeyRef": key}}
    # a region needs a key: without a Secret the sidecar starts all the same, and says which file is missing
    needs_key = config.credentials_secret or (_is_azure(config) and config.azure_region)
    if needs_key and not config.azure_resource_id:
        yield {"name": "AZURE_SPEECH_KEY_FILE", "value": f"{_CREDENTIALS_DIRECTORY}/{_KEY}"}


def _shutdown_seconds(spec: Mapping[str, Any]) -> float:
    grace = spec.get("terminationGracePeriodSeconds")
    seconds = float(grace if isinstance(grace, int) else _DEFAULT_GRACE_SECONDS)
    return min(max(seconds - _GRACE_MARGIN_SECONDS, seconds / 2, 0.0), 3600.0)


# --- probes, rights, resources ---------------------------------------------------------------------------------------


def _free_port(config: InjectorConfig, spec: Mapping[str, Any]) -> int:
    taken = {port.get("containerPort") for one in containers(spec) for port in items(one, "ports")}
    free = (port for port in range(config.telemetry_port, 1 << 16) if port not in taken)
    return next(free, config.telemetry_port)


def _startup_probe(config: InjectorConfig, port: int | None) -> dict[str, Any]:
    seconds = math.ceil(config.startup_wait_seconds) + _PROBE_MARGIN_SECONDS
    if port:
        action = {"httpGet": {"path": "/startupz", "port": port}}
        return action | {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": seconds}
    # in the node's own network another pod may have the port
    words = ["speechpool", "wait", "--started", "--quiet", "--timeout", "1"]
    timing = {"periodSeconds": _EXEC_PERIOD_SECONDS, "timeoutSeconds": 10}
    return {"exec": {"command": words}, **timing, "failureThreshold": math.ceil(seconds / _EXEC_PERIOD_SECONDS)}


def _liveness_probe(port: int) -> dict[str, Any]:
    # only for an event loop that stands still for a minute: a restart cuts every call
    timing = {"periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 6}
    return {"httpGet": {"path": "/healthz", "port": port}, **timing}


def _security_context(config: InjectorConfig, spec: Mapping[str, Any]) -> dict[str, Any]:
    user = config.run_as_user
    if user is None and mapping(spec, "securityContext").get("runAsUser") == 0:
        user = _NO_USER
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        **({} if user is None else {"runAsUser": user}),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(config: InjectorConfig, spec: Mapping[str, Any]) -> dict[str, Any]:
    if mapping(spec, "resources"):
        return {}  # the pod as a whole has its resources, of which the containers' must not be more
    if is_guaranteed(spec):
        both = {"cpu": config.guaranteed_cpu, "memory": config.memory_limit or config.memory_request}
        if all(both.values()):
            return {"requests": dict(both), "limits": dict(both)}
    made = {
        "requests": {"cpu": config.cpu_request, "memory": config.memory_request},
        "limits": {"cpu": config.cpu_limit, "memory": config.memory_limit},
    }
    set_ones = {kind: {what: much for what, much in values.items() if much} for kind, values in made.items()}
    return {kind: values for kind, values in set_ones.items() if values}
