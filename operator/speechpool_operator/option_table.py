"""Settings of a program as a table: each once, as a flag and as an environment variable, the flag first."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool.settings.kinds import Kind, Refused

__all__ = ["Option", "add_arguments", "read_values", "unknown_variables"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Args:
        prefix: Of its variable.
        name: Its field in what the program reads.
        kind: What its values may be.
        default: As text; empty for none.
        doc: What it does.
        metavar: How the help text shows a value.
    """

    prefix: str
    name: str
    kind: Kind[Any]
    default: str
    doc: str
    metavar: str = "VALUE"

    @property
    def flag(self) -> str:
        """The flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return self.prefix + self.name.upper()


def add_arguments(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Add a flag for each setting."""
    for each in options:
        default = f" (default: {each.default})" if each.default else ""
        text = f"{each.doc}{default}; ${each.variable}"
        parser.add_argument(each.flag, metavar=each.metavar, help=text.replace("%", "%%"))


def read_values(
    args: argparse.Namespace, options: Iterable[Option], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Read the settings.

    Args:
        args: The parsed command line; what is not in it is no flag.
        options: Those that the program has.
        environment: The process's.

    Returns:
        The values by their names, empty text where there is none, and what is wrong, each with its name and bounds.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for each in options:
        flag = getattr(args, each.name, None)
        text = (flag if flag is not None else environment.get(each.variable) or "").strip() or each.default
        try:
            values[each.name] = each.kind.of_text(text) if text else ""
        except Refused:
            where = each.flag if flag is not None else each.variable
            problems.append(f"{where} must be {each.kind.expected}; got {text[:200]!r}")
    return values, problems


def unknown_variables(
    options: Sequence[Option], environment: Mapping[str, str], others: Sequence[str] = ()
) -> list[str]:
    """Variables that look like settings of a program and are none, as after a slip of the pen.

    Args:
        options: Those that the program has.
        environment: The process's.
        others: How further variables begin that are not meant for it, without the prefix.
    """
    prefix, known = options[0].prefix, {each.variable for each in options}
    # Kubernetes sets two kinds in pods beside a Service of that name
    foreign = tuple(prefix + rest for rest in ("SERVICE_", "PORT", *others))
    names = (name for name in environment if name.startswith(prefix) and name not in known)
    return sorted(name for name in names if not name.startswith(foreign))
