"""The reference of every field, in Markdown, made from the CustomResourceDefinition and the settings model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from speechpool.settings import POOL_KNOBS, Effect, Knob
from speechpool_operator.schema import FALLBACK_KNOBS, LIVE_PROCESS_KNOBS, NOT_SETTINGS, bounds_of

__all__ = ["reference"]

_EFFECTS = {Effect.LIVE: "at once", Effect.REPLACE: "at once, by a new pool", Effect.RESTART: "after a restart"}

_HEAD = """\
# SpeechPool reference

<!-- Made by `make docs` from the settings model: change that instead. -->

Every field of the objects of kind `{kind}` ({group}/{version}, short name `{short}`).

Nothing is filled in: a setting that is absent is not set by the object, and the sidecar's own file, environment and
defaults hold for it, as [settings.md](settings.md) says. Deleting the object lets them hold for all. The defaults below
are those of a sidecar for which nothing else is set either. What needs a restart of the sidecar is not here: it belongs
into the sidecar's environment or file. An object is refused as a whole: by the API server or, where the values of
several sources do not fit together, by the sidecar, which then keeps what it ran before.
"""

_KNOB_HEAD = ("field", "values", "default", "meaning", "a change holds", "in a sidecar's environment")
_FIELD_HEAD = ("field", "type", "meaning")


def reference(crd: Mapping[str, Any]) -> str:
    """The whole document."""
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    fields = version["schema"]["openAPIV3Schema"]["properties"]
    spec, status = fields["spec"], fields["status"]
    whom = {name: spec["properties"][name] for name in NOT_SETTINGS}
    head = _HEAD.format(
        kind=names["kind"], group=crd["spec"]["group"], version=version["name"], short=names["shortNames"][0]
    )
    sections = [
        head,
        _section("Whom it is for", _fields("spec", whom)),
        _section("Settings of every pool", _knobs("spec", FALLBACK_KNOBS)),
        _section("Pools", _fields("spec", {"pools": _without(spec["properties"]["pools"], POOL_KNOBS)})),
        _section("Settings of one pool", _knobs("spec.pools[]", POOL_KNOBS)),
        _section("Settings of the whole sidecar", _knobs("spec", LIVE_PROCESS_KNOBS)),
        _section("Words of the lexicon", _fields("spec.lexicon[]", _item_fields(spec, "lexicon"))),
        _section("Rules", "\n".join(f"- {one}" for one in dict.fromkeys(_rules("spec", spec)))),
        _section("Status", _fields("status", status["properties"])),
        _section("Columns of kubectl get", _columns(version["additionalPrinterColumns"])),
    ]
    return "\n".join(sections)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}\n"


def _knobs(path: str, knobs: Iterable[Knob]) -> str:
    rows = [
        (
            f"`{path}.{one.key}`",
            bounds_of(one),
            one.default_text(),
            one.doc + (f" {one.only} pools only." if one.only else ""),
            _EFFECTS[one.effect],
            f"`{one.env}`" if one.env else "",
        )
        for one in knobs
    ]
    return _table(_KNOB_HEAD, rows)


def _fields(path: str, fields: Mapping[str, Any]) -> str:
    return _table(_FIELD_HEAD, _field_rows(path, fields))


def _field_rows(path: str, fields: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Each field, and those within it."""
    for name, schema in fields.items():
        yield f"`{path}.{name}`", _type(schema), schema["description"]
        yield from _field_rows(f"{path}.{name}", schema.get("properties", {}))
        yield from _field_rows(f"{path}.{name}[]", schema.get("items", {}).get("properties", {}))


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "items" in schema:
        return f"list of {schema['items']['type']}s"
    return "map of strings" if "additionalProperties" in schema else str(schema.get("format", schema["type"]))


def _without(schema: Mapping[str, Any], knobs: Iterable[Knob]) -> dict[str, Any]:
    """A list's schema without the fields of its elements that are told elsewhere."""
    told = {one.key for one in knobs}
    items = schema["items"]
    left = {name: one for name, one in items["properties"].items() if name not in told}
    return {**schema, "items": {**items, "properties": left}}


def _item_fields(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = spec["properties"][name]["items"]["properties"]
    return fields


def _rules(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """What relates several fields; what one field takes stands with the field."""
    if "properties" in schema:
        for one in schema.get("x-kubernetes-validations", ()):
            yield f"`{path}{one.get('fieldPath', '')}` {one['message']}."
    for name, field in schema.get("properties", {}).items():
        yield from _rules(f"{path}.{name}", field)
    if "items" in schema:
        yield from _rules(f"{path}[]", schema["items"])


def _columns(columns: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (one["name"].upper(), f"`{one['jsonPath']}`", one["description"], "with `-o wide`" if "priority" in one else "")
        for one in columns
    ]
    return _table(("column", "field", "meaning", "shown"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
