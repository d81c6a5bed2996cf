"""Which SpeechPools there are, and whether kopf keeps up: a watch of their metadata, beside kopf's watch of the whole.

kopf tells what an object is, as soon as it changes. It does not tell what was deleted while it did not watch (a list
after 410, a restart), nor that its watch fell silent. Both follow from comparing it with a second, small watch: an
object that is not in the ledger is gone, and a version that the ledger has and kopf does not tell of means that kopf
hears nothing. Until kopf is started anew such an object is asked for by itself, so that its sidecars do not wait.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from speechpool_operator.fleet import Fleet
from speechpool_operator.kube import KubeClient, KubeFailure
from speechpool_operator.kube_paths import pools_path
from speechpool_operator.kube_watch import Watch
from speechpool_operator.objects import Key, SpeechPool, read_speech_pool, read_version

__all__ = ["LAG_SECONDS", "Ledger", "Line", "read_line"]

logger = logging.getLogger(__name__)

LAG_SECONDS: Final = 10.0
"""So long kopf may tell of nothing while it owes something: a thousand times what it takes, and a slow start."""

FETCH_AFTER_SECONDS: Final = 2.0
"""After so long an object is asked for without kopf."""

FETCHES_AT_ONCE: Final = 8
FETCHES_A_ROUND: Final = 256


@dataclass(frozen=True, slots=True)
class Line:
    """One object as the ledger has it.

    Args:
        key: Its namespace and name.
        uid: Tells two objects of one name apart.
        version: Its resourceVersion.
    """

    key: Key
    uid: str
    version: int


@dataclass(slots=True)
class _Late:
    """A line of which kopf has not told yet.

    Args:
        line: The line.
        since: By the loop's clock.
        is_fetched: Whether it was asked for by itself.
    """

    line: Line
    since: float
    is_fetched: bool = False


def read_line(manifest: Mapping[str, Any]) -> Line | None:
    """Read an object's metadata; None where it has no uid, namespace or name, which every object has."""
    metadata = manifest.get("metadata") or {}
    uid, namespace, name = (str(metadata.get(one) or "") for one in ("uid", "namespace", "name"))
    if not (uid and namespace and name):
        return None
    return Line((namespace, name), uid, read_version(metadata.get("resourceVersion")))


class Ledger:
    """Keeps the fleet true to which objects there are.

    Args:
        client: The API client; its user may list, watch and get speechpools.
        fleet: Who wants to know.
        wake: Called after each change.
        namespace: Only this one; empty for all.
    """

    def __init__(self, client: KubeClient, fleet: Fleet, *, wake: Callable[[], None], namespace: str = "") -> None:
        self._client = client
        self._fleet = fleet
        self._wake = wake
        self._lines: dict[Key, Line] = {}
        self._told: dict[Key, tuple[str, int]] = {}
        self._late: dict[Key, _Late] = {}
        self._newest = 0
        self._heard_at = float("-inf")
        self.watch: Watch[Line | None] = Watch(client, pools_path(namespace), read=read_line, sink=self)
        self.listed_event = asyncio.Event()
        """Set when the first list is there."""

    @property
    def lag_seconds(self) -> float:
        """How long kopf has told of nothing while there was something to tell; 0 where it has told of everything.

        While it lists thousands of objects it is late with most of them, and not silent.
        """
        oldest = next(iter(self._late.values()), None)
        return asyncio.get_running_loop().time() - max(oldest.since, self._heard_at) if oldest else 0.0

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run())
            group.create_task(self._fetch_late())
        raise AssertionError("unreachable")

    def forgive(self) -> None:
        """Wait for kopf anew, as it was just started."""
        now = asyncio.get_running_loop().time()
        self._told.clear()
        for late in self._late.values():
            late.since = now

    def written(self, pool: SpeechPool) -> None:
        """Note an object as a write of its status has left it; it may be gone since."""
        self._put(pool)

    # --- what kopf tells ---

    def kopf_has(self, pool: SpeechPool) -> None:
        """Note an object as kopf tells of it."""
        self._heard_at = asyncio.get_running_loop().time()
        self._told[pool.key] = pool.uid, pool.version
        self._settle(pool.key)
        self._put(pool)

    def kopf_lost(self, pool: SpeechPool) -> None:
        """Note that kopf tells of an object's end."""
        self._told.pop(pool.key, None)
        self._fleet.drop_pool(*pool.key, uid=pool.uid)
        self._wake()

    # --- what the ledger's watch tells ---

    def listed(self, items: list[Line | None]) -> None:
        """These are all there are."""
        lines = {line.key: line for line in items if line}
        for key in [key for key in self._lines if key not in lines]:
            self._strike(self._lines[key])
        for entry in list(self._fleet.entries.values()):
            if entry.pool.key not in lines and entry.pool.version <= self._newest:
                self._fleet.drop_pool(*entry.pool.key)
        for line in lines.values():
            self._enter(line)
        self.listed_event.set()
        self._note_known()

    def changed(self, item: Line | None) -> None:
        """This one is new, or has another version."""
        if item:
            self._enter(item)
            self._note_known()

    def deleted(self, item: Line | None) -> None:
        """This one is gone."""
        if item:
            self._newest = max(self._newest, item.version)
            self._strike(item)
            self._note_known()

    # --- within ---

    def _enter(self, line: Line) -> None:
        before = self._lines.get(line.key)
        if before and before.uid != line.uid:
            self._strike(before)
        self._newest = max(self._newest, line.version)
        self._lines[line.key] = line
        if not self._is_told(line):
            late = self._late.get(line.key)
            since = late.since if late else asyncio.get_running_loop().time()
            self._late[line.key] = _Late(line, since)

    def _strike(self, line: Line) -> None:
        known = self._lines.get(line.key)
        if known and known.uid == line.uid:
            del self._lines[line.key]
            self._late.pop(line.key, None)
        told = self._told.get(line.key)
        if told and told[0] == line.uid:
            del self._told[line.key]
        self._fleet.drop_pool(*line.key, uid=line.uid)
        self._wake()

    def _is_told(self, line: Line) -> bool:
        uid, version = self._told.get(line.key, ("", 0))
        return uid == line.uid and version >= line.version

    def _settle(self, key: Key) -> None:
        late = self._late.get(key)
        if late and self._is_told(late.line):
            del self._late[key]

    def _put(self, pool: SpeechPool) -> None:
        line = self._lines.get(pool.key)
        is_unknown = line is None or line.uid != pool.uid
        if is_unknown and pool.version <= self._newest and self.listed_event.is_set():
            return  # the late echo of an object that is gone; else it is news for the ledger too
        self._fleet.put_pool(pool)
        self._note_known()

    def _note_known(self) -> None:
        """Tell the fleet that it knows all objects, once it does."""
        if (
            not self._fleet.pools_known
            and self.listed_event.is_set()
            and self._lines.keys() <= self._fleet.entries.keys()
        ):
            self._fleet.keep_pools([entry.pool for entry in self._fleet.entries.values()])
        self._wake()

    # --- without kopf ---

    async def _fetch_late(self) -> NoReturn:
        room = asyncio.Semaphore(FETCHES_AT_ONCE)
        while True:
            await asyncio.sleep(FETCH_AFTER_SECONDS / 2)
            async with asyncio.TaskGroup() as group:
                for late in self._due():
                    group.create_task(self._fetch(late, room))

    def _due(self) -> list[_Late]:
        patience = FETCH_AFTER_SECONDS if self.lag_seconds >= FETCH_AFTER_SECONDS else LAG_SECONDS
        latest = asyncio.get_running_loop().time() - patience
        due = (one for one in self._late.values() if one.since <= latest and not one.is_fetched)
        return list(itertools.islice(due, FETCHES_A_ROUND))

    async def _fetch(self, late: _Late, room: asyncio.Semaphore) -> None:
        async with room:
            if self._late.get(late.line.key) is not late:
                return
            try:
                pool = read_speech_pool(await self._client.get(pools_path(*late.line.key)))
            except KubeFailure as error:
                logger.warning("pool not fetched", extra={"reason": str(error)})
                return
        late.is_fetched = True
        if pool:
            self._put(pool)
