"""Writes Kubernetes Events: what a user sees at the end of `kubectl describe`.

Nobody waits for an event, and an event is never worth a delay: what is recorded is written in its turn, what comes too
often is dropped and counted. The core API's kind is used, because kubectl shows of it how often and since when.
"""

import asyncio
import logging
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, NoReturn, TypeVar

from speechpool_operator.kube import KubeClient, KubeError, KubeFailure

__all__ = ["COMPONENT", "About", "Note", "Recorder", "Weight", "event", "event_name"]

logger = logging.getLogger(__name__)

COMPONENT: Final = "speechpool-operator"

MAX_MESSAGE_CHARACTERS: Final = 1024  # what the API server takes
MAX_REASON_CHARACTERS: Final = 128  # likewise
MAX_NAME_CHARACTERS: Final = 253  # likewise

QUEUE: Final = 512
"""Events that wait to be written; a guess at what a fleet's start may ask for at once."""

KNOWN: Final = 4096
"""Events and objects that are remembered; client-go's number."""

SAME_SECONDS: Final = 600.0
"""So long an equal event counts as the same one, told again; client-go's number."""

OBJECT_BURST: Final = 25
OBJECT_PER_SECOND: Final = 1 / 300
"""Events of one object: so many at once, and one every five minutes after that; client-go's numbers."""

WRITE_BURST: Final = 50
WRITES_PER_SECOND: Final = 10.0
"""Of all objects; a guess at what an API server does not notice."""

K = TypeVar("K")
V = TypeVar("V")


class Weight(StrEnum):
    """How events are told apart."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an event is about.

    Args:
        api_version: As in its manifest.
        kind: Likewise.
        namespace: Its namespace, which is the event's too.
        name: Its name.
        uid: Tells two objects of one name apart.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to be told.

    Args:
        about: Of which object.
        weight: Whether somebody should look.
        reason: A word for programs, in CamelCase.
        message: For people; cut to what the API takes.
    """

    about: About
    weight: Weight
    reason: str
    message: str


@dataclass(slots=True)
class _Bucket:
    """So many at once, and then at a rate."""

    burst: float
    per_second: float
    left: float
    filled_at: float

    def take(self, now: float) -> bool:
        self.left = min(self.burst, self.left + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Series:
    """One event, however often it is told."""

    note: Note
    first: datetime
    last: datetime
    told_at: float
    count: int = 0
    name: str = ""
    is_waiting: bool = False


class _Recent(Generic[K, V]):
    """The values that were used last."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()

    def of(self, key: K, make: Callable[[], V]) -> V:
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > KNOWN:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


class Recorder:
    """Takes notes without waiting, and writes them in its turn.

    Args:
        client: The API client; its user may create and patch events.
        instance: Which of several operators this is.
        wall: The time for people, in UTC.
    """

    def __init__(
        self, client: KubeClient, *, instance: str, wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._instance = instance
        self._wall = wall
        self._clock = asyncio.get_running_loop().time
        self._series: _Recent[Note, _Series] = _Recent()
        self._objects: _Recent[str, _Bucket] = _Recent()
        self._writes = _Bucket(WRITE_BURST, WRITES_PER_SECOND, WRITE_BURST, self._clock())
        self._queue: asyncio.Queue[_Series] = asyncio.Queue(QUEUE)
        self.written = 0
        """How many were written."""
        self.failed: Counter[str] = Counter()
        """How many were tried in vain, by the API server's word, or Unavailable."""
        self.dropped: Counter[str] = Counter()
        """How many were not tried: TooManyOfAnObject or QueueFull."""

    def record(self, note: Note) -> None:
        """Tell this; at once, and never waiting. What is told again within ten minutes is counted up."""
        now, wall = self._clock(), self._wall()
        series = self._series.of(note, lambda: _Series(note, wall, wall, now))
        if now - series.told_at > SAME_SECONDS:
            series.first, series.count, series.name = wall, 0, ""
        if not series.is_waiting and not self._may_wait(series, now):
            return
        series.count += 1
        series.last, series.told_at = wall, now

    async def run(self) -> NoReturn:
        """Write until cancelled; whatever the API server does is outlived."""
        while True:
            series = await self._queue.get()
            while not self._writes.take(self._clock()):  # noqa: ASYNC110 -- time alone fills it
                await asyncio.sleep(1 / WRITES_PER_SECOND)
            series.is_waiting = False
            try:
                await self._write(series)
            except KubeFailure as error:
                self.failed[error.reason] += 1
                logger.warning("event not written", extra={"event": series.note.reason, "reason": str(error)})
            else:
                self.written += 1

    def _may_wait(self, series: _Series, now: float) -> bool:
        about = series.note.about
        bucket = self._objects.of(about.uid, lambda: _Bucket(OBJECT_BURST, OBJECT_PER_SECOND, OBJECT_BURST, now))
        if self._queue.full():
            self.dropped["QueueFull"] += 1
        elif not bucket.take(now):
            self.dropped["TooManyOfAnObject"] += 1
        else:
            series.is_waiting = True
            self._queue.put_nowait(series)
        return series.is_waiting

    async def _write(self, series: _Series) -> None:
        path = f"/api/v1/namespaces/{series.note.about.namespace}/events"
        if series.name and await self._count_up(f"{path}/{series.name}", series):
            return
        series.name = event_name(series.note.about.name)
        try:
            await self._client.create(path, self._event(series))
        except KubeError as error:
            if error.status != 409:  # the name is ours alone: it was written, and the answer lost
                raise

    async def _count_up(self, path: str, series: _Series) -> bool:
        """Count an event up; False where the API server has forgotten it, as it does after an hour."""
        try:
            await self._client.merge_patch(path, {"count": series.count, "lastTimestamp": _time(series.last)})
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _event(self, series: _Series) -> Mapping[str, Any]:
        return event(
            series.note,
            name=series.name,
            component=COMPONENT,
            instance=self._instance,
            first=series.first,
            last=series.last,
            count=series.count,
        )


def event(
    note: Note, *, name: str, component: str, instance: str, first: datetime, last: datetime, count: int = 1
) -> Mapping[str, Any]:
    """An event as the API takes it. Pure.

    Args:
        note: What is told.
        name: The event's own, as `event_name` gives it.
        component: Which program tells it.
        instance: Which of several.
        first: When it happened first, in UTC.
        last: When it happened last.
        count: How often.
    """
    about = note.about
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": about.namespace, "name": name},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": note.weight.value,
        "reason": note.reason[:MAX_REASON_CHARACTERS],
        "message": _cut(note.message),
        "count": count,
        "firstTimestamp": _time(first),
        "lastTimestamp": _time(last),
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": instance[:128],
    }


def event_name(about: str) -> str:
    """A name that no other event has, beginning with the object's as kubectl's users expect.

    Args:
        about: The object's name.
    """
    unique = uuid.uuid4().hex[:16]
    return f"{about[: MAX_NAME_CHARACTERS - 17].rstrip('.-')}.{unique}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 1] + "…"
