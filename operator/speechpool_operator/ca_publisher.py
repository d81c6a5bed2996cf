"""Tells sidecars whom to trust now: one ConfigMap in each namespace that has some.

A pod keeps the authority that it was admitted with, and looks at the ConfigMap beside it, where there is one: so that
sidecars outlive the authority that their pod was made with. A watch tells of what somebody else does to a ConfigMap.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from speechpool_operator.kube import KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_watch import Watch
from speechpool_operator.names import CA_CONFIG_MAP, CA_KEY

__all__ = ["CaPublisher"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""Between two looks at the authority, and between two attempts at what failed."""

RENEW_SECONDS: Final = 600.0
"""After that each ConfigMap is looked at again, whatever the watch told. A guess."""

PAUSE_SECONDS: Final = 0.5
"""Shortest time between two rounds: with a program that undoes what is written here this one must not race."""

_LABELS: Final = {"app.kubernetes.io/part-of": "speechpool", "app.kubernetes.io/managed-by": "speechpool-operator"}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The last one at one ConfigMap.

    Args:
        text: What it was to hold.
        version: The resourceVersion that holds it; empty where the attempt failed.
        again_at: When the next one is due, by the loop's clock.
        failure: Why it failed; empty where it did not.
    """

    text: str
    version: str
    again_at: float
    failure: str = ""


class CaPublisher:
    """Keeps the ConfigMaps.

    Args:
        client: Its user may create ConfigMaps, and get, list, watch and patch those of the name.
        ca: Certificates that vouch for the operator now, in PEM; empty where they are not known: nothing is written.
        name: Of the ConfigMaps.
        places: The namespaces in which it may do so; none for everywhere.
    """

    def __init__(
        self, client: KubeClient, *, ca: Callable[[], str], name: str = CA_CONFIG_MAP, places: Iterable[str] = ()
    ) -> None:
        self._client = client
        self._ca = ca
        self._name = name
        self._wanted: frozenset[str] = frozenset()
        self._attempts: dict[str, _Attempt] = {}
        self._wake = asyncio.Event()
        self._seen = [_Seen(client, place, name, self._wake.set) for place in dict.fromkeys(places) or ("",)]
        self.failed: Counter[str] = Counter()
        """Attempts that failed, by Kubernetes' reason."""

    def want(self, namespaces: Iterable[str]) -> None:
        """Say which namespaces there are, all of them; plain and quick."""
        wanted = frozenset(namespaces)
        if not wanted <= self._wanted:
            self._wake.set()
        self._wanted = wanted

    async def run(self) -> NoReturn:
        """Write what is missing or differs, until cancelled; what failed is tried again."""
        async with asyncio.TaskGroup() as group:
            for seen in self._seen:
                group.create_task(seen.watch.run())
            while True:
                self._wake.clear()
                for namespace in self._due():
                    await self._publish(namespace)
                await asyncio.sleep(PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()

    def _due(self) -> list[str]:
        self._attempts = {one: attempt for one, attempt in self._attempts.items() if one in self._wanted}
        text = self._ca()
        return [one for one in sorted(self._wanted) if self._is_due(one, text)] if text else []

    def _is_due(self, namespace: str, text: str) -> bool:
        last = self._attempts.get(namespace)
        if last is None or last.text != text or asyncio.get_running_loop().time() >= last.again_at:
            return True
        # right after it was written the watch may still tell of the one before: then it is looked at in vain, once
        return bool(last.version) and any(seen.contradicts(namespace, last.version) for seen in self._seen)

    async def _publish(self, namespace: str) -> None:
        text, now = self._ca(), asyncio.get_running_loop().time()
        try:
            version = await self._written(namespace, text)
        except KubeFailure as error:
            self.failed[error.reason] += 1
            last, failure = self._attempts.get(namespace), str(error)
            if not last or last.failure != failure:
                logger.warning("authority not published", extra={"namespace": namespace, "reason": failure})
            self._attempts[namespace] = _Attempt(text, "", now + LOOK_SECONDS, failure)
        else:
            self._attempts[namespace] = _Attempt(text, version, now + RENEW_SECONDS)

    async def _written(self, namespace: str, text: str) -> str:
        """The resourceVersion that holds the text, which is written where it does not."""
        path = _path(namespace)
        data = {CA_KEY: text}
        try:
            found = await self._client.get(f"{path}/{self._name}")
        except KubeError as error:
            if error.status != 404:
                raise
            found = await self._client.create(path, {"metadata": {"name": self._name, "labels": _LABELS}, "data": data})
        if (found.get("data") or {}).get(CA_KEY) != text:
            found = await self._client.merge_patch(f"{path}/{self._name}", {"data": data})
        return str(found["metadata"]["resourceVersion"])


class _Seen:
    """Which ConfigMaps of the name there are, by a watch of their metadata.

    Args:
        client: The API client.
        place: The namespace to look at; empty for all.
        name: Of the ConfigMaps.
        changed: Called after each change.
    """

    def __init__(self, client: KubeClient, place: str, name: str, changed: Callable[[], None]) -> None:
        self._place = place
        self._changed = changed
        self._versions: dict[str, str] = {}
        self.watch = Watch(client, _path(place), read=_version, sink=self, field_selector=f"metadata.name={name}")

    def contradicts(self, namespace: str, version: str) -> bool:
        """Whether the namespace's is known not to be of that version."""
        is_known = self.watch.is_listed and self._place in ("", namespace)
        return is_known and self._versions.get(namespace) != version

    def listed(self, items: list[tuple[str, str]]) -> None:
        """These are all there are."""
        self._versions = dict(items)
        self._changed()

    def changed(self, item: tuple[str, str]) -> None:
        """This one is new, or is now so."""
        namespace, version = item
        self._versions[namespace] = version
        self._changed()

    def deleted(self, item: tuple[str, str]) -> None:
        """This one is gone."""
        self._versions.pop(item[0], None)
        self._changed()


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" if namespace else "/api/v1/configmaps"


def _version(manifest: Mapping[str, Any]) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return str(metadata["namespace"]), str(metadata["resourceVersion"])
