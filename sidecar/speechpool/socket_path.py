"""Where the sidecar's socket is: the sidecar and its clients look in the same places, in the same order."""

import contextlib
import errno
import os
import socket
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["SYSTEM_SOCKET", "connect_first", "first_answering", "is_foreign", "socket_candidates"]

SYSTEM_SOCKET = Path("/run/speechpool/speechpool.sock")
"""Where the socket is in a container, and where root has put it."""

_ANSWER_SECONDS = 1.0  # guess: connecting takes microseconds, unless the listener's backlog is full


def socket_candidates(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a sidecar's socket may be, in the order in which to try.

    Args:
        environ: `SPEECHPOOL_SOCKET` names the only place; otherwise the system's place, then the user's own:
            under `XDG_RUNTIME_DIR`, or under the temporary directory with the user's number, if there is one.
    """
    if path := environ.get("SPEECHPOOL_SOCKET"):
        return (Path(path),)
    return (SYSTEM_SOCKET, *(private / "speechpool.sock" for private in _private_places(environ)))


def _private_places(environ: Mapping[str, str]) -> Iterator[Path]:
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "speechpool")
        return
    with contextlib.suppress(FileNotFoundError):  # a container may have no directory that it may write to
        yield Path(tempfile.gettempdir(), f"speechpool-{os.getuid()}")


def is_foreign(path: Path) -> bool:
    """Whether another user owns the directory that is ours by its name: anyone can make it in a place for all."""
    directory = path.parent
    return directory.name == f"speechpool-{os.getuid()}" and directory.stat().st_uid != os.getuid()


def connect_first(candidates: Iterable[Path], timeout_seconds: float) -> socket.socket:
    """Connect to the first of these sockets where somebody listens and this user may speak.

    Args:
        candidates: Paths of Unix sockets, at least one.
        timeout_seconds: The limit of connecting and of each later operation of the returned socket.

    Raises:
        PermissionError: Nobody else listens, and this user may not use one of them; `filename` says which.
        OSError: Nobody listens at any of them.
    """
    failures: list[OSError] = []
    for path in candidates:
        try:
            return _connected(path, timeout_seconds)
        except OSError as error:
            failures.append(error)
    forbidden = (failure for failure in failures if isinstance(failure, PermissionError))
    raise next(forbidden, failures[-1])


def first_answering(candidates: Sequence[Path]) -> Path:
    """The first of these sockets where `connect_first()` finds somebody, else the last."""
    for path in candidates:
        with contextlib.suppress(OSError):
            _connected(path, _ANSWER_SECONDS).close()
            return path
    return candidates[-1]


def _connected(path: Path, timeout_seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(connection, path, timeout_seconds)
        _check_owner(path)
    except BaseException as error:
        connection.close()
        if isinstance(error, PermissionError):
            error.filename = str(path)
        raise
    return connection


def _check_owner(path: Path) -> None:
    if is_foreign(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _connect(connection: socket.socket, path: Path, timeout_seconds: float) -> None:
    """Connect; where the listener's backlog is full, wait for a place in it, which a socket with a timeout does not."""
    limit = struct.pack("@ll", int(timeout_seconds), int(timeout_seconds % 1 * 1e6))  # struct timeval
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connection.connect(str(path))
    connection.settimeout(timeout_seconds)
