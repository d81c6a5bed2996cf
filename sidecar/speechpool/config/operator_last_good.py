"""The operator's last good settings on disk, so that a sidecar that starts again has them before the operator answers.

The file holds what a SpeechPool object says, and no key or token: those never come from the operator.
"""

import asyncio
import hashlib
import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import NoReturn

from speechpool.config.file import MAX_FILE_BYTES, FileMissing, read_bytes
from speechpool.config.operator_threads import SideThreads
from speechpool.errors import SettingsError
from speechpool.settings.wire import NewSettings, WireError, encode, from_operator

__all__ = ["FILE_NAME", "LastGood", "read_last_good", "write_last_good"]

logger = logging.getLogger(__name__)

FILE_NAME = "operator-settings.json"

FORMAT = "speechpool.dev/last-good/v1"

SECONDS = 2.0
"""How long one reading or writing may take; a guess, far above what a disk needs. The start waits for the reading."""

PAUSE_SECONDS = 0.25
"""How long what is in force waits to be written. The sidecars of a node hear of a change at once, and their disks would
be in its way: written at once, sixty sidecars on two cores took half as long again until the last one ran it."""

END_SECONDS = 0.25
"""How long a sidecar that ends gives to what is not written yet; the drain begins after it."""


class LastGood:
    """Keeps the newest settings in force on disk; what comes while one is written replaces what waits.

    Args:
        directory: Where; made where it does not exist.
        threads: Where files are read and written.
    """

    def __init__(self, directory: str | Path, threads: SideThreads) -> None:
        self._directory = Path(directory)
        self._threads = threads
        self._wanted: NewSettings | None = None
        self._kept: NewSettings | None = None
        self._has_news = asyncio.Event()
        self._has_failed = False

    async def read(self) -> NewSettings | None:
        """What was in force last; None where there is nothing that can be used, which is logged."""
        try:
            async with asyncio.timeout(SECONDS):
                self._kept = await self._threads.call(partial(read_last_good, self._directory))
        except (OSError, SettingsError, WireError) as error:
            logger.warning(
                "last good settings ignored", extra={"directory": str(self._directory), "reason": _why(error, SECONDS)}
            )
        return self._kept

    def keep(self, settings: NewSettings | None) -> None:
        """Have this on disk soon; None for nothing."""
        self._wanted = settings
        self._has_news.set()

    async def run(self) -> NoReturn:
        """Write until cancelled, and then what is not written yet; the caller's task group owns the task."""
        try:
            while True:
                await self._has_news.wait()
                await asyncio.sleep(PAUSE_SECONDS)
                await self._catch_up(SECONDS)
        finally:
            if self._has_news.is_set():
                await self._catch_up(END_SECONDS)

    async def _catch_up(self, limit_seconds: float) -> None:
        self._has_news.clear()
        if self._wanted != self._kept:
            await self._write(self._wanted, limit_seconds)

    async def _write(self, settings: NewSettings | None, limit_seconds: float) -> None:
        try:
            async with asyncio.timeout(limit_seconds):
                await self._threads.call(partial(write_last_good, self._directory, settings))
        except (OSError, WireError) as error:
            if not self._has_failed:
                facts = {"directory": str(self._directory), "reason": _why(error, limit_seconds)}
                logger.warning("last good settings not kept", extra=facts)
            self._has_failed = True
        else:
            self._kept, self._has_failed = settings, False


def read_last_good(directory: Path) -> NewSettings | None:
    """The settings in the directory's file; None where there is no file. Blocks.

    Raises:
        SettingsError: It cannot be read.
        WireError: It is damaged, or not ours.
    """
    try:
        content = read_bytes(directory / FILE_NAME)
    except FileMissing:
        return None
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise WireError("the file is not JSON") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise WireError("the file is of another program or version")
    text = fields.get("settings")
    if not isinstance(text, str) or fields.get("sha256") != _digest(text):
        raise WireError("the file is damaged")
    message = from_operator(text)
    if not isinstance(message, NewSettings):
        raise WireError("the file holds no settings")
    return message


def write_last_good(directory: Path, settings: NewSettings | None) -> None:
    """Replace the directory's file in one step, or remove it. Blocks.

    Raises:
        OSError: It cannot be written; the old one is whole.
        WireError: The settings are too large.
    """
    path = directory / FILE_NAME
    if settings is None:
        path.unlink(missing_ok=True)
        return
    text = encode(settings)
    content = json.dumps({"format": FORMAT, "sha256": _digest(text), "settings": text}, ensure_ascii=False).encode()
    if len(content) > MAX_FILE_BYTES:
        raise WireError(f"they take {len(content)} bytes, and at most {MAX_FILE_BYTES} are kept")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 # Path.open takes no descriptor
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _why(error: Exception, limit_seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the disk did not answer within {limit_seconds:g} s"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
