"""Command line flags as a source of settings: the strongest, because they are typed for this one run."""

import argparse

from speechpool.config.table import RELIED_ON
from speechpool.settings import ALL_KNOBS, Knob, Layer, Source, read_texts
from speechpool.settings.kinds import Choice, Switch
from speechpool.settings.places import FilePath, HostPort

__all__ = ["add_setting_flags", "flag_layer"]


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting that can have one; keys and tokens cannot, other users see command lines."""
    common = parser.add_argument_group("settings", "each also as a variable of the environment, or in the file")
    others = parser.add_argument_group("more settings")
    for one in ALL_KNOBS:
        if one.flag:
            group = common if one.env in RELIED_ON else others
            group.add_argument(one.flag, dest=_dest(one), metavar=_metavar(one), help=_help(one))


def flag_layer(args: argparse.Namespace) -> Layer:
    """What the flags set.

    Raises:
        SettingsError: Values are wrong; all are listed.
    """
    given = {one.name: getattr(args, _dest(one), None) for one in ALL_KNOBS}
    texts = {name: text for name, text in given.items() if text is not None}
    return read_texts(texts, source=Source.FLAG, label=lambda one: one.flag or one.name)


def _dest(knob: Knob) -> str:
    return f"setting_{knob.name}"


def _metavar(knob: Knob) -> str:
    match knob.kind:
        case Choice(words=words) if len(words) <= 4:
            return "|".join(words)
        case Switch():
            return "true|false"
        case FilePath():
            return "PATH"
        case HostPort():
            return "HOST:PORT"
    return (knob.unit or knob.name.split("_")[-1]).split()[0].upper()


def _help(knob: Knob) -> str:
    text = f"{knob.doc} Default: {knob.default_text()}. [{knob.env}]"
    return text.replace("%", "%%")
