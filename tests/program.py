"""A program of ours as a process whose log is read as it comes: waiting is for its lines, or for its end."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE_SECONDS", "Program"]

PATIENCE_SECONDS = 60.0
"""The bound of every wait: far above what any of them takes, so that a loaded machine passes too."""


_ABSENT = object()


class Program:
    """One running process.

    Args:
        process: The process; its stderr is a pipe.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.pid = process.pid
        self.lines: list[str] = []
        self._records: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._is_read_out = False
        self._reader = threading.Thread(target=self._read, name="log", daemon=True)
        self._reader.start()

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The log so far: what was a JSON object."""
        with self._changed:
            return list(self._records)

    @property
    def stderr_text(self) -> str:
        """Everything on stderr so far."""
        with self._changed:
            return "".join(self.lines)

    def wait_for_log(self, message: str, *, count: int = 1, **fields: object) -> dict[str, Any]:
        """The `count`-th record with this message and these fields, as soon as it is there."""
        wanted = {"message": message, **fields}

        def found() -> list[dict[str, Any]]:
            return [
                one for one in self._records if all(one.get(key, _ABSENT) == value for key, value in wanted.items())
            ]

        with self._changed:
            came = self._changed.wait_for(lambda: self._is_read_out or len(found()) >= count, PATIENCE_SECONDS)
            if len(matching := found()) >= count:
                return matching[count - 1]
        why = "it ended" if came else "no such record came"
        raise AssertionError(f"{why} while waiting for {message!r} {fields}; its log:\n{self.stderr_text}")

    def wait_for_text(self, text: str) -> None:
        """Wait until this is on stderr, whatever the format of the log."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_read_out or text in self.stderr_text, PATIENCE_SECONDS)
        assert text in self.stderr_text

    def rss_bytes(self) -> int:
        """Its resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended and its log is read to the end."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr:
            for line in self.process.stderr:
                record = _record(line)
                with self._changed:
                    self.lines.append(line)
                    self._records += [record] if record else []
                    self._changed.notify_all()
        with self._changed:
            self._is_read_out = True
            self._changed.notify_all()


def _record(line: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):  # a killed program leaves half a line
        return json.loads(line) if line.startswith("{") else None
    return None
