"""Progress of long work: one line on a terminal that is overwritten and cleared, nothing in a pipe."""

import sys
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_CLEAR = "\r\x1b[K"


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
        """Replace what is shown by a short line."""
        self._write(f"{_CLEAR}{text}")

    def _write(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(text)
            sys.stderr.flush()
