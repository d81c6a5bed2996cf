"""A key in a file: a mounted Secret, whose content changes under a running sidecar."""

import asyncio
import logging
import os
import re
import stat
from typing import NoReturn

from speechpool.speech.azure.credentials import Credential, CredentialSource, Threads
from speechpool.speech.azure.flight import SingleFlight

__all__ = ["KeyFile"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Between two looks; a watch does not see a Secret change: its file is a link to a link that the kubelet swaps."""

READ_LIMIT_SECONDS = 5.0
"""For one look: a file system may hang."""

MAX_FILE_BYTES = 4096
"""A key of today has 84 characters; a file of this size is another file."""


class KeyFile(CredentialSource):
    """A key that a file holds, alone or with white space around it.

    A content that is no key changes nothing: the last key stays, and `warning` says what is wrong.

    Args:
        setting: The setting's name, for messages.
        path: The file's path.
        threads: Where it is read.
        poll_seconds: Time between two looks, > 0.
    """

    def __init__(self, setting: str, path: str, threads: Threads, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(setting)
        self._path = path
        self._poll_seconds = poll_seconds
        self._wrong: str | None = None
        self._reading = SingleFlight(
            lambda: threads.run(_read, path), limit_seconds=READ_LIMIT_SECONDS, name="speechpool-azure-read-key"
        )
        self._watching: asyncio.Task[NoReturn] | None = None

    @property
    def problem(self) -> str | None:
        """Why there is no key."""
        return None if self._current else (self._wrong or f"{self.setting}: {self._path} was not read yet")

    @property
    def warning(self) -> str | None:
        """What is wrong with the file while the last key stays."""
        return self._wrong

    async def open(self) -> None:
        """Read it, and watch it from now on."""
        await self.look()
        self._watching = asyncio.create_task(self._watch(), name="speechpool-azure-key-file")

    async def close(self) -> None:
        """Watch it no more."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._reading.close()

    async def look(self) -> None:
        """Read it once."""
        try:
            key, wrong = await self._reading.answer()
        except TimeoutError:
            key, wrong = None, f"it was not read within {READ_LIMIT_SECONDS:g} s"
        self._note(wrong)
        if key is not None:
            self._set(Credential(kind="key", secret=key))

    async def _watch(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self.look()

    def _note(self, wrong: str | None) -> None:
        message = f"{self.setting}: {self._path}: {wrong}" if wrong else None
        if message and message != self._wrong:
            self.refresh_failures += 1
            logger.warning(
                "key file has no key", extra={"reason": message, "last_key_stays": self._current is not None}
            )
        self._wrong = message


def _read(path: str) -> tuple[str | None, str | None]:
    """The key, or what is wrong. Blocks."""
    try:
        content = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None, "there is no such file; mount the Secret, or correct the path"
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}; make it readable for this user"
    if content is None:
        return None, "it must be a regular file"
    if re.fullmatch(rb"[!-~]{8,512}", content.strip()):
        return content.strip().decode("ascii"), None
    return None, (
        "it must hold a key alone, 8 to 512 printable ASCII characters without spaces; "
        f"it holds {'nothing' if not content.strip() else 'something else, which is not shown'}"
    )


def _content(path: str) -> bytes | None:
    """The first bytes, one more than a key may have; None where it is no regular file."""
    # O_NONBLOCK: opening a named pipe would wait for a writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open takes no descriptor
        return file.read(MAX_FILE_BYTES)
