"""Reading a SpeechPool object. Pure, and right about any object, also one that an older schema let in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from speechpool.errors import SettingsError
from speechpool.settings import (
    POOL_KNOBS,
    POOL_ORDERS,
    PROCESS_KNOBS,
    PROCESS_ORDERS,
    Knob,
    LanguageMode,
    Layer,
    PoolEntry,
    Source,
    read_tree,
    shown,
)
from speechpool_operator.schema import MAX_PRIORITY, NOT_SETTINGS
from speechpool_operator.spec_selector import NOTHING, Selector, read_selector

__all__ = ["MAX_PROBLEMS", "Scope", "Spec", "read"]

MAX_PROBLEMS = 20
"""Most problems that are told of one object: more than one corrects at once; a guess."""


class Scope(StrEnum):
    """Whose pods a SpeechPool selects."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a SpeechPool says.

    Args:
        selector: Whom it selects; nobody where the selector is wrong.
        priority: The larger wins; 0 where it is wrong.
        scope: Whose pods it selects.
        layer: What it sets; None where anything is wrong, as settings hold as a whole or not at all.
        settings: The same as JSON, in one order and with one way to write each value, for the sidecar's `read_tree`.
        problems: What is wrong, each with the field's path, the bound and what to do; at most `MAX_PROBLEMS`.
    """

    selector: Selector = NOTHING
    priority: int = 0
    scope: Scope = Scope.NAMESPACE
    layer: Layer | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read(manifest: object) -> Spec:
    """Read an object; never raises.

    Args:
        manifest: The object as the API server gives it, made of JSON types.
    """
    tree = manifest.get("spec") if isinstance(manifest, Mapping) else None
    if not isinstance(tree, Mapping):
        return Spec(problems=(f"spec must be a mapping with a selector; got {shown(tree)}. Set it.",))
    selector, problems = read_selector(tree.get("selector"))
    priority, more = _priority(tree.get("priority"))
    scope, still_more = _scope(tree.get("scope"))
    layer, wrong = _layer({key: value for key, value in tree.items() if key not in NOT_SETTINGS})
    told = _bounded([*problems, *more, *still_more, *wrong])
    said = Spec(selector=selector, priority=priority, scope=scope, problems=told)
    if told or not layer:
        return said
    return replace(said, layer=layer, settings=_written(layer))


def _bounded(problems: list[str]) -> tuple[str, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    return (*problems[: MAX_PROBLEMS - 1], f"spec has {len(problems) - MAX_PROBLEMS + 1} more problems.")


def _priority(value: object) -> tuple[int, tuple[str, ...]]:
    if value is None:
        return 0, ()
    if isinstance(value, int) and not isinstance(value, bool) and -MAX_PRIORITY <= value <= MAX_PRIORITY:
        return value, ()
    bounds = f"a whole number from {-MAX_PRIORITY} to {MAX_PRIORITY}"
    return 0, (f"spec.priority must be {bounds}; got {shown(value)}. Correct it, or leave it out (default: 0).",)


def _scope(value: object) -> tuple[Scope, tuple[str, ...]]:
    for one in Scope:
        if value == one:
            return one, ()
    if value is None:
        return Scope.NAMESPACE, ()
    default = f"Correct it, or leave it out (default: {Scope.NAMESPACE})."
    return Scope.NAMESPACE, (f"spec.scope must be {' or '.join(Scope)}; got {shown(value)}. {default}",)


def _layer(tree: Mapping[str, Any]) -> tuple[Layer | None, list[str]]:
    try:
        layer = read_tree(tree, source=Source.OPERATOR)
    except SettingsError as error:
        return None, [f"spec.{one}" for one in error.problems]
    return layer, list(_relation_problems(layer))


def _written(layer: Layer) -> dict[str, Any]:
    """What a layer sets, as a file holds it."""
    written = _values_written(layer.values, (*POOL_KNOBS, *PROCESS_KNOBS))
    if layer.pools is not None:
        written["pools"] = [
            {"name": one.name, "kind": str(one.kind)} | _values_written(one.values, POOL_KNOBS) for one in layer.pools
        ]
    return written


def _values_written(values: Mapping[str, Any], knobs: Iterable[Knob]) -> dict[str, Any]:
    return {one.key: one.kind.to_value(values[one.name]) for one in knobs if one.name in values}


# --- relations of what is there, as the schema's rules have them ----------------------------------------------------


def _relation_problems(layer: Layer) -> Iterator[str]:
    every = {name: f"spec.{_KEYS[name]}" for name in layer.values}
    for small, large in (*POOL_ORDERS, *PROCESS_ORDERS):
        yield from _order_problems(small, large, layer.values, every)
    for entry in layer.pools or ():
        yield from _pool_problems(entry, layer.values, every)


def _pool_problems(entry: PoolEntry, fallbacks: Mapping[str, Any], every: Mapping[str, str]) -> Iterator[str]:
    values = {**fallbacks, **entry.values}
    paths = {**every, **{name: f"spec.{entry.path}.{_KEYS[name]}" for name in entry.values}}
    for small, large in POOL_ORDERS:
        if small in entry.values or large in entry.values:
            yield from _order_problems(small, large, values, paths)
    mode, languages = entry.values.get("language_mode"), entry.values.get("languages")
    if mode is None or languages is None:
        return
    path, count = paths["languages"], len(languages)
    if mode is LanguageMode.SINGLE and count != 1:
        yield f"{path} must be one language with languageMode Single; got {count}. Set languageMode: Detect."
    if mode is LanguageMode.DETECT and count < 2:
        yield f"{path} must be 2 to 10 languages with languageMode Detect; got one. Add one, or set it to Single."


def _order_problems(small: str, large: str, values: Mapping[str, Any], paths: Mapping[str, str]) -> Iterator[str]:
    least, most = values.get(small), values.get(large)  # None: not there, or off
    if least is not None and most is not None and least > most:
        first, second = (f"{paths[name]} ({values[name]:.12g})" for name in (small, large))
        yield f"{first} must be at most {second}. Lower the first or raise the second."


_KEYS = {one.name: one.key for one in (*POOL_KNOBS, *PROCESS_KNOBS)}
