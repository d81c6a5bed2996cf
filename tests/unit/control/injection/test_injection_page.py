"""docs/injection.md names every annotation, every outcome and every metric, with the bounds that hold."""

import re
from pathlib import Path

import pytest

from speechpool_operator import names
from speechpool_operator.injection.annotations import _SETTINGS
from speechpool_operator.injection.kinds import Quantity
from speechpool_operator.injection.metrics import Metrics
from speechpool_operator.injection.outcomes import Outcome

PAGE = (Path(__file__).parents[4] / "docs" / "injection.md").read_text("utf-8")
TABLE = dict(re.findall(r"^\| `(speechpool\.dev/[a-z-]+)` \| ([^|]*) \|", PAGE, re.MULTILINE))


def test_the_table_has_every_annotation_that_a_user_writes() -> None:
    assert set(TABLE) == set(_SETTINGS) | {names.POOL_ANNOTATION}


@pytest.mark.parametrize("name", [name for name, (_, kind) in _SETTINGS.items() if isinstance(kind, Quantity)])
def test_the_table_has_the_bounds_of_quantities(name: str) -> None:
    kind = _SETTINGS[name][1]
    assert isinstance(kind, Quantity)
    assert TABLE[name] == f"from {kind.minimum} to {kind.maximum}"


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    assert f"`{outcome.value}`" in PAGE


def test_every_metric_is_there() -> None:
    text = Metrics(not_after=lambda: None, failures=lambda: {"settings": False}).text().decode()
    served = set(re.findall(r"^# TYPE (speechpool_injector_\w+) ", text, re.MULTILINE))
    documented = set(re.findall(r"`(speechpool_injector_\w+)", PAGE))
    assert {name for name in served if not name.endswith("_created")} == documented
