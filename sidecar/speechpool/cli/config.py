"""`speechpool config`: the settings in force and where each came from; or whether a file is right."""

import argparse
import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from speechpool.cli.arguments import add_socket_argument
from speechpool.client import SidecarClient
from speechpool.config import load
from speechpool.errors import SettingsError, SidecarUnreachable
from speechpool.settings import ALL_KNOBS, Effect, Knob, Layer, Source, settings_error
from speechpool.socket_path import first_answering, socket_candidates

__all__ = ["configure", "run"]

DESCRIPTION = """\
Show the settings in force and where each value came from: those of the running sidecar, or, where none answers, those
that `speechpool serve` would start with now. With --check, tell whether a settings file is right."""

EPILOG = """\
examples:
  speechpool config                                     what is in force
  speechpool config --explain                           with the meaning and the bounds of each setting
  speechpool config --check speechpool.yaml             exit code 2 and every problem, if there is one
  speechpool config --json | jq .settings

values come from these places, a later one over an earlier one: default, environment, file, operator, flag.
GET /v1/config and --json name each value by its path, as `logLevel` or `pools[tts].warmSize`."""

_EFFECTS = {
    Effect.LIVE: "a change holds at once",
    Effect.REPLACE: "a change holds at once, by a new pool",
    Effect.RESTART: "a change needs a restart",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `config`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("--check", metavar="FILE", help="check this settings file, together with the environment")
    parser.add_argument("--explain", action="store_true", help="tell the meaning and the bounds of each setting")
    parser.add_argument("--json", action="store_true", help="print JSON, as GET /v1/config answers")
    add_socket_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Show the settings, or check a file."""
    if args.check:
        return _check(args)
    title, description = _in_force(args.socket)
    if args.json:
        print(json.dumps(description, indent=2))
    else:
        print("\n".join([title, "", *_report(description, explain=args.explain)]))
    return 0


def _in_force(socket: str | None) -> tuple[str, dict[str, Any]]:
    """A title, and what `GET /v1/config` answers, or would answer."""
    try:
        description = SidecarClient(socket).get_json("/v1/config")
    except SidecarUnreachable as error:
        if socket:
            raise
        reason = str(error)
        title = f"{reason[0].upper()}{reason[1:]}.\n`speechpool serve` would start with these settings."
        return title, load(os.environ).describe()
    return f"Settings of the sidecar that runs at {socket or first_answering(socket_candidates())}.", description


def _check(args: argparse.Namespace) -> int:
    try:
        description = _checked(args.check)
    except SettingsError as error:
        if not args.json:
            raise
        print(json.dumps({"valid": False, "problems": list(error.problems)}, indent=2))
        return 2
    if args.json:
        print(json.dumps({"valid": True, "problems": []} | description, indent=2))
        return 0
    print(f"{args.check} is right.")
    print("\n".join(["", *_report(description, explain=True)] if args.explain else _notes(description)), end="")
    return 0


def _checked(path: str) -> dict[str, Any]:
    """What `speechpool serve --config FILE` would run with.

    Raises:
        SettingsError: The file, the environment, or what the engine makes of them is wrong.
    """
    from speechpool.cli.engine_check import engine_problems  # noqa: PLC0415 # takes time, and only a check needs it
    from speechpool.speech.loading import unread_options  # noqa: PLC0415 # likewise

    store = load(os.environ, Layer(source=Source.FLAG, values={"config_file": path}))
    settings = store.current
    if problems := list(engine_problems(settings)):
        raise settings_error(problems)
    description = store.describe()
    return description | {"warnings": description["warnings"] + unread_options(settings.engines, settings.engine)}


# --- what is printed -----------------------------------------------------------------------------------------------


def _report(description: Mapping[str, Any], *, explain: bool) -> list[str]:
    rows = list(_rows(description))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines: list[str] = []
    for path, value, origin in rows:
        lines.append(f"{path:<{widths[0]}}  {value:<{widths[1]}}  {origin}".rstrip())
        if explain:
            lines.extend(_explanation(path))
    return [*lines, *_notes(description)]


def _rows(description: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Path, value and origin of each setting."""
    provenance = description["provenance"]
    for path, value in _values(description["settings"]):
        origin = provenance.get(path, {"source": "default", "name": None})
        yield path, _text(path, value), f"{origin['source']} {origin['name'] or ''}".rstrip()


def _values(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if key != "pools":
            yield key, value
    for pool in settings["pools"]:
        for key, value in pool.items():
            if key not in ("name", "kind"):
                yield f"pools[{pool['name']}].{key}", value


def _text(path: str, value: object) -> str:
    knob = _knob(path)
    return knob.text(value) if knob else str(value)


def _explanation(path: str) -> list[str]:
    knob = _knob(path)
    if knob is None:
        return []
    unit = f"; {knob.unit}" if knob.unit else ""
    text = f"{knob.doc} Values: {knob.kind.expected}{unit}. Default: {knob.default_text()}. {_names(knob)}; "
    text += f"{_EFFECTS[knob.effect]}."
    return textwrap.wrap(text, 110, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _names(knob: Knob) -> str:
    places = [knob.env or "", knob.flag or "", f"{knob.key} in a file" if knob.in_file else ""]
    return "Set by " + ", ".join(place for place in places if place)


def _notes(description: Mapping[str, Any]) -> list[str]:
    """What someone should look at; each preceded by an empty line."""
    lines = [f"warning: {warning}" for warning in description.get("warnings", ())]
    for source in description["sources"]:
        if not source["ok"]:
            head = f"refused since {source['since']}, the last good settings stay: {source['source']}"
            lines += [head, *(f"  {problem}" for problem in source["problems"])]
    for one in description["pendingRestart"]:
        path = one["path"]
        lines.append(f"needs a restart: {path} from {_text(path, one['running'])} to {_text(path, one['wanted'])}")
    return ["", *lines] if lines else []


def _knob(path: str) -> Knob | None:
    """The knob of a path; None where the running sidecar is newer and has more."""
    return _BY_KEY.get(path.rpartition(".")[2])


_BY_KEY = {one.key: one for one in ALL_KNOBS}
