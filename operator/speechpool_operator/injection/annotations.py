"""What a pod wants of its sidecar: its annotations over what the platform decided. Pure.

What cannot be used is left aside, and the platform's value holds: a typing error must not keep a pod from starting.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from speechpool.settings import shown
from speechpool.settings.kinds import Kind, Refused
from speechpool.settings.layers import nearest
from speechpool_operator import names
from speechpool_operator.injection.config import CPU, MEMORY, InjectorConfig, knob_kind
from speechpool_operator.injection.kinds import ObjectName
from speechpool_operator.injection.quantities import amount

__all__ = ["Wanted", "wanted"]

_PREFIX: Final = f"{names.GROUP}/"

_SETTINGS: Final[Mapping[str, tuple[str, Kind[Any]]]] = {
    names.ENGINE_ANNOTATION: ("engine", knob_kind("engine")),
    names.CREDENTIALS_SECRET_ANNOTATION: ("credentials_secret", ObjectName()),
    names.AZURE_REGION_ANNOTATION: ("azure_region", knob_kind("azure_speech_region")),
    names.AZURE_ENDPOINT_ANNOTATION: ("azure_endpoint", knob_kind("azure_speech_endpoint")),
    names.CPU_REQUEST_ANNOTATION: ("cpu_request", CPU),
    names.MEMORY_REQUEST_ANNOTATION: ("memory_request", MEMORY),
    names.MEMORY_LIMIT_ANNOTATION: ("memory_limit", MEMORY),
    names.STARTUP_WAIT_ANNOTATION: ("startup_wait_seconds", knob_kind("startup_wait_seconds")),
    names.LOG_LEVEL_ANNOTATION: ("log_level", knob_kind("log_level")),
}

_OTHERS: Final = {
    names.POOL_ANNOTATION,
    names.OPERATOR_CA_ANNOTATION,
    names.NOT_INJECTED_ANNOTATION,
    names.INJECTION_WARNINGS_ANNOTATION,
}
"""Known, and not read here."""

_LABELS: Final = {names.INJECT_LABEL, names.INJECTED_LABEL}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one pod's sidecar shall be.

    Args:
        config: The platform's, with what the pod's annotations say in its place.
        warnings: What was left aside, and what holds instead.
    """

    config: InjectorConfig
    warnings: tuple[str, ...]


def wanted(annotations: Mapping[str, Any], labels: Mapping[str, Any], config: InjectorConfig) -> Wanted:
    """Read a pod's metadata.

    Args:
        annotations: The pod's.
        labels: The pod's.
        config: What holds where they say nothing.
    """
    values: dict[str, Any] = {}
    warnings = [*_misplaced(labels)]
    for name, value in annotations.items():
        if not name.startswith(_PREFIX):
            continue
        if name in _SETTINGS:
            warnings.extend(_read(name, value, values))
        elif name not in _OTHERS:
            warnings.append(_unknown(name))
    warnings.extend(_unusable_engine(values, config))
    warnings.extend(_wrong_place(values))
    warnings.extend(_unordered_memory(values))
    merged = _merged(config, values)
    if merged.engine == "azure" and not _knows_azure(merged):
        # the sidecar would end at once, again and again, and the application never start
        merged = replace(merged, engine="")
        warnings.append(_NO_PLACE)
    return Wanted(merged, tuple(warnings))


def _read(name: str, value: object, values: dict[str, Any]) -> Iterator[str]:
    field, kind = _SETTINGS[name]
    try:
        values[field] = kind.of_text(value.strip()) if isinstance(value, str) and value.strip() else _refuse()
    except Refused:
        yield f"{name} is ignored: it must be {kind.expected}; got {shown(value)}"


def _refuse() -> NoReturn:
    raise Refused


def _unknown(name: str) -> str:
    if name in _LABELS:
        return f"annotation {name} is ignored: it is a label"
    return f"annotation {shown(name)} is unknown and ignored.{nearest(name, _SETTINGS.keys() | _OTHERS)}"


def _misplaced(labels: Mapping[str, Any]) -> Iterator[str]:
    for name in labels:
        if name in _SETTINGS or name in _OTHERS:
            yield f"label {name} is ignored: it is an annotation"
        elif name.startswith(_PREFIX) and name not in _LABELS:
            yield f"label {shown(name)} is unknown and ignored.{nearest(name, _LABELS)}"


def _unusable_engine(values: dict[str, Any], config: InjectorConfig) -> Iterator[str]:
    engine = values.get("engine")
    if engine and engine not in config.engines:
        del values["engine"]
        yield f"{names.ENGINE_ANNOTATION} is ignored: it must be one of {', '.join(config.engines)}; got {engine!r}"


def _wrong_place(values: dict[str, Any]) -> Iterator[str]:
    if "azure_region" in values and "azure_endpoint" in values:
        del values["azure_region"]
        yield f"{names.AZURE_REGION_ANNOTATION} is ignored: {names.AZURE_ENDPOINT_ANNOTATION} says where"


def _unordered_memory(values: dict[str, Any]) -> Iterator[str]:
    request, limit = values.get("memory_request"), values.get("memory_limit")
    if request and limit and amount(request) > amount(limit):
        del values["memory_request"], values["memory_limit"]
        yield (
            f"{names.MEMORY_REQUEST_ANNOTATION} and {names.MEMORY_LIMIT_ANNOTATION} are ignored: {request} is more "
            f"than {limit}"
        )


_NO_PLACE: Final = (
    f"engine azure is left aside: nothing says where it is; set annotation {names.AZURE_REGION_ANNOTATION} or "
    f"{names.CREDENTIALS_SECRET_ANNOTATION}"
)


def _knows_azure(config: InjectorConfig) -> bool:
    has_file = any(one["name"] == "SPEECHPOOL_CONFIG" for one in config.env)
    return bool(has_file or config.azure_region or config.azure_endpoint or config.credentials_secret)


def _merged(config: InjectorConfig, values: dict[str, Any]) -> InjectorConfig:
    merged = replace(config, **values)
    if "azure_region" in values:
        merged = replace(merged, azure_endpoint="")
    if "azure_endpoint" in values:
        merged = replace(merged, azure_region="")
    return replace(
        merged,
        guaranteed_cpu=values.get("cpu_request", merged.guaranteed_cpu),
        cpu_limit=_at_least(merged.cpu_limit, merged.cpu_request),
        # the one that the pod gave holds, and the other follows
        memory_limit=_at_least(merged.memory_limit, "" if "memory_limit" in values else merged.memory_request),
        memory_request=_at_most(merged.memory_request, merged.memory_limit if "memory_limit" in values else ""),
    )


def _at_least(limit: str, request: str) -> str:
    return request if limit and request and amount(request) > amount(limit) else limit


def _at_most(request: str, limit: str) -> str:
    return limit if request and limit and amount(request) > amount(limit) else request
