"""docs/operator.md tells of every condition, reason, event, setting and path that there is."""

import argparse
import re
from pathlib import Path

import pytest
import yaml

from speechpool_operator.names import Condition, Reason, Status
from speechpool_operator.options import OPTIONS, add_arguments
from speechpool_operator.schema_status import COUNTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operator.md").read_text("utf-8")

OF_SIDECARS = {Reason.NO_MATCH}
"""Reasons that a sidecar is told, and no status has."""


def conditions() -> dict[str, set[tuple[str, str]]]:
    """By condition the status and reasons that the table has."""
    found: dict[str, set[tuple[str, str]]] = {}
    kind = ""
    for row in re.findall(r"^\| (\w*) ?\| (True|False|Unknown) \| ([^|]*) \|", TEXT, re.MULTILINE):
        kind = row[0] or kind
        found.setdefault(kind, set()).update((row[1], reason) for reason in re.findall(r"`(\w+)`", row[2]))
    return found


@pytest.mark.parametrize("condition", list(Condition))
def test_the_table_has_the_reasons_of_each_condition(condition):
    """As its documentation in names.py lists them, which tests of the statuses hold true."""
    source = (ROOT / "operator" / "speechpool_operator" / "names.py").read_text("utf-8")
    [doc] = re.findall(rf'    {condition.name} = .*?\n    """(.*?)"""', source, re.DOTALL)
    listed = {
        (status, reason)
        for status, reasons in re.findall(r"(True|False|Unknown): ([\w, \n]+)\.", doc)
        for reason in re.findall(r"\w+", reasons)
    }
    assert listed
    assert conditions()[condition] == listed


def test_every_reason_is_told():
    missing = {one for one in Reason if one not in OF_SIDECARS and f"`{one}`" not in TEXT}
    assert not missing
    assert {status for rows in conditions().values() for status, _ in rows} <= set(Status)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda one: one.name)
def test_every_setting_of_the_program_is_told_with_its_default(option):
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{option.flag}` |")]
    assert f"`{option.variable}`" in row
    assert not option.default or f"| `{option.default}` |" in row


def test_every_count_is_told():
    assert {name for name in COUNTS if f"`{name}`" not in TEXT} == set()


def test_the_help_text_names_every_variable():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    shown = " ".join(parser.format_help().split())
    assert all(option.variable in shown for option in OPTIONS)


def test_the_example_runs_with_the_rights_that_are_explained():
    rules = [
        rule
        for document in yaml.safe_load_all((ROOT / "examples" / "operator" / "rbac.yaml").read_text("utf-8"))
        for rule in document.get("rules", ())
    ]
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert "secrets" not in resources
    assert "*" not in {verb for rule in rules for verb in rule["verbs"]} | resources
