"""What the operator writes to its log: one line a record, in the form of the sidecars' logs.

kopf writes sentences with the names of objects in them: of those the warnings are kept, as a field of one constant
message. Nothing that looks like a token is ever written, whoever put it there.
"""

import copy
import logging
import re
from typing import Final, TextIO

from speechpool.settings import logs

__all__ = ["configure_logging", "set_level"]

OURS, KOPF = "speechpool_operator", "kopf"

_KOPFS_OWN: Final = ("k8s_ref", "k8s_skip", "settings")
_TOKEN: Final = re.compile(r"eyJ[\w-]{8,}(\.[\w-]*){0,4}|(?i:bearer)\s+[\w.~+/=-]{8,}", re.ASCII)  # RFC 7519, RFC 6750


def configure_logging(level: str, log_format: str = "auto", stream: TextIO | None = None) -> None:
    """Send every record of this process to one stream, replacing what was configured before.

    Args:
        level: "debug", "info", "warning" or "error": the lowest level of the operator's own records. Libraries' records
            below "warning" are left out.
        log_format: "json", "text", or "auto": text on a terminal, JSON elsewhere.
        stream: Where to; stderr by default.
    """
    logs.configure_logging(level, log_format, stream, ours=OURS, make_handler=_Handler)
    set_level(level)


def set_level(level: str) -> None:
    """Change the lowest level that is written, at once.

    Args:
        level: "debug", "info", "warning" or "error".
    """
    logs.set_level(level, ours=OURS)
    logging.getLogger(KOPF).setLevel(logging.getLogger().level)  # it may have set its own


class _Handler(logs.LineHandler):
    """Writes kopf's records as the others, and hides tokens."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as a line."""
        is_kopfs = record.name == KOPF or record.name.startswith(f"{KOPF}.")
        return _TOKEN.sub("[token]", super().format(_complaint(record) if is_kopfs else record))


def _complaint(record: logging.LogRecord) -> logging.LogRecord:
    made = copy.copy(record)
    made.msg, made.args = "kopf complained", ()
    vars(made)["detail"] = record.getMessage()
    for name in _KOPFS_OWN:
        vars(made).pop(name, None)
    return made
