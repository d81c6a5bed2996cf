"""Whether the API server answers, is new enough, and knows SpeechPools as this program does: of both checks. Pure."""

from collections.abc import Iterator
from typing import Final

from speechpool_operator.commands.facts import Found, Json, Unknown
from speechpool_operator.commands.verdicts import Line, failed, passed
from speechpool_operator.crd import custom_resource_definition
from speechpool_operator.names import VERSION

__all__ = ["KUBERNETES", "has_our_schema", "kubernetes"]

KUBERNETES: Final = "kubernetes"
"""The section."""

OLDEST_MINOR: Final = 30
"""Of Kubernetes 1: the first with ValidatingAdmissionPolicy in v1; native sidecars are on since 1.29."""


def kubernetes(version: Found[Json], server: str, *, look_at: str) -> Iterator[Line]:
    """Whether it answers, and is new enough.

    Args:
        version: What `/version` answered.
        server: The API server's URL.
        look_at: What to look at where it does not answer.
    """
    text = "the API server answers"
    if isinstance(version, Unknown):
        yield failed(KUBERNETES, text, f"{version.why}\nlook at {look_at}")
        return
    yield passed(KUBERNETES, f"{text}: {server}")
    major, minor = (_leading_number(version.value.get(part)) for part in ("major", "minor"))
    text = f"it is Kubernetes 1.{OLDEST_MINOR} or newer: {version.value.get('gitVersion') or 'unknown'}"
    if (major, minor) >= (1, OLDEST_MINOR):
        yield passed(KUBERNETES, text)
    else:
        yield failed(KUBERNETES, text, "upgrade the cluster: older ones lack what the sidecar's life is built on")


def has_our_schema(definition: Json) -> bool:
    """Whether a CustomResourceDefinition says of SpeechPools what this program's does."""
    return _schema(definition) == _schema(custom_resource_definition())


def _schema(definition: Json) -> object:
    """The schema of the version that is served; what the API server adds beside it is left out."""
    versions = definition["spec"]["versions"]
    return next((one.get("schema") for one in versions if one["name"] == VERSION), None)


def _leading_number(value: object) -> int:
    """Of a version as "30+", which some providers write."""
    digits = ""
    for each in str(value):
        if not each.isdigit():
            break
        digits += each
    return int(digits or 0)
