"""The command line of `speechpool-azure-emulator`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from speechpool.errors import SettingsError
from speechpool_azure_emulator.faults import ACTIONS, POINTS, Fault, parse_faults
from speechpool_azure_emulator.options import EmulatorOptions

__all__ = ["Arguments", "parse_arguments"]

DEFAULT_PORT = 7070

DESCRIPTION = """\
Answers like Azure Speech on a port of this machine: synthesis, recognition, the list of voices. For tests, and for
developing without an account; the SDK works with it unchanged.

Utterances are tones whose samples say which utterance they belong to, and recognition says what it was told to; with
the extra `local`, real speech is made and understood. What goes wrong, when, and how often is for you to say."""

EPILOG = """\
begin with:
  speechpool-azure-emulator --speech local &
  curl http://127.0.0.1:7070/emulator            what can be asked and told while it runs
  curl http://127.0.0.1:7070/emulator/counts     what it saw

a client finds it so (Python):
  SpeechConfig(host="ws://127.0.0.1:7070")       or endpoint=..., for the other set of paths

a fault is JSON; it can also be set while it runs (PUT /emulator/faults):
  --fault '{"at": "upgrade", "action": "refuse", "status": 429, "retry_after_seconds": 2, "times": 3}'
  --fault '{"at": "audio", "action": "freeze", "kind": "tts", "after_bytes": 20000}'
  --fault '{"at": "request", "action": "close", "code": 4429, "after": 10}'

exit codes:
  0  ended by Ctrl-C or SIGTERM      1  it cannot run (port in use)      2  an option is wrong"""

_HELP = {
    "upgrade_seconds": ("SECONDS", "how long an upgrade takes"),
    "first_chunk_seconds": ("SECONDS", "from a request to its first audio"),
    "chunk_seconds": ("SECONDS", "audio in each message"),
    "pace": ("FACTOR", "how many times faster than it plays audio is sent: 1 is real time, 0 as fast as possible"),
    "seconds_per_word": ("SECONDS", "how long a word of a tone is"),
    "utterance_seconds": ("SECONDS", "how long every tone is; without, as long as its words"),
    "tts_overlap": (None, "what a running utterance does when the connection's next one comes"),
    "max_connection_seconds": ("SECONDS", "the age at which a connection is closed"),
    "max_connection_code": ("CODE", "the WebSocket close code of that"),
    "speech": (None, "tones, or real speech (extra `local`)"),
    "recognition": (None, "what it is told (--transcript), or real understanding (extra `local`)"),
    "final_seconds": ("SECONDS", "from the end of a segment to its final phrase"),
    "segmentation_silence_seconds": ("SECONDS", "silence that ends a segment, where the client says nothing else"),
    "initial_silence_seconds": ("SECONDS", "silence that ends a recognition of one phrase"),
    "no_match_seconds": ("SECONDS", "silence after which a continuous recognition tells that nothing was said"),
    "detected_language": ("TAG", "what language detection finds; without, the client's first candidate"),
    "max_records": ("N", "how many connections, utterances and recognitions are remembered, of each kind"),
}
_CHOICES = {
    "tts_overlap": ("continue", "cut"),
    "speech": ("tones", "local"),
    "recognition": ("scripted", "local"),
}
_WHOLE = frozenset({"max_connection_code", "max_records"})
_TEXT = frozenset({"detected_language", *_CHOICES})


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line says.

    Args:
        emulator: Arguments of `AzureEmulator`.
        faults: The faults from the start.
    """

    emulator: dict[str, Any]
    faults: list[Fault]


def parse_arguments(words: Sequence[str]) -> Arguments:
    """Read the words after the command's name.

    Raises:
        SettingsError: An option is out of bounds.
        SystemExit: The words are none that the command knows, or ask for help.
    """
    given = _parser().parse_args(words)
    changes = {name: getattr(given, name) for name in _HELP if getattr(given, name) is not None}
    if given.no_inline_commit:
        changes["inline_commit"] = False
    if given.grammar:
        changes["grammar"] = tuple(given.grammar)
    emulator = {
        "host": given.host,
        "port": given.port,
        "keys": _secrets(given.key, "--key"),
        "tokens": _secrets(given.token, "--token"),
        "transcripts": given.transcript,
        "options": EmulatorOptions.parse(changes),
    }
    return Arguments(emulator, parse_faults([_json(text) for text in given.fault]))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "speechpool-azure-emulator",
        description=DESCRIPTION,
        epilog=f"{EPILOG}\n\n{_fault_help()}",
        formatter_class=_RawHelp,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="port; 0 for a free one (default: 7070)")
    parser.add_argument("--key", action="append", default=[], metavar="NAME=SECRET", help="a key that is let in")
    parser.add_argument("--token", action="append", default=[], metavar="NAME=SECRET", help="a token that is let in")
    parser.add_argument("--transcript", action="append", default=[], metavar="TEXT", help="what is recognised next")
    parser.add_argument("--grammar", action="append", default=[], metavar="SENTENCE", help="a sentence that real "
                        "understanding can hear; without, free dictation")  # fmt: skip
    parser.add_argument("--no-inline-commit", action="store_true", help="ignore audio.commit")
    parser.add_argument("--fault", action="append", default=[], metavar="JSON", help="something that goes wrong")
    for name, (metavar, text) in _HELP.items():
        _add_option(parser, name, metavar, text)
    return parser


def _add_option(parser: argparse.ArgumentParser, name: str, metavar: str | None, text: str) -> None:
    default = next(field.default for field in fields(EmulatorOptions) if field.name == name)
    shown = (
        ""
        if default is None
        else f" (default: {default:g})"
        if isinstance(default, float)
        else f" (default: {default})"
    )
    kind = str if name in _TEXT else int if name in _WHOLE else float
    parser.add_argument(
        f"--{name.replace('_', '-')}", type=kind, choices=_CHOICES.get(name), metavar=metavar, help=text + shown
    )


def _fault_help() -> str:
    points = "\n".join(f"  {name:<12}{text}" for name, text in POINTS.items())
    actions = "\n".join(f"  {name:<12}at {', '.join(sorted(places))}" for name, places in ACTIONS.items())
    return f"points of faults:\n{points}\n\nactions of faults:\n{actions}"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")
    return int(text)


def _secrets(given: list[str], option: str) -> dict[str, str] | None:
    """The secrets by name; None without any."""
    pairs = [text.partition("=") for text in given]
    if not all(name and secret for name, _, secret in pairs):
        raise SettingsError(f"{option} must be NAME=SECRET, the name of your choice")
    return {name: secret for name, _, secret in pairs} or None


def _json(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds; `parse_faults` checks it
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--fault must be JSON: {error}") from None


class _RawHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions; leaves room for long option names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=42)


class _Parser(argparse.ArgumentParser):
    """Complains in one line, with the way to the help text, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")
