"""`speechpool status`: the pools and the sessions of the running sidecar, or every sidecar of a cluster."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from speechpool.cli import further
from speechpool.cli.arguments import add_socket_argument, seconds
from speechpool.client import SidecarClient
from speechpool.errors import SpeechPoolError, UsageError

__all__ = ["configure", "run"]

DESCRIPTION = """\
Show the pools and the sessions of the running sidecar.

  IDLE      warm clients that wait for work, and how many there should be at least
  IN USE    clients that speak or listen, for a session or for a single request
  MAKING    clients that are being made or reset
  WAITING   requests that wait for a client
  DEDICATED, WARM, COLD   how many requests found the session's own client, a ready one, or had to wait for a new one
  MEAN WAIT how long a request waited for its client
  ADVISED   the warm size that this load needs

With --cluster, show every sidecar of a Kubernetes cluster instead, as its operator knows it."""

EPILOG = """\
examples:
  speechpool status
  speechpool status --watch
  speechpool status --json | jq '.pools[].items'
  speechpool status --cluster -n calls        the sidecars of one namespace; -A those of all"""

_POOL_COLUMNS = (
    "POOL",
    "STATE",
    "IDLE",
    "IN USE",
    "MAKING",
    "WAITING",
    "DEDICATED",
    "WARM",
    "COLD",
    "MEAN WAIT",
    "ADVISED",
)
_SESSION_COLUMNS = ("SESSION", "STATE", "SPEAKS WITH", "LISTENS WITH", "AGE", "IDLE", "UTTERANCES", "RECOGNITIONS")

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # xterm: the other screen, without a cursor
_HOME, _LINE_END, _BELOW = "\x1b[H", "\x1b[K\n", "\x1b[J"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `status`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=1.0,
        metavar="SECONDS",
        help="show it again and again, every second or as often as said, until Ctrl-C",
    )
    parser.add_argument("--json", action="store_true", help="as JSON; with --watch one line each time")
    add_socket_argument(parser)
    _add_cluster_arguments(parser)


def _add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("in a cluster, with the extra `operator`")
    group.add_argument("--cluster", action="store_true", help="show every sidecar of the cluster")
    group.add_argument("-n", "--namespace", metavar="NAMESPACE", help="of the pods (default: the kubeconfig's own)")
    group.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    group.add_argument(
        "--operator-namespace", metavar="NAMESPACE", help="where the operator is (default: it is looked for)"
    )
    group.add_argument("--kubeconfig", metavar="FILE", help="(default: $KUBECONFIG, else ~/.kube/config)")
    group.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")


class _View(Protocol):
    """What is shown of one moment."""

    def as_json(self) -> dict[str, Any]: ...

    def as_table(self) -> str: ...


def run(args: argparse.Namespace) -> int:
    """Show it, once or until Ctrl-C."""
    ask = _source(args)
    first = ask()
    if args.watch is None:
        print(json.dumps(first.as_json(), indent=2) if args.json else first.as_table())
    elif sys.stdout.isatty() and not args.json:
        _redraw(ask, args.watch)
    else:
        _repeat(ask, args.watch, _as_line if args.json else _as_table)
    return 0


def _source(args: argparse.Namespace) -> Callable[[], _View]:
    """What asks for a view: the sidecar at the socket, or a cluster."""
    if args.cluster:
        cluster: Callable[[], _View] = further.load_part("status.cluster", "status --cluster").source(args)
        return cluster
    if args.namespace or args.all_namespaces or args.operator_namespace or args.kubeconfig or args.context:
        raise UsageError("namespaces, a kubeconfig and a context are for a cluster: add --cluster")
    sidecar = SidecarClient(args.socket)
    return lambda: _asked(sidecar)


def _repeat(ask: Callable[[], _View], pause_seconds: float, show: Callable[[_View], str]) -> None:
    while True:
        print(show(ask()), flush=True)
        time.sleep(pause_seconds)


def _redraw(ask: Callable[[], _View], pause_seconds: float) -> None:
    """Draw over what was drawn, on the terminal's other screen, which is left as it was."""
    try:
        sys.stdout.write(_ENTER)
        while True:
            width, height = shutil.get_terminal_size()
            lines = [line[:width] for line in _now(ask).split("\n")[: height - 1]]
            sys.stdout.write(_HOME + _LINE_END.join([*lines, ""]) + _BELOW)
            sys.stdout.flush()
            time.sleep(pause_seconds)
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _now(ask: Callable[[], _View]) -> str:
    try:
        return ask().as_table()
    except SpeechPoolError as error:
        return str(error)  # it may come back


def _as_line(view: _View) -> str:
    return json.dumps(view.as_json())


def _as_table(view: _View) -> str:
    return view.as_table()


# --- one sidecar ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Status:
    """What one sidecar answers."""

    status: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return self.status

    def as_table(self) -> str:
        status = self.status
        head = "ready" if status["ready"] else f"not ready: {status['reason']}"
        pools = _table(_POOL_COLUMNS, [_pool_row(pool) for pool in status["pools"]])
        if not status["sessions"]:
            return "\n".join([head, "", *pools, "", "no sessions"])
        sessions = _table(_SESSION_COLUMNS, [_session_row(session) for session in status["sessions"]])
        return "\n".join([head, "", *pools, "", *sessions])


def _asked(sidecar: SidecarClient) -> _Status:
    reason = sidecar.not_ready_reason()
    return _Status(
        {
            "ready": reason is None,
            "reason": reason,
            "pools": sidecar.get_json("/v1/pools")["data"],
            "sessions": sidecar.get_json("/v1/sessions")["data"],
        }
    )


def _pool_row(pool: dict[str, Any]) -> Sequence[object]:
    items, metrics = pool["items"], pool["metrics"]
    served = metrics["allocations_dedicated"] + metrics["allocations_warm"] + metrics["allocations_cold"]
    return (
        pool["name"],
        pool["state"],
        f"{pool['warm_pool_size']}/{pool['warm_pool_target']}",
        items["out"] + items["leased"],
        items["creating"] + items["warming"] + items["resetting"],
        pool["waiting"],
        metrics["allocations_dedicated"],
        metrics["allocations_warm"],
        metrics["allocations_cold"],
        f"{metrics['wait_seconds_total'] / served * 1000:.1f} ms" if served else "-",
        pool["recommended_warm_pool_size"],
    )


def _session_row(session: dict[str, Any]) -> Sequence[object]:
    return (
        session["id"],
        session["state"],
        _client(session["tts"]),
        _client(session["stt"]),
        f"{session['age_seconds']:.0f} s",
        f"{session['idle_seconds']:.0f} s",
        session["utterances"],
        session["recognitions"],
    )


def _client(client: dict[str, str] | None) -> str:
    return f"{client['pool']} ({client['tier']})" if client else "-"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    lines = [columns, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
