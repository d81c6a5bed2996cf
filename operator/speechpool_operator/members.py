"""What is known of one pod, of one stream, and of one object."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from speechpool.settings.wire import Applying, Hello, NewSettings, NoSettings, PoolState, Revision, State
from speechpool_operator.conditions import JsonStatus
from speechpool_operator.objects import Key, Pod, SpeechPool
from speechpool_operator.selection import NOBODY, Choice
from speechpool_operator.streams import Cell
from speechpool_operator.tally import Counted, Tally

__all__ = ["Entry", "Member", "Stream", "counted", "warm_clients"]


@dataclass(slots=True)
class Stream:
    """One connection of a sidecar.

    Args:
        cell: Where its messages go.
        hello: What it said first.
        put: The message that was last put there.
        state: What the sidecar last said.
        filled: The settings with which every pool has been at its warm size.
    """

    cell: Cell
    hello: Hello
    put: NewSettings | NoSettings | None = None
    state: State | None = None
    filled: Revision | None = None


@dataclass(slots=True)
class Member:
    """One pod.

    Args:
        pod: The pod.
        watched: Whether the watch tells of it; else only its stream keeps it here.
        selecting: The objects that select it.
        choice: Which it follows.
        stream: Its sidecar's connection.
        was_connected: Whether it ever had one.
        late: Whether it has been without one for too long, or said nothing for too long.
    """

    pod: Pod
    watched: bool = False
    selecting: set[Key] = field(default_factory=set)
    choice: Choice = NOBODY
    stream: Stream | None = None
    was_connected: bool = False
    late: bool = False

    @property
    def counts(self) -> bool:
        """Whether an object is to be chosen for it."""
        return not self.pod.terminating and (self.pod.wants_sidecar or self.was_connected)


@dataclass(slots=True)
class Entry:
    """One object.

    Args:
        pool: The object.
        tally: What the sidecars that follow it add up to.
        status: The status that was last planned, or that the API server has.
        looked_at: When its status was last made, whether or not it differed, by the fleet's clock.
        warm_at: When its numbers of warm clients were last planned, by the fleet's clock.
    """

    pool: SpeechPool
    tally: Tally = field(default_factory=Tally)
    status: JsonStatus = field(default_factory=dict)
    looked_at: float = float("-inf")
    warm_at: float = float("-inf")


def counted(member: Member, pool: SpeechPool) -> Counted:
    """What a pod's sidecar adds to the object that it follows."""
    pod = member.pod
    shown = pod.name if pod.namespace == pool.namespace else f"{pod.namespace}/{pod.name}"
    silent = member.late and member.was_connected
    if not member.stream:
        return Counted(pod=shown, silent=silent, missing=member.late and not silent)
    state, revision = member.stream.state, pool.message.revision if pool.message else None
    if not state:
        return Counted(pod=shown, connected=True, silent=silent, warming=True)
    pools = state.pools.values()
    synced = state.state is Applying.APPLIED and revision is not None and state.applied == revision
    refused = state.state is Applying.REJECTED and revision is not None and state.offered == revision
    return Counted(
        pod=shown,
        connected=True,
        heard=True,
        silent=silent,
        synced=synced,
        error=state.error if refused else None,
        warming=member.stream.filled != state.applied or not all(one.ready for one in pools),
        warm=warm_clients(pools),
        wanted=sum(one.wanted for one in pools),
    )


def warm_clients(pools: Iterable[PoolState]) -> int:
    """Of the clients that are wanted, those that are warm: what one pool has too many fills no other."""
    return sum(min(one.warm, one.wanted) for one in pools)
