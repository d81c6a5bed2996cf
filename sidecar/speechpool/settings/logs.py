"""What is written to the log and how, as `logLevel` and `logFormat` say: one line a record, for machines or people.

Messages are constants; what differs from one record to the next is in `extra`. An exception's message is written only
where the exception is ours or the operating system's: any other may quote what a user sent.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TextIO

from speechpool.errors import SpeechPoolError

__all__ = ["JsonFormatter", "LineHandler", "TextFormatter", "configure_logging", "set_level"]

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)


class LineHandler(logging.StreamHandler[TextIO]):
    """A log that cannot be written (its reader is gone, the disk is full) must not stop the program."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's own name
        """Drop the record: the standard handler would print its fields and a traceback to the same broken stream."""


def configure_logging(
    level: str,
    log_format: str = "auto",
    stream: TextIO | None = None,
    *,
    ours: str = "speechpool",
    make_handler: Callable[[TextIO], LineHandler] = LineHandler,
) -> None:
    """Send every record of this process to one stream, replacing what was configured before.

    Args:
        level: "debug", "info", "warning" or "error": the lowest level of the program's own records. Libraries' records
            below "warning" are left out.
        log_format: "json", "text", or "auto": text on a terminal, JSON elsewhere.
        stream: Where to; stderr by default.
        ours: The logger of the program's own records.
        make_handler: Makes what writes to the stream.
    """
    stream = stream or sys.stderr
    handler = make_handler(stream)
    is_text = stream.isatty() if log_format == "auto" else log_format == "text"
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(capture=True)
    set_level(level, ours=ours)


def set_level(level: str, *, ours: str = "speechpool") -> None:
    """Change the lowest level that is written, at once.

    Args:
        level: "debug", "info", "warning" or "error".
        ours: The logger of the program's own records.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger(ours).setLevel(number)
    logging.getLogger().setLevel(max(number, logging.WARNING))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the record's own fields, and error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as a JSON object without a newline in it."""
        known = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # ours last, so that no field of a record can pose as its time or level
        return json.dumps({**known, **_fields(record), **known}, default=str, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """One line for people: time, level, message, then `key=value` for each field."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as a line; control characters are escaped."""
        message = record.getMessage()
        head = (
            f"{_time(record)} {record.levelname.lower():<7} {message if message.isprintable() else json.dumps(message)}"
        )
        return " ".join([head, *(f"{key}={_text(value)}" for key, value in _fields(record).items())])


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1]:
        chain = list(_chain(record.exc_info[1]))
        frames = traceback.extract_tb(chain[0].__traceback__)
        fields["error"] = " <- ".join(_described(error) for error in chain)
        fields["traceback"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return fields


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | int):
        return str(value) if _PLAIN.fullmatch(str(value)) else json.dumps(str(value))
    return json.dumps(value, default=str)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, then what caused it; of a task group's errors the first, for a group says nothing itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            continue
        yield error
        error = error.__cause__ or error.__context__


def _described(error: BaseException) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, SpeechPoolError | OSError) else name
