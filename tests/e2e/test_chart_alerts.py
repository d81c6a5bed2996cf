"""The chart's alerts and the dashboard's expressions, judged by Prometheus' own promtool."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.cluster.apiserver import PATIENCE_SECONDS
from tests.cluster.promtool import promtool_binary
from tests.e2e.charts import CHART, rendered

CASES = Path(__file__).parents[1] / "data" / "alerts.yaml"
EVERY = {"monitoring.prometheusRule.enabled": True, "upgrader.enabled": True}

pytestmark = pytest.mark.timeout(1800)  # where promtool is not there yet it is built


def promtool(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(promtool_binary()), *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One with the rules as a release has them, and what they are to fire for."""
    rule = next(one for one in rendered(EVERY) if one["kind"] == "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    shutil.copy(CASES, tmp_path / "cases.yaml")
    return tmp_path


def test_prometheus_reads_the_rules(directory: Path):
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", directory=directory)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_for_what_it_is_there_for_and_for_nothing_else(directory: Path):
    done = promtool("test", "rules", "cases.yaml", directory=directory)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_in_both_ways():
    alerts = [one["alert"] for one in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text("utf-8"))]
    tried = [one for case in yaml.safe_load(CASES.read_text("utf-8"))["tests"] for one in case["alert_rule_test"]]
    assert {one["alertname"] for one in tried if "exp_alerts" in one} == set(alerts)
    assert {one["alertname"] for one in tried if "exp_alerts" not in one} == set(alerts)


def test_prometheus_reads_what_the_dashboard_asks(directory: Path):
    panels = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {"record": f"dashboard:{at}", "expr": one.replace("$__rate_interval", "2m")} for at, one in enumerate(asked)
    ]
    (directory / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    done = promtool("check", "rules", "asked.yaml", directory=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
