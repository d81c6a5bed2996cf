"""A selector selects what Kubernetes' own label selectors select."""

import pytest

from speechpool_operator.spec_selector import Selector, read_selector

CASES = [
    # selector, labels, selected
    ({"matchLabels": {"app": "voice"}}, {"app": "voice", "x": "y"}, True),
    ({"matchLabels": {"app": "voice"}}, {"app": "Voice"}, False),
    ({"matchLabels": {"app": "voice"}}, {}, False),
    ({"matchLabels": {"app": ""}}, {"app": ""}, True),
    ({"matchLabels": {"app": ""}}, {}, False),
    ({"matchLabels": {"app": "voice", "tier": "a"}}, {"app": "voice"}, False),
    ({"matchLabels": {"app": "voice", "tier": "a"}}, {"app": "voice", "tier": "a"}, True),
    ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, {"app": "b"}, True),
    ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, {"app": "c"}, False),
    ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, {}, False),
    ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, {"app": "b"}, True),
    ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, {"app": "a"}, False),
    ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, {}, True),
    ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {"app": ""}, True),
    ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {"x": "app"}, False),
    ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {}, True),
    ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist", "values": []}]}, {"app": ""}, False),
    (
        {"matchLabels": {"app": "voice"}, "matchExpressions": [{"key": "track", "operator": "DoesNotExist"}]},
        {"app": "voice", "track": "canary"},
        False,
    ),
    ({"matchLabels": {"example.com/app": "voice"}}, {"example.com/app": "voice"}, True),
]


@pytest.mark.parametrize(("tree", "labels", "selected"), CASES)
def test_a_selector_selects(tree, labels, selected):
    selector, problems = read_selector(tree)
    assert problems == ()
    assert selector.matches(labels) is selected


@pytest.mark.parametrize("tree", [None, {}, [], "app=voice", {"matchLabels": {"a b": "c"}}, {"matchLabels": {}}])
def test_a_wrong_selector_selects_nothing(tree):
    selector, problems = read_selector(tree)
    assert problems
    assert not selector.matches({})
    assert not selector.matches({"a b": "c"})


def test_no_terms_select_nothing():
    assert not Selector(()).matches({"app": "voice"})
