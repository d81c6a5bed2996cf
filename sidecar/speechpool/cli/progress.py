"""Progress of long work: one line on a terminal that is overwritten and cleared, nothing in a pipe."""

import contextlib
import os
import sys
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_CLEAR = "\r\x1b[K"
_USUAL_COLUMNS = 80  # of a terminal that does not say its width


class Progress:
    """Shows how far something is; as a context manager it leaves no trace behind."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write(_CLEAR)

    def show(self, text: str) -> None:
        """Replace what is shown by this, cut at the terminal's width: what has wrapped could not be cleared."""
        self._write(f"{_CLEAR}{text[: _columns() - 1]}")

    def _write(self, text: str) -> None:
        if self._is_shown:
            with contextlib.suppress(OSError):  # the work goes on where nobody can watch it
                sys.stderr.write(text)
                sys.stderr.flush()


def _columns() -> int:
    with contextlib.suppress(OSError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    return _USUAL_COLUMNS
