"""`speechpool wait`: wait until the sidecar is ready."""

import argparse
import time

from speechpool.cli.arguments import add_socket_argument, seconds
from speechpool.cli.measures import tell
from speechpool.cli.progress import Progress
from speechpool.client import SidecarClient, SidecarUnreachable, SpeechBrokenOff
from speechpool.errors import SpeechPoolError

__all__ = ["configure", "run"]

DESCRIPTION = """\
Wait until the sidecar is ready: its engine works and its pools hold as many warm clients as they should.

Ends with 0 when it is; after the time limit with 1 and the reason, or with 3 if no sidecar ever answered."""

EPILOG = """\
example:
  speechpool serve & speechpool wait --timeout 10 && speechpool say "I am here." -o here.wav"""

_PAUSE_SECONDS = 0.05  # between two questions; a guess: short beside a start, long beside the 1 ms that each costs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `wait`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="SECONDS", help="how long to wait at most (default: 60)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing on stderr but errors")
    add_socket_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Wait."""
    started_at = time.monotonic()
    with Progress() as progress:
        while failure := _why_not(args.socket, args.timeout):
            if time.monotonic() - started_at >= args.timeout:
                raise failure
            progress.show(f"{time.monotonic() - started_at:.0f} s: {failure}")
            time.sleep(_PAUSE_SECONDS)
    if not args.quiet:
        tell(f"ready after {time.monotonic() - started_at:.1f} s")
    return 0


def _why_not(socket_path: str | None, timeout_seconds: float) -> SpeechPoolError | None:
    try:
        reason = SidecarClient(socket_path, timeout_seconds=timeout_seconds).not_ready_reason()
    except (SidecarUnreachable, SpeechBrokenOff) as error:
        return error
    return SpeechPoolError(f"the sidecar is not ready: {reason}") if reason else None
