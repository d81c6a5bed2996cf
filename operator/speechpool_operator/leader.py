"""Which of several operators leads: a Lease that its holder renews, and that others take when it does not.

The clocks of two machines are never compared: a candidate notes by its own clock when it saw the Lease change, and
takes it when it has not changed for as long as its holder said it would hold. A holder gives up by its own clock, some
seconds before that, whatever it was kept from: the API server, the network, or running at all.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from speechpool.errors import SettingsError, SpeechPoolError
from speechpool_operator.kube import KubeClient, KubeError, KubeFailure

__all__ = ["Leader", "LeaseLost", "Record", "Timing", "is_free", "renewed"]

logger = logging.getLogger(__name__)

_JITTER: Final = 1.2  # of client-go's leader election, so that two candidates do not ask in step
_MAX_LEASE_SECONDS: Final = 3600.0  # of a foreign record: one that a slip made hold for ever is not believed


class LeaseLost(SpeechPoolError):
    """This operator does not lead any more; another may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take, in seconds; the numbers are those of Kubernetes' own components (client-go).

    Args:
        lease: Others take the Lease when it was not renewed for so long.
        renew: The holder gives up when it could not renew for so long; shorter than `lease`.
        retry: Between two attempts; shorter than `renew`.
        release: For giving the Lease back at the end.

    Raises:
        SettingsError: They are not in this order.
    """

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0
    release: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.retry * _JITTER < self.renew < self.lease:
            got = f"{self.retry:g}, {self.renew:g}, {self.lease:g}"
            raise SettingsError(f"timing must be retry * {_JITTER:g} < renew < lease, got {got}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a Lease says.

    Args:
        holder: Who has it; empty for nobody.
        seconds: For how long from each renewal.
        acquired: When the holder got it; compared for equality only, as are all the times.
        renewed: When it was renewed.
        transitions: How often it went from one to another.
    """

    holder: str = ""
    seconds: float = 0.0
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0

    @classmethod
    def of(cls, lease: Mapping[str, Any]) -> "Record":
        """The record of a Lease object."""
        spec = lease.get("spec") or {}
        return cls(
            holder=str(spec.get("holderIdentity") or ""),
            seconds=min(float(spec.get("leaseDurationSeconds") or 0), _MAX_LEASE_SECONDS),
            acquired=str(spec.get("acquireTime") or ""),
            renewed=str(spec.get("renewTime") or ""),
            transitions=int(spec.get("leaseTransitions") or 0),
        )

    def as_spec(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": math.ceil(self.seconds),
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        }


def is_free(record: Record, identity: str, unchanged_seconds: float) -> bool:
    """Whether a candidate may take a Lease.

    Args:
        record: What it says.
        identity: The candidate's.
        unchanged_seconds: For how long the candidate has seen it so.
    """
    return record.holder in ("", identity) or unchanged_seconds > record.seconds


def renewed(record: Record, identity: str, seconds: float, now: str) -> Record:
    """The record with which a candidate takes a Lease or keeps it.

    Args:
        record: What it says so far.
        identity: The candidate's.
        seconds: For how long it is taken.
        now: For people and for others to see a change; RFC 3339 with microseconds.
    """
    is_kept = record.holder == identity
    return Record(
        holder=identity,
        seconds=seconds,
        acquired=record.acquired if is_kept and record.acquired else now,
        renewed=now,
        transitions=record.transitions + (not is_kept and bool(record.renewed)),
    )


class Leader:
    """Takes part in the election, for the length of `run()`.

    Args:
        client: The API client; its user may get, create and update Leases in the namespace.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Who this is; no other candidate has the same at the same time.
        timing: How long things may take.
        wall: The time for people, in UTC.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._timing = timing or Timing()
        self._wall = wall
        self._clock = asyncio.get_running_loop().time
        self._lease: dict[str, Any] = {}
        self._record: Record | None = None
        self._changed_at = 0.0
        self._renewed_at: float | None = None
        self._elected = asyncio.Event()

    @property
    def is_leading(self) -> bool:
        """Whether this operator leads at this moment, by the clock alone: asked after a standstill, it is right too."""
        return self._renewed_at is not None and self._clock() < self._renewed_at + self._timing.renew

    @property
    def holder(self) -> str:
        """Who has the Lease, as far as is known; empty for nobody."""
        return self._record.holder if self._record else ""

    async def until_leading(self) -> None:
        """Wait until this operator leads."""
        await self._elected.wait()

    async def run(self) -> NoReturn:
        """Take part until cancelled; then the Lease is given back.

        Raises:
            LeaseLost: This operator led, and could not renew in time. What it does for all of them has to end.
        """
        try:
            while not await self._try(self._timing.renew):
                await self._pause()
            logger.info("leading", extra={"lease": self._name, "identity": self._identity})
            self._elected.set()
            await self._keep()
        finally:
            was_leading, self._renewed_at = self.is_leading, None
            self._elected.clear()
            if was_leading:
                await self._release()
        raise LeaseLost(f"the Lease {self._name} was not renewed for {self._timing.renew:g} seconds, or was taken")

    async def _keep(self) -> None:
        """Renew until that has failed for too long, or somebody else has the Lease."""
        while self._renewed_at is not None:
            await self._pause()
            left = self._renewed_at + self._timing.renew - self._clock()
            if left <= 0:
                break
            await self._try(left)
            if self._record and self._record.holder not in ("", self._identity):
                break
        logger.warning("leading no more", extra={"lease": self._name, "holder": self.holder})
        self._renewed_at = None

    async def _pause(self) -> None:
        await asyncio.sleep(self._timing.retry * random.uniform(1.0, _JITTER))

    async def _try(self, seconds: float) -> bool:
        """Take the Lease or renew it, within a bound; whether this operator has it."""
        began = self._clock()  # what the API server notes is later, so others wait longer than this one believes
        try:
            async with asyncio.timeout(seconds):
                has_it = await self._attempt()
        except (KubeFailure, TimeoutError) as error:
            self._lease = {}  # whether it was written is not known: look again
            logger.warning("lease not renewed", extra={"lease": self._name, "reason": str(error) or "no answer"})
            return False
        if has_it:
            self._renewed_at = began
        return has_it

    async def _attempt(self) -> bool:
        if not self.is_leading or not self._lease:
            await self._look()
        if self._record is None:
            return await self._write(Record())
        if not is_free(self._record, self._identity, self._clock() - self._changed_at):
            return False
        return await self._write(self._record)

    async def _look(self) -> None:
        try:
            self._note(await self._client.get(f"{self._leases}/{self._name}"))
        except KubeError as error:
            if error.status != 404:
                raise
            self._lease, self._record = {}, None

    def _note(self, lease: dict[str, Any]) -> None:
        record = Record.of(lease)
        if record != self._record:
            self._record, self._changed_at = record, self._clock()
        self._lease = lease

    async def _write(self, before: Record) -> bool:
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wanted = renewed(before, self._identity, math.ceil(self._timing.lease), now)
        try:
            self._note(await self._put(wanted))
        except KubeError as error:
            if error.status != 409:
                raise
            await self._look()  # another was quicker, or an answer of ours was lost: the Lease says which
            return bool(self._record) and self._record == wanted
        return True

    async def _put(self, record: Record) -> dict[str, Any]:
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        if not self._lease:
            return await self._client.create(
                self._leases, {**kind, "metadata": {"name": self._name}, "spec": record.as_spec()}
            )
        # with its resourceVersion: of two who write at the same time, one is refused
        body = {**kind, "metadata": self._lease["metadata"], "spec": {**self._lease["spec"], **record.as_spec()}}
        return await self._client.replace(f"{self._leases}/{self._name}", body)

    async def _release(self) -> None:
        """Give the Lease back, so that nobody has to wait until it ends."""
        if not self._lease or self.holder != self._identity:
            return
        assert self._record
        record = Record(seconds=1.0, renewed=self._record.renewed, transitions=self._record.transitions)
        spec = {**record.as_spec(), "acquireTime": None}
        body = {**self._lease, "spec": {**self._lease["spec"], **spec}}
        try:
            async with asyncio.timeout(self._timing.release):
                await self._client.replace(f"{self._leases}/{self._name}", body)
        except (KubeFailure, TimeoutError) as error:
            logger.warning("lease not released", extra={"lease": self._name, "reason": str(error) or "no answer"})
        else:
            logger.info("lease released", extra={"lease": self._name})
