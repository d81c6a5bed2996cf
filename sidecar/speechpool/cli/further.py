"""Commands that other packages bring: entry points of the group `speechpool.commands`.

Each entry point is an object that says what its command is for and which module it is, so that the help text can list
it and nothing is imported but the command that was asked for.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Final, Protocol

from speechpool.errors import UsageError

__all__ = ["GROUP", "FurtherCommand", "further_commands", "load", "load_part"]

GROUP: Final = "speechpool.commands"

_PART: Final = "."
"""In a name: not a command, but a part of one, as `status.cluster` is of `status`."""


class FurtherCommand(Protocol):
    """What an entry point of the group is."""

    @property
    def summary(self) -> str:
        """Its line in the list of commands."""

    @property
    def module(self) -> str:
        """The module, which has `configure(parser)` and `run(args)`."""

    @property
    def extra(self) -> str:
        """The extra of SpeechPool that installs what the module imports."""


def further_commands() -> dict[str, FurtherCommand]:
    """The commands that are installed, by name."""
    return {name: one for name, one in _found().items() if _PART not in name}


def load(name: str, command: FurtherCommand) -> ModuleType:
    """Import a command's module.

    Args:
        name: As the user wrote it, for the message.
        command: What `further_commands` gave for it.

    Raises:
        UsageError: What it imports is not installed.
    """
    try:
        return importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`speechpool {name}` needs {error.name}, which is not installed: pip install 'speechpool[{command.extra}]'"
        ) from error


def load_part(name: str, written: str) -> ModuleType:
    """Import a part of a command that another package brings.

    Args:
        name: The entry point's, as `status.cluster`.
        written: As the user wrote it, for the message.

    Raises:
        UsageError: It is not installed, or what it imports is not.
    """
    command = _found().get(name)
    if command is None:
        raise UsageError(f"`speechpool {written}` is not installed: reinstall SpeechPool")
    return load(written, command)


def _found() -> Mapping[str, FurtherCommand]:
    from importlib.metadata import entry_points  # noqa: PLC0415 # 10 ms that only who looks for commands shall wait

    return {entry.name: entry.load() for entry in sorted(entry_points(group=GROUP))}
