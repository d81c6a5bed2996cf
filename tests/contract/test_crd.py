"""The settings model, the CustomResourceDefinition, its reference and the environment's table say the same."""

import dataclasses
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import speechpool
from speechpool.config.table import full_table
from speechpool.settings import ALL_KNOBS, POOL_KNOBS, PROCESS_KNOBS, Effect, Knob
from speechpool.settings.kinds import Choice, Integer, Number, Switch, Text
from speechpool_operator import crd, crd_reference, schema
from speechpool_operator.schema import NOT_SETTINGS, spec_schema
from speechpool_operator.schema_status import status_schema
from speechpool_operator.schema_values import value_schema

ROOT = Path(__file__).parents[2]
RENEW = "renew it: python -m speechpool_operator.crd --write"

FALLBACKS = [one for one in POOL_KNOBS if one.fallback]
WHOLE = [one for one in PROCESS_KNOBS if one.in_file and one.effect is not Effect.RESTART]


@functools.cache
def held() -> dict[str, Any]:
    """The schema of the definition that is in the repository."""
    definition = yaml.safe_load((ROOT / crd.CRD_FILE).read_text("utf-8"))
    made: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return made


SPEC = held()["spec"]["properties"]
POOL = SPEC["pools"]["items"]["properties"]
PLACES = [
    *(pytest.param(one, SPEC, f"spec.{one.key}", id=f"spec.{one.key}") for one in (*FALLBACKS, *WHOLE)),
    *(pytest.param(one, POOL, f"spec.pools[].{one.key}", id=f"pools.{one.key}") for one in POOL_KNOBS),
]


def walk(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema with its path."""
    yield path, node
    for name, one in node.get("properties", {}).items():
        yield from walk(f"{path}.{name}", one)
    for name in ("items", "additionalProperties"):
        if name in node:
            yield from walk(f"{path}[]", node[name])


NODES = [pytest.param(node, id=path) for name in ("spec", "status") for path, node in walk(name, held()[name])]


def test_the_files_are_those_of_the_model():
    assert crd.main(["--check", "--root", str(ROOT)]) == 0, RENEW


def test_the_definition_has_every_live_setting_and_no_other():
    assert set(SPEC) == {*NOT_SETTINGS, "pools", *(one.key for one in (*FALLBACKS, *WHOLE))}, RENEW
    assert set(POOL) == {"name", "kind", *(one.key for one in POOL_KNOBS)}, RENEW
    assert all(one.is_live for one in POOL_KNOBS), "a pool's setting that needs a restart has no place in an object"


@pytest.mark.parametrize(("knob", "place", "path"), PLACES)
def test_a_setting_is_the_same_everywhere(knob: Knob, place: dict[str, Any], path: str):
    described = place[knob.key]["description"]
    values = knob.kind.expected.removesuffix(" (in the environment: true or false)")
    assert knob.doc in described
    assert values in described
    assert f"in {knob.unit}" in described or not knob.unit
    assert {Effect.LIVE: "holds at once.", Effect.REPLACE: "a new pool is made"}[knob.effect] in described
    assert f"Default: {knob.default_text()}." in described or f"Default: spec.{knob.key}." in described

    reference = row((ROOT / crd.REFERENCE_FILE).read_text("utf-8"), f"`{path}`")
    environment = row(full_table(), f"`{knob.key}`")
    documented = row((ROOT / "docs" / "settings.md").read_text("utf-8"), f"`{knob.key}`")
    assert documented == environment
    for text in (reference, environment):
        assert knob.doc in text
        assert values in text
        assert knob.default_text() in text
        assert knob.env is None or f"`{knob.env}`" in text


def row(document: str, first: str) -> str:
    """The row of a table whose first cell is the one."""
    rows = [line for line in document.splitlines() if line.startswith(f"| {first} |")]
    assert len(rows) == 1, f"{first} has {len(rows)} rows; {RENEW}"
    return rows[0]


@pytest.mark.parametrize(("knob", "place", "path"), PLACES)
def test_the_bounds_are_those_of_the_model(knob: Knob, place: dict[str, Any], path: str):
    node, kind = place[knob.key], knob.kind
    match kind:
        case Integer() | Number():
            assert (node["minimum"], node["maximum"]) == (0 if kind.off else kind.minimum, kind.maximum)
        case Choice():
            assert tuple(node["enum"]) == kind.words
        case Switch():
            assert node["enum"] == ["Enabled", "Disabled"]
        case Text():
            assert node["maxLength"] == kind.maximum
        case _:
            assert node["maxItems"] in {10, 1000}


@pytest.mark.parametrize("node", NODES)
def test_everything_has_a_bound_and_nothing_a_default(node: dict[str, Any]):
    assert "default" not in node
    assert "x-kubernetes-preserve-unknown-fields" not in node
    match node["type"]:
        case "string":
            assert "maxLength" in node or "enum" in node or node["format"] == "date-time"
        case "array":
            assert "maxItems" in node
            assert "x-kubernetes-list-type" in node
        case "object":
            assert "properties" in node or "maxProperties" in node
        case "integer" | "number":
            assert "minimum" in node


@pytest.mark.parametrize("node", NODES)
def test_every_field_is_described(node: dict[str, Any]):
    for name, one in node.get("properties", {}).items():
        assert one["description"].endswith("."), name


@pytest.mark.parametrize("node", NODES)
def test_every_rule_has_a_message_that_fits(node: dict[str, Any]):
    for rule in node.get("x-kubernetes-validations", ()):
        assert rule["message"]
        assert "\n" not in rule["message"]
        if "fieldPath" in rule:
            assert rule["fieldPath"].removeprefix(".") in node["properties"]


def test_one_name_has_one_meaning():
    assert len({one.key for one in ALL_KNOBS} | set(NOT_SETTINGS)) == len(ALL_KNOBS) + len(NOT_SETTINGS)


def test_the_definition_is_small_enough_for_kubectl_apply():
    """`kubectl apply` keeps it in an annotation, and all annotations of an object have 256 KiB."""
    assert len((ROOT / crd.CRD_FILE).read_bytes()) < 200_000


# --- a setting that is new -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "model"), [(("FALLBACK_KNOBS", "POOL_KNOBS"), FALLBACKS), (("LIVE_PROCESS_KNOBS",), WHOLE)]
)
def test_a_new_setting_makes_the_files_stale(names, model, monkeypatch, capsys):
    new = dataclasses.replace(model[0], key="newSetting", name="new_setting", env="SPEECHPOOL_NEW")
    for module in (schema, crd_reference):
        for name in names:
            monkeypatch.setattr(module, name, (*getattr(module, name), new))
    assert "newSetting" in spec_schema()["properties"]
    assert crd.main(["--check", "--root", str(ROOT)]) == 1
    told = capsys.readouterr().err
    assert crd.CRD_FILE in told
    assert crd.REFERENCE_FILE in told
    assert "--write" in told


def test_a_new_kind_of_values_needs_a_schema():
    with pytest.raises(TypeError, match="add a schema"):
        value_schema(next(one.kind for one in PROCESS_KNOBS if one.key == "socketMode"))


def test_the_command_writes_what_it_checks(tmp_path, capsys):
    assert crd.main(["--check", "--root", str(tmp_path)]) == 1
    assert crd.main(["--write", "--root", str(tmp_path)]) == 0
    assert crd.main(["--check", "--root", str(tmp_path)]) == 0
    assert yaml.safe_load((tmp_path / crd.CRD_FILE).read_text("utf-8")) == crd.custom_resource_definition()


# --- what stands elsewhere -------------------------------------------------------------------------------------------


def test_the_status_has_what_the_columns_show():
    fields = status_schema()["properties"]
    for column in crd.custom_resource_definition()["spec"]["versions"][0]["additionalPrinterColumns"]:
        parts = column["jsonPath"].split("[")[0].lstrip(".").split(".")
        if parts[0] == "status":
            assert parts[1] in fields


def test_the_operator_may_import_settings_and_errors_only():
    """The import contract forbids each other module of the sidecar, a new one too."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    ours = next(one for one in contracts if one.get("source_modules") == ["speechpool_operator"])
    folder = Path(speechpool.__file__).parent
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    allowed = {"__init__", "settings", "errors", "formats"}
    forbidden = {one.removeprefix("speechpool.") for one in ours["forbidden_modules"]} - {"speechpool_azure_emulator"}
    assert forbidden == names - allowed
