"""A SpeechPool is read right, whatever schema let it in, and nothing in it can stop the reader."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control.bad_specs import BAD_SPECS, SELECTOR, pools, spec, stt, tts

from speechpool.errors import SettingsError
from speechpool.settings import PoolKind, Source, read_tree
from speechpool_operator.spec import MAX_PROBLEMS, Scope, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)

FIELDS = ("selector", "matchLabels", "matchExpressions", "key", "operator", "values", "priority", "scope", "pools")
SETTINGS = (
    "name",
    "kind",
    "warmSize",
    "maxSize",
    "languages",
    "languageMode",
    "defaultVoice",
    "lexicon",
    "word",
    "ipa",
)
WORDS = st.sampled_from(("In", "Exists", "TextToSpeech", "SpeechToText", "Detect", "Enabled", "en-US", "a", "\ud800"))

LIKE_A_SPEC = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*FIELDS, *SETTINGS)), inner, max_size=6)
    ),
    max_leaves=30,
)


def read_spec(tree):
    return read({"metadata": {"name": "voice"}, "spec": tree})


@pytest.mark.parametrize("name", [name for name, bad in BAD_SPECS.items() if bad.read_path])
def test_what_an_older_schema_let_in_is_told_by_its_path(name):
    bad = BAD_SPECS[name]
    said = read_spec(bad.spec)
    assert said.layer is None
    assert said.settings == {}
    assert any(bad.read_path in problem for problem in said.problems), said.problems


@pytest.mark.parametrize("name", [name for name, bad in BAD_SPECS.items() if not bad.read_path])
def test_what_only_the_api_server_refuses_is_read(name):
    assert read_spec(BAD_SPECS[name].spec).problems == ()


@given(JSON | LIKE_A_SPEC)
def test_nothing_stops_the_reader(tree):
    for manifest in (
        tree,
        {"spec": tree},
        {"spec": {"selector": tree}},
        {"spec": spec(pools=tree)},
        {"metadata": tree},
    ):
        said = read(manifest)
        assert said.problems or said.layer
        assert bool(said.problems) == (said.layer is None)
        assert len(said.problems) <= MAX_PROBLEMS
        assert all(problem.startswith("spec") and "\n" not in problem for problem in said.problems)


@given(LIKE_A_SPEC)
def test_what_is_read_is_written_so_that_it_reads_the_same(tree):
    said = read({"spec": {"selector": SELECTOR, **(tree if isinstance(tree, dict) else {}), "priority": 3}})
    if said.layer:
        again = read_tree(json.loads(json.dumps(said.settings)), source=Source.OPERATOR)
        assert (again.values, again.pools) == (said.layer.values, said.layer.pools)


def test_a_minimal_object_sets_nothing():
    said = read({"spec": {"selector": SELECTOR}})
    assert (said.problems, said.settings, said.priority, said.scope) == ((), {}, 0, Scope.NAMESPACE)
    assert said.layer.source is Source.OPERATOR
    assert (said.layer.values, said.layer.pools) == ({}, None)


def test_an_object_is_a_layer():
    tree = spec(warmSize=3, maxIdleSeconds=0, priority=10, scope="Cluster", pools=[tts("out", warmSize=4), stt("in")])
    said = read_spec(tree)
    assert said.problems == ()
    assert (said.priority, said.scope) == (10, Scope.CLUSTER)
    assert said.layer.values == {"warm_pool_size": 3, "max_idle_sec": None}
    assert [(one.name, one.kind, one.values) for one in said.layer.pools] == [
        ("out", PoolKind.TEXT_TO_SPEECH, {"warm_pool_size": 4}),
        ("in", PoolKind.SPEECH_TO_TEXT, {}),
    ]


def test_two_ways_to_write_the_same_settings_are_one():
    one = read_spec({"pools": [{"kind": "TextToSpeech", "name": "a"}], "maxSize": 5, "warmSize": 3, **spec()})
    two = read_spec(spec(warmSize=3, priority=None, maxSize=5, logLevel=None, pools=[tts("a", warmSize=None)]))
    assert json.dumps(one.settings) == json.dumps(two.settings)


def test_a_whole_number_is_written_without_a_fraction():
    assert json.dumps(read_spec(spec(warmupIntervalSeconds=30.0)).settings) == '{"warmupIntervalSeconds": 30}'


def test_null_is_not_set():
    assert read_spec({"selector": SELECTOR, "warmSize": None, "pools": None, "scope": None}).settings == {}


def test_what_is_off_fits_with_everything():
    tree = pools(tts(warmSize=9, maxWarmSize=0), stt(maxWarmSize=8), warmSize=5, maxWarmSize=0, maxSize=9)
    assert read_spec(tree).problems == ()


def test_a_fallback_is_no_problem_of_a_pool_that_says_otherwise():
    assert read_spec(pools(tts(warmSize=9, maxSize=9), maxSize=5)).problems == ()


def test_several_languages_without_a_mode_wait_for_what_other_sources_say():
    assert read_spec(pools(stt(languages=["en-US", "de-DE"]))).problems == ()


def test_all_problems_are_told_at_once():
    said = read({"spec": {"selector": {}, "priority": "x", "scope": "x", "warmSize": -1, "pools": [{}]}})
    paths = [
        "spec.selector",
        "spec.priority",
        "spec.scope",
        "spec.warmSize",
        "spec.pools[0].kind",
        "spec.pools[0].name",
    ]
    assert [problem.split()[0] for problem in said.problems] == paths


def test_endless_problems_are_counted():
    said = read_spec(spec(**{f"unknown{number}": 1 for number in range(100)}))
    assert len(said.problems) == MAX_PROBLEMS
    assert said.problems[-1] == "spec has 81 more problems."


def test_names_that_were_meant_are_looked_for_in_the_first_problems_only():
    with pytest.raises(SettingsError) as error:
        read_tree({f"warmSize{number}": 1 for number in range(100)}, source=Source.OPERATOR)
    assert sum("Did you mean warmSize?" in one for one in error.value.problems) == 20
    assert len(error.value.problems) == 100


def test_a_problem_of_one_field_does_not_hide_whom_the_object_is_for():
    said = read_spec(spec(warmSize=-1, priority=5))
    assert said.selector.matches({"app": "voice-agent"})
    assert said.priority == 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_number_that_is_none_is_a_problem(value):
    assert "spec.warmupIntervalSeconds" in read_spec(spec(warmupIntervalSeconds=value)).problems[0]


def test_a_value_is_told_in_a_few_words():
    assert len(read_spec(spec(defaultVoice="x" * 100_000)).problems[0]) < 400
