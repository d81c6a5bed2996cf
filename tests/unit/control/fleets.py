"""SpeechPools, pods and sidecars for tests of the operator's core, with a clock that the test moves."""

from datetime import UTC, datetime, timedelta

from speechpool.settings.wire import Applying, Hello, NewSettings, PoolState, Revision, State
from speechpool_operator.fleet import Fleet
from speechpool_operator.names import INJECTED_LABEL, POOL_ANNOTATION
from speechpool_operator.objects import Pod, SpeechPool, read_pod, read_speech_pool
from speechpool_operator.reconcile import plan
from speechpool_operator.streams import Cell

OPERATOR = "speechpool-system"
START = datetime(2026, 11, 1, tzinfo=UTC)
HELLO = Hello(version="0.1.0")
VOICE = {"matchLabels": {"app": "voice"}}

_versions = iter(range(1, 10**9))


def pool_manifest(name="voice", namespace="calls", *, uid=None, generation=1, version=None, created="", **spec):
    status = spec.pop("status", None)
    return {
        "apiVersion": "speechpool.dev/v1alpha1",
        "kind": "SpeechPool",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"pool-{namespace}-{name}",
            "generation": generation,
            "resourceVersion": str(version or next(_versions)),
            "creationTimestamp": created or "2026-10-01T00:00:00Z",
        },
        "spec": {"selector": VOICE, **spec},
        **({"status": status} if status else {}),
    }


def speech_pool(*args, **kwargs) -> SpeechPool:
    found = read_speech_pool(pool_manifest(*args, **kwargs))
    assert found
    return found


def pod_manifest(name="voice-0", namespace="calls", *, labels=None, pool=None, uid=None, version=None, gone=False):
    labels = {"app": "voice", INJECTED_LABEL: "true"} if labels is None else labels
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"pod-{namespace}-{name}",
        "resourceVersion": str(version or next(_versions)),
        "labels": labels,
        "annotations": {} if pool is None else {POOL_ANNOTATION: pool},
        **({"deletionTimestamp": "2026-11-01T00:00:00Z"} if gone else {}),
    }
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}


def a_pod(*args, **kwargs) -> Pod:
    found = read_pod(pod_manifest(*args, **kwargs))
    assert found
    return found


def applied(message: NewSettings, *, warm=3, wanted=3, ready=True) -> State:
    pools = {"tts": PoolState(warm=warm, wanted=wanted, ready=ready)}
    return State(state=Applying.APPLIED, offered=message.revision, applied=message.revision, pools=pools)


def rejected(message: NewSettings, error="no", *, running: Revision | None = None) -> State:
    pools = {"tts": PoolState(warm=3, wanted=3, ready=True)}
    return State(state=Applying.REJECTED, offered=message.revision, applied=running, error=error, pools=pools)


class World:
    """A fleet, and what its plans made of the world: what each sidecar was sent, and each object's status.

    With `known`, its operator has run for an hour.
    """

    def __init__(self, *, known=True) -> None:
        self.now = 1000.0
        self.fleet = Fleet(OPERATOR, clock=lambda: self.now, wall=lambda: START + timedelta(seconds=self.now - 1000))
        self.cells = {}
        self.sent = {}
        self.status = {}
        self.closed = []
        if known:
            self.fleet.keep_pools([])
            self.fleet.keep_pods([])
            self.now += 3600

    @classmethod
    def of(cls, *pods):
        """One object, and sidecars of these pods that run it."""
        world = cls()
        world.fleet.put_pool(speech_pool(generation=1, warmSize=3))
        for pod in pods:
            world.join(pod)
            world.runs(pod)
        world.plan()
        return world

    def plan(self, *, rested=True):
        """Plan; with `rested` the last status of each object is long ago."""
        for entry in self.fleet.entries.values() if rested else ():
            entry.looked_at = float("-inf")
        made = plan(self.fleet)
        for uid, (cell, message) in made.messages.items():
            assert cell is self.fleet.members[uid].stream.cell
            self.sent[uid] = message
        self.status |= made.statuses
        self.closed += made.closing
        return made

    def join(self, pod, *, watched=True):
        """A pod starts, its sidecar connects and gets what it is to run with."""
        if watched:
            self.fleet.put_pod(pod)
        self.connect(pod)
        self.plan()

    def connect(self, pod):
        """A sidecar connects; where its messages go."""
        cell = self.cells[pod.uid] = Cell()
        self.fleet.connected(pod, HELLO, cell)
        return cell

    def say(self, pod, state):
        """A sidecar speaks, on its newest connection."""
        self.fleet.said(pod.uid, self.cells[pod.uid], state)

    def leave(self, pod):
        """A sidecar's newest connection ends."""
        self.fleet.gone(pod.uid, self.cells[pod.uid])

    def runs(self, pod, **kwargs):
        """A sidecar runs what it was sent last."""
        self.say(pod, applied(self.sent[pod.uid], **kwargs))
        self.plan()

    def condition(self, kind, name="voice", namespace="calls"):
        """The condition's status and reason, or None where it is not there."""
        found = [one for one in self.status[namespace, name]["conditions"] if one["type"] == kind]
        return (found[0]["status"], found[0]["reason"]) if found else None

    def message(self, kind, name="voice", namespace="calls"):
        return next(one["message"] for one in self.status[namespace, name]["conditions"] if one["type"] == kind)
