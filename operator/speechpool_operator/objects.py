"""Frozen views of SpeechPool objects and pods, made from the API's JSON. Pure; whatever the JSON is, nothing raises."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from speechpool.settings.wire import NewSettings, Revision, WireError, encode, spec_hash
from speechpool_operator import spec as specs
from speechpool_operator.names import (
    ENABLED,
    INJECT_LABEL,
    INJECTED_LABEL,
    INJECTION_WARNINGS_ANNOTATION,
    NOT_INJECTED_ANNOTATION,
    POOL_ANNOTATION,
)
from speechpool_operator.spec import Scope, Spec

__all__ = ["Key", "Pod", "SpeechPool", "read_pod", "read_speech_pool", "read_version"]

Key = tuple[str, str]
"""A namespace and a name."""

_NO_TIME: Final = "~"
"""After every time: an object without one is younger than all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechPool:
    """One SpeechPool object.

    Args:
        uid: Tells two objects of one name apart.
        namespace: Its namespace.
        name: Its name.
        generation: Of its spec.
        version: Its resourceVersion; 0 where that is not a number.
        created: Its creationTimestamp, RFC 3339 in UTC, which sorts as text.
        spec: What it says.
        problems: What is wrong with it, each with what to do.
        message: What its sidecars get; None where there are problems.
        status: As the API server has it; made of JSON types.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    version: int = 0
    created: str = _NO_TIME
    spec: Spec
    problems: tuple[str, ...] = ()
    message: NewSettings | None = None
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Its namespace and name."""
        return self.namespace, self.name

    @property
    def is_default(self) -> bool:
        """Whether it asks to be the platform's default."""
        return self.spec.scope is Scope.CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod, by its metadata.

    Args:
        uid: Tells two pods of one name apart.
        namespace: Its namespace.
        name: Its name.
        version: Its resourceVersion; 0 where that is not known, and then older than any.
        labels: As the API server has them.
        pool: The SpeechPool that its annotation names; empty without.
        not_injected: Why the injector added no sidecar, as it noted; empty without.
        injection_warnings: What the injector ignored, as it noted; empty without.
        terminating: Whether it is being deleted.
    """

    uid: str
    namespace: str
    name: str
    version: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    pool: str = ""
    not_injected: str = ""
    injection_warnings: str = ""
    terminating: bool = False

    @property
    def wants_sidecar(self) -> bool:
        """Whether its labels say that it has a sidecar or asks for one."""
        return ENABLED in (self.labels.get(INJECTED_LABEL), self.labels.get(INJECT_LABEL))


def read_speech_pool(manifest: object) -> SpeechPool | None:
    """Read a SpeechPool object; None where it has no uid, namespace or name, which every object of the API has."""
    metadata = _metadata(manifest)
    if not isinstance(manifest, Mapping) or not _is_named(metadata):
        return None
    spec = specs.read(manifest)
    found = SpeechPool(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=_generation(metadata.get("generation")),
        version=read_version(metadata.get("resourceVersion")),
        created=_text(metadata.get("creationTimestamp")) or _NO_TIME,
        spec=spec,
        problems=spec.problems,
        status=_mapping(manifest.get("status")),
    )
    return found if found.problems else _with_message(found)


def read_pod(manifest: object) -> Pod | None:
    """Read a pod, or its metadata alone; None where it has no uid, namespace or name, which every pod has."""
    metadata = _metadata(manifest)
    if not _is_named(metadata):
        return None
    annotations = _texts(metadata.get("annotations"))
    return Pod(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        version=read_version(metadata.get("resourceVersion")),
        labels=_texts(metadata.get("labels")),
        pool=annotations.get(POOL_ANNOTATION, "").strip(),
        not_injected=annotations.get(NOT_INJECTED_ANNOTATION, ""),
        injection_warnings=annotations.get(INJECTION_WARNINGS_ANNOTATION, ""),
        terminating=metadata.get("deletionTimestamp") is not None,
    )


def _with_message(pool: SpeechPool) -> SpeechPool:
    settings = pool.spec.settings
    revision = Revision(uid=pool.uid, generation=pool.generation, hash=spec_hash(settings))
    message = NewSettings(name=f"{pool.namespace}/{pool.name}", revision=revision, spec=settings)
    try:
        encode(message)
    except WireError as error:
        return replace(pool, problems=(f"spec is too large for a sidecar: {error}. Shorten the lexicon.",))
    return replace(pool, message=message)


def _metadata(manifest: object) -> Mapping[str, Any]:
    return _mapping(manifest.get("metadata")) if isinstance(manifest, Mapping) else {}


def _is_named(metadata: Mapping[str, Any]) -> bool:
    return all(_text(metadata.get(one)) for one in ("uid", "namespace", "name"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    pairs = _mapping(value).items()
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


def _generation(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def read_version(value: object) -> int:
    """A resourceVersion as a number, which grows with each write (Kubernetes, "API Concepts", resource versions)."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else 0
