"""From the API server's write to applied and acknowledged by every sidecar: the whole operator on a real API server."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report
from operator_stream import HERE, Server, certificates
from sidecar.statistics import quantile
from streams.cluster import Cluster
from tests.cluster.apiserver import PATIENCE_SECONDS, running_api_server
from tests.cluster.operators import ACCOUNT, KUBE_AUDIENCE, Operator

OWN_UP_TO = 60
"""Up to so many sidecars are their own stream clients, which read and judge settings; above, they answer unread."""
STORM = 1000
ROUNDS = {1: 200, 60: 100, 1000: 40, 10_000: 10}
QUICK_ROUNDS = {1: 30, 60: 20, 1000: 8}


class Whole:
    """The operator's process on one core.

    Args:
        cluster: What it serves.
        directory: Where its certificate is.
        core: Where it runs.
        listen: Its port; 0 for any.
    """

    def __init__(self, cluster: Cluster, directory: Path, core: int, listen: int = 0) -> None:
        api = cluster.api
        token = api.token(cluster.operator_namespace, None, account=ACCOUNT, audience=KUBE_AUDIENCE, seconds=36_000)
        self._place = Path(tempfile.mkdtemp(dir=directory)) / "times"
        words = [
            *("--kubeconfig", str(api.kubeconfig(token=token, name=ACCOUNT))),
            *("--namespace", cluster.operator_namespace, "--log-format", "json"),
            *("--listen", f"127.0.0.1:{listen}", "--telemetry-address", "127.0.0.1:0"),
            *("--tls-cert-file", str(directory / "tls.crt"), "--tls-key-file", str(directory / "tls.key")),
        ]
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # its threads too
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.whole", "run", *words],
            env={**os.environ, "PYTHONPATH": str(HERE), "STREAMS_SOCKET": str(self._place)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(0, mine)
        self.operator = Operator(process, cluster.operator_namespace, directory / "ca.crt")
        self.operator.wait_ready()
        self.port = int(self.operator.address.rpartition(":")[2])
        self._asking = socket.socket(socket.AF_UNIX)
        self._asking.connect(str(self._place))
        self._asking.settimeout(PATIENCE_SECONDS)
        self._lines = self._asking.makefile("rw")

    def count(self, acknowledgements: int) -> None:
        print(acknowledgements, file=self._lines, flush=True)
        assert self._lines.readline() == "counting\n"

    def times(self) -> list[float]:
        found: list[float] = json.loads(self._lines.readline())
        return found

    @property
    def mib(self) -> float:
        return self.operator.rss_bytes() / 2**20

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.operator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def streams(self) -> int:
        found = [one for one in self.operator.get("/metrics")[1].splitlines() if one.startswith(STREAMS_METRIC)]
        return int(float(found[0].rpartition(" ")[2])) if found else 0

    def close(self) -> None:
        self._lines.close()
        self._asking.close()
        self.operator.kill()


STREAMS_METRIC = "speechpool_operator_streams "


@contextlib.contextmanager
def sidecars(directory: Path, port: int, count: int, module: str) -> Iterator[None]:
    words = [sys.executable, "-m", f"streams.{module}", str(directory), str(port), str(count)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(HERE)})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_streams(whole: Whole, count: int) -> None:
    """Until all are connected; on a loaded machine that may be long, but some are at any time."""
    connected, give_up_at = -1, 0.0
    while connected < count:
        now = whole.streams
        if now > connected:
            connected, give_up_at = now, time.monotonic() + PATIENCE_SECONDS
        assert time.monotonic() < give_up_at, f"{now} of {count} are connected"
        time.sleep(0.25)


def wait_status(cluster: Cluster, count: int) -> None:
    """Until the object's status has settled, so that writing it is not measured with the next change."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (status := cluster.status()).get("synced") != count or status["observedGeneration"] != status["generation"]:
        assert time.monotonic() < give_up_at, status
        time.sleep(0.1)


def rounds_of(cluster: Cluster, whole: Whole, count: int, rounds: int) -> list[tuple[float, list[float]]]:
    """Of each change how long the API server took, and when each sidecar had acknowledged, both from the request."""
    made = []
    cluster.dial()
    for _ in range(rounds):
        whole.count(count)
        asked_at, answered_at = cluster.edit()
        made.append((answered_at - asked_at, sorted(at - asked_at for at in whole.times())))
        time.sleep(random.uniform(0.05, 0.25))
    return made


def measure(cluster: Cluster, directory: Path, count: int, rounds: int, idle_seconds: float) -> dict[str, Any]:
    asyncio.run(cluster.have_pods(count))
    operator_core = min(CORES)
    module = "own" if count <= OWN_UP_TO else "sidecars"
    with contextlib.closing(Whole(cluster, directory, operator_core)) as whole:
        idle_mib = whole.mib
        with sidecars(directory, whole.port, count, module):
            began = time.perf_counter()
            wait_streams(whole, count)
            connected_seconds = time.perf_counter() - began
            wait_status(cluster, count)
            before = whole.cpu_seconds
            made = rounds_of(cluster, whole, count, rounds)
            cpu_seconds = whole.cpu_seconds - before
            wait_status(cluster, count)
            mib = whole.mib
            before = whole.cpu_seconds
            time.sleep(idle_seconds)
            idle_percent = 100 * (whole.cpu_seconds - before) / idle_seconds
    every = [at for _, round_ in made for at in round_]
    row = {
        "sidecars": count,
        "sidecars are": {"own": "their own stream client", "sidecars": "answers, unread"}[module],
        "p50 ms": 1e3 * quantile(every, 0.5),
        "p99 ms": 1e3 * quantile(every, 0.99),
        "p50 after the answer ms": 1e3 * quantile([at - write for write, round_ in made for at in round_], 0.5),
        "all ms": 1e3 * statistics.median(round_[-1] for _, round_ in made),
        "first to last ms": 1e3 * statistics.median(round_[-1] - round_[0] for _, round_ in made),
        "API server's write ms": 1e3 * statistics.median(write for write, _ in made),
        "bare server: all ms": bare_ms(directory, count, max(4, rounds // 4)),
        "CPU ms a change": 1e3 * cpu_seconds / rounds,
        "connected s": connected_seconds,
        "idle MiB": idle_mib,
        "MiB": mib,
        "heartbeats % of a core": idle_percent,
    }
    print(row, flush=True)  # minutes pass until the next
    return row


def bare_ms(directory: Path, count: int, rounds: int) -> float:
    server = Server("bare", directory, count, sorted(CORES))
    try:
        for _ in range(rounds):
            server.push()
    finally:
        server.stop()
    return 1e3 * statistics.median(max(one) for one in server.rounds)


def storm(cluster: Cluster, directory: Path, count: int) -> dict[str, Any]:
    """Kill the operator, change the object, start another: until all its sidecars run the change."""
    asyncio.run(cluster.have_pods(count))
    core = min(CORES)
    first = Whole(cluster, directory, core)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sidecars(directory, first.port, count, "own"))
        wait_streams(first, count)
        wait_status(cluster, count)
        first.close()
        cluster.dial()
        cluster.edit()
        second = stack.enter_context(contextlib.closing(Whole(cluster, directory, core, first.port)))
        began = time.perf_counter()
        second.count(count)
        times = sorted(at - began for at in second.times())
        wait_status(cluster, count)
        settled = time.perf_counter() - began
        refused = sum(
            int(float(line.rpartition(" ")[2]))
            for line in second.operator.get("/metrics")[1].splitlines()
            if line.startswith("speechpool_operator_refused_total")
        )
        return {
            "sidecars": count,
            "half synced s": quantile(times, 0.5),
            "all synced s": times[-1],
            "status says so s": settled,
            "refused, and tried again": refused,
            "MiB": second.mib,
        }


CORES = set(sorted(os.sched_getaffinity(0))[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no 10,000 sidecars")
    quick = parser.parse_args().quick
    os.sched_setaffinity(0, {max(CORES)})  # everything but the operator
    with certificates() as directory, running_api_server(Path(tempfile.mkdtemp(dir=directory))) as api:
        cluster = Cluster(api, directory)
        sizes = QUICK_ROUNDS if quick else ROUNDS
        rows = [measure(cluster, directory, count, rounds, 5 if quick else 20) for count, rounds in sizes.items()]
        storms = [storm(cluster, directory, STORM)]
    save(rows, storms, quick)


def save(rows: list[dict[str, Any]], storms: list[dict[str, Any]], quick: bool) -> None:
    one, sixty, thousand, *most = rows
    targets = [
        report.at_most("1 sidecar: p50 of write to acknowledged", one["p50 ms"], 12.0, " ms"),
        report.at_most("1 sidecar: p99 of write to acknowledged", one["p99 ms"], 50.0, " ms"),
        report.at_most("60 sidecars: all have it", sixty["all ms"], 50.0, " ms"),
        report.at_most("1,000 sidecars: p99 of write to acknowledged", thousand["p99 ms"], 150.0, " ms"),
        report.at_most("operator's memory, idle", one["idle MiB"], 85.0, " MiB"),
        report.at_most("operator's memory with 1,000 sidecars", thousand["MiB"], 160.0, " MiB"),
        report.at_most("operator's CPU with one sidecar, idle", one["heartbeats % of a core"], 1.0, " % of a core"),
    ]
    for row in most:
        ratio = row["all ms"] / row["bare server: all ms"]
        targets.append(report.at_most("10,000 sidecars: write to all, of the bare server's push", ratio, 1.5))
        targets.append(report.at_most("operator's memory with 10,000 sidecars", row["MiB"], 900.0, " MiB"))
    note = (
        "The whole operator on a real API server; a change of one object of a kilobyte that all sidecars follow, from "
        "the request being sent to the operator having read the sidecar's acknowledgement. The operator has one core; "
        "the API server, etcd and the sidecars share another. The bare server sends and counts, with the same library "
        f"and as many connections. {report.versions('kopf', 'aiohttp', 'uvloop')}."
    )
    title = "Operator: from the API server's write to applied by all"
    report.save("61-operator-apply", rows, title=title, note=note, targets=targets, quick=quick)
    all_synced = report.at_most("reconnect storm of 1,000: all synced", storms[0]["all synced s"], 15.0, " s")
    report.save(
        "62-operator-storm",
        storms,
        title="Operator: killed, and all sidecars at once at the next",
        note="Sidecars' own stream clients; counted from the new operator being ready to each one's acknowledgement "
        "of a change that was made while there was no operator.",
        targets=[all_synced],
        quick=quick,
    )
    for section in ("61-operator-apply", "62-operator-storm"):
        print(report.text(section))


if __name__ == "__main__":
    main()
