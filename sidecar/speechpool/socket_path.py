"""Where the sidecar's socket is: the sidecar and its clients look in the same places, in the same order."""

import errno
import os
import socket
import struct
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["SYSTEM_SOCKET", "connect_first", "is_foreign", "socket_candidates"]

SYSTEM_SOCKET = Path("/run/speechpool/speechpool.sock")
"""Where the socket is in a container, and where root has put it."""


def socket_candidates(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a sidecar's socket may be, in the order in which to try.

    Args:
        environ: `SPEECHPOOL_SOCKET` names the only place; otherwise the system's place, then the user's own:
            under `XDG_RUNTIME_DIR`, or under the temporary directory with the user's number.
    """
    if path := environ.get("SPEECHPOOL_SOCKET"):
        return (Path(path),)
    runtime = environ.get("XDG_RUNTIME_DIR")
    private = Path(runtime, "speechpool") if runtime else Path(tempfile.gettempdir(), f"speechpool-{os.getuid()}")
    return (SYSTEM_SOCKET, private / "speechpool.sock")


def is_foreign(path: Path) -> bool:
    """Whether another user owns the directory that is ours by its name: anyone can make it in a place for all."""
    directory = path.parent
    return directory.name == f"speechpool-{os.getuid()}" and directory.stat().st_uid != os.getuid()


def connect_first(candidates: Iterable[Path], timeout_seconds: float) -> socket.socket:
    """Connect to the first of these sockets where somebody listens.

    Args:
        candidates: Paths of Unix sockets, at least one.
        timeout_seconds: The limit of connecting and of each later operation of the returned socket.

    Raises:
        PermissionError: This user may not use the socket; `filename` says which.
        OSError: Nobody listens at any of them.
    """
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in candidates:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(connection, path, timeout_seconds)
        except PermissionError:
            connection.close()
            raise _not_allowed(path) from None
        except OSError as error:
            connection.close()
            failure = error
        else:
            if is_foreign(path):
                connection.close()
                raise _not_allowed(path)
            return connection
    raise failure


def _connect(connection: socket.socket, path: Path, timeout_seconds: float) -> None:
    """Connect; where the listener's backlog is full, wait for a place in it, which a socket with a timeout does not."""
    limit = struct.pack("@ll", int(timeout_seconds), int(timeout_seconds % 1 * 1e6))  # struct timeval
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connection.connect(str(path))
    connection.settimeout(timeout_seconds)


def _not_allowed(path: Path) -> PermissionError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
