"""The chart agrees with what it is made of: the definition, the fence, the values, the metrics, the pages."""

import functools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import charts.make as chart
import pytest
import yaml

from speechpool.settings.kinds import Choice, Integer, Kind, Number, Text
from speechpool_operator import options as operator
from speechpool_operator.injection import options as injector
from speechpool_operator.injection.config import OWN_VARIABLES, SETTINGS, InjectorConfig, read_config
from speechpool_operator.injection.kinds import ObjectName, Quantity
from speechpool_operator.names import OPERATOR_SELECTOR
from speechpool_operator.upgrade import settings as upgrader

ROOT = Path(__file__).parents[2]
CHART = chart.CHART
VALUES_TEXT = (CHART / "values.yaml").read_text("utf-8")
VALUES = yaml.safe_load(VALUES_TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
FACTS = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text("utf-8"))
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))


def test_what_is_made_from_elsewhere_is_up_to_date():
    old = [path.name for path, text in chart.made().items() if path.read_text("utf-8") != text]
    assert old == [], "run python charts/make.py"


def test_the_versions_are_those_of_the_product():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert (FACTS["version"], FACTS["appVersion"]) == (version, version)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    name = node.get("$ref", "").removeprefix("#/definitions/")
    return SCHEMA["definitions"][name] if name else node  # type: ignore[no-any-return] - JSON


def schema_paths(node: dict[str, Any], path: str = "") -> Iterator[str]:
    node = resolved(node)
    for name, one in node.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield inner
        yield from schema_paths(one, inner)


def value_paths(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, one in values.items():
        inner = f"{path}.{name}" if path else name
        yield inner
        if isinstance(one, dict):
            yield from value_paths(one, inner)


DOCUMENTED = dict(chart.documented(VALUES_TEXT))
FREE = [path for path in DOCUMENTED if isinstance(chart.value_at(VALUES, path), dict)]
"""Values that are maps of the user's own."""


def inside_free(path: str) -> bool:
    return any(path.startswith(f"{one}.") for one in FREE)


def test_every_value_is_in_the_schema_and_every_one_there_is_a_value():
    values = {path for path in value_paths(VALUES) if not inside_free(path)}
    known = {path for path in schema_paths(SCHEMA) if not inside_free(path)}
    # helm hands `global` to every chart of a tree
    assert known - {"global"} == values


def test_every_value_has_its_comment():
    leaves = {path for path in value_paths(VALUES) if not isinstance(chart.value_at(VALUES, path), dict)}
    assert {path for path in leaves if not inside_free(path)} <= set(DOCUMENTED)


def test_nothing_that_the_schema_does_not_know_is_let_through():
    def check(node: dict[str, Any], path: str) -> None:
        if "properties" in node and path not in {"topologySpread", "volumes", "mounts", "peers"}:
            assert node.get("additionalProperties") is False, path
        for name, one in node.get("properties", {}).items():
            check(one, f"{path}.{name}")

    check(SCHEMA, "")
    for name in ("image", "serviceAccount", "service", "resources", "affinity"):
        check(SCHEMA["definitions"][name], name)


def test_the_sidecars_values_are_the_injectors_settings():
    from_elsewhere = {"image", "imagePullPolicy", "operator"}
    keys = {path.removeprefix("sidecar.") for path in value_paths(VALUES) if path.startswith("sidecar.")}
    keys |= {"resources.limits.cpu"}  # known, and not set
    leaves = keys - {"resources", "resources.requests", "resources.limits", "egressProxy"}
    assert leaves == set(SETTINGS) - from_elsewhere


def test_the_sidecars_defaults_are_the_injectors():
    tree = {key: value for key, value in VALUES["sidecar"].items() if value not in ("", [], {})}
    assert read_config({"image": "x", **tree}) == InjectorConfig(image="x")


def held(path: str) -> dict[str, Any]:
    """The schema of one of the sidecar's values."""
    node = SCHEMA["properties"]["sidecar"]
    for key in path.split("."):
        node = resolved(node["properties"][key])
    return node


@pytest.mark.parametrize("path", [one for one in SETTINGS if one not in {"image", "imagePullPolicy", "operator"}])
def test_the_schema_holds_the_sidecars_values_as_the_injector_does(path: str):
    """What the one lets through and the other does not would be an injector that never starts."""
    kind, node = SETTINGS[path][1], held(path)
    match kind:
        case Text() if "enum" not in node and "{1,4096}" not in kind.pattern:  # Go's expressions count to 1,000
            assert (node["pattern"], node["maxLength"]) == (f"^({kind.pattern})?$", kind.maximum)
        case Text() | Choice():
            for one in node.get("enum", ()):
                assert one == "" or kind.of_text(one) == one
        case Integer() | Number():
            assert (node["minimum"], node["maximum"]) == (kind.minimum, kind.maximum)
        case Quantity():
            assert {"path": path.split("."), "least": kind.minimum, "most": kind.maximum} in checked("bounds")
        case ObjectName():
            assert node == SCHEMA["definitions"]["name"]


def checked(name: str) -> Any:
    """A list of the chart's own checks."""
    text = (CHART / "templates" / "checks.yaml").read_text("utf-8")
    found = re.search(rf'define "speechpool.{name}" -}}}}\n(.*?)\n{{{{- end', text, re.DOTALL)
    assert found
    return yaml.safe_load(found[1])


def test_the_variables_that_are_refused_are_the_injectors():
    assert checked("ownVariables") == list(OWN_VARIABLES)


def test_the_operators_labels_are_those_that_the_commands_look_for():
    assert f"app.kubernetes.io/name={FACTS['name']},app.kubernetes.io/component=operator" == OPERATOR_SELECTOR


# --- alerts and the dashboard ---


SOURCES = {
    "sidecar/speechpool/service/metrics.py": "speechpool",
    "sidecar/speechpool/config/operator_stream.py": "speechpool_operator",
    "operator/speechpool_operator/metrics.py": "speechpool_operator",
    "operator/speechpool_operator/injection/metrics.py": "speechpool_injector",
    "operator/speechpool_operator/upgrade/measures.py": "speechpool_upgrader",
}
"""Where metrics are named, and how those names begin that are not written out."""


@functools.cache
def metric_names() -> set[str]:
    """Every metric of the programs, without the ending that Prometheus gives it."""
    found: set[str] = set()
    for source, prefix in SOURCES.items():
        text = (ROOT / source).read_text("utf-8")
        found |= set(re.findall(r'"(speechpool_[a-z_]+)"', text))
        found |= {f"{prefix}_{name}" for name in re.findall(r'(?:"|\}_)([a-z][a-z_]+)"', text)}
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for one in ALERTS:
        yield one["alert"], one["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), [pytest.param(*one, id=one[0]) for one in expressions()])
def test_an_expression_asks_for_metrics_that_exist(where: str, expression: str):
    for name in re.findall(r"\bspeechpool_[a-z_]+", expression.replace("speechpool-sidecar", "")):
        base = re.sub(r"_(total|bucket)$", "", name)
        assert base in metric_names(), f"{where} asks for {name}"


def test_every_alert_has_what_one_needs():
    for one in ALERTS:
        assert re.fullmatch(r"SpeechPool[A-Z]\w+", one["alert"])
        assert set(one["annotations"]) == {"summary", "description"}
        assert one["labels"]["severity"] in {"warning", "critical"}
        assert one.get("needs") in {None, "webhook", "upgrader"}


def test_every_alert_is_in_the_operations_page():
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [one["alert"] for one in ALERTS if f"### {one['alert']}" not in page] == []


def test_the_dashboards_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


# --- what the chart sets, as the programs read it ---

SNAPSHOTS = sorted((ROOT / "tests" / "data" / "chart").glob("*.yaml"))


def known_variables(program: str) -> dict[str, Kind[Any]]:
    """The variables that a program reads, and what each may be."""
    options = {
        "run": operator.OPTIONS,
        "certificates": injector.CERTIFICATE_OPTIONS,
        "injector": injector.INJECTOR_OPTIONS,
        "upgrader": upgrader.OPTIONS,
    }
    return {one.variable: one.kind for one in options[program]}


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_every_variable_is_one_that_its_program_reads(path: Path):
    made = [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one["kind"] == "Deployment"]
    assert made
    for container in (one["spec"]["template"]["spec"]["containers"][0] for one in made):
        known = known_variables(container["args"][0])
        for variable in container["env"]:
            assert variable["name"] in known, container["args"]
            if "value" in variable:
                known[variable["name"]].of_text(variable["value"])


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_the_injectors_file_is_one_that_it_reads(path: Path):
    maps = [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one["kind"] == "ConfigMap"]
    for text in (one["data"]["injector.yaml"] for one in maps if "injector.yaml" in one.get("data", {})):
        assert read_config(yaml.safe_load(text)).operator == "speechpool-operator.speechpool-system.svc:8443"
