"""A settings file as a source of settings."""

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

from speechpool.config.document import DocumentError, read_document
from speechpool.errors import SettingsError
from speechpool.settings import Layer, read_tree, settings_error

__all__ = ["MAX_FILE_BYTES", "FileMissing", "parse_file", "read_bytes", "read_file"]

MAX_FILE_BYTES = 1024 * 1024
"""The largest settings file: the bound of a ConfigMap, 1 MiB (kubernetes.io, ConfigMap, "Motivation")."""


class FileMissing(SettingsError):
    """There is no file at the path."""


def read_file(path: str | Path) -> Layer:
    """Read a settings file: a YAML mapping with the names of the settings table.

    Blocks; from an event loop, call it in a thread.

    Raises:
        FileMissing: There is no file.
        SettingsError: The file cannot be read, or its content is wrong; all problems are listed.
    """
    return parse_file(path, read_bytes(path))


def read_bytes(path: str | Path) -> bytes:
    """The file's content.

    Raises:
        FileMissing: There is no file.
        SettingsError: The file cannot be read, is not a regular file, or is larger than `MAX_FILE_BYTES`.
    """
    try:
        content = _regular_content(path)
    except (FileNotFoundError, NotADirectoryError):
        problem = f"{path}: there is no such file. Create it, or correct the path."
        raise FileMissing(problem, problems=(problem,)) from None
    except OSError as error:
        raise settings_error(
            [f"{path}: it cannot be read: {error.strerror}. Make it readable for this user."]
        ) from None
    if content is None:
        raise settings_error([f"{path}: it must be a regular file. Correct the path."])
    if len(content) > MAX_FILE_BYTES:
        raise settings_error([f"{path}: it must be at most {MAX_FILE_BYTES} bytes; it is larger. Make it shorter."])
    return content


def _regular_content(path: str | Path) -> bytes | None:
    """The content, up to one byte more than is allowed; None where it is no regular file."""
    # O_NONBLOCK: opening a named pipe would wait for a writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 # Path.open takes no descriptor
        return file.read(MAX_FILE_BYTES + 1)


def parse_file(path: str | Path, content: bytes) -> Layer:
    """Read a file's content; the path is for the messages.

    Raises:
        SettingsError: The content is wrong; all problems are listed.
    """
    try:
        layer = read_tree(read_document(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise settings_error([f"{path}: it must be UTF-8; byte {error.start + 1} is not. Save it as UTF-8."]) from None
    except DocumentError as error:
        raise settings_error([f"{path}: {error}."]) from None
    except SettingsError as error:
        raise settings_error([f"{path}: {problem}" for problem in error.problems]) from None
    return replace(layer, location=str(path), digest=digest_of(content))


def digest_of(content: bytes) -> str:
    """Sixteen hexadecimal digits that tell two contents apart."""
    return hashlib.sha256(content).hexdigest()[:16]
