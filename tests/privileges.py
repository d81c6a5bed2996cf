"""What only an ordinary user meets, for tests that may run as root."""

import contextlib
import os
from collections.abc import Iterator, Sequence

NOBODY = 65_534  # the overflow uid of Linux, which owns nothing


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Be a user for whom file permissions hold; nothing changes for one who is that already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def ordinary_command(words: Sequence[str]) -> list[str]:
    """The same command, run by a user for whom file permissions hold.

    Reading and entering directories stays allowed, because root's Python may lie where no other user gets to. Writing,
    and using sockets, does not.
    """
    if os.geteuid() != 0:
        return list(words)
    capabilities = "-all,+dac_read_search"
    user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    return ["setpriv", *user, "--inh-caps", capabilities, "--ambient-caps", capabilities, "--", *words]
