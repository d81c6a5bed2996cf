"""What `speechpool check` looks at: asked of the API server all at once, each apart from the others' failures."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from speechpool_operator.commands.reach import OperatorSilent, ask_operator, is_denied, reason_of, telemetry_path
from speechpool_operator.kube import METADATA_LIST, KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_list import all_of
from speechpool_operator.kube_paths import pods_path, pools_path
from speechpool_operator.names import (
    DISABLED,
    ENABLED,
    GROUP,
    INJECT_LABEL,
    INJECTED_LABEL,
    NAMESPACE_ENABLED,
    PLURAL,
)
from speechpool_operator.sidecars import Overview

__all__ = [
    "Facts",
    "Found",
    "Json",
    "Known",
    "Unknown",
    "found",
    "gather",
    "or_none",
    "trial_namespace",
    "trial_pod",
]

Json = Mapping[str, Any]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = "/apis/admissionregistration.k8s.io"
_NAME = "app.kubernetes.io/name=speechpool"
_UPGRADER = "app.kubernetes.io/component=upgrader"
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    """What was asked is known."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Unknown:
    """What was asked could not be found out.

    Args:
        why: The reason, for people.
        is_denied: Whether it is a right of this user that is missing.
    """

    why: str
    is_denied: bool = False


Found = Known[T] | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was found.

    Args:
        server: The API server's URL.
        version: What `/version` answered.
        definition: The CustomResourceDefinition; None where there is none.
        deployments: Those of the installation.
        overview: What the operator knows of the sidecars.
        upgrades: What the upgrader says of itself; None where there is none.
        webhooks: MutatingWebhookConfigurations of the installation.
        policies: MutatingAdmissionPolicies of it.
        namespaces: Those whose label asks for sidecars.
        bare: Pods that should have a sidecar and have none.
        pools: SpeechPools.
        trial: A pod as it would be admitted now, with the namespace where.
    """

    server: str
    version: Found[Json]
    definition: Found[Json | None]
    deployments: Found[Sequence[Json]]
    overview: Found[Overview]
    upgrades: Found[Json | None]
    webhooks: Found[Sequence[Json]]
    policies: Found[Sequence[Json]]
    namespaces: Found[Sequence[Json]]
    bare: Found[Sequence[Json]]
    pools: Found[Sequence[Json]]
    trial: Found[Json]


async def gather(client: KubeClient, namespace: str | None, operator_namespace: str | None) -> Facts:
    """Ask for all of it; nothing is changed in the cluster.

    Args:
        client: The API client, with the user's own rights.
        namespace: Of the pods and the objects; None for all.
        operator_namespace: Where the installation is; None to look for it everywhere.
    """
    version = await found(client.get("/version"))
    if isinstance(version, Unknown):
        return _nothing(client.access.server, version)
    return await _everything(client, version, namespace, operator_namespace)


async def _everything(
    client: KubeClient, version: Found[Json], namespace: str | None, operator_namespace: str | None
) -> Facts:
    installed = f"namespaces/{operator_namespace}/" if operator_namespace else ""
    webhooks_path = f"{_ADMISSION}/v1/mutatingwebhookconfigurations"
    async with asyncio.TaskGroup() as group:
        start = group.create_task
        definition = start(found(or_none(client.get(f"{_DEFINITIONS}/{PLURAL}.{GROUP}"), None)))
        deployments = start(found(all_of(client, f"/apis/apps/v1/{installed}deployments", labelSelector=_NAME)))
        overview = start(found(ask_operator(client, operator_namespace)))
        upgrades = start(found(_upgrades(client, operator_namespace)))
        webhooks = start(found(all_of(client, webhooks_path, labelSelector=_NAME)))
        policies = start(found(_policies(client)))
        namespaces = start(found(_labelled(client, namespace)))
        bare = start(found(_bare(client, namespace)))
        pools = start(found(or_none(all_of(client, pools_path(namespace)), [])))
    tried_in = namespace or trial_namespace(client.access.namespace, webhooks.result(), namespaces.result())
    trial = await found(client.create(f"{pods_path(tried_in)}?dryRun=All", trial_pod()))
    return Facts(
        server=client.access.server,
        version=version,
        definition=definition.result(),
        deployments=deployments.result(),
        overview=overview.result(),
        upgrades=upgrades.result(),
        webhooks=webhooks.result(),
        policies=policies.result(),
        namespaces=namespaces.result(),
        bare=bare.result(),
        pools=pools.result(),
        trial=trial,
    )


def trial_namespace(own: str, webhooks: Found[Sequence[Json]], labelled: Found[Sequence[Json]]) -> str:
    """Where the injection is tried: in the user's own namespace, or where sidecars are asked for if it is not served.

    Args:
        own: The kubeconfig's namespace.
        webhooks: Their configurations, which may be for some namespaces only, or for all but some.
        labelled: Namespaces whose label asks for sidecars.
    """
    rules = [rule for one in (webhooks.value if isinstance(webhooks, Known) else ()) for rule in _name_rules(one)]
    only = {name for rule in rules if rule.get("operator") == "In" for name in rule.get("values") or ()}
    never = {name for rule in rules if rule.get("operator") == "NotIn" for name in rule.get("values") or ()}
    asking = [one["metadata"]["name"] for one in (labelled.value if isinstance(labelled, Known) else ())]
    served = [
        name for name in (own, *sorted(asking), *sorted(only)) if name not in never and (not only or name in only)
    ]
    return served[0] if served else own


def _name_rules(configuration: Json) -> Iterator[Json]:
    for one in configuration.get("webhooks") or ():
        for rule in (one.get("namespaceSelector") or {}).get("matchExpressions") or ():
            if rule.get("key") == "kubernetes.io/metadata.name":
                yield rule


def trial_pod() -> dict[str, Any]:
    """A pod that asks for a sidecar and passes the restricted Pod Security profile; it is never kept."""
    context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    size = {"cpu": "10m", "memory": "16Mi"}  # a namespace's ResourceQuota or LimitRange may ask for them
    container = {
        "name": "app",
        "image": "speechpool-check",
        "securityContext": context,
        "resources": {"requests": size, "limits": size},
    }
    return {
        "metadata": {"generateName": "speechpool-check-", "labels": {INJECT_LABEL: ENABLED}},
        "spec": {"containers": [container], "securityContext": {"runAsNonRoot": True, "runAsUser": 1000}},
    }


def _nothing(server: str, why: Unknown) -> Facts:
    return Facts(
        server=server,
        version=why,
        definition=why,
        deployments=why,
        overview=why,
        upgrades=why,
        webhooks=why,
        policies=why,
        namespaces=why,
        bare=why,
        pools=why,
        trial=why,
    )


async def found(asked: Awaitable[T]) -> Found[T]:
    """What was asked for, or why it could not be found out."""
    try:
        return Known(await asked)
    except KubeFailure as error:
        return Unknown(reason_of(error), is_denied=is_denied(error))
    except OperatorSilent as error:
        return Unknown(str(error))


async def or_none(asked: Awaitable[T], none: U) -> T | U:
    """What was asked for, or `none` where the API server has no such thing or no such kind."""
    try:
        return await asked
    except KubeError as error:
        if error.status == 404:
            return none
        raise


async def _upgrades(client: KubeClient, operator_namespace: str | None) -> Json | None:
    pods = await all_of(client, pods_path(operator_namespace), labelSelector=f"{_NAME},{_UPGRADER}")
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    return await client.get(telemetry_path(running[0], "upgrades")) if running else None


async def _policies(client: KubeClient) -> list[dict[str, Any]]:
    none: list[dict[str, Any]] = []
    for version in ("v1", "v1beta1"):
        path = f"{_ADMISSION}/{version}/mutatingadmissionpolicies"
        if found := await or_none(all_of(client, path, labelSelector=_NAME), none):
            return found
    return none


async def _labelled(client: KubeClient, namespace: str | None) -> list[dict[str, Any]]:
    selector = f"{INJECT_LABEL}={NAMESPACE_ENABLED}"
    if namespace is None:
        return await all_of(client, "/api/v1/namespaces", labelSelector=selector)
    one = await client.get(f"/api/v1/namespaces/{namespace}")
    labels = one["metadata"].get("labels") or {}
    return [one] if labels.get(INJECT_LABEL) == NAMESPACE_ENABLED else []


async def _bare(client: KubeClient, namespace: str | None) -> list[dict[str, Any]]:
    """Pods without a sidecar that ask for one by their own label, or by their namespace's."""
    asking = await _pods(client, namespace, f"{INJECT_LABEL}={ENABLED},!{INJECTED_LABEL}")
    for one in await _labelled(client, namespace):
        selector = f"!{INJECTED_LABEL},{INJECT_LABEL} notin ({ENABLED},{DISABLED})"
        asking += await _pods(client, one["metadata"]["name"], selector)
    return asking


async def _pods(client: KubeClient, namespace: str | None, selector: str) -> list[dict[str, Any]]:
    path = pods_path(namespace)
    return await all_of(client, path, accept=METADATA_LIST, labelSelector=selector, fieldSelector=_NOT_ENDED)
