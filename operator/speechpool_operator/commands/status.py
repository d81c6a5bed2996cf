"""`speechpool status --cluster`: every sidecar of the cluster."""

import argparse
import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final

from speechpool.errors import UsageError
from speechpool_operator.commands.known import looked_at, sidecars_of
from speechpool_operator.commands.reach import OperatorSilent, access_of, ask_operator
from speechpool_operator.commands.sidecar_view import ClusterView, standing
from speechpool_operator.kube import KubeClient, KubeError, KubeUnavailable
from speechpool_operator.kube_list import all_of
from speechpool_operator.names import GROUP, INJECT_LABEL, INJECTED_LABEL, PLURAL, VERSION
from speechpool_operator.sidecars import Sidecar

__all__ = ["source"]

_SELECTORS = (INJECTED_LABEL, f"{INJECT_LABEL}=true,!{INJECTED_LABEL}")
"""Pods that have a sidecar, and those that ask for one: together all, none of them twice."""

_MOST_LOOKS: Final = 64
"""Pods that are looked at for a sidecar that does not connect: below what the client asks at once."""


def source(args: argparse.Namespace) -> Callable[[], ClusterView]:
    """What asks the cluster once each time it is called.

    Args:
        args: Of `speechpool status`.

    Raises:
        UsageError: They contradict each other.
        SettingsError: There is no kubeconfig, or it cannot be used.
    """
    if args.socket:
        raise UsageError("--socket names one sidecar: use it without --cluster")
    if args.namespace and args.all_namespaces:
        raise UsageError("--namespace and --all-namespaces: choose one")
    access = access_of(args)
    namespace = None if args.all_namespaces else args.namespace or access.namespace

    async def ask() -> ClusterView:
        async with KubeClient(access) as client:
            return await _asked(client, namespace, args.operator_namespace)

    return lambda: asyncio.run(ask())


async def _asked(client: KubeClient, namespace: str | None, operator_namespace: str | None) -> ClusterView:
    try:
        overview = await ask_operator(client, operator_namespace)
    except OperatorSilent as error:
        return ClusterView(await _known(client, namespace), note=str(error))
    if not overview.known:
        return ClusterView(await _known(client, namespace), note="it has not seen every pod and object yet")
    shown = tuple(one for one in overview.sidecars if namespace in (None, one.namespace))
    return ClusterView(await _with_looks(client, shown), operator_version=overview.version)


async def _with_looks(client: KubeClient, sidecars: tuple[Sidecar, ...]) -> tuple[Sidecar, ...]:
    """Those that connect, but for pods that have no sidecar at all: the operator waits a minute for these, too."""
    connecting = itertools.islice((one for one in sidecars if standing(one) == "connecting"), _MOST_LOOKS)
    looks = await asyncio.gather(*(_look(client, one) for one in connecting))
    found = {(one.namespace, one.pod): one for one in looks}
    return tuple(found.get((one.namespace, one.pod), one) for one in sidecars)


async def _look(client: KubeClient, one: Sidecar) -> Sidecar:
    try:
        return looked_at(one, await client.get(f"/api/v1/namespaces/{one.namespace}/pods/{one.pod}"))
    except (KubeError, KubeUnavailable):  # it is gone by now, or not this user's to see
        return one


async def _known(client: KubeClient, namespace: str | None) -> tuple[Sidecar, ...]:
    within = f"namespaces/{namespace}/" if namespace else ""
    pods = [pod for each in _SELECTORS for pod in await all_of(client, f"/api/v1/{within}pods", labelSelector=each)]
    return sidecars_of(pods, await _pools(client, f"/apis/{GROUP}/{VERSION}/{within}{PLURAL}"))


async def _pools(client: KubeClient, path: str) -> list[dict[str, Any]]:
    try:
        return await all_of(client, path)
    except KubeError as error:
        if error.status == 404:  # the CustomResourceDefinition is not installed
            return []
        raise
