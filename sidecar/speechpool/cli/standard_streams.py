"""stdin, stdout and stderr, where whoever started the command closed them."""

import os
import sys

__all__ = ["open_missing"]


def open_missing() -> None:
    """Put something in the place of each standard stream that is closed.

    Python leaves it out, and the next file or socket that is opened would get its number. Reading finds nothing and
    errors vanish; writing a result fails, as it must: nobody gets it.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(_placed(0, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(_placed(1, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(_placed(2, os.O_WRONLY), "w")


def _placed(number: int, flags: int) -> int:
    """The null device under this number."""
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return number
