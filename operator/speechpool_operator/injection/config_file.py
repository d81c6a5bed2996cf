"""The file that says how sidecars are made, read again when it changes."""

import asyncio
import logging
from pathlib import Path
from typing import Final, NoReturn

import yaml

from speechpool.errors import SettingsError
from speechpool_operator.injection.config import InjectorConfig, read_config

__all__ = ["ConfigFile", "read_file"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at the file; one takes microseconds."""

MAX_BYTES: Final = 1024 * 1024
"""Largest file: a ConfigMap's bound."""


def read_file(path: Path) -> InjectorConfig:
    """Read a file.

    Raises:
        SettingsError: It cannot be read or is wrong.
    """
    return _parsed(path, _content(path))


class ConfigFile:
    """The newest content that could be used: what is wrong changes nothing, and is logged.

    Args:
        path: The file.

    Raises:
        SettingsError: It cannot be read or is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _content(path)
        self.current = _parsed(path, self._seen)
        self.failure = ""
        """Why what holds may be old; empty where the last look was good."""

    async def run(self) -> NoReturn:
        """Look at the file again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the file, and use it where it is another. A few kilobytes: it does not wait."""
        try:
            content = _content(self._path)
            if content != self._seen:
                self.current = _parsed(self._path, content)
                self._seen = content
                logger.info("settings of sidecars changed", extra={"file": str(self._path)})
        except SettingsError as error:
            if str(error) != self.failure:
                logger.error("settings of sidecars not changed", extra={"reason": "; ".join(error.problems)})  # noqa: TRY400 -- the reason is all there is to say
            self.failure = str(error)
        else:
            self.failure = ""


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; name the file in SPEECHPOOL_INJECTOR_CONFIG") from error
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} must have at most {MAX_BYTES} bytes")
    return content


def _parsed(path: Path, content: bytes) -> InjectorConfig:
    try:
        tree = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SettingsError(f"{path} must be YAML") from None  # the parser would quote what is in it
    try:
        return read_config(tree)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}", problems=tuple(f"{path}: {one}" for one in error.problems)) from None
