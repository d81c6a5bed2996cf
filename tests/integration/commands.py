"""The commands as a user runs them: processes of their own, their output, their exit codes."""

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.integration.sidecar import PATIENCE_SECONDS, environment

__all__ = ["Terminal", "command", "speechpool"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "speechpool", *words]


def speechpool(
    *words: str, socket: Path | None = None, stdin: bytes = b"", env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    known = {"SPEECHPOOL_SOCKET": str(socket)} if socket else {}
    return subprocess.run(
        command(*words),
        env=environment(**known, **(env or {})),
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Terminal:
    """A command whose input, output and errors are a terminal."""

    def __init__(self, words: Sequence[str], socket: Path, *, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        self.process = subprocess.Popen(
            command(*words),
            env=environment(SPEECHPOOL_SOCKET=str(socket), TERM="xterm"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read_until(self, wanted: str | None) -> None:
        """Read until this was shown; None reads to the end."""
        while wanted is None or wanted not in self.text:
            assert select.select([self._master], [], [], PATIENCE_SECONDS)[0], f"nothing came after {self.text!r}"
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: the other end is closed
                data = b""
            if not data:
                assert wanted is None, f"{wanted!r} did not come in {self.text!r}"
                return
            self.text += data.decode()

    def type(self, data: bytes) -> None:
        """Type something."""
        os.write(self._master, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
