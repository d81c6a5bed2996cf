"""What only an ordinary user meets, for tests that may run as root."""

import contextlib
import os
from collections.abc import Iterator

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
