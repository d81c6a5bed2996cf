"""`speechpool wait`: wait until the sidecar is ready."""

import argparse
import time

from speechpool.cli.arguments import add_socket_argument, seconds
from speechpool.cli.measures import tell
from speechpool.cli.progress import Progress
from speechpool.client import SidecarClient
from speechpool.errors import SidecarUnreachable, SpeechBrokenOff, SpeechPoolError

__all__ = ["configure", "run"]

DESCRIPTION = """\
Wait until the sidecar is ready: its engine works and its pools hold as many warm clients as they should.

Ends with 0 when it is; after the time limit with 1 and the reason, or with 3 if no sidecar ever answered."""

EPILOG = """\
example:
  speechpool serve & speechpool wait --timeout 10 && speechpool say "I am here." -o here.wav"""

_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.02, 0.5  # between two questions; guesses: it takes about 1 s to be ready


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `wait`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="SECONDS", help="how long to wait at most (default: 60)"
    )
    parser.add_argument(
        "--started",
        action="store_true",
        help="be content when it was ready once or its startupWaitSeconds are over, as /startupz: for startup probes",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing on stderr but errors")
    add_socket_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Wait."""
    started_at = time.monotonic()
    with Progress() as progress:
        while failure := _why_not(args):
            waited_seconds = time.monotonic() - started_at
            if waited_seconds >= args.timeout:
                raise failure
            progress.show(f"{waited_seconds:.0f} s: {failure}")
            # the longer it takes, the less often: a tenth of the time so far
            time.sleep(min(_FIRST_PAUSE_SECONDS + waited_seconds / 10, _MAX_PAUSE_SECONDS))
    if not args.quiet:
        tell(f"ready after {time.monotonic() - started_at:.1f} s")
    return 0


def _why_not(args: argparse.Namespace) -> SpeechPoolError | None:
    try:
        reason = SidecarClient(args.socket, timeout_seconds=args.timeout).not_ready_reason(or_started=args.started)
    except (SidecarUnreachable, SpeechBrokenOff) as error:
        return error
    return SpeechPoolError(f"the sidecar is not ready: {reason}") if reason else None
