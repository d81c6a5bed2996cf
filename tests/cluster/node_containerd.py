"""containerd, with the images of the work tree: unpacked once a machine, and kept under their content's name."""

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.apiserver import Process
from tests.cluster.build import cache_directory
from tests.cluster.images import PAUSE, TARGETS, image, pause_archive, push_images
from tests.cluster.node_config import containerd_file
from tests.cluster.node_namespaces import InsideProcess, Namespaces, wait_for

__all__ = ["image_store", "start_containerd"]

_IMPORT_SECONDS = 300.0
_CTR = ("ctr", "--namespace", "k8s.io")


@contextlib.contextmanager
def image_store(fallback: Path) -> Iterator[Path]:
    """Where containerd keeps its images: one place for all runs, or `fallback` while another node has that."""
    cache = cache_directory() / "containerd"
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield fallback
        else:
            yield cache / "root"


def start_containerd(inside: Namespaces, directory: Path, root: Path) -> Process:
    """A containerd that has all images, and nothing of an earlier run."""
    keeper = _start(inside, directory, root, has_kubernetes=False)
    _forget_containers(inside)
    _import_images(inside)
    keeper.end()
    return _start(inside, directory, root, has_kubernetes=True)


def _start(inside: Namespaces, directory: Path, root: Path, *, has_kubernetes: bool) -> Process:
    file = containerd_file(directory, root, has_kubernetes=has_kubernetes)
    process = InsideProcess(inside.words("containerd", "--config", str(file)), directory / "containerd.log")
    process.start()
    wait_for(inside.words("ctr", "version"), "containerd does not answer")
    return process


def _forget_containers(inside: Namespaces) -> None:
    if left := inside.run(*_CTR, "containers", "ls", "--quiet").split():
        inside.run(*_CTR, "containers", "rm", *left)


def _import_images(inside: Namespaces) -> None:
    present = set(inside.run(*_CTR, "images", "ls", "--quiet").split())
    wanted = {PAUSE, *map(image, TARGETS)}
    if wanted <= present:
        return
    if outdated := present - wanted:  # their names by content too, which would keep them
        inside.run(*_CTR, "images", "rm", "--sync", *outdated)
    with tempfile.TemporaryDirectory() as directory:
        for archive in [pause_archive(), *push_images(Path(directory))]:
            inside.run(*_CTR, "images", "import", str(archive), seconds=_IMPORT_SECONDS)
