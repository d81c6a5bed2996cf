"""Arguments that several commands share, and the types of their values."""

import argparse
import math

__all__ = ["SESSION_HELP", "add_socket_argument", "factor", "seconds"]

SESSION_HELP = "it is opened where it is not open"


def add_socket_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--socket`, with which a client is told where its sidecar is."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help="the sidecar's socket (default: $SPEECHPOOL_SOCKET, else /run/speechpool/speechpool.sock, else "
        "the user's own place: $XDG_RUNTIME_DIR/speechpool/speechpool.sock, or speechpool-UID/speechpool.sock in the "
        "temporary directory)",
    )


def seconds(text: str) -> float:
    """Read a duration in seconds, > 0.

    Raises:
        argparse.ArgumentTypeError: It is not a number above 0.
    """
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return value


def factor(text: str) -> float:
    """Read a number; what it may be is the sidecar's to say.

    Raises:
        argparse.ArgumentTypeError: It is not a number that JSON has.
    """
    value = _number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
