"""What does one event cost the operator? Its decisions alone, with thousands of sidecars and a hundred objects.

`python benchmarks/operator_plan.py [--quick]`
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import report

from speechpool.settings.wire import Applying, Hello, NewSettings, PoolState, State
from speechpool_operator.fleet import Fleet
from speechpool_operator.names import INJECTED_LABEL
from speechpool_operator.objects import Pod, SpeechPool, read_pod, read_speech_pool
from speechpool_operator.reconcile import Plan, plan
from speechpool_operator.streams import Cell

POOLS = 100

NOTE = """Microseconds of decision, without I/O: an event is noted, and everything that follows from it is planned.
{pools} SpeechPools and all pods lie in two namespaces; the first object is followed by 45 % of all pods. Medians and
slowest of {many} events of a sidecar or pod and of {few} of an object. A change of its settings plans a message for
each sidecar that follows it; a change of its selector is held against every pod of its namespace."""


class Cluster:
    """A fleet with many pods and objects, all sidecars connected and synced."""

    def __init__(self, *, pods: int, pools: int) -> None:
        self.now = 0.0
        self.version = 0
        self.generation = 1
        self.count = pods
        self.fleet = Fleet("speechpool-system", clock=lambda: self.now)
        self.cells: dict[str, Cell] = {}
        self.sent: dict[str, NewSettings] = {}
        self.fleet.keep_pools([self.pool(index) for index in range(pools)])
        self.fleet.keep_pods([self.pod(index) for index in range(pods)])
        for index in range(pods):
            pod = self.pod(index)
            cell = self.cells[pod.uid] = Cell()
            self.fleet.connected(pod, Hello(version="0"), cell)
        self.plan()
        for uid in self.sent:
            self.say(uid, warm=3)
        self.now += 60
        for uid in self.sent:
            self.say(uid, warm=3)
        self.plan()

    def pool(self, index: int, **spec: object) -> SpeechPool:
        self.version += 1
        app = f"voice-{index}"
        found = read_speech_pool(
            {
                "metadata": {
                    "uid": f"pool-{index}",
                    "name": f"pool-{index}",
                    "namespace": f"calls-{index % 2}",
                    "generation": self.generation,
                    "resourceVersion": str(self.version),
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {"selector": {"matchLabels": {"app": app}}, "warmSize": 3, **spec},
            }
        )
        assert found
        return found

    def pod(self, index: int, *, app: str = "") -> Pod:
        """Every second pod is in the first namespace, and nine of ten of these follow the first object."""
        self.version += 1
        row = index // 2
        which = app or ("voice-0" if row % 10 else f"voice-{row // 10 % 49 * 2 + 2}")
        labels = {"app": which, INJECTED_LABEL: "true", "pod-template-hash": "5d9c7b8f6", "release": "blue"}
        metadata = {
            "uid": f"00000000-0000-4000-8000-{index:012}",
            "name": f"voice-{index}",
            "namespace": f"calls-{index % 2}",
            "resourceVersion": str(self.version),
            "labels": labels,
        }
        found = read_pod({"metadata": metadata})
        assert found
        return found

    def say(self, uid: str, *, warm: int) -> None:
        revision = self.sent[uid].revision
        pools = {name: PoolState(warm=warm, wanted=3, ready=True) for name in ("tts", "stt")}
        state = State(state=Applying.APPLIED, offered=revision, applied=revision, pools=pools)
        self.fleet.said(uid, self.cells[uid], state)

    def plan(self) -> Plan:
        made = plan(self.fleet)
        for uid, (_, message) in made.messages.items():
            if isinstance(message, NewSettings):
                self.sent[uid] = message
        return made


def timed(act: Callable[[int], None], cluster: Cluster, count: int) -> list[float]:
    """The microseconds of each of some events, its plan included."""
    spent = []
    for index in range(count):
        cluster.now += 0.01
        started = time.perf_counter()
        act(index)
        made = plan(cluster.fleet)
        spent.append((time.perf_counter() - started) * 1e6)
        cluster.sent |= {uid: message for uid, (_, message) in made.messages.items()}
    return spent


def events(cluster: Cluster) -> dict[str, Callable[[int], None]]:
    """The kinds of events, and how one is made; what the API's JSON costs is in them."""
    uids = list(cluster.sent)

    def answer(index: int) -> None:
        cluster.say(uids[index % len(uids)], warm=3)

    def state(index: int) -> None:
        cluster.say(uids[index % len(uids)], warm=index % 3)

    def label(index: int) -> None:
        cluster.fleet.put_pod(cluster.pod(2 * (index % (cluster.count // 2)), app=f"voice-{2 * (index % 49)}"))

    def settings(index: int) -> None:
        cluster.generation += 1
        cluster.fleet.put_pool(cluster.pool(0, warmSize=index % 2 + 1))

    def selector(index: int) -> None:
        cluster.generation += 1
        wide = [{"key": "app", "operator": "NotIn", "values": ["voice-2"]}] if index % 2 else []
        cluster.fleet.put_pool(cluster.pool(0, selector={"matchLabels": {"release": "blue"}, "matchExpressions": wide}))

    return {
        "answer to a heartbeat": answer,
        "state with other numbers": state,
        "pod with other labels": label,
        "object's settings": settings,
        "object's selector": selector,
    }


def rounds(quick: bool) -> tuple[int, int]:
    """How many events of a sidecar or a pod, and how many of an object."""
    return (200, 5) if quick else (2000, 21)


def measure(pods: int, *, pools: int, quick: bool) -> list[dict[str, object]]:
    """One row for each kind of event."""
    cluster = Cluster(pods=pods, pools=pools)
    many, few = rounds(quick)
    rows: list[dict[str, object]] = []
    for name, act in events(cluster).items():
        spent = timed(act, cluster, few if name.startswith("object") else many)
        rows.append({"sidecars": pods, "event": name, "median µs": statistics.median(spent), "slowest µs": max(spent)})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args(arguments).quick
    many, few = rounds(quick)
    rows = [row for pods in (2, 60, 1000, 10_000) for row in measure(pods, pools=POOLS, quick=quick)]
    largest = {row["event"]: float(str(row["median µs"])) for row in rows[-5:]}
    report.save(
        "61-operator-plan",
        rows,
        title="Operator: what one event costs",
        note=NOTE.format(pools=POOLS, many=many, few=few),
        targets=(
            report.at_most(
                "operator: one state among 10,000 sidecars, decided",
                largest["state with other numbers"] / 1000,
                1.0,
                " ms",
            ),
            report.at_most(
                "operator: an edit that 4,500 sidecars follow, decided",
                largest["object's settings"] / 1000,
                100.0,
                " ms",
            ),
        ),
        quick=quick,
    )
    print(report.text("61-operator-plan"))


if __name__ == "__main__":
    main()
