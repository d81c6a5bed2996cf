"""Keeps one Secret's certificates as they should be, and a webhook's caBundle with them.

Several processes may do so at once: each writes over what it has read, and the API server lets one of them win. Watches
tell when either was changed, so that a pod is not admitted without a sidecar because somebody else wrote the caBundle.
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from speechpool_operator.certificates import Held, Terms, planned
from speechpool_operator.certificates_secret import read_held, written
from speechpool_operator.kube import KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_watch import Watch

__all__ = ["CaBundle", "Keeper"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""Longest time between two looks at the API server: time alone makes a certificate due, and a failure may pass."""

PAUSE_SECONDS: Final = 0.5
"""Shortest time: with a program that undoes what is written here this one must not race."""

_ATTEMPTS: Final = 5  # each is lost only to one that won


def _now() -> datetime:
    return datetime.now(UTC)


class CaBundle:
    """Whom the API server trusts when it calls a webhook.

    Args:
        client: Its user may get and patch the configuration; a keeper's, list and watch it too.
        name: Of the MutatingWebhookConfiguration.
    """

    def __init__(self, client: KubeClient, name: str) -> None:
        self._client = client
        self.collection = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        """The path of all configurations."""
        self.name = name
        """As it was given."""
        self._path = f"{self.collection}/{name}"

    async def write(self, trusted_pem: str) -> bool:
        """Let every webhook of the configuration trust these; whether that was new.

        Raises:
            KubeError: The API server refused it; 409 where somebody else changed it meanwhile.
            KubeUnavailable: It did not answer.
        """
        wanted = base64.b64encode(trusted_pem.encode()).decode()
        found = await self._client.get(self._path)
        webhooks = found.get("webhooks") or []
        if all(one["clientConfig"].get("caBundle") == wanted for one in webhooks):
            return False
        changed = [one | {"clientConfig": one["clientConfig"] | {"caBundle": wanted}} for one in webhooks]
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        await self._client.merge_patch(self._path, {"metadata": version, "webhooks": changed})
        logger.info("caBundle written", extra={"webhooks": len(changed)})
        return True


class _Bell:
    """Rings for whatever a watch says."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def listed(self, _items: list[None]) -> None:
        self._event.set()

    def changed(self, _item: None) -> None:
        self._event.set()

    deleted = changed


class Keeper:
    """Keeps the certificates.

    Args:
        client: Its user may get, list, watch and update the Secret.
        namespace: Of the Secret.
        name: Of the Secret, which is there already.
        terms: What is wanted.
        bundle: What is to follow the authorities; None for nothing.
        use: Called with what there is, each time that it is new.
        now: The time of day, with a time zone.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        terms: Terms,
        bundle: CaBundle | None = None,
        use: Callable[[Held], None] = lambda _held: None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._client = client
        self._collection, self._name = f"/api/v1/namespaces/{namespace}/secrets", name
        self._path = f"{self._collection}/{name}"
        self._terms = terms
        self._bundle = bundle
        self._use = use
        self._now = now
        self._used: Held | None = None
        self._rung = asyncio.Event()
        self.failure = "the Secret was not read yet"
        """Why what is held may be old; empty where the last look was good."""

    @property
    def held(self) -> Held | None:
        """What there is; None before the first look."""
        return self._used

    async def run(self) -> None:
        """Look whenever something was changed, until cancelled; what the API server refuses is tried again."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches():
                group.create_task(watch.run())
            while True:
                self._rung.clear()
                try:
                    await self.look()
                except KubeFailure as error:
                    self._complain(str(error))
                await self._due()

    def _watches(self) -> Iterator[Watch[None]]:
        watched = [(self._collection, self._name)]
        if self._bundle:
            watched.append((self._bundle.collection, self._bundle.name))
        for path, name in watched:
            yield Watch(
                self._client, path, read=_nothing, sink=_Bell(self._rung), field_selector=f"metadata.name={name}"
            )

    async def _due(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), LOOK_SECONDS)

    async def look(self) -> None:
        """Read, renew what is due, and let the webhook trust who signs.

        Raises:
            KubeError: The API server refused it.
            KubeUnavailable: It did not answer.
        """
        held = await self._kept()
        if self._bundle:
            await self._bundle.write(held.trusted_pem)
        if held != self._used:
            self._used = held
            self._use(held)
        self.failure = ""

    async def _kept(self) -> Held:
        attempt = 0
        while True:
            secret = await self._client.get(self._path)
            held = read_held(secret)
            wanted = planned(held, self._terms, self._now())
            if (data := written(wanted)) == secret.get("data"):
                return wanted
            try:
                await self._client.replace(self._path, secret | {"data": data})
            except KubeError as error:
                attempt += 1
                if error.status != 409 or attempt == _ATTEMPTS:
                    raise
            else:
                logger.info("certificates renewed", extra=_facts(held, wanted))
                return wanted

    def _complain(self, failure: str) -> None:
        if failure != self.failure:
            logger.error("certificates not looked after", extra={"reason": failure})
        self.failure = failure


def _nothing(_metadata: Mapping[str, Any]) -> None:
    """All that is kept of an object: that it was changed."""


def _facts(before: Held, after: Held) -> dict[str, object]:
    renewed = [who for who, leaf in after.leaves.items() if before.leaves.get(who) != leaf]
    return {"renewed": ", ".join(renewed), "trusted": len(after.trusted)}
