"""Writes the statuses of SpeechPools: each object's newest, seldom enough, and again where it failed."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from speechpool_operator.conditions import JsonStatus
from speechpool_operator.kube import KubeClient, KubeError, KubeFailure, KubeUnavailable
from speechpool_operator.kube_paths import pools_path
from speechpool_operator.objects import Key, SpeechPool, read_speech_pool
from speechpool_operator.reconcile import REST_SECONDS

__all__ = ["StatusWriter"]

logger = logging.getLogger(__name__)

WRITES_AT_ONCE = 8
"""Writes under way beside each other; an API server answers one in milliseconds."""

WRITES_PER_SECOND = 100.0
"""Of all objects together, in the long run; 10,000 that change at once are written within two minutes. A guess at what
an API server does not notice."""

BURST_WRITES = 200
"""So many may go before the rate holds."""

MAX_BACKOFF_SECONDS = 30.0


@dataclass(slots=True)
class _Slot:
    """The newest status of one object that is not written yet, and how often the last one failed."""

    uid: str = ""
    status: JsonStatus | None = None
    failures: int = 0


class StatusWriter:
    """Holds the newest status of each object until it is written; what was overtaken is never written.

    A slot is there from the first `put` until one rest after the last write, so there are no more of them than objects.

    Args:
        client: The API client; its user may patch speechpools/status.
        answered: Called with each object as a write has left it.
        may_write: Asked before each write; False in an operator that leads no more.
    """

    def __init__(
        self, client: KubeClient, *, answered: Callable[[SpeechPool], None], may_write: Callable[[], bool]
    ) -> None:
        self._client = client
        self._answered = answered
        self._may_write = may_write
        self._slots: dict[Key, _Slot] = {}
        self._ready: asyncio.Queue[Key] = asyncio.Queue()  # each slot once at most
        self._turn_at = float("-inf")
        self.written = 0
        """How many statuses were written."""
        self.failed: Counter[str] = Counter()
        """How many writes failed, by the API server's word, or Unavailable."""

    @property
    def waiting(self) -> int:
        """Objects whose newest status is not written yet."""
        return sum(slot.status is not None for slot in self._slots.values())

    def put(self, key: Key, uid: str, status: JsonStatus) -> None:
        """Write this, and nothing older; soon, and never waiting.

        Args:
            key: The object's namespace and name.
            uid: Which object of that name; another one is left alone.
            status: The whole status.
        """
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot()
            self._ready.put_nowait(key)
        slot.uid, slot.status = uid, status

    async def run(self) -> NoReturn:
        """Write until cancelled; whatever the API server does is outlived."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITES_AT_ONCE):
                group.create_task(self._work())
        raise AssertionError("unreachable")

    async def _work(self) -> NoReturn:
        while True:
            key = await self._ready.get()
            await self._await_turn()
            slot = self._slots[key]
            status, slot.status = slot.status, None
            assert status is not None, "only what is to be written is ready"
            pause = await self._try(key, slot, status)
            asyncio.get_running_loop().call_later(pause, self._rested, key)

    async def _await_turn(self) -> None:
        now, step = asyncio.get_running_loop().time(), 1 / WRITES_PER_SECOND
        self._turn_at = max(self._turn_at + step, now - BURST_WRITES * step)
        await asyncio.sleep(max(0.0, self._turn_at - now))

    async def _try(self, key: Key, slot: _Slot, status: JsonStatus) -> float:
        """Write once; returns the seconds until this object may be written again."""
        try:
            await self._write(key, slot.uid, status)
        except KubeFailure as error:
            return self._failed(key, slot, status, error)
        slot.failures = 0
        return REST_SECONDS

    async def _write(self, key: Key, uid: str, status: JsonStatus) -> None:
        if not self._may_write():
            raise KubeUnavailable("this operator does not lead")
        # "add" puts the whole in the place of what there was, whoever wrote that; "test" spares a namesake
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        answer = read_speech_pool(await self._client.json_patch(f"{pools_path(*key)}/status", patch))
        self.written += 1
        if answer:
            self._answered(answer)

    def _failed(self, key: Key, slot: _Slot, status: JsonStatus, error: KubeFailure) -> float:
        self.failed[error.reason] += 1
        if isinstance(error, KubeError) and error.status in (404, 422):
            return self._gave_up(key, error)
        slot.failures += 1
        slot.status = status if slot.status is None else slot.status
        bound = min(MAX_BACKOFF_SECONDS, REST_SECONDS * 2.0 ** min(slot.failures, 10))
        pause = (error.retry_after_seconds or 0.0) + random.uniform(0.5, 1.0) * bound
        logger.warning(
            "status not written",
            extra={"namespace": key[0], "pool": key[1], "reason": str(error), "retry_seconds": round(pause, 1)},
        )
        return pause

    def _gave_up(self, key: Key, error: KubeError) -> float:
        # 404: the object is gone. 422: it is another one of the name, or its definition does not take such a status;
        # then the next status is tried again
        if error.status == 422:
            logger.warning("status refused", extra={"namespace": key[0], "pool": key[1], "reason": str(error)})
        return REST_SECONDS

    def _rested(self, key: Key) -> None:
        if self._slots[key].status is None:
            del self._slots[key]
        else:
            self._ready.put_nowait(key)
