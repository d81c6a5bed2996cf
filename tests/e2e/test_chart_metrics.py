"""The chart's alerts and dashboard ask for what the real programs tell, by the labels that it has."""

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.cluster.apiserver import ApiServer
from tests.cluster.operators import running_operator
from tests.e2e.charts import CHART
from tests.e2e.injectors import installed, running
from tests.e2e.sidecars import Calls, sidecar_of, waited

from speechpool_operator.upgrade.measures import Measures
from speechpool_operator.upgrade.planner import Plan

FROM_THE_SCRAPE = {"namespace", "pod", "job", "instance", "le"}
"""Labels that Prometheus adds, and those of a histogram."""

Told = Mapping[str, set[str] | None]
"""By the name of a series the labels that it has; None where there is none of it yet."""


def read(text: str) -> dict[str, set[str] | None]:
    found: dict[str, set[str] | None] = {}
    for family in text_string_to_metric_families(text):
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        found |= dict.fromkeys(f"{family.name}{ending}" for ending in endings)
        found |= {sample.name: set(sample.labels) for sample in family.samples}
    return found


@pytest.fixture(scope="module")
def told(pools_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What an operator, a sidecar that has spoken, an injector and an upgrader tell."""
    directory = tmp_path_factory.mktemp("metrics")
    (directory / "operator").mkdir()
    upgrader = Measures("sidecar:1")
    upgrader.note(Plan())
    texts = [generate_latest(upgrader.registry).decode()]
    calls = Calls(pools_api)
    calls.pod("a")
    with (
        running_operator(pools_api, directory / "operator") as operator,
        sidecar_of(calls, "a", operator, directory / "a", SPEECHPOOL_TELEMETRY_ADDRESS="127.0.0.1:0") as sidecar,
    ):
        calls.apply("voice", 2)
        calls.becomes("voice", Ready="True/AllWarm")
        with sidecar.client.speak("Hello.") as speech:
            assert speech.read()
        with urllib.request.urlopen(f"http://{sidecar.listening('telemetryAddress')}/metrics") as reply:
            texts.append(reply.read().decode())
        waited(lambda: "speechpool_operator_answers_total{" in operator.get("/metrics")[1], lambda: "no answer")
        texts.append(operator.get("/metrics")[1])
    with installed(pools_api, directory) as place:
        place.register(calls.name)
        with running(place) as injector:
            texts.append(injector.get("/metrics")[1])
    return {name: labels for text in texts for name, labels in read(text).items()}


def expressions() -> Iterator[tuple[str, str]]:
    for one in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text("utf-8")):
        yield one["alert"], one["expr"]
    for panel in json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), [pytest.param(*one, id=one[0]) for one in expressions()])
def test_an_expression_asks_for_what_is_told(told: Told, where: str, expression: str):
    grouped = {one.strip() for each in re.findall(r"\bby \(([^)]*)\)", expression) for one in each.split(",")}
    for name, matchers in re.findall(r"\b((?:speechpool|process)_\w+)(?:\{([^}]*)\})?", expression):
        assert name in told, f"{where} asks for {name}"
        asked = grouped | set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))
        labels = told[name]
        assert labels is None or asked <= labels | FROM_THE_SCRAPE, f"{where}: {name} has {labels}"


def test_most_of_what_is_asked_for_has_been_seen_with_its_labels(told: Told):
    """Else the labels would not be held against anything."""
    names = {name for _, one in expressions() for name in re.findall(r"\bspeechpool_\w+", one)}
    unseen = {name for name in names if told.get(name) is None}
    assert unseen <= {
        "speechpool_acquire_failures_total",
        "speechpool_errors_total",
        "speechpool_injector_admissions_total",
        "speechpool_stt_audio_seconds_total",
        "speechpool_stt_first_event_seconds_bucket",
        "speechpool_stt_recognitions_total",
    }
