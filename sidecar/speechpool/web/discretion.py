"""Keeps the server library's own log records from quoting what clients sent.

aiohttp logs a malformed request with the line at fault, and a WebSocket's subprotocols, where browsers put keys.
"""

import logging

__all__ = ["discreet_logger"]


def discreet_logger() -> logging.Logger:
    """The logger for the HTTP protocol: of an error in a request it tells the class, and nothing that was received."""
    logging.getLogger("aiohttp.websocket").addFilter(_drop)
    logger = logging.getLogger("speechpool.web.protocol")
    logger.addFilter(_tell_class_only)  # adding the same filter again has no effect
    return logger


def _tell_class_only(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ConnectionError):  # the client went away, as one does who is interrupted: nothing is wrong
        return False
    record.msg, record.args, record.exc_info = "request could not be read", (), None
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    record.error_class = type(error).__name__
    return True


def _drop(_record: logging.LogRecord) -> bool:
    return False
