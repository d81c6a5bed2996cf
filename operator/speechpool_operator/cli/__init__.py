"""The commands of `speechpool-operator`, and what happens around each of them: its arguments, errors and exit code."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final, NoReturn

from speechpool.errors import SettingsError, SpeechPoolError, UsageError

__all__ = ["COMMANDS", "run"]

COMMANDS: Final = {
    "run": (
        "run the operator: follow SpeechPools and keep every sidecar on its settings",
        "speechpool_operator.cli.run",
    ),
    "check": (
        "tell whether the operator has what it needs",
        "speechpool_operator.cli.check",
    ),
    "injector": (
        "run the injector: bring a sidecar into each pod that asks for one",
        "speechpool_operator.injection.command",
    ),
    "certificates": (
        "make and renew the operator's certificate, where no injector does",
        "speechpool_operator.injection.certificates_command",
    ),
    "upgrader": (
        "bring the sidecars of running pods to another image",
        "speechpool_operator.upgrade.command",
    ),
    "version": ("show the versions of SpeechPool and of what it uses", "speechpool_operator.cli.version"),
}
"""By name, what the help text says of it, and its module: that has `configure(parser)` and `run(args)`, and is imported
only where the command is called."""

DESCRIPTION = """\
The control plane of SpeechPool. `kubectl apply` a SpeechPool, and every sidecar that it selects has it within
milliseconds; the object's status tells what became of it."""

EPILOG = """\
begin with:
  kubectl apply -f crds/
  speechpool-operator run --tls-cert-file tls.crt --tls-key-file tls.key
  kubectl get speechpools --all-namespaces

`speechpool-operator COMMAND --help` explains each command, docs/operator.md the whole.

exit codes:
  0  done            1  it failed            2  the command line or a setting is wrong"""


def run(argv: Sequence[str]) -> int:
    """Run one command.

    Args:
        argv: The words after `speechpool-operator`.

    Returns:
        The exit code, as the help text explains it.
    """
    try:
        words = ["version"] if list(argv) in (["--version"], ["-V"]) else argv
        args = _parser(next((word for word in words if word in COMMANDS), "")).parse_args(words)
        code: int = args.run(args)
    except SystemExit as end:  # the help text, or a complaint, was written
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except (SpeechPoolError, OSError) as error:
        return _complain(error)
    return code


def _complain(error: SpeechPoolError | OSError) -> int:
    problems: Sequence[str] = error.problems if isinstance(error, SettingsError) else (str(error),)
    for problem in problems:
        print(f"speechpool-operator: {problem}", file=sys.stderr)
    return 2 if isinstance(error, SettingsError | UsageError) else 1


def _parser(chosen: str) -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = _Parser("speechpool-operator", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape)
    parser.add_argument("-V", "--version", action="store_true", help="show the versions")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for name, (summary, module) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, formatter_class=shape)
        if name == chosen:
            loaded = _loaded(module)
            loaded.configure(command)
            command.set_defaults(run=loaded.run)
    return parser


def _loaded(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'speechpool[operator]'") from error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")
