"""What the kernel knows of processes and file descriptors."""

import asyncio
from pathlib import Path

from tests.waiting import until

__all__ = ["children", "exists", "files_left", "gone", "is_running", "open_files", "threads"]


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def exists(pid: int) -> bool:
    """Whether the process exists, as a zombie too."""
    return Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> bool:
    """Whether the process ends and is collected, within the test's own time limit."""
    await until(lambda: not exists(pid))
    return True


def threads(pid: int) -> int:
    """How many threads the process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children() -> set[int]:
    """Every child process of this one, zombies too."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def open_files() -> dict[str, str]:
    """The open file descriptors of this process, and what they are."""
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found[descriptor.name] = str(descriptor.readlink())
        except FileNotFoundError:  # the one that lists them
            continue
    return found


async def files_left(before: dict[str, str]) -> set[tuple[str, str]]:
    """What is open and was not before; sockets that were let go of are closed in the loop's next round."""
    await asyncio.sleep(0)
    return {*open_files().items()} - {*before.items()}
