"""Injection by hand: manifests in, the same manifests with sidecars out. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from speechpool.errors import SpeechPoolError
from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.injecting import Injection, inject
from speechpool_operator.injection.patches import applied

__all__ = ["ByHand", "CannotInject", "Changed", "read_manifests", "written"]

MAX_DEPTH: Final = 8
"""Deepest List within a List; kubectl writes one."""

_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}
"""Where the pod of each kind is."""


class CannotInject(SpeechPoolError):
    """A manifest cannot have a sidecar, or is none."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of one object.

    Args:
        name: As kubectl names it, as deployment/voice.
        injection: Of its pod; None where it has none.
    """

    name: str
    injection: Injection | None


def read_manifests(text: str, source: str) -> list[Any]:
    """The documents of a YAML or JSON text, without the empty ones.

    Args:
        text: As it was written.
        source: Where it comes from, for errors.

    Raises:
        CannotInject: It is no YAML.
    """
    try:
        # a subclass of SafeLoader
        return [one for one in yaml.load_all(text, _Loader) if one is not None]
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CannotInject(f"{source} must be YAML{where}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise CannotInject(f"{source} must be YAML") from None


class ByHand:
    """Brings sidecars into manifests.

    Args:
        config: How they are made.
        ca: Certificates that vouch for the operator, in PEM; empty where they are not known.
    """

    def __init__(self, config: InjectorConfig, *, ca: str = "") -> None:
        self._config = config
        self._ca = ca
        self.changed: list[Changed] = []
        """What became of each object so far."""

    def document(self, document: object, depth: int = 0) -> dict[str, Any]:
        """One document with sidecars in all its pods but those whose label refuses them.

        Args:
            document: As `read_manifests` gives it; it stays as it is.
            depth: Lists that it is in.

        Raises:
            CannotInject: It is no manifest, or its pod cannot have a sidecar.
        """
        if not isinstance(document, dict) or not isinstance(kind := document.get("kind"), str):
            raise CannotInject("each document must be a manifest with a kind")
        if isinstance(document.get("items"), list) and kind.endswith("List"):
            if depth == MAX_DEPTH:
                raise CannotInject(f"lists must be at most {MAX_DEPTH} deep")
            return document | {"items": [self.document(one, depth + 1) for one in document["items"]]}
        name = _name(document, kind)
        if kind not in _TEMPLATES:
            self.changed.append(Changed(name, None))
            return document
        return self._with_sidecar(document, _TEMPLATES[kind], name)

    def _with_sidecar(self, document: dict[str, Any], path: tuple[str, ...], name: str) -> dict[str, Any]:
        pod = _pod(document, path, name)
        made = inject(pod, self._config, namespace_asks=True, ca=self._ca)
        if made.outcome.is_refusal:
            raise CannotInject(f"{name}: {made.warnings[0]}")
        self.changed.append(Changed(name, made))
        return _replaced(document, path, applied(pod, made.patch)) if made.patch else document


def written(documents: list[dict[str, Any]]) -> str:
    """The documents as YAML."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1 << 30, allow_unicode=True)


def _name(value: Mapping[str, Any], kind: str) -> str:
    metadata = value.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    return f"{kind.lower()}/{named.get('name') or named.get('generateName') or '?'}"


def _pod(value: dict[str, Any], path: tuple[str, ...], name: str) -> dict[str, Any]:
    at: Any = value
    for key in path:
        at = at.get(key) if isinstance(at, dict) else None
    if not isinstance(at, dict) or not isinstance(at.get("spec"), dict):
        raise CannotInject(f"{name}: {'.'.join((*path, 'spec'))} must be a mapping")
    problems = list(_misshaped(at["spec"]))
    if problems:
        raise CannotInject(f"{name}: {'.'.join((*path, 'spec', problems[0]))}")
    # what is null is as if it were not there
    spec = {key: one for key, one in at["spec"].items() if one is not None}
    return {**at, "metadata": _metadata(at), "spec": spec}


def _metadata(pod: Mapping[str, Any]) -> dict[str, Any]:
    found = pod.get("metadata")
    return {key: one for key, one in found.items() if one is not None} if isinstance(found, dict) else {}


def _misshaped(spec: Mapping[str, Any]) -> Iterator[str]:
    for name in ("containers", "initContainers", "volumes", "imagePullSecrets"):
        found = spec.get(name)
        if found is None and name != "containers":
            continue
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            yield f"{name} must be a list of mappings"


def _replaced(value: dict[str, Any], path: tuple[str, ...], pod: dict[str, Any]) -> dict[str, Any]:
    if not path:
        return pod
    return value | {path[0]: _replaced(value[path[0]], path[1:], pod)}


# --- YAML as kubectl reads it ----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Takes 22:22 and 2026-01-01 for texts, as kubectl does: YAML 1.1 would have a number and a date."""


_NUMBERS: Final = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"(?=.*[.eE])[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$"
        r"|\.(?:nan|NaN|NAN)$"
    ),
}

_MISREAD: Final = re.compile(r"[yYnN]|[-+]?0o[0-7_]+|[-+]?[0-9.][0-9_.]*[eE][-+]?[0-9]+")
"""Texts that other readers of YAML take for something else, and Python's does not."""

_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in each if tag != "tag:yaml.org,2002:timestamp"]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, as certificates are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists within mappings, as most people write them."""
        super().increase_indent(flow, indentless and False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else '"' if _MISREAD.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
