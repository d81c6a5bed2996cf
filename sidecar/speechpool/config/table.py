"""The settings table of the documents, made from the settings model.

python -m speechpool.config.table --write README.md
python -m speechpool.config.table --full --write docs/settings.md
python -m speechpool.config.table --azure --write docs/azure.md
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechpool.settings import ALL_KNOBS, POOL_KNOBS, PROCESS_KNOBS, Effect, Knob
from speechpool.speech.azure.options import option_rows

__all__ = ["BEGIN", "END", "RELIED_ON", "azure_table", "full_table", "short_table", "with_table"]

RELIED_ON = (
    "SPEECH_POOL_WARM_SIZE",
    "SPEECH_POOL_SESSION_AWARENESS",
    "SPEECH_POOL_WARMUP_INTERVAL",
    "SPEECH_POOL_SESSION_MAX_AGE",
    "AZURE_SPEECH_KEY",
    "AZURE_SPEECH_REGION",
    "AZURE_SPEECH_ENDPOINT",
    "SPEECHPOOL_ENGINE",
    "SPEECHPOOL_SOCKET",
    "SPEECHPOOL_SOCKET_MODE",
    "SPEECHPOOL_SOCKET_GROUP",
    "SPEECHPOOL_LISTEN",
    "SPEECHPOOL_TELEMETRY_ADDRESS",
    "SPEECHPOOL_CONFIG",
    "SPEECHPOOL_OPERATOR",
    "SPEECHPOOL_LOG_LEVEL",
    "SPEECHPOOL_LOG_FORMAT",
)
"""The variables that users and scripts rely on, in the order of the README."""

BEGIN = "<!-- settings:begin -->"
END = "<!-- settings:end -->"

_EFFECTS = {Effect.LIVE: "at once", Effect.REPLACE: "at once, by a new pool", Effect.RESTART: "after a restart"}


def short_table() -> str:
    """The table of the README: the variables that users rely on."""
    by_env = {one.env: one for one in ALL_KNOBS}
    rows = [
        (_code(env), _code(one.key) if one.in_file else "", one.default_text(), one.doc, _EFFECTS[one.effect])
        for env, one in ((env, by_env[env]) for env in RELIED_ON)
    ]
    return _table(("environment", "file", "default", "meaning", "a change holds"), rows)


def full_table() -> str:
    """The tables of the reference: every setting."""
    return (
        f"### Pools\n\n{_reference(POOL_KNOBS)}\n\n"
        f"### The sidecar\n\n{_reference(one for one in PROCESS_KNOBS if one.in_file)}\n\n"
        f"### In the environment only\n\n{_reference(one for one in PROCESS_KNOBS if not one.in_file)}"
    )


def azure_table() -> str:
    """The table of the Azure engine's options."""
    rows = [(_code(name), values, default, doc) for name, values, default, doc in option_rows()]
    return _table(("option", "values", "default", "meaning"), rows)


def with_table(document: str, table: str) -> str:
    """The document with what stands between the markers replaced by the table.

    Raises:
        ValueError: The document does not hold each marker once, in order.
    """
    before, found_begin, rest = document.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found_begin or not found_end or BEGIN in rest or END in after:
        raise ValueError(f"the document must hold {BEGIN} and, after it, {END}, each once")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or write it between a document's markers."""
    parser = argparse.ArgumentParser(prog="python -m speechpool.config.table", description=main.__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--full", action="store_true", help="every setting, not only those that users rely on")
    which.add_argument("--azure", action="store_true", help="the options of the Azure engine instead")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the document to renew; without it, print")
    args = parser.parse_args(arguments)
    table = azure_table() if args.azure else full_table() if args.full else short_table()
    if args.write is None:
        sys.stdout.write(table + "\n")
    else:
        args.write.write_text(with_table(args.write.read_text("utf-8"), table), "utf-8")
    return 0


def _reference(knobs: Iterable[Knob]) -> str:
    rows = [
        (
            _code(one.key) if one.in_file else "",
            f"{_code(one.env)}, {_code(one.flag)}" if one.env and one.flag else _code(one.env or ""),
            one.kind.expected + (f"; {one.unit}" if one.unit else ""),
            one.default_text(),
            one.doc + (f" {one.only} pools only." if one.only else ""),
            _EFFECTS[one.effect],
        )
        for one in knobs
    ]
    return _table(("file", "environment, flag", "values", "default", "meaning", "a change holds"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main())
