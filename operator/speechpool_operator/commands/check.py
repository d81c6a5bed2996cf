"""`speechpool check`: whether SpeechPool is right in this cluster."""

import argparse
import asyncio
from datetime import UTC, datetime
from importlib import metadata

from speechpool.errors import SettingsError
from speechpool_operator.commands.facts import gather
from speechpool_operator.commands.judging import judge
from speechpool_operator.commands.reach import access_of, add_access_arguments
from speechpool_operator.commands.verdicts import Line, Verdict, failed, tell
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access

__all__ = ["configure", "run"]

DESCRIPTION = """\
Tell whether SpeechPool is right in this cluster, one line a check, and what to do where it is not.

Nothing is changed: the pod that tries the injection is never made (a dry run). Checks that this user may not make are
shown as such, with the right that is missing."""

EPILOG = """\
examples:
  speechpool check
  speechpool check --wait 120                     after an installation, until all is right
  speechpool check -n calls                       the pods and the objects of one namespace
  speechpool check --json | jq '.checks[] | select(.verdict == "failed")'

exit codes:
  0  nothing failed (there may be something to look at)     1  a check failed     2  the command line is wrong"""

_PAUSE_SECONDS = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="look at the pods and objects of this one (default: of all)"
    )
    parser.add_argument(
        "--wait", type=_seconds, default=0.0, metavar="SECONDS", help="try again until nothing fails, for so long"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_access_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check."""
    try:
        lines = asyncio.run(_checked(access_of(args), args))
    except SettingsError as error:
        advice = f"{error}\nname one with --kubeconfig or KUBECONFIG"
        lines = [failed("kubernetes", "there is a kubeconfig that can be used", advice)]
    return tell(lines, as_json=args.json)


async def _checked(access: Access, args: argparse.Namespace) -> list[Line]:
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + args.wait
    version = metadata.version("speechpool")
    async with KubeClient(access) as client:
        while True:
            facts = await gather(client, args.namespace, args.operator_namespace)
            lines = judge(facts, version, datetime.now(UTC))
            if loop.time() >= give_up_at or not any(line.verdict is Verdict.FAILED for line in lines):
                return lines
            await asyncio.sleep(_PAUSE_SECONDS)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to 86400, got {text!r}")
    return value
