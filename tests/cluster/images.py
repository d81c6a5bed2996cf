"""The images for tests on a node: built by `make image` with buildah, on a base that needs no registry.

The base is a Debian made by debootstrap, once a machine. What was built is known by its content: the same sources are
never built again. `python -m tests.cluster.images` builds and lists them.
"""

import atexit
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.build import built_once, cache_directory, go

__all__ = [
    "BASE",
    "PAUSE",
    "SOURCE",
    "STRAY",
    "TARGETS",
    "Builder",
    "image",
    "image_tag",
    "pause_archive",
    "push_images",
    "sources",
]

ROOT = Path(__file__).parents[2]
BASE = "localhost/speechpool-base:bookworm-slim"
"""What the images are built on: as slim images are, without bytecode of the standard library."""
PAUSE = "localhost/pause:1"
"""The image that holds a pod's namespaces."""
SOURCE = "https://example.org/speechpool"
"""Where the images say that they come from."""
STRAY = ("sidecar/speechpool/.env", "operator/speechpool_operator/recording.wav")
"""What lies about in the sources, as in many a clone: no image may have it."""
TARGETS = ("sidecar", "operator", "azure-emulator")
BUILD_SECONDS = 900.0
"""The bound of one step; the longest, debootstrap, takes half a minute to one and a half."""

_INGREDIENTS = (
    ".dockerignore",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "operator",
    "pyproject.toml",
    "sidecar",
    "uv.lock",
)
_SUITE = "bookworm"
_PACKAGES = "ca-certificates,python3,python3-venv"
_MIRROR = "http://deb.debian.org/debian"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PAUSE = Path(__file__).parent / "kube" / "pause"
_MANY_LAYERS = 200
"""So many kept layers say that the sources changed often; they are made again then."""


@functools.cache
def image_tag() -> str:
    """The tag of the images that the sources make."""
    digest = hashlib.sha256()
    for file in sorted(sources().rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(sources())}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def image(target: str) -> str:
    """The name of one of TARGETS, as a pod says it."""
    return f"localhost/speechpool/{target}:{image_tag()}"


def push_images(directory: Path) -> list[Path]:
    """Build what is not built, and write each of TARGETS into a file in `directory` that containerd imports."""
    with Builder.locked() as builder:
        builder.make_base()
        builder.make_images()
        return [builder.push(image(target), directory / f"{target}.tar") for target in TARGETS]


def pause_archive() -> Path:
    """The file of the image that holds a pod's namespaces: a program that waits."""
    return built_once("pause", [_PAUSE / "main.go", Path(__file__)], _build_pause)


@functools.cache
def sources() -> Path:
    """A copy of what images are made of, as it is now, with STRAY: an edit during a test must not make half one."""
    directory = Path(tempfile.mkdtemp(prefix="speechpool-images-"))
    atexit.register(shutil.rmtree, directory)
    for name in _INGREDIENTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, directory / name)
    for name in STRAY:
        (directory / name).write_text("AZURE_SPEECH_KEY=secret\n")
    return directory


def _build_pause(made: Path, cache: Path) -> None:
    with Builder.locked() as builder, tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "pause")
        words = [go(cache), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), "main.go"]
        settings = {"CGO_ENABLED": "0", "GO111MODULE": "off"}
        subprocess.run(words, cwd=_PAUSE, check=True, env=os.environ | settings, timeout=BUILD_SECONDS)
        container = builder.run("from", "scratch")
        builder.run("copy", container, str(program), "/pause")
        builder.run("config", "--entrypoint", '["/pause"]', "--user", "65535:65535", container)
        builder.run("commit", "--rm", container, PAUSE)
        builder.push(PAUSE, made.with_suffix(".part")).rename(made)


class Builder:
    """Buildah with a store of its own, which no other program uses.

    Args:
        store: Where it is.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        store.mkdir(parents=True, exist_ok=True)
        self._settings = store / "storage.conf"
        self._settings.write_text(
            f'[storage]\ndriver = "{self._driver()}"\ngraphroot = "{store / "graph"}"\nrunroot = "{store / "run"}"\n'
        )

    @classmethod
    @contextlib.contextmanager
    def locked(cls) -> Iterator["Builder"]:
        """The builder, for one process at a time."""
        cache = cache_directory()
        with (cache / "buildah.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield cls(cache / "buildah")

    def run(self, *words: str) -> str:
        """Run buildah; returns what it printed."""
        return self._run(["buildah", *words])

    def podman(self, *words: str) -> str:
        """Run podman in the same store; returns what it printed."""
        return self._run(["podman", *words])

    def push(self, name: str, file: Path) -> Path:
        """Write an image into a file; returns the file."""
        file.unlink(missing_ok=True)
        self.run("push", "--quiet", name, f"docker-archive:{file}:{name}")
        return file

    def make_base(self) -> None:
        """The base, if it is not there."""
        if self._has(BASE):
            return
        print("making a base image by debootstrap, once: a minute", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=self._store) as directory:
            words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, directory, _MIRROR]
            self._run(words)
            for useless in [Path(directory, "var/lib/apt/lists"), *Path(directory, "usr/lib").rglob("__pycache__")]:
                shutil.rmtree(useless)
            container = self.run("from", "scratch")
            self.run("copy", "--quiet", container, directory, "/")
            self.run("commit", "--quiet", "--rm", container, BASE)

    @contextlib.contextmanager
    def files(self, name: str) -> Iterator[Path]:
        """The directory in which an image's files are."""
        container = self.run("from", name)
        try:
            yield Path(self.run("mount", container))
        finally:
            self.run("rm", container)

    def make_images(self) -> None:
        """The images, if they are not there."""
        missing = [target for target in TARGETS if not self._has(image(target))]
        if not missing:
            return
        if len(self.run("images", "--all", "--quiet").splitlines()) > _MANY_LAYERS:
            self._forget()
        print(f"building the images {', '.join(missing)}: a minute at most", file=sys.stderr, flush=True)
        self.make("buildah", missing, image_tag(), flags="--layers --quiet")

    def make(self, tool: str, targets: Sequence[str], tag: str, *, flags: str) -> None:
        """`make image` of the sources as they were when this process first asked for their tag."""
        words = [
            "make",
            "-C",
            str(sources()),
            "image",
            f"BUILDER={tool}",
            f"TARGETS={' '.join(targets)}",
            f"TAG={tag}",
        ]
        where = ["REGISTRY=localhost/", f"BASE={BASE}", f"CA={_CERTIFICATES}", f"IMAGE_FLAGS={flags}"]
        self._run([*words, *where, f"REVISION={image_tag()}", f"SOURCE={SOURCE}"])

    def description(self, name: str) -> dict[str, Any]:
        """What an image says of itself: its `config`, its layers (`rootfs`), its `history`."""
        return json.loads(self.run("inspect", "--type", "image", name))["OCIv1"]

    def _forget(self) -> None:
        for name in self.run("images", "--all", "--format", "{{.ID}} {{.Name}}").splitlines():
            if not name.endswith(BASE.partition(":")[0]):
                self._run(["buildah", "rmi", "--force", name.split()[0]], is_checked=False)  # a parent may have gone

    def _has(self, name: str) -> bool:
        return bool(self._run(["buildah", "images", "--quiet", name], is_checked=False).strip())

    def _driver(self) -> str:
        """Overlay where the kernel has it: the other copies all files for each layer."""
        return "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"

    def _run(self, words: Sequence[str], *, is_checked: bool = True) -> str:
        settings = {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(self._settings)}
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if is_checked and done.returncode:
            raise AssertionError(f"{' '.join(words[:3])} failed:\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}")
        return done.stdout.strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for archive in [pause_archive(), *push_images(Path(place))]:
            print(f"{archive.name} {archive.stat().st_size / 1e6:.0f} MB")
