"""The rounds of the upgrader: look at the cluster, decide, do it, tell of it."""

import asyncio
import json
import logging
from typing import Any, Final, NoReturn

import aiohttp

from speechpool_operator.kube import KubeClient, KubeFailure
from speechpool_operator.kube_list import pages
from speechpool_operator.kube_paths import pods_path
from speechpool_operator.names import ENABLED, INJECTED_LABEL
from speechpool_operator.sidecars import Overview, read_overview
from speechpool_operator.upgrade.measures import Measures
from speechpool_operator.upgrade.patching import change_image, is_fenced, post_event
from speechpool_operator.upgrade.planner import Plan, Planner, Standing
from speechpool_operator.upgrade.pods import SidecarPod, read_sidecar_pod
from speechpool_operator.upgrade.settings import UpgraderSettings

__all__ = ["BUSY_SECONDS", "IDLE_SECONDS", "OperatorUnknown", "Upgrader"]

logger = logging.getLogger(__name__)

BUSY_SECONDS: Final = 5.0
"""Between two rounds while there is something to do; a sidecar is back after about four."""

IDLE_SECONDS: Final = 60.0
"""Between two rounds while there is not."""

ANSWER_SECONDS: Final = 10.0
"""Bound of the operator's answer."""

LIVING: Final = "status.phase!=Succeeded,status.phase!=Failed"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Largest answer of the operator: 10,000 sidecars with a reason of 4,096 characters each take two thirds of it."""


class OperatorUnknown(Exception):
    """No operator that leads and knows everything said which sidecars have sessions."""


class Upgrader:
    """Upgrades sidecars, round after round.

    Args:
        client: The API client.
        operator: For the questions to the operator.
        settings: What it is to do.
    """

    def __init__(self, client: KubeClient, operator: aiohttp.ClientSession, settings: UpgraderSettings) -> None:
        self.measures = Measures(settings.image)
        self._client = client
        self._operator = operator
        self._settings = settings
        self._planner = Planner(settings.image, settings.limits)
        self._complaint = ""
        self._told_stop = False

    @property
    def complaint(self) -> str:
        """Why the last round failed; empty where it did not."""
        return self._complaint

    async def run(self) -> NoReturn:
        """Work until cancelled; whatever does not answer is asked again."""
        while True:
            plan = await self.round()
            await asyncio.sleep(BUSY_SECONDS if self._has_work(plan) else IDLE_SECONDS)

    async def round(self) -> Plan | None:
        """Look once and do what is due; None where the cluster could not be looked at."""
        try:
            pods = await self._pods()
            overview = await self._overview()
        except KubeFailure as error:
            self._failed("api-server", str(error))
            return None
        except (OperatorUnknown, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._failed("operator", str(error) or type(error).__name__)
            return None
        self._complaint = ""
        plan = self._planner.plan(pods, overview.sidecars, asyncio.get_running_loop().time())
        self.measures.note(plan)
        await self._tell(plan)
        for pod in plan.upgrade:
            await self._upgrade(pod)
        return plan

    def _has_work(self, plan: Plan | None) -> bool:
        if plan is None:
            return True
        waiting = plan.counts.total() - plan.counts[Standing.CURRENT] - plan.counts[Standing.FOREIGN]
        return waiting > 0 and not self._planner.stopped

    def _failed(self, at: str, reason: str) -> None:
        self.measures.rounds_failed.labels(at).inc()
        if reason != self._complaint:
            logger.warning("cluster could not be looked at", extra={"at": at, "reason": reason})
        self._complaint = reason

    # --- what is looked at -------------------------------------------------------------------------------------------

    async def _pods(self) -> list[SidecarPod]:
        path, selector = pods_path(self._settings.watch_namespace), f"{INJECTED_LABEL}={ENABLED}"
        found: list[SidecarPod] = []
        async for page in pages(self._client, path, labelSelector=selector, fieldSelector=LIVING):
            found += [
                pod for pod in map(read_sidecar_pod, page.get("items") or ()) if pod
            ]  # whole pods are large: never all of them
        return found

    async def _overview(self) -> Overview:
        url = f"http://{self._settings.operator}/sidecars"
        async with asyncio.timeout(ANSWER_SECONDS), self._operator.get(url, allow_redirects=False) as reply:
            if reply.status != 200:
                raise OperatorUnknown(f"{url} answered {reply.status}")
            overview = read_overview(await _json(reply))
        if not overview.leads or not overview.known:
            raise OperatorUnknown("the operator does not lead, or has not seen every pod yet")
        return overview

    # --- what is done ------------------------------------------------------------------------------------------------

    async def _upgrade(self, pod: SidecarPod) -> None:
        image = self._settings.image
        try:
            if not await is_fenced(self._client, pod):
                self._refused(pod, "its admission policy is not in force: nothing would keep it to one image")
                return
            await change_image(self._client, pod, image)
        except KubeFailure as error:
            self._refused(pod, str(error))
            return
        self._hindered("")
        logger.info("sidecar upgraded", extra={"pod": pod.shown, "before": pod.image, "image": image})
        await self._say(pod, "SidecarUpgraded", f"image of the sidecar changed from {pod.image} to {image}")

    def _refused(self, pod: SidecarPod, reason: str) -> None:
        self._planner.refused(pod)
        self.measures.upgrades.labels("refused").inc()
        self._hindered(f"{pod.shown}: {reason}")

    def _hindered(self, reason: str) -> None:
        # it may pass: a release brings the policy and this program at the same time, and each takes its own seconds
        if reason and reason != self.measures.hindered:
            logger.warning("sidecar not upgraded", extra={"reason": reason})
        self.measures.hindered = reason

    async def _tell(self, plan: Plan) -> None:
        for pod, seconds in plan.back:
            logger.info("sidecar is warm again", extra={"pod": pod.shown, "seconds": round(seconds, 1)})
        if self._planner.stopped and not self._told_stop:
            self._note_stop()
            self.measures.upgrades.labels("failed").inc(len(plan.failed))
            for pod in plan.failed:
                bound = f"{self._settings.limits.back_seconds:g} s"
                message = f"the sidecar is not warm {bound} after its upgrade to {self._settings.image}"
                await self._say(pod, "SidecarUpgradeFailed", f"{message}; no other is upgraded", is_warning=True)

    def _note_stop(self) -> None:
        self._told_stop = True
        self.measures.note_stop(self._planner.stopped)
        logger.error("upgrades stopped", extra={"reason": self._planner.stopped})

    async def _say(self, pod: SidecarPod, reason: str, message: str, *, is_warning: bool = False) -> None:
        try:
            await post_event(self._client, pod, reason=reason, message=message, is_warning=is_warning)
        except KubeFailure as error:
            logger.warning("event not written", extra={"pod": pod.shown, "reason": str(error)})


async def _json(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    body = bytearray()
    async for part in reply.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"the operator's answer must be at most {MAX_ANSWER_BYTES} bytes")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("the operator's answer is no object")  # noqa: TRY004 -- a peer's fault, not a caller's
    return answer
