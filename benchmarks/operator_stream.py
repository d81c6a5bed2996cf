"""A change pushed to many sidecars and acknowledged by all, beside a bare server of the same library, in one run."""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report
import trustme
from sidecar.statistics import quantile

HERE = Path(__file__).parent
PATIENCE_SECONDS = 120.0


class Server:
    """One server process and the process of its sidecars, a core each."""

    def __init__(self, module: str, directory: Path, count: int, cores: list[int]) -> None:
        self._count = count
        self._server = self._start(cores[0], "-m", f"streams.{module}", str(directory))
        port = str(self._answer()["port"])
        self.idle_mib = self._mib()
        began = time.perf_counter()
        self._sidecars = self._start(cores[-1], "-m", "streams.sidecars", str(directory), port, str(count))
        while self._ask("count")["streams"] < count:
            assert time.perf_counter() < began + PATIENCE_SECONDS, "the sidecars did not connect"
            time.sleep(0.02)
        self.connected_seconds = time.perf_counter() - began
        self.mib = self._mib()
        self.rounds: list[list[float]] = []
        self.cpu_seconds = 0.0

    def push(self) -> None:
        before = self._cpu_seconds()
        self.rounds.append(self._ask("push")["seconds"])
        self.cpu_seconds += self._cpu_seconds() - before

    def cpu_percent(self, seconds: float) -> float:
        """Of a core, while nothing but heartbeats happens."""
        time.sleep(10.0)  # the first comes up to that long after the last push
        before = self._cpu_seconds()
        time.sleep(seconds)
        return 100 * (self._cpu_seconds() - before) / seconds

    def stop(self) -> None:
        for each in (self._sidecars, self._server):
            each.kill()
            each.wait()
            for pipe in (each.stdin, each.stdout):
                if pipe:
                    pipe.close()

    def _start(self, core: int, *words: str) -> "subprocess.Popen[str]":
        made = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
        os.sched_setaffinity(made.pid, {core})
        return made

    def _ask(self, word: str) -> dict[str, Any]:
        assert self._server.stdin
        self._server.stdin.write(f"{word}\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def _mib(self) -> float:
        pages = int(Path(f"/proc/{self._server.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _cpu_seconds(self) -> float:
        # of its main thread, exact: the ticks of `stat` miss what is shorter than they are
        return int(Path(f"/proc/{self._server.pid}/schedstat").read_text().split()[0]) / 1e9


@contextlib.contextmanager
def certificates() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        directory, authority = Path(name), trustme.CA()
        made = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(str(directory / "ca.crt"))
        made.private_key_pem.write_to_path(str(directory / "tls.key"))
        (directory / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        yield directory


def measure(count: int, rounds: int, idle_seconds: float) -> list[dict[str, Any]]:
    cores = sorted(os.sched_getaffinity(0))[:2]
    servers: dict[str, Server] = {}
    with certificates() as directory, contextlib.ExitStack() as stack:
        for module in ("ours", "bare"):
            servers[module] = Server(module, directory, count, cores)
            stack.callback(servers[module].stop)
        for _ in range(rounds):
            for server in servers.values():
                server.push()
        return [row(count, module, server, idle_seconds) for module, server in servers.items()]


def row(count: int, module: str, server: Server, idle_seconds: float) -> dict[str, Any]:
    return {
        "streams": count,
        "server": {"ours": "config server", "bare": "bare aiohttp"}[module],
        "half have it ms": 1e3 * statistics.median(quantile(one, 0.5) for one in server.rounds),
        "p99 ms": 1e3 * statistics.median(quantile(one, 0.99) for one in server.rounds),
        "all ms": 1e3 * statistics.median(max(one) for one in server.rounds),
        "worst round ms": 1e3 * max(max(one) for one in server.rounds),
        "CPU µs a sidecar": 1e6 * server.cpu_seconds / len(server.rounds) / count,
        "connected s": server.connected_seconds,
        "idle MiB": server.idle_mib,
        "MiB": server.mib,
        "heartbeats % of a core": server.cpu_percent(idle_seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no 10,000 streams")
    quick = parser.parse_args().quick
    sizes = {60: 20, 1000: 10} if quick else {1: 200, 60: 100, 1000: 40}
    rows = [one for count, rounds in sizes.items() for one in measure(count, rounds, 5.0 if quick else 20.0)]
    ours, bare = rows[-2:]
    report.save(
        "60-operator-stream",
        rows,
        title="Operator: one change to every sidecar",
        note="Settings of one kilobyte put into every stream's cell, to the sidecar's acknowledgement read and judged; "
        "medians of the rounds. Server and sidecars have a core each, TLS on loopback, rounds interleaved with a bare "
        f"server that sends and counts. The API server's part is left out. {report.versions('aiohttp', 'uvloop')}.",
        targets=[
            report.at_most("1,000 sidecars: p99 of push to acknowledged", ours["p99 ms"], 150.0, " ms"),
            report.at_most("1,000 sidecars: push to all, of the bare server's", ours["all ms"] / bare["all ms"], 1.5),
            report.at_most("1,000 sidecars: memory of the config server", ours["MiB"], 160.0, " MiB"),
        ],
        quick=quick,
    )
    print(report.text("60-operator-stream"))


if __name__ == "__main__":
    main()
