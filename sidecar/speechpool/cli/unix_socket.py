"""The socket file: claimed by one sidecar at a time, replaced where it is stale, removed at the end.

A claim is made under a lock of the directory (flock(2)), which leaves no file behind. Whoever holds the lock may
trust what a connection attempt says: a socket that somebody listens on is in use, any other is stale.
"""

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from speechpool.errors import SettingsError, SocketInUse
from speechpool.socket_path import SYSTEM_SOCKET, is_foreign, socket_candidates

__all__ = ["SocketClaim", "claim_socket"]

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn (4096 since Linux 5.4)."""

_MAX_PATH_BYTES = 107  # sun_path of unix(7) is 108 bytes with the final NUL
_LOCK_TIMEOUT_SECONDS = 5.0  # guess: a claim holds the lock for about a millisecond


class SocketClaim:
    """A listening socket and its file.

    Args:
        path: The file.
        listener: Bound and listening.
    """

    def __init__(self, path: Path, listener: socket.socket) -> None:
        self.path = path
        self.listener = listener
        self._identity = _identity(path)

    def release(self) -> None:
        """Stop listening; remove the file, unless it is gone or another sidecar's by now."""
        self.listener.close()
        with contextlib.suppress(OSError), _locked(self.path.parent):
            if _identity(self.path) == self._identity:
                self.path.unlink()


def claim_socket(path: str | None, *, mode: int, group: str | None) -> SocketClaim:
    """Listen on a Unix socket.

    Args:
        path: Where; None for the first of the usual places that this user may write to. A missing directory is made.
        mode: Permissions of the file.
        group: Its group, by name or number; None for the process's own.

    Raises:
        SettingsError: The path is too long, is something else than a socket, or may not be written to; or there is no
            such group, or this user may not give files to it.
        SocketInUse: Another process listens there.
    """
    chosen = _checked(Path(path)) if path else _first_writable(mode)
    try:
        _make_directory(chosen, mode)
        with _locked(chosen.parent):
            _remove_stale(chosen)
            return SocketClaim(chosen, _listen(chosen, mode, group))
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(
            f"socket: cannot listen on {chosen}: {reason}; name another path in SPEECHPOOL_SOCKET"
        ) from error


def _checked(path: Path) -> Path:
    size = len(os.fsencode(path))
    if size > _MAX_PATH_BYTES:
        raise SettingsError(f"socket: the path must have at most {_MAX_PATH_BYTES} bytes, got {size}: {path}")
    return path


def _first_writable(mode: int) -> Path:
    candidates = socket_candidates({key: value for key, value in os.environ.items() if key != "SPEECHPOOL_SOCKET"})
    for path in candidates:
        with contextlib.suppress(OSError):
            _make_directory(path, mode if path == SYSTEM_SOCKET else 0o600)  # a user's own place is private
            if os.access(path.parent, os.W_OK | os.X_OK) and not is_foreign(path):
                return _checked(path)
    places = " nor ".join(str(path.parent) for path in candidates)
    raise SettingsError(f"socket: this user may not write to {places}: name another place in SPEECHPOOL_SOCKET")


def _make_directory(path: Path, mode: int) -> None:
    """Make the directory where it is missing, for whoever may use the socket in it and for nobody else."""
    if path.parent.is_dir():
        return
    path.parent.mkdir(parents=True)
    others = (0o010 if mode & 0o060 else 0) | (0o001 if mode & 0o006 else 0)
    path.parent.chmod(0o700 | others)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_up_at = time.monotonic() + _LOCK_TIMEOUT_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > give_up_at:
                raise OSError(errno.EBUSY, f"another process holds a lock on {directory}")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise SettingsError(f"socket: {path} is there and is not a socket: remove it, or name another path")
    if _is_live(path):
        raise SocketInUse(f"another process listens on {path}: stop it, or name another path in SPEECHPOOL_SOCKET")
    path.unlink()


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # its backlog is full: it lives
            return True
    return True


def _listen(path: Path, mode: int, group: str | None) -> socket.socket:
    group_id = -1 if group is None else _group_id(group)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind_for_us_alone(listener, path)
        try:
            os.chown(path, -1, group_id)
            path.chmod(mode)
            listener.listen(BACKLOG)
        except BaseException:
            path.unlink()
            raise
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind_for_us_alone(listener: socket.socket, path: Path) -> None:
    """Nobody else may open the file before its group and mode are right; only a mask can make it so from the start."""
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)


def _group_id(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SettingsError(f"socketGroup: there is no group {group!r} here: use its name or its number") from None


def _identity(path: Path) -> tuple[int, int, int]:
    """What no other file has: a number alone is given again as soon as the file that had it is gone."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_mtime_ns
