"""What the upgrader asks of the API server for one pod: another image, an event, and whether its fence holds."""

import socket
from datetime import UTC, datetime
from typing import Final

from speechpool_operator.events import About, Note, Weight, event, event_name
from speechpool_operator.kube import KubeClient, KubeError
from speechpool_operator.kube_paths import pods_path
from speechpool_operator.names import GROUP
from speechpool_operator.upgrade.fence import MESSAGE
from speechpool_operator.upgrade.pods import SidecarPod

__all__ = ["change_image", "is_fenced", "post_event"]

_COMPONENT: Final = "speechpool-upgrader"
_TRIED_LABEL = f"{GROUP}/never"


async def is_fenced(client: KubeClient, pod: SidecarPod) -> bool:
    """Whether the API server refuses what the upgrader must never do: a label is tried, and never made.

    Raises:
        KubeError: It is refused by something else than the fence: the right to patch pods is missing, or the pod gone.
        KubeUnavailable: The API server did not answer in time.
    """
    try:
        await client.merge_patch(
            f"{pods_path(pod.namespace, pod.name)}?dryRun=All", {"metadata": {"labels": {_TRIED_LABEL: "tried"}}}
        )
    except KubeError as error:
        if MESSAGE in str(error):
            return True
        raise
    return False


async def change_image(client: KubeClient, pod: SidecarPod, image: str) -> None:
    """Change the image of a pod's sidecar, if the pod is still the one that was looked at.

    Raises:
        KubeError: It is another one by now, or the API server refused it.
        KubeUnavailable: The API server did not answer in time; it may have been changed all the same.
    """
    container = f"/spec/initContainers/{pod.index}"
    await client.json_patch(
        pods_path(pod.namespace, pod.name),
        [
            {"op": "test", "path": "/metadata/uid", "value": pod.uid},
            {"op": "test", "path": f"{container}/image", "value": pod.image},
            {"op": "replace", "path": f"{container}/image", "value": image},
        ],
    )


async def post_event(
    client: KubeClient, pod: SidecarPod, *, reason: str, message: str, is_warning: bool = False
) -> None:
    """Tell of an upgrade at the pod itself (`kubectl describe pod`).

    Raises:
        KubeError: The API server refused it.
        KubeUnavailable: It did not answer in time.
    """
    about = About(api_version="v1", kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid)
    note = Note(about=about, weight=Weight.WARNING if is_warning else Weight.NORMAL, reason=reason, message=message)
    now = datetime.now(UTC)
    body = event(
        note, name=event_name(pod.name), component=_COMPONENT, instance=socket.gethostname(), first=now, last=now
    )
    await client.create(f"/api/v1/namespaces/{pod.namespace}/events", body)
