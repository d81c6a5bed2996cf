"""How the user's commands reach the cluster, and the operator in it."""

import argparse
from collections.abc import Mapping
from typing import Any

from speechpool.errors import SpeechPoolError
from speechpool_operator.kube import KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_access import Access, access
from speechpool_operator.kube_paths import pods_path
from speechpool_operator.names import OPERATOR_SELECTOR
from speechpool_operator.sidecars import Overview, read_overview

__all__ = [
    "OperatorSilent",
    "access_of",
    "add_access_arguments",
    "ask_operator",
    "is_denied",
    "operator_pods",
    "reason_of",
    "telemetry_path",
]

TELEMETRY_PORT_NAME = "telemetry"
TELEMETRY_PORT = 8080
"""Where the operator answers `GET /sidecars` in its pod that names no port so."""


class OperatorSilent(SpeechPoolError):
    """No operator that leads could be asked; the message says why."""


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--kubeconfig`, `--context` and `--operator-namespace`."""
    parser.add_argument(
        "--operator-namespace", metavar="NAMESPACE", help="where the operator is (default: it is looked for)"
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="(default: $KUBECONFIG, else ~/.kube/config)")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")


def access_of(args: argparse.Namespace) -> Access:
    """The access that the command line names, or else that everybody's kubectl has.

    Raises:
        SettingsError: There is none, or it cannot be used.
    """
    return access(args.kubeconfig, context=args.context or None, with_plugins=True)


async def operator_pods(client: KubeClient, namespace: str | None) -> list[dict[str, Any]]:
    """The operator's pods, those that run first.

    Args:
        client: The API client.
        namespace: Where to look; None for everywhere.

    Raises:
        KubeError: The API server refused it.
        KubeUnavailable: It did not answer in time.
    """
    found = (await client.get(pods_path(namespace), labelSelector=OPERATOR_SELECTOR)).get("items") or []
    return sorted(found, key=lambda pod: pod.get("status", {}).get("phase") != "Running")


async def ask_operator(client: KubeClient, namespace: str | None) -> Overview:
    """What the operator that leads knows of every sidecar, through the API server's proxy to its pod.

    Args:
        client: The API client.
        namespace: Where the operator is; None to look for it.

    Raises:
        OperatorSilent: There is none, or this user may not ask it, or it does not answer.
    """
    try:
        pods = await operator_pods(client, namespace)
    except KubeFailure as error:
        raise OperatorSilent(_why(error, "list pods", namespace)) from error
    silent = "no operator leads" if pods else "no pod has the labels of an operator"
    for pod in pods:
        try:
            overview = read_overview(await client.get(telemetry_path(pod, "sidecars")))
        except KubeFailure as error:
            silent = _why(error, "get pods/proxy", pod["metadata"]["namespace"])
            continue
        if overview.leads:
            return overview
    raise OperatorSilent(silent)


def telemetry_path(pod: Mapping[str, Any], page: str) -> str:
    """Where the API server's proxy to a pod's telemetry is.

    Args:
        pod: Of the installation.
        page: As `sidecars`.
    """
    metadata = pod["metadata"]
    ports = [port for each in pod["spec"]["containers"] for port in each.get("ports") or ()]
    found = next((one["containerPort"] for one in ports if one.get("name") == TELEMETRY_PORT_NAME), TELEMETRY_PORT)
    return f"{pods_path(metadata['namespace'], metadata['name'])}:{found}/proxy/{page}"


def is_denied(error: Exception) -> bool:
    """Whether it is a right of this user that is missing; not a rule that refuses what was asked."""
    return isinstance(error, KubeError) and error.status == 403 and " cannot " in str(error)


def reason_of(error: KubeFailure) -> str:
    """Why the API server did not give it, for people."""
    return f"this user may not look: {error}" if is_denied(error) else str(error)


def _why(error: KubeFailure, right: str, namespace: str | None) -> str:
    if not isinstance(error, KubeError) or error.status != 403:
        return str(error)
    if namespace:
        return f"this user may not {right} in namespace {namespace}"
    return f"this user may not {right} in all namespaces: name the operator's with --operator-namespace"
