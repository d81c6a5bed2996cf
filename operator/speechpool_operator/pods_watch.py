"""Which pods have a sidecar or ask for one: two watches of metadata, and a second look where they do not tell.

Only labelled pods are watched, in two collections that have no pod in common, and of these the metadata alone: what the
rest of a cluster does costs nothing here. A pod that changes from one collection to the other is deleted in the one and
added in the other, in any order, so a deletion is believed at once only of a pod that was seen on its way out.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, NoReturn

from speechpool_operator.fleet import Fleet
from speechpool_operator.identity import PodIdentity
from speechpool_operator.kube import METADATA, KubeClient, KubeError, KubeUnavailable
from speechpool_operator.kube_paths import pods_path
from speechpool_operator.kube_watch import Watch
from speechpool_operator.names import ENABLED, INJECT_LABEL, INJECTED_LABEL
from speechpool_operator.objects import Pod, read_pod

__all__ = ["Lookout", "PodsWatch", "pod_of"]

logger = logging.getLogger(__name__)

HAVE: Final = INJECTED_LABEL
WANT: Final = f"{INJECT_LABEL}={ENABLED},!{INJECTED_LABEL}"
ALIVE: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""A Job's pod that has ended would look like one whose sidecar fell silent."""

LOOK_AGAIN_SECONDS = 60.0
"""Between two looks at a connected pod that no watch tells of; a guess: its own connection ends when it does."""

LOOKS_AT_ONCE = 8
LOOKS_PER_SECOND = 50.0
"""Of all such pods together; a guess at what an API server does not notice."""


def pod_of(identity: PodIdentity) -> Pod:
    """The pod of a connection, as the API server had it when it judged the token."""
    found = read_pod({"metadata": identity.metadata})
    assert found, "an identity has a uid, a namespace and a name"
    return found


class PodsWatch:
    """Keeps the fleet true to the pods.

    Args:
        client: The API client; its user may list, watch and get pods.
        fleet: Who wants to know.
        wake: Called after each change.
        namespace: Only this one; empty for all.
        appeared: Called with each pod that was not there when the watches began.
    """

    def __init__(
        self,
        client: KubeClient,
        fleet: Fleet,
        *,
        wake: Callable[[], None],
        namespace: str = "",
        appeared: Callable[[Pod], None] = lambda _: None,
    ) -> None:
        self.fleet = fleet
        self.wake = wake
        self.appeared = appeared
        self.lookout = Lookout(client, fleet, wake=wake)
        self._halves = [_Half(self), _Half(self)]
        self.watches = [
            Watch(client, pods_path(namespace), read=read_pod, sink=half, label_selector=selector, field_selector=ALIVE)
            for half, selector in zip(self._halves, (HAVE, WANT), strict=True)
        ]

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for running in (self.lookout.run(), *(watch.run() for watch in self.watches)):
                group.create_task(running)
        raise AssertionError("unreachable")

    def listed(self) -> None:
        """Tell the fleet of all pods, once both halves are known."""
        if all(half.is_listed for half in self._halves):
            self.fleet.keep_pods(pod for half in self._halves for pod in half.pods.values())
            self.wake()

    def changed(self, pod: Pod) -> None:
        """Tell the fleet of a pod."""
        is_new = pod.uid not in self.fleet.members
        self.fleet.put_pod(pod)
        if is_new and all(half.is_listed for half in self._halves):
            self.appeared(pod)
        self.wake()

    def deleted(self, pod: Pod) -> None:
        """Tell the fleet that a pod is gone, or look where it may only have changed its labels."""
        if any(pod.uid in half.pods for half in self._halves):
            return
        member = self.fleet.members.get(pod.uid)
        if member and member.stream and not pod.terminating:
            member.watched = False
            self.lookout.look(pod)
        else:
            self.fleet.drop_pod(pod.uid)
        self.wake()


class _Half:
    """The sink of one of the two watches."""

    def __init__(self, whole: PodsWatch) -> None:
        self._whole = whole
        self.is_listed = False
        self.pods: dict[str, Pod] = {}

    def listed(self, items: list[Pod | None]) -> None:
        self.pods = {pod.uid: pod for pod in items if pod}
        self.is_listed = True
        self._whole.listed()

    def changed(self, item: Pod | None) -> None:
        if item:
            self.pods[item.uid] = item
            self._whole.changed(item)

    def deleted(self, item: Pod | None) -> None:
        if item:
            self.pods.pop(item.uid, None)
            self._whole.deleted(item)


class Lookout:
    """Looks at connected pods that no watch tells of: whether they are there still, and as what.

    There is one entry for each such pod, so there are no more of them than streams.
    """

    def __init__(self, client: KubeClient, fleet: Fleet, *, wake: Callable[[], None]) -> None:
        self._client = client
        self._fleet = fleet
        self._wake = wake
        self._looked_for: set[str] = set()
        self._queue: asyncio.Queue[Pod] = asyncio.Queue()  # each pod once at most

    def look(self, pod: Pod) -> None:
        """Look at a pod soon, and again until a watch tells of it or its stream ends."""
        if pod.uid not in self._looked_for:
            self._looked_for.add(pod.uid)
            self._queue.put_nowait(pod)

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LOOKS_AT_ONCE):
                group.create_task(self._work())
        raise AssertionError("unreachable")

    async def _work(self) -> NoReturn:
        while True:
            pod = await self._queue.get()
            if self._is_of_interest(pod):
                await self._look(pod)
                await asyncio.sleep(LOOKS_AT_ONCE / LOOKS_PER_SECOND)
            if self._is_of_interest(pod):
                pause = LOOK_AGAIN_SECONDS * random.uniform(0.8, 1.0)
                asyncio.get_running_loop().call_later(pause, self._queue.put_nowait, pod)
            else:
                self._looked_for.discard(pod.uid)

    def _is_of_interest(self, pod: Pod) -> bool:
        member = self._fleet.members.get(pod.uid)
        return member is not None and member.stream is not None and not member.watched

    async def _look(self, pod: Pod) -> None:
        try:
            found = read_pod(await self._client.get(pods_path(pod.namespace, pod.name), accept=METADATA))
        except KubeError as error:
            if error.status != 404:
                logger.warning("pod not looked at", extra={"namespace": pod.namespace, "pod": pod.name})
                return
            found = None
        except KubeUnavailable:
            return  # looked at again
        if not self._is_of_interest(pod):
            return
        if found and found.uid == pod.uid and not found.terminating:
            self._fleet.look_at_pod(found)
        else:
            self._fleet.drop_pod(pod.uid)
        self._wake()
