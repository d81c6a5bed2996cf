"""Watching the settings file.

By polling: a ConfigMap's file is a symbolic link to a link that the kubelet swaps, which a watch of the file itself
does not see (kubernetes/kubernetes, pkg/volume/util/atomic_writer.go), and one `stat` a second needs no dependency.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from speechpool.config.file import FileMissing, digest_of, parse_file, read_bytes
from speechpool.config.store import ConfigStore
from speechpool.errors import SettingsError
from speechpool.settings import Layer, Source

__all__ = ["FileWatcher"]

POLL_SECONDS = 1.0

POLLS_UNTIL_GONE = 2
"""A file that is away for one poll may be between two steps of an editor that saves."""

YOUNG_NANOSECONDS = 2_000_000_000
"""A file this fresh is read again: a second write may leave time and size as they are. Two seconds is the coarsest
time stamp of a file system (FAT)."""

Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look at the file found: nothing new where all but the signature is empty."""

    signature: Signature | None
    digest: str = ""
    layer: Layer | None = None
    error: SettingsError | None = None


class FileWatcher:
    """Brings each change of a settings file into the store.

    A content that is wrong, half written or not readable changes nothing and is reported; the next content is read as
    usual. A file that is gone for two polls sets nothing any more.

    Args:
        store: Which already has the file's content of the start.
        path: The file.
        interval_seconds: Time between two polls; > 0.
    """

    def __init__(self, store: ConfigStore, path: str | Path, *, interval_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._path = Path(path)
        self._interval_seconds = interval_seconds
        self._signature: Signature | None = None
        self._digest = store.states[Source.FILE].digest if Source.FILE in store.states else ""
        self._reported: tuple[str, ...] = ()
        self._absences = 0
        self._hurry = asyncio.Event()

    def reload(self) -> None:
        """Read the file at once, even if it looks unchanged; for SIGHUP."""
        self._hurry.set()

    async def run(self) -> NoReturn:
        """Watch until cancelled; the caller's task group owns the task."""
        while True:
            forced = self._hurry.is_set()
            self._hurry.clear()
            await self.poll(forced=forced)
            await self._pause()

    async def poll(self, *, forced: bool = False) -> None:
        """Look once.

        Args:
            forced: Whether to apply the content even if it is the one that was read last.
        """
        # in a thread: a long file takes a second to parse, and a file system may hang
        seen = await asyncio.to_thread(_look, self._path, None if forced else self._signature, self._digest, forced)
        self._signature = seen.signature
        if seen.signature is None:
            await self._absent()
            return
        self._absences = 0
        if seen.digest:
            self._digest = seen.digest
        if seen.error:
            self._report(seen.error)
        elif seen.layer:
            self._reported = ()
            await self._store.update(seen.layer)

    async def _absent(self) -> None:
        self._absences += 1
        if self._absences == POLLS_UNTIL_GONE:
            self._digest, self._reported = "", ()
            await self._store.remove(Source.FILE)

    def _report(self, error: SettingsError) -> None:
        if error.problems != self._reported:
            self._reported = error.problems
            self._store.refuse(Source.FILE, error, location=str(self._path))

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


def _look(path: Path, known: Signature | None, digest: str, forced: bool) -> _Seen:  # to_thread's call
    """Read the file if it is not the one that is known. Blocks."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return _Seen(None)
    except OSError:
        return _read(path, (0, 0, 0, 0, 0), digest, forced=forced)  # which tells why
    signature = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    if signature == known and time.time_ns() - status.st_mtime_ns > YOUNG_NANOSECONDS:
        return _Seen(signature)
    return _read(path, signature, digest, forced=forced)


def _read(path: Path, signature: Signature, digest: str, *, forced: bool) -> _Seen:
    try:
        content = read_bytes(path)
    except FileMissing:
        return _Seen(None)
    except SettingsError as error:
        return _Seen(signature, "unreadable", error=error)
    found = digest_of(content)
    if found == digest and not forced:
        return _Seen(signature)
    try:
        return _Seen(signature, found, parse_file(path, content))
    except SettingsError as error:
        return _Seen(signature, found, error=error)
