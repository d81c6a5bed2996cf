"""Namespaces of a node's own: what starts in them ends with them, the machine's network and mounts stay as they are."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster.apiserver import PATIENCE_SECONDS, Process

__all__ = ["NODE_ADDRESS", "InsideProcess", "Namespaces", "wait_for"]

NODE_ADDRESS = "10.88.0.1"

_CGROUPS = Path("/sys/fs/cgroup")
_NETWORK = """
set -e
mount -t tmpfs tmpfs /run
mount --bind {resolv} /etc/resolv.conf
ip link set lo up
ip link add node0 type bridge
ip addr add {address}/32 dev node0
ip link set node0 up
ip route add default dev node0
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
"""


class Namespaces:
    """Mount, network and process namespaces, held by a process that ends when this one does, however it does.

    Args:
        resolv: What is /etc/resolv.conf in them.
    """

    def __init__(self, resolv: Path) -> None:
        # with that signal ignored the kernel itself reaps whatever ends in the process namespace
        keep = ["env", "--ignore-signal=CHLD", "cat"]
        words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", *keep]
        self._holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._pid = _only_child(self._holder.pid)
        self.cgroup = f"speechpool-node-{self._pid}"
        for parent in _cgroup_parents():
            (parent / self.cgroup).mkdir()
        # a bridge carries the address, because not every kernel has dummy devices
        self.run("sh", "-c", _NETWORK.format(resolv=resolv, address=NODE_ADDRESS))

    def words(self, *words: str) -> list[str]:
        """The command line that runs a command in all of them."""
        return ["nsenter", "--mount", "--net", "--pid", f"--target={self._pid}", "--", *words]

    def network_words(self, *words: str) -> list[str]:
        """The command line that runs a command in the network alone."""
        return ["nsenter", "--net", f"--target={self._pid}", "--", *words]

    def run(self, *words: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Run a command in all of them; returns what it printed.

        Raises:
            AssertionError: It failed.
        """
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{' '.join(words)[:200]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def close(self) -> None:
        """End everything in them."""
        assert self._holder.stdin
        self._holder.stdin.close()
        self._holder.wait(PATIENCE_SECONDS)
        for parent in (_CGROUPS, *_CGROUPS.iterdir()):  # runc makes some where nobody asked
            _remove_tree(parent / self.cgroup)


class InsideProcess(Process):
    """A component in a process namespace: signals go to it, not to the command that entered for it."""

    @property
    def pid(self) -> int:
        """Its process id, as seen from outside."""
        return _only_child(super().pid)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        with contextlib.suppress(AssertionError, ProcessLookupError):  # it may have ended by itself
            super().end(number)


def wait_for(command: Sequence[str], what: str) -> None:
    """Wait until a command succeeds."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < give_up_at, f"{what}: {done.stderr}"
        time.sleep(0.05)


def _only_child(pid: int) -> int:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        assert time.monotonic() < give_up_at, "the process has started none"
        time.sleep(0.01)
    return int(children[0])


def _cgroup_parents() -> Iterator[Path]:
    """Where a cgroup is made: in each hierarchy of version 1, or in the one of version 2."""
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS
        return
    yield from (each for each in _CGROUPS.iterdir() if (each / "tasks").exists() and not each.is_symlink())


def _remove_tree(directory: Path) -> None:
    """Remove a cgroup and those in it; their processes may take a moment to go."""
    for found, _, _ in os.walk(directory, topdown=False):
        for _ in range(100):
            with contextlib.suppress(OSError):
                Path(found).rmdir()
                break
            time.sleep(0.02)
