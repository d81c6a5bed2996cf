"""What the platform decided about sidecars: the injector's settings that end up in pods. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from speechpool.settings import PROCESS_KNOBS, settings_error, shown
from speechpool.settings.kinds import Choice, Integer, Kind, Refused, Text
from speechpool.settings.layers import nearest
from speechpool_operator.injection.kinds import Image, ObjectName, Quantity
from speechpool_operator.injection.quantities import amount

__all__ = ["CPU", "MEMORY", "OWN_VARIABLES", "SETTINGS", "InjectorConfig", "knob_kind", "read_config"]

CPU: Final = Quantity("1m", "64")
"""What a sidecar may ask for, in cores."""

MEMORY: Final = Quantity("64Mi", "64Gi")
"""Likewise, in bytes. An idle sidecar takes 52 MB (docs/benchmarks.md), and one that is killed for want of more takes
the calls with it."""

VOLUME: Final = Quantity("64Ki", "16Gi")

MAX_ENV: Final = 64
"""Most further variables of a sidecar; a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectorConfig:
    """How sidecars are made. A pod's annotations replace some of it for its own.

    Args:
        image: The sidecar's image.
        image_pull_policy: Always, IfNotPresent or Never.
        image_pull_secrets: Names of Secrets in the pod's namespace, added to the pod's own.
        operator: host:port; empty where there is none: then there is no token either.
        engines: Those that the image has.
        engine: One of them; empty: the sidecar chooses by its credentials.
        azure_region: Of the Azure Speech resource; empty where not set.
        azure_endpoint: In place of a region; empty where not set.
        azure_resource_id: For Microsoft Entra ID in place of a key; empty where not set.
        credentials_secret: Name of a Secret in the pod's namespace; empty for none.
        log_level: Of the sidecar.
        log_format: Of the sidecar.
        startup_wait_seconds: Longest time for which the sidecar holds up the application.
        cpu_request: Empty for none.
        cpu_limit: Empty for none, so that nothing slows the sidecar down.
        guaranteed_cpu: Request and limit in a pod whose QoS class is Guaranteed.
        memory_request: Empty for none.
        memory_limit: Empty for none.
        telemetry_host: Address at which probes and metrics are answered; `::` is every one of both families, for the
            kubelet asks at the pod's own.
        telemetry_port: The first port that is tried.
        run_as_user: The sidecar's uid; None where the namespace decides it (OpenShift).
        token_expiration_seconds: Life of the token that the operator is shown.
        socket_volume_size: Bound of the volume with the socket.
        state_volume_size: Bound of the volume with the last good settings.
        https_proxy: URL of the proxy on the way out; empty for none.
        no_proxy: What is reached without it.
        env: Further variables, each as a container has it.
    """

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    operator: str = ""
    engines: tuple[str, ...] = ("azure", "local")
    engine: str = ""
    azure_region: str = ""
    azure_endpoint: str = ""
    azure_resource_id: str = ""
    credentials_secret: str = ""
    log_level: str = "info"
    log_format: str = "json"
    startup_wait_seconds: float = 30.0
    cpu_request: str = "100m"
    cpu_limit: str = ""
    guaranteed_cpu: str = "500m"
    memory_request: str = "128Mi"
    memory_limit: str = "512Mi"
    telemetry_host: str = "::"
    telemetry_port: int = 15790
    run_as_user: int | None = 65532
    token_expiration_seconds: int = 3600
    socket_volume_size: str = "1Mi"
    state_volume_size: str = "16Mi"
    https_proxy: str = ""
    no_proxy: str = ""
    env: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)


def knob_kind(name: str) -> Kind[Any]:
    """What one of the sidecar's own settings may be, by its name in Python."""
    return next(knob.kind for knob in PROCESS_KNOBS if knob.name == name)


@dataclass(frozen=True, slots=True)
class _OneOf(Kind[tuple[str, ...]]):
    """A list of texts of one kind."""

    each: Kind[str]
    maximum: int

    @property
    def expected(self) -> str:
        return f"a list of at most {self.maximum}, each {self.each.expected}"

    def of_text(self, _text: str) -> tuple[str, ...]:
        raise Refused

    def of_value(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > self.maximum:
            raise Refused
        return tuple(self.each.of_value(one) for one in value)


class _Env(Kind[tuple[Mapping[str, Any], ...]]):
    """Variables as a container has them."""

    @property
    def expected(self) -> str:
        return f"a list of at most {MAX_ENV} variables, each with name and value or valueFrom, no name twice"

    def of_text(self, _text: str) -> tuple[Mapping[str, Any], ...]:
        raise Refused

    def of_value(self, value: object) -> tuple[Mapping[str, Any], ...]:
        if not isinstance(value, list) or len(value) > MAX_ENV:
            raise Refused
        names = [_variable(one) for one in value]
        if len(set(names)) < len(names):
            raise Refused
        return tuple(value)


def _variable(one: object) -> str:
    if not isinstance(one, dict) or not isinstance(name := one.get("name"), str) or not name:
        raise Refused
    if "valueFrom" in one:
        if not isinstance(one["valueFrom"], dict) or set(one) != {"name", "valueFrom"}:
            raise Refused
    elif not isinstance(one.get("value", ""), str) or not set(one) <= {"name", "value"}:
        raise Refused
    return name


_ENGINE: Final = knob_kind("engine")
_PROXY: Final = Text(
    "a proxy's URL, as http://proxy.example.org:3128 (http:// and a port)",
    r"http://(?:[^@:/\s]{1,128}(?::[^@/\s]{0,256})?@)?[A-Za-z0-9._-]{1,253}:[0-9]{1,5}/?",
    700,
)

SETTINGS: Final[Mapping[str, tuple[str, Kind[Any]]]] = {
    "image": ("image", Image()),
    "imagePullPolicy": ("image_pull_policy", Choice(("Always", "IfNotPresent", "Never"), make=str)),
    "imagePullSecrets": ("image_pull_secrets", _OneOf(ObjectName(), 16)),
    "operator": ("operator", knob_kind("operator")),
    "engines": ("engines", _OneOf(_ENGINE, 16)),
    "engine": ("engine", _ENGINE),
    "azureRegion": ("azure_region", knob_kind("azure_speech_region")),
    "azureEndpoint": ("azure_endpoint", knob_kind("azure_speech_endpoint")),
    "azureResourceId": ("azure_resource_id", knob_kind("azure_speech_resource_id")),
    "credentialsSecret": ("credentials_secret", ObjectName()),
    "logLevel": ("log_level", knob_kind("log_level")),
    "logFormat": ("log_format", knob_kind("log_format")),
    "startupWaitSeconds": ("startup_wait_seconds", knob_kind("startup_wait_seconds")),
    "resources.requests.cpu": ("cpu_request", CPU),
    "resources.requests.memory": ("memory_request", MEMORY),
    "resources.limits.cpu": ("cpu_limit", CPU),
    "resources.limits.memory": ("memory_limit", MEMORY),
    "guaranteedCpu": ("guaranteed_cpu", CPU),
    "telemetryHost": ("telemetry_host", Text("0.0.0.0 or ::", r"0\.0\.0\.0|::", 7)),
    "telemetryPort": ("telemetry_port", Integer(1024, 65535)),
    "runAsUser": ("run_as_user", Integer(1, 2**31 - 1)),
    "tokenExpirationSeconds": ("token_expiration_seconds", Integer(600, 86_400)),  # 600: the API server's least
    "socketVolumeSize": ("socket_volume_size", VOLUME),
    "stateVolumeSize": ("state_volume_size", VOLUME),
    "egressProxy.https": ("https_proxy", _PROXY),
    "egressProxy.noProxy": ("no_proxy", Text("hosts and networks, separated by commas", r"[!-~ ]{1,4096}", 4096)),
    "env": ("env", _Env()),
}
"""Every key of the file: its name in Python and what it may be."""

_MAY_BE_NULL: Final = {"run_as_user"}
_GROUPS: Final = {"resources", "resources.requests", "resources.limits", "egressProxy"}


def read_config(tree: object) -> InjectorConfig:
    """Read the file's content.

    Args:
        tree: As YAML gives it. Null, or an empty text, means that a key is not set: for `resources` that there is none.

    Raises:
        SettingsError: It is wrong; each problem names its key, the value and what to do.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for path, value in _leaves(tree, "", problems):
        if path not in SETTINGS:
            problems.append(f"{path} is unknown.{nearest(path, SETTINGS)}")
            continue
        name, kind = SETTINGS[path]
        if value is None or value == "":
            values |= _unset(path, name)
            continue
        try:
            values[name] = _value(kind, value)
        except Refused:
            problems.append(f"{path} must be {kind.expected}; got {shown(value)}")
    problems.extend(_missing(values, problems))
    if problems:
        raise settings_error(problems)
    return _checked(InjectorConfig(**values))


def _leaves(tree: object, prefix: str, problems: list[str]) -> Iterator[tuple[str, object]]:
    if not isinstance(tree, Mapping):
        where = prefix.rstrip(".") or "the file"
        problems.append(f"{where} must be a mapping; got {shown(tree)}")
        return
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path in _GROUPS:
            yield from _leaves({} if value is None else value, f"{path}.", problems)
        else:
            yield path, value


def _unset(path: str, name: str) -> dict[str, Any]:
    if name in _MAY_BE_NULL:
        return {name: None}
    return {name: ""} if path.startswith("resources.") else {}


def _value(kind: Kind[Any], value: object) -> object:
    read: object = kind.of_value(value)
    if kind is SETTINGS["operator"][1]:
        return "" if read is None else str(read)
    return read


def _missing(values: Mapping[str, Any], problems: list[str]) -> Iterator[str]:
    if "image" not in values and not any(one.startswith("image ") for one in problems):
        yield "image is not set: name the sidecar's image"


def _checked(config: InjectorConfig) -> InjectorConfig:
    problems = [*_wrong_order(config), *_wrong_engine(config), *_wrong_env(config)]
    if config.azure_region and config.azure_endpoint:
        problems.append("azureRegion and azureEndpoint are set, and only one can hold. Remove the other")
    if problems:
        raise settings_error(problems)
    return config


def _wrong_order(config: InjectorConfig) -> Iterator[str]:
    for what in ("cpu", "memory"):
        request, limit = getattr(config, f"{what}_request"), getattr(config, f"{what}_limit")
        if request and limit and amount(request) > amount(limit):
            yield f"resources.requests.{what} must be at most resources.limits.{what}; got {request} and {limit}"


def _wrong_engine(config: InjectorConfig) -> Iterator[str]:
    if config.engine and config.engine not in config.engines:
        yield f"engine must be one of engines ({', '.join(config.engines)}); got {config.engine}"


def _wrong_env(config: InjectorConfig) -> Iterator[str]:
    for one in config.env:
        if one["name"] in OWN_VARIABLES:
            yield f"env must not have {one['name']}: {OWN_VARIABLES[one['name']]}"


OWN_VARIABLES: Final = {
    "SPEECHPOOL_SOCKET": "applications find the socket at the one place",
    "SPEECHPOOL_SOCKET_MODE": "it follows from the pod's fsGroup",
    "SPEECHPOOL_TELEMETRY_ADDRESS": "set telemetryPort",
    "SPEECHPOOL_STARTUP_WAIT": "set startupWaitSeconds",
    "SPEECHPOOL_SHUTDOWN_TIMEOUT": "it follows from the pod's terminationGracePeriodSeconds",
    "SPEECHPOOL_STATE_DIR": "it is a volume of the sidecar's own",
    "SPEECHPOOL_LOG_LEVEL": "set logLevel",
    "SPEECHPOOL_LOG_FORMAT": "set logFormat",
    "SPEECHPOOL_ENGINE": "set engine",
    "SPEECHPOOL_OPERATOR": "set operator",
    "AZURE_SPEECH_REGION": "set azureRegion",
    "AZURE_SPEECH_ENDPOINT": "set azureEndpoint",
    "AZURE_SPEECH_RESOURCE_ID": "set azureResourceId",
    "AZURE_SPEECH_KEY": "put the key into a Secret and name it in credentialsSecret",
    "AZURE_SPEECH_KEY_FILE": "put the key into a Secret and name it in credentialsSecret",
    "HTTPS_PROXY": "set egressProxy.https",
    "NO_PROXY": "set egressProxy.noProxy",
}
"""Variables that the injector sets itself, and what to do in place of giving them."""
