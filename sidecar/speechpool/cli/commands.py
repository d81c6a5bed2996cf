"""Which commands there are, and what happens around each of them: its arguments, its errors, its exit code."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import NoReturn

from speechpool.cli import further
from speechpool.cli.imports import uncollected
from speechpool.cli.standard_streams import open_missing
from speechpool.errors import SettingsError, SidecarUnreachable, SpeechPoolError, UsageError

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "serve": "run the sidecar: keep speech clients warm and answer on a Unix socket",
    "say": "turn text into audio",
    "transcribe": "turn a recording into text",
    "status": "show the pools and the sessions of the running sidecar",
    "config": "show the settings in force and where each came from, or check a file",
    "wait": "wait until the sidecar is ready, for scripts",
    "version": "show the versions of SpeechPool and of what it uses",
}

DESCRIPTION = """\
SpeechPool keeps speech clients warm beside your application, so that speech starts at once.

One process, the sidecar, holds the clients and answers on a Unix socket in the manner of OpenAI's audio API. All
other commands are clients of that socket."""

EPILOG = """\
begin with:
  speechpool serve &                          without an Azure key it uses the offline engine
  speechpool wait
  speechpool say "Good morning." -o hello.wav
  speechpool transcribe hello.wav
  speechpool status --watch

`speechpool help COMMAND` explains each command, as `speechpool COMMAND --help` does.

exit codes:
  0  done            1  it failed            2  the command line or a setting is wrong
  3  no sidecar answers at the socket        130  ended by Ctrl-C        141  the reader of the output went away"""


def run(argv: Sequence[str]) -> int:
    """Run one command.

    Args:
        argv: The words after `speechpool`.

    Returns:
        The exit code, as the help text explains it.
    """
    open_missing()
    try:
        code = _run(_in_full(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 141  # as if ended by SIGPIPE, like every other tool in a pipe
    except KeyboardInterrupt:
        return 130
    except (SpeechPoolError, OSError) as error:
        if isinstance(error, OSError):
            _drop_output()
        return _complain(error)
    return code


def _in_full(argv: Sequence[str]) -> list[str]:
    match list(argv):
        case ["--version" | "-V"]:
            return ["version"]
        case ["help", *rest]:
            return [*rest, "--help"]
        case words:
            return words


def _run(argv: Sequence[str]) -> int:
    try:
        with uncollected():
            args = _arguments(argv)
    except SystemExit as end:  # the help text, or a complaint, was written
        return int(end.code or 0)
    code: int = args.run(args)
    return code


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(next((word for word in argv if not word.startswith("-")), None))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        args.parser.refuse(unknown[0])
    if args.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    return args


def _parser(command: str | None) -> "_Parser":
    # looked for only where they are needed: that reads the metadata of every installed package
    others = {} if command in COMMANDS else further.further_commands()
    parser = _Parser("speechpool", description=DESCRIPTION, epilog=EPILOG, formatter_class=_RawHelp)
    parser.add_argument("-V", "--version", action="store_true", help="the same as the command `version`")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    parser.set_defaults(parser=parser)
    listed = COMMANDS | {name: one.summary for name, one in others.items()}
    if command is not None and command not in listed:
        parser.error(f"there is no command {command!r}{_did_you_mean(command, listed)}")
    for name, line in listed.items():
        subparser = subparsers.add_parser(name, help=line, formatter_class=_RawHelp, allow_abbrev=False)
        if name == command:  # the others' modules are not even imported: a client starts in a fraction of the time
            module = _module(name, others)
            module.configure(subparser)
            subparser.set_defaults(run=module.run, parser=subparser)
    return parser


def _module(name: str, others: Mapping[str, further.FurtherCommand]) -> ModuleType:
    return further.load(name, others[name]) if name in others else importlib.import_module(f"speechpool.cli.{name}")


class _RawHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions; leaves room for long option names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class _Parser(argparse.ArgumentParser):
    """Complains in one line, with the way to the help text, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")

    def refuse(self, word: str) -> NoReturn:
        """Complain of a word that is neither an option nor wanted as an argument."""
        if word.startswith("-"):
            name = word.partition("=")[0]
            self.error(f"there is no option {name}{_did_you_mean(name, self._option_string_actions)}")
        self.error(f"{word!r} is a word too many: leave it out, or put quotes around words that belong together")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 # for who mistypes alone

    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _complain(error: SpeechPoolError | OSError) -> int:
    lines = error.problems if isinstance(error, SettingsError) else (_text_of(error),)
    with contextlib.suppress(OSError):  # stderr itself may be what fails; the exit code still tells
        for line in lines:
            print(f"speechpool: {line}", file=sys.stderr)
    if isinstance(error, SettingsError | UsageError):
        return 2
    return 3 if isinstance(error, SidecarUnreachable) else 1


def _text_of(error: Exception) -> str:
    """What went wrong, without the number that Python puts before the operating system's words."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror


def _drop_output() -> None:
    """Keep the interpreter from writing at its end what could not be written now, with a traceback of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
