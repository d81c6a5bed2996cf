"""What one source sets: reading texts (environment, flags) and trees (file, operator) into a layer of values."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from speechpool.errors import SettingsError
from speechpool.settings.kinds import Refused
from speechpool.settings.knobs import Knob, PoolKind
from speechpool.settings.pool import POOL_KNOBS
from speechpool.settings.process import MAX_POOLS, PROCESS_KNOBS

__all__ = ["ALL_KNOBS", "Layer", "PoolEntry", "Source", "nearest", "read_texts", "read_tree", "settings_error", "shown"]

ALL_KNOBS: tuple[Knob, ...] = PROCESS_KNOBS + POOL_KNOBS
"""Every knob there is."""

_IN_POOLS = {one.key: one for one in POOL_KNOBS}
_OUTSIDE_POOLS = {one.key: one for one in PROCESS_KNOBS if one.in_file} | {
    one.key: one for one in POOL_KNOBS if one.fallback
}
_LIVE_OUTSIDE_POOLS = {key: one for key, one in _OUTSIDE_POOLS.items() if one.is_live}

SHOWN_CHARACTERS = 80

MAX_HINTS = 20
"""Problems after which no known name is looked for any more: each search takes a tenth of a millisecond and more."""

POOL_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


class Source(StrEnum):
    """Where values come from, the weakest first."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    FILE = "file"
    OPERATOR = "operator"
    FLAG = "flag"

    @property
    def strength(self) -> int:
        """The larger wins."""
        return list(Source).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEntry:
    """What a source sets for one pool.

    Args:
        name: The pool's name.
        kind: What its clients do.
        values: By Python name; only what is set.
        path: Where it stands in the source, as `pools[1]`.
    """

    name: str
    kind: PoolKind
    values: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Everything that one source sets, each value checked by itself.

    Args:
        source: Where it comes from.
        values: By Python name: settings of the sidecar, and those of every pool.
        pools: Which pools there are, and what is set for each; None where the source does not say.
        location: The file's path or the object's name, where there is one.
        uid: The object's, where there is one.
        digest: Tells two contents of the source apart.
        generation: The source's own count of its changes, where it has one.
        warnings: What is suspicious but not wrong, for people.
    """

    source: Source
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a key
    pools: tuple[PoolEntry, ...] | None = None
    location: str = ""
    uid: str = ""
    digest: str = ""
    generation: int | None = None
    warnings: tuple[str, ...] = ()


def settings_error(problems: Iterable[str]) -> SettingsError:
    """The one error that tells all the problems."""
    lines = tuple(problems)
    head = "a setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong"
    return SettingsError(
        f"{head}: {lines[0]}" if len(lines) == 1 else "\n- ".join((f"{head}:", *lines)), problems=lines
    )


def read_texts(texts: Mapping[str, str], *, source: Source, label: Callable[[Knob], str]) -> Layer:
    """Read what an environment or a command line sets.

    Args:
        texts: By the knobs' Python names; an empty text sets nothing.
        source: Where they come from.
        label: The knob's name as its user wrote it.

    Raises:
        SettingsError: Values are wrong; all are listed.
    """
    reader = _Reader(source)
    values: dict[str, Any] = {}
    for knob in ALL_KNOBS:
        if text := texts.get(knob.name, "").strip():
            values |= reader.value(knob, label(knob), text, knob.kind.of_text)
    reader.finish()
    return Layer(source=source, values=values)


def read_tree(tree: object, *, source: Source = Source.FILE) -> Layer:
    """Read what a settings file, or the spec of a SpeechPool object, sets.

    Null means "not set here". The operator may set live settings only.

    Args:
        tree: Made of JSON types; None is empty.
        source: Where it comes from.

    Raises:
        SettingsError: Names or values are wrong; all are listed.
    """
    if not isinstance(tree, Mapping | None):
        # other text is not shown: it may be a key, where the path of its file was given for that of the settings
        is_text = isinstance(tree, str) and tree not in _OUTSIDE_POOLS
        got = f"text of {len(str(tree))} characters" if is_text else shown(tree)
        raise settings_error([f"settings must be a mapping from names to values, as warmSize: 3; got {got}."])
    reader = _Reader(source)
    tree = tree or {}
    values = reader.values(tree)
    pools = None if tree.get("pools") is None else reader.pools(tree["pools"])
    reader.finish()
    return Layer(source=source, values=values, pools=pools)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that proposes the known name most like this one, with a space before it; or nothing."""
    by_shape = {_bare(one): one for one in known}
    found = difflib.get_close_matches(_bare(name), by_shape, n=1, cutoff=0.7)
    return f" Did you mean {by_shape[found[0]]}?" if found else ""


def shown(value: object) -> str:
    """A value for a message: as it was written, short, without line ends and without a URL's user and password."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    text = "null" if value is None else re.sub(r"://[^/\s]*@", "://…@", repr(value))
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").removeprefix("speechpool")


class _Reader:
    """One reading of one source: reads on after each problem, so that all are told at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[str] = []

    def finish(self) -> None:
        if self.problems:
            raise settings_error(self.problems)

    def value(self, knob: Knob, label: str, given: object, read: Callable[[Any], object]) -> dict[str, Any]:
        """The value by the knob's Python name; empty where it is wrong."""
        try:
            return {knob.name: read(given)}
        except Refused as refused:
            got = "something else, which is not shown" if knob.secret else shown(given)
            more = f" ({refused})" if str(refused) else ""
            remedy = f"Correct it, or leave it out (default: {knob.default_text()})."
            self.problems.append(f"{label} must be {knob.kind.expected}; got {got}{more}. {remedy}")
            return {}

    def values(self, tree: Mapping[Any, object]) -> dict[str, Any]:
        """The values outside `pools`."""
        known = _LIVE_OUTSIDE_POOLS if self.source is Source.OPERATOR else _OUTSIDE_POOLS
        values: dict[str, Any] = {}
        for key, value in tree.items():
            if knob := known.get(key):
                values |= {} if value is None else self.value(knob, key, value, knob.kind.of_value)
            elif key != "pools":
                self.unknown(key, "", [*known, "pools"])
        return values

    def pools(self, tree: object) -> tuple[PoolEntry, ...]:
        if not isinstance(tree, list) or not 1 <= len(tree) <= MAX_POOLS:
            got = f"a list of {len(tree)}" if isinstance(tree, list) else shown(tree)
            self.problems.append(
                f"pools must be a list of 1 to {MAX_POOLS} pools, as [{{name: tts, kind: TextToSpeech}}]; got {got}. "
                "Correct it, or leave it out (default: tts and stt)."
            )
            return ()
        entries = [self.pool(one, f"pools[{index}]") for index, one in enumerate(tree)]
        read = tuple(one for one in entries if one)
        self.different_names(read)
        return read

    def pool(self, tree: object, path: str) -> PoolEntry | None:
        if not isinstance(tree, Mapping):
            self.problems.append(f"{path} must be a mapping with name and kind; got {shown(tree)}. Set both.")
            return None
        kind = self.pool_kind(tree.get("kind"), path)
        name = self.pool_name(tree.get("name"), path)
        values: dict[str, Any] = {}
        for key, value in tree.items():
            if knob := _IN_POOLS.get(key):
                values |= {} if value is None else self.own_value(knob, path, value, kind)
            elif key not in {"name", "kind"}:
                self.unknown(key, f"{path}.", [*_IN_POOLS, "name", "kind"])
        return PoolEntry(name=name, kind=kind, values=values, path=path) if name and kind else None

    def own_value(self, knob: Knob, path: str, value: object, kind: PoolKind | None) -> dict[str, Any]:
        label = f"{path}.{knob.key}"
        if kind is None or knob.applies_to(kind):
            return self.value(knob, label, value, knob.kind.of_value)
        self.problems.append(f"{label} is a setting of {knob.only} pools, and this is a {kind} pool. Remove it.")
        return {}

    def pool_kind(self, value: object, path: str) -> PoolKind | None:
        for kind in PoolKind:
            if value == kind:
                return kind
        got = "nothing" if value is None else shown(value)
        self.problems.append(f"{path}.kind must be {' or '.join(PoolKind)}; got {got}. Set it.")
        return None

    def pool_name(self, value: object, path: str) -> str | None:
        if isinstance(value, str) and re.fullmatch(POOL_NAME, value):
            return value
        got = "nothing" if value is None else shown(value)
        self.problems.append(
            f"{path}.name must be 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends; got {got}. Set it."
        )
        return None

    def different_names(self, entries: Iterable[PoolEntry]) -> None:
        seen: dict[str, PoolEntry] = {}
        for entry in entries:
            if (first := seen.setdefault(entry.name, entry)) is not entry:
                self.problems.append(
                    f"{entry.path}.name must differ from every other pool's; got {entry.name!r}, "
                    f"which {first.path}.name is already. Give one of them another name."
                )

    def unknown(self, key: object, prefix: str, known: Iterable[str]) -> None:
        if not isinstance(key, str):
            text = f"{prefix}{shown(key)} is not the name of a setting: names are text, as warmSize."
        elif knob := next((one for one in ALL_KNOBS if key == one.key), None):
            text = f"{prefix}{key} {self.misplaced(knob, prefix)}"
        else:
            hint = self.hint(key, known) if len(self.problems) < MAX_HINTS else ""
            name = key if re.fullmatch(r"[\w.<-]{1,64}", key) else shown(key)
            text = f"{prefix}{name} is not a setting.{hint} Correct the name or remove it."
        self.problems.append(text)

    def hint(self, key: str, known: Iterable[str]) -> str:
        by_env = {one.env: one.key for one in ALL_KNOBS if one.env}
        return f" Did you mean {by_env[key]}?" if key in by_env else nearest(key, known)

    def misplaced(self, knob: Knob, prefix: str) -> str:
        if not knob.in_file:
            return f"cannot be set here: set {knob.env} in the environment."
        if self.source is Source.OPERATOR and not knob.is_live:
            return "holds from the start of a sidecar only: set it in the sidecar's environment or file."
        if prefix:
            return "is a setting of the whole sidecar: move it out of pools."
        return "is a setting of one pool: move it into an element of pools."
