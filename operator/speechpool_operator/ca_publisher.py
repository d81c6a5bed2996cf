"""Tells sidecars whom to trust now: one ConfigMap in each namespace that has some.

A pod keeps the authority that it was admitted with, and looks at the ConfigMap beside it, where there is one: so that
sidecars outlive the authority that their pod was made with.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

from speechpool_operator.kube import KubeClient, KubeError, KubeUnavailable
from speechpool_operator.names import CA_CONFIG_MAP, CA_KEY

__all__ = ["CaPublisher"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""Between two looks at the authority, and between two attempts at what failed."""

RENEW_SECONDS: Final = 600.0
"""After that each ConfigMap is looked at again: somebody may have deleted or changed it. A guess."""

_LABELS: Final = {"app.kubernetes.io/part-of": "speechpool", "app.kubernetes.io/managed-by": "speechpool-operator"}


class CaPublisher:
    """Keeps the ConfigMaps.

    Args:
        client: Its user may create ConfigMaps, and get and patch those of the name.
        ca: Certificates that vouch for the operator now, in PEM; empty where they are not known: nothing is written.
        name: Of the ConfigMaps.
    """

    def __init__(self, client: KubeClient, *, ca: Callable[[], str], name: str = CA_CONFIG_MAP) -> None:
        self._client = client
        self._ca = ca
        self._name = name
        self._wanted: frozenset[str] = frozenset()
        self._written: dict[str, tuple[str, float]] = {}
        self._wake = asyncio.Event()
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
        while True:
            self._wake.clear()
            for namespace in self._due():
                await self._publish(namespace)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()

    def _due(self) -> list[str]:
        self._written = {one: written for one, written in self._written.items() if one in self._wanted}
        text, now = self._ca(), asyncio.get_running_loop().time()
        if not text:
            return []
        nothing = ("", 0.0)
        return [one for one in sorted(self._wanted) if not _holds(self._written.get(one, nothing), text, now)]

    async def _publish(self, namespace: str) -> None:
        text = self._ca()
        try:
            await self._write(namespace, text)
        except (KubeError, KubeUnavailable) as error:
            reason = error.reason if isinstance(error, KubeError) else "Unavailable"
            self.failed[reason] += 1
            logger.warning("authority not published", extra={"namespace": namespace, "reason": str(error)})
        else:
            self._written[namespace] = text, asyncio.get_running_loop().time()

    async def _write(self, namespace: str, text: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        try:
            found = await self._client.get(f"{path}/{self._name}")
        except KubeError as error:
            if error.status != 404:
                raise
            await self._client.create(
                path, {"metadata": {"name": self._name, "labels": _LABELS}, "data": {CA_KEY: text}}
            )
            return
        if (found.get("data") or {}).get(CA_KEY) != text:
            await self._client.merge_patch(f"{path}/{self._name}", {"data": {CA_KEY: text}})


def _holds(written: tuple[str, float], text: str, now: float) -> bool:
    before, at = written
    return before == text and now < at + RENEW_SECONDS
