"""What the sidecar costs when nobody calls: start, memory, threads, CPU."""

import os
import tempfile
import time
from pathlib import Path

import report
from tests.integration.sidecar import Sidecar, running_sidecar

IDLE_SECONDS = 10.0


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def rss_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    return int(status(pid)["VmRSS"].split()[0]) * 1024 / 1e6


def private_mb(pid: int) -> float:
    """Memory that no other process shares, in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time that the process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kind(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return next((word.rpartition(".")[2] for word in words if word.startswith("speechpool.")), "?")


def footprint(sidecar: Sidecar, start_seconds: float) -> tuple[list[dict[str, object]], list[report.Target]]:
    pids = [sidecar.pid, *sorted(sidecar.worker_pids(), key=kind)]
    before = {pid: cpu_seconds(pid) for pid in pids}
    time.sleep(IDLE_SECONDS)
    rows: list[dict[str, object]] = [
        {
            "process": "the sidecar" if pid == sidecar.pid else kind(pid),
            "RSS MB": rss_mb(pid),
            "private MB": private_mb(pid),
            "threads": int(status(pid)["Threads"]),
            "idle CPU %": (cpu_seconds(pid) - before[pid]) / IDLE_SECONDS * 100,
        }
        for pid in pids
    ]
    targets = [
        report.at_most("process start to ready with 3 + 1 clients", start_seconds, 2, " s"),
        report.at_most("idle RSS of the main process", float(str(rows[0]["RSS MB"])), 55, " MB"),
        report.at_most("idle CPU of the main process", float(str(rows[0]["idle CPU %"])), 1, " % of a core"),
    ]
    return rows, targets


NOTE = """A fresh sidecar with the local engine, three warm voices and one warm listener, nobody calling. RSS counts
shared libraries in every process; private memory is what one more such process costs. MB are 10^6 bytes."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        begun = time.perf_counter()
        with running_sidecar(Path(name)) as sidecar:
            rows, targets = footprint(sidecar, time.perf_counter() - begun)
    report.save("32-sidecar-footprint", rows, title="Sidecar: footprint", note=NOTE, targets=targets)
    print(report.text("32-sidecar-footprint"))


if __name__ == "__main__":
    main()
