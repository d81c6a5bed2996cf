"""Arguments that several commands share, and the types of their values."""

import argparse
import math

__all__ = ["add_socket_argument", "seconds"]


def add_socket_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--socket`, with which a client is told where its sidecar is."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help="the sidecar's socket (default: $SPEECHPOOL_SOCKET, else /run/speechpool/speechpool.sock, else "
        "$XDG_RUNTIME_DIR/speechpool/speechpool.sock)",
    )


def seconds(text: str) -> float:
    """Read a duration in seconds, > 0.

    Raises:
        argparse.ArgumentTypeError: It is not a number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return value
