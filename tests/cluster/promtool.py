"""Builds promtool, once a machine, at the version and sums that promtool/ pins: Prometheus' own judge of rules."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.build import built_once, go

__all__ = ["promtool_binary"]

SOURCE = Path(__file__).parent / "promtool"


def promtool_binary() -> Path:
    """Path of promtool; built if it is not there, in some minutes."""
    return built_once("promtool", [SOURCE / "go.mod", SOURCE / "go.sum", Path(__file__)], _build)


def _build(binary: Path, cache: Path) -> None:
    made = binary.with_suffix(".part")
    # without the clients of every cloud, whom a server asks what to scrape
    words = [go(cache), "build", "-trimpath", "-mod=readonly", "-tags", "remove_all_sd", "-ldflags", "-s -w"]
    print("building promtool for the tests, once: some minutes", file=sys.stderr, flush=True)
    package = "github.com/prometheus/prometheus/cmd/promtool"
    subprocess.run(
        [*words, "-o", str(made), package], cwd=SOURCE, check=True, env={**os.environ, "GOTOOLCHAIN": "local"}
    )
    made.rename(binary)


if __name__ == "__main__":
    print(promtool_binary())
