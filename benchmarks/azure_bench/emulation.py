"""The emulator as a process of its own, and sidecars that take it for Azure."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.integration.sidecar import Sidecar, running_sidecar

__all__ = ["KEY", "UPGRADE_SECONDS", "azure_sidecar", "emulator"]

KEY = "0123456789abcdef0123456789abcdef"
UPGRADE_SECONDS = 0.15
"""From the request for a connection to its opening: what Azure needs from a cluster in its own region."""


@contextlib.contextmanager
def emulator(**options: object) -> Iterator[str]:
    """A running emulator with a connection that takes `UPGRADE_SECONDS` to open; its ws:// address."""
    given = {"upgrade_seconds": UPGRADE_SECONDS, "first_chunk_seconds": 0.05} | options
    words = [sys.executable, "-m", "speechpool_azure_emulator", "--port", "0"]
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(r"ws://\S+?(?=;)", process.stdout.readline())
            if found is None:
                raise RuntimeError("the emulator did not start")
            yield found.group()
        finally:
            process.terminate()


@contextlib.contextmanager
def azure_sidecar(
    directory: Path, url: str, config: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> Iterator[Sidecar]:
    """A sidecar whose Azure is at `url`, ready."""
    directory.mkdir()
    variables = {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_ENDPOINT": url, **(env or {"AZURE_SPEECH_KEY": KEY})}
    with running_sidecar(directory, env=variables, config={"telemetryAddress": "127.0.0.1:0", **config}) as sidecar:
        yield sidecar
