"""What the operator knows now: SpeechPools, pods, and the streams of their sidecars. Synchronous, and without I/O.

Everything that happens is one call, which costs what it changes: a sidecar's message touches that sidecar and the
object that it follows; an object's change of settings touches the sidecars that follow it; a change of its selector is
held against the pods of its namespace. `reconcile.plan` then says what is to be sent and written.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

from speechpool.settings.wire import Hello, State
from speechpool_operator.members import Entry, Member, Stream, counted
from speechpool_operator.objects import Key, Pod, SpeechPool
from speechpool_operator.patience import Patience
from speechpool_operator.selection import NOBODY, Choice, choose, selects
from speechpool_operator.streams import Cell

__all__ = ["MISSING_SECONDS", "SILENCE_SECONDS", "Fleet"]

SILENCE_SECONDS = 13.0
"""After so long without a message a sidecar is silent: three heartbeats of 4 seconds and one for the way, so that a
status tells of a frozen one within 15 seconds."""

MISSING_SECONDS = 60.0
"""So long a pod's sidecar may take to connect, or to reconnect after the operator's start; a guess: an image is pulled
within it, and the sidecars' longest pause between two tries is half of it."""


def utc_now() -> datetime:
    """The time of the wall clock."""
    return datetime.now(UTC)


class Fleet:
    """Everything that is known now.

    What has no bound of its own here is bounded by the cluster (objects and pods) and by the config server (streams).
    Nothing is to be sent before the first `keep_pools`, as "no object selects the pod" would be a guess, and nothing to
    be written before the first `keep_pods` too.

    Args:
        operator_namespace: The operator's own, where scope Cluster is honoured.
        clock: Seconds that never go back.
        wall: The time for people, in UTC.
        silence_seconds: After so long without a message a sidecar is silent; > 0.
        missing_seconds: So long a sidecar may take to connect; > 0.
    """

    def __init__(
        self,
        operator_namespace: str,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime] = utc_now,
        silence_seconds: float = SILENCE_SECONDS,
        missing_seconds: float = MISSING_SECONDS,
    ) -> None:
        self.operator_namespace = operator_namespace
        self.clock = clock
        self.wall = wall
        self.silence = Patience(silence_seconds)
        self.absence = Patience(missing_seconds)
        self.entries: dict[Key, Entry] = {}
        self.members: dict[str, Member] = {}
        self.changed_pods: dict[str, None] = {}
        self.changed_pools: dict[Key, None] = {}
        self.refreshes: dict[Key, float] = {}
        self.closing: list[Cell] = []
        self.pools_known = False
        self.known_at: float | None = None
        self.pods_known = False
        self._by_namespace: defaultdict[str, dict[str, Member]] = defaultdict(dict)
        self._reaching: defaultdict[str, set[Key]] = defaultdict(set)
        self._defaults: set[Key] = set()

    # --- objects ---------------------------------------------------------------------------------------------------

    def put_pool(self, pool: SpeechPool) -> None:
        """Note an object as the API server has it; what is no newer than what is known is left aside."""
        entry = self.entries.get(pool.key)
        before = entry.pool if entry else None
        if before and not _is_news(pool, before):
            return
        entry = self.entries.setdefault(pool.key, Entry(pool))
        entry.pool, entry.status = pool, pool.status
        self.changed_pools[pool.key] = None
        self._index(pool.key, pool)
        if before is None or _aim(before) != _aim(pool):
            self._aim_anew(pool.key, [one for one in (before, pool) if one])
        if before is None or (before.message, before.generation) != (pool.message, pool.generation):
            for uid in entry.tally.counted:
                self._recount(uid)

    def drop_pool(self, namespace: str, name: str, uid: str = "") -> None:
        """Note that an object is gone.

        Args:
            namespace: Its namespace.
            name: Its name.
            uid: Which of that name; empty for any.
        """
        key = namespace, name
        entry = self.entries.get(key)
        if entry and uid in ("", entry.pool.uid):
            self._index(key, None)
            del self.entries[key]
            self.changed_pools.pop(key, None)
            self.refreshes.pop(key, None)
            self._aim_anew(key, [entry.pool])

    def keep_pools(self, pools: Iterable[SpeechPool]) -> None:
        """Note that these are all the objects there are, as a list of the API server tells."""
        known = {pool.key: pool for pool in pools}
        for key in [key for key in self.entries if key not in known]:
            self.drop_pool(*key)
        for pool in known.values():
            self.put_pool(pool)
        self.pools_known = True
        self._note_known()

    # --- pods ------------------------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod) -> None:
        """Note a pod as the watch tells of it."""
        self._put_pod(pod).watched = True

    def look_at_pod(self, pod: Pod) -> None:
        """Note a connected pod as the API server has it, where no watch tells of it."""
        self._put_pod(pod)

    def drop_pod(self, uid: str) -> None:
        """Note that the watch no longer tells of a pod: it is deleted, ended, or has lost its labels."""
        member = self.members.get(uid)
        if member and member.stream:
            self.closing.append(member.stream.cell)
        if member:
            self._forget(uid, member)

    def keep_pods(self, pods: Iterable[Pod]) -> None:
        """Note that the watch tells of these pods and no others, as a list of the API server tells."""
        known = {pod.uid: pod for pod in pods}
        for uid in [uid for uid, member in self.members.items() if member.watched and uid not in known]:
            self.drop_pod(uid)
        for pod in known.values():
            self.put_pod(pod)
        self.pods_known = True
        self._note_known()

    @property
    def namespaces(self) -> Collection[str]:
        """Those that have pods."""
        return self._by_namespace.keys()

    # --- streams ---------------------------------------------------------------------------------------------------

    def connected(self, pod: Pod, hello: Hello, cell: Cell) -> None:
        """Note a sidecar's connection; it takes the place of an older one of the same pod.

        Args:
            pod: The pod, as the API server has it now.
            hello: What the sidecar said first.
            cell: Where the sidecar's messages go.
        """
        member = self._put_pod(pod)
        member.stream = Stream(cell, hello)
        member.was_connected = True
        self.absence.stop(pod.uid)
        self._choose(pod.uid, member)
        self._heard(pod.uid, member)
        self._recount(pod.uid)

    def said(self, uid: str, cell: Cell, state: State) -> bool:
        """Note what the sidecar of a pod said; what comes on an older connection of it counts no more.

        Returns:
            Whether it is news; most answers to heartbeats are the same `state` as before.
        """
        member = self.members.get(uid)
        if not member or not member.stream or member.stream.cell is not cell:
            return False
        stream, was_late = member.stream, member.late
        self._heard(uid, member)
        if state is stream.state and not was_late:
            return False
        stream.state = state
        if all(one.warm >= one.wanted for one in state.pools.values()):
            stream.filled = state.applied
        self._recount(uid)
        return True

    def gone(self, uid: str, cell: Cell) -> None:
        """Note that a connection of a pod's sidecar ended; there may be a newer one."""
        member = self.members.get(uid)
        if not member or not member.stream or member.stream.cell is not cell:
            return
        member.stream = None
        if member.watched:
            self._recount(uid)
        else:
            self._forget(uid, member)

    # --- time ------------------------------------------------------------------------------------------------------

    @property
    def due_at(self) -> float | None:
        """When, by the clock, `pass_time` has something to do next."""
        times = [one.due_at for one in (self.silence, self.absence)]
        return min((*self.refreshes.values(), *(one for one in times if one is not None)), default=None)

    def pass_time(self) -> None:
        """Note who has been silent or missing for too long by now, and whose numbers of warm clients are due."""
        now = self.clock()
        for key in [key for key, due_at in self.refreshes.items() if now >= due_at]:
            del self.refreshes[key]
            self.changed_pools[key] = None
        for patience in (self.silence, self.absence):
            for uid in patience.due(now):
                self.members[uid].late = True
                self._recount(uid)

    def begin(self) -> None:
        """Count from now on: this operator has just begun to lead, so nobody had time to connect."""
        now = self.clock()
        self.known_at = None
        self._note_known()
        for uid, member in self.members.items():
            if not member.was_connected:
                self.absence.restart(uid, now)
                member.late = False
        self.replan()

    def replan(self) -> None:
        """Take nothing that was planned as done: every sidecar is to be sent what it should have, and so on."""
        for member in self.members.values():
            if member.stream:
                member.stream.put = None
        for entry in self.entries.values():
            entry.status = entry.pool.status
        self.changed_pods = dict.fromkeys(self.members)
        self.changed_pools = dict.fromkeys(self.entries)

    def excuse(self) -> None:
        """Blame nobody for the time until now: this process stood still, and heard nobody."""
        for patience in (self.silence, self.absence):
            patience.begin_anew(self.clock())

    def _note_known(self) -> None:
        if self.known_at is None and self.pools_known and self.pods_known:
            self.known_at = self.clock()

    # --- within ----------------------------------------------------------------------------------------------------

    def _put_pod(self, pod: Pod) -> Member:
        member = self.members.get(pod.uid)
        if member is None:
            member = self.members[pod.uid] = self._by_namespace[pod.namespace][pod.uid] = Member(pod)
            self.absence.restart(pod.uid, self.clock())
        elif pod.version < member.pod.version or pod == member.pod:
            return member
        member.pod = pod
        reaching = self._reaching.get(pod.namespace, set()) | self._defaults
        member.selecting = {key for key in reaching if selects(self.entries[key].pool, pod, self.operator_namespace)}
        self._choose(pod.uid, member)
        self._recount(pod.uid)
        return member

    def _forget(self, uid: str, member: Member) -> None:
        self._settle(uid, member, NOBODY)
        self.silence.stop(uid)
        self.absence.stop(uid)
        self.changed_pods.pop(uid, None)
        del self.members[uid]
        neighbours = self._by_namespace[member.pod.namespace]
        del neighbours[uid]
        if not neighbours:
            del self._by_namespace[member.pod.namespace]

    def _heard(self, uid: str, member: Member) -> None:
        self.silence.restart(uid, self.clock())
        member.late = False

    def _index(self, key: Key, pool: SpeechPool | None) -> None:
        """Keep the object where the pods that it can reach look for it."""
        self._defaults.discard(key)
        reaching = self._reaching[key[0]]
        reaching.discard(key)
        if pool:
            (self._defaults if pool.is_default else reaching).add(key)
        if not reaching:
            del self._reaching[key[0]]

    def _aim_anew(self, key: Key, versions: Iterable[SpeechPool]) -> None:
        """Choose again for every pod that the object selects, or did, or that names it."""
        everywhere = any(one.is_default for one in versions)
        reached = self.members if everywhere else self._by_namespace.get(key[0], {})
        entry = self.entries.get(key)
        for uid, member in reached.items():
            was = key in member.selecting
            if entry and selects(entry.pool, member.pod, self.operator_namespace):
                member.selecting.add(key)
            elif was:
                member.selecting.discard(key)
            elif (member.pod.namespace, member.pod.pool) != key:
                continue
            self._choose(uid, member)

    def _choose(self, uid: str, member: Member) -> None:
        if not member.counts:
            self._settle(uid, member, NOBODY)
            return
        named = self.entries.get((member.pod.namespace, member.pod.pool))
        selecting = [self.entries[key].pool for key in member.selecting]
        self._settle(uid, member, choose(member.pod, selecting, named.pool if named else None))

    def _settle(self, uid: str, member: Member, choice: Choice) -> None:
        """Let a pod follow what was chosen for it."""
        before, member.choice = member.choice, choice
        if before == choice:
            return
        self._note_losers(before, -1)
        self._note_losers(choice, 1)
        if before.winner != choice.winner and before.winner in self.entries:
            self.entries[before.winner].tally.discount(uid)
            self.changed_pools[before.winner] = None
        self._recount(uid)

    def _note_losers(self, choice: Choice, change: int) -> None:
        for key, reason in choice.losers:
            if choice.winner and key in self.entries:
                self.entries[key].tally.lose(choice.winner, reason, change)
                self.changed_pools[key] = None

    def _recount(self, uid: str) -> None:
        """Count what a sidecar adds to the object that it follows, and look at what it is to be sent."""
        member = self.members[uid]
        self.changed_pods[uid] = None
        if member.choice.winner:
            entry = self.entries[member.choice.winner]
            if entry.tally.count(uid, counted(member, entry.pool)):
                self.changed_pools[entry.pool.key] = None


def _aim(pool: SpeechPool) -> tuple[object, ...]:
    """What decides whom the object is for."""
    spec = pool.spec
    return pool.uid, pool.created, spec.selector, spec.priority, spec.scope


def _is_news(pool: SpeechPool, known: SpeechPool) -> bool:
    if pool.version and known.version:
        return pool.version > known.version
    return pool.uid != known.uid or pool.generation >= known.generation
