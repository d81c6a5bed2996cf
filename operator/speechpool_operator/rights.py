"""Every right that the operator needs of the API server, and what it must not have. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speechpool_operator.names import GROUP

__all__ = ["Right", "forbidden", "needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """To do one thing with one kind of object.

    Args:
        verb: What to do.
        group: Of the API; empty for the core.
        resource: The kind, in the plural; with `/status` for that part.
        namespace: Where; empty for everywhere.
        name: Of the one object; empty for any.
    """

    verb: str
    group: str = ""
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        which = f" {self.name}" if self.name else ""
        return f"{self.verb} {kind}{which}{f' in {self.namespace}' if self.namespace else ''}"

    def as_attributes(self) -> dict[str, Any]:
        """As an access review asks for it."""
        resource, _, part = self.resource.partition("/")
        return {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": part,
            "namespace": self.namespace,
            "name": self.name,
        }


def needed(*, namespace: str, served: str = "", lease: str = "", authority_map: str = "") -> Iterator[Right]:
    """What it needs.

    Args:
        namespace: The operator's own.
        served: The one that it serves; empty for all.
        lease: Of the election; empty without one.
        authority_map: The ConfigMap that tells sidecars who vouches for it; empty without one.
    """
    for verb in ("get", "list", "watch"):
        yield Right(verb=verb, group=GROUP, resource="speechpools", namespace=served)
        yield Right(verb=verb, resource="pods", namespace=served)
    yield Right(verb="patch", group=GROUP, resource="speechpools/status", namespace=served)
    for verb in ("create", "patch"):
        yield Right(verb=verb, resource="events", namespace=served)
    yield Right(verb="create", group="authentication.k8s.io", resource="tokenreviews")
    if lease:
        group = "coordination.k8s.io"
        yield Right(verb="create", group=group, resource="leases", namespace=namespace)
        for verb in ("get", "update"):
            yield Right(verb=verb, group=group, resource="leases", namespace=namespace, name=lease)
    if authority_map:
        yield Right(verb="create", resource="configmaps", namespace=served)
        for verb in ("get", "list", "watch", "patch"):
            yield Right(verb=verb, resource="configmaps", namespace=served, name=authority_map)


def forbidden(*, namespace: str, served: str = "") -> Iterator[Right]:
    """What it must not have: credentials are none of its business.

    Args:
        namespace: The operator's own.
        served: The one that it serves; empty for all.
    """
    for where in dict.fromkeys((namespace, served)):
        for verb in ("get", "list", "watch"):
            yield Right(verb=verb, resource="secrets", namespace=where)
