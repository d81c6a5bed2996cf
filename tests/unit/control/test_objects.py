"""The views of objects and pods hold what the API said, and nothing in the API's JSON can stop their reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control.fleets import a_pod, pod_manifest, pool_manifest, speech_pool

from speechpool.settings.wire import encode, from_operator, spec_hash
from speechpool_operator.names import INJECT_LABEL, INJECTED_LABEL, POOL_ANNOTATION
from speechpool_operator.objects import read_pod, read_speech_pool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
FIELDS = (
    *("metadata", "uid", "namespace", "name", "generation", "resourceVersion", "creationTimestamp", "labels", "spec"),
    *("deletionTimestamp", "annotations", "selector", "matchLabels", "priority", "scope", "status", "conditions"),
    *("warmSize", "pools", "kind", "lexicon", "word", "alias"),
)
LIKE_AN_OBJECT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "", "12", "\ud800", "²", "Cluster"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=30,
)


def test_reads_an_object():
    pool = speech_pool(generation=7, version=41, uid="u", created="2026-10-02T03:04:05Z", priority=5, warmSize=2)
    assert (pool.key, pool.uid, pool.generation, pool.version) == (("calls", "voice"), "u", 7, 41)
    assert (pool.created, pool.spec.priority, pool.is_default, pool.problems) == ("2026-10-02T03:04:05Z", 5, False, ())


def test_sidecars_get_the_settings_alone():
    pool = speech_pool(generation=7, uid="u", priority=5, scope="Cluster", warmSize=2, maxWarmSize=None)
    assert pool.message
    assert pool.message.spec == {"warmSize": 2}
    assert pool.message.name == "calls/voice"
    assert (pool.message.revision.uid, pool.message.revision.generation) == ("u", 7)
    assert pool.message.revision.hash == spec_hash({"warmSize": 2})
    assert from_operator(encode(pool.message)) == pool.message


@pytest.mark.parametrize("spec", [{"warmSize": -1}, {"warmSize": "3"}, {"selector": {}}, {"scope": "World"}, {"x": 1}])
def test_an_object_with_problems_has_nothing_to_send(spec):
    pool = speech_pool(**spec)
    assert pool.problems
    assert pool.message is None


def test_an_object_that_is_too_large_for_a_sidecar_has_a_problem():
    lexicon = [{"word": "\U0001f600" * 90 + str(index), "alias": "\U0001f600" * 200} for index in range(1000)]
    pool = speech_pool(lexicon=lexicon)
    assert pool.message is None
    assert len(pool.problems) == 1
    assert "1048576 bytes" in pool.problems[0]
    assert "Shorten the lexicon" in pool.problems[0]


def test_an_object_without_a_time_is_younger_than_any():
    manifest = pool_manifest()
    del manifest["metadata"]["creationTimestamp"]
    assert read_speech_pool(manifest).created > "9999-12-31T23:59:59Z"


def test_reads_a_pod():
    pod = a_pod("a", "b", uid="u", version=9, labels={"app": "x"}, pool=" voice ", gone=True)
    assert (pod.uid, pod.namespace, pod.name, pod.version) == ("u", "b", "a", 9)
    assert (pod.labels, pod.pool, pod.terminating) == ({"app": "x"}, "voice", True)


@pytest.mark.parametrize(
    ("labels", "wants"),
    [
        ({INJECT_LABEL: "true"}, True),
        ({INJECTED_LABEL: "true"}, True),
        ({INJECT_LABEL: "false", INJECTED_LABEL: "true"}, True),
        ({INJECT_LABEL: "false"}, False),
        ({INJECT_LABEL: "enabled"}, False),
        ({INJECT_LABEL: "True"}, False),
        ({}, False),
    ],
)
def test_labels_say_whether_a_pod_wants_a_sidecar(labels, wants):
    assert a_pod(labels=labels).wants_sidecar is wants


@pytest.mark.parametrize("missing", ["uid", "namespace", "name"])
@pytest.mark.parametrize("value", [None, "", 3, []])
def test_what_has_no_name_is_nothing(missing, value):
    pool, pod = pool_manifest(), pod_manifest()
    pool["metadata"][missing] = pod["metadata"][missing] = value
    assert read_speech_pool(pool) is None
    assert read_pod(pod) is None


@pytest.mark.parametrize(
    ("version", "read"), [("12", 12), ("x", 0), ("", 0), (12, 0), ("-1", 0), ("²", 0), ("9" * 30, 0)]
)
def test_a_resource_version_is_a_number_or_unknown(version, read):
    manifest = pod_manifest()
    manifest["metadata"]["resourceVersion"] = version
    assert read_pod(manifest).version == read


@pytest.mark.parametrize(
    "annotations", [None, [], {POOL_ANNOTATION: 3}, {POOL_ANNOTATION: "  "}, {POOL_ANNOTATION: None}]
)
def test_an_annotation_that_is_no_text_names_nothing(annotations):
    manifest = pod_manifest()
    manifest["metadata"]["annotations"] = annotations
    assert read_pod(manifest).pool == ""


@given(JSON | LIKE_AN_OBJECT)
def test_no_json_stops_the_readers(manifest):
    read_pod(manifest)
    read_speech_pool(manifest)


@given(LIKE_AN_OBJECT, LIKE_AN_OBJECT, LIKE_AN_OBJECT)
def test_no_content_of_a_named_object_stops_the_readers(metadata, spec, status):
    names = {"uid": "u", "namespace": "n", "name": "o"}
    manifest = {
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), **names},
        "spec": spec,
        "status": status,
    }
    assert read_pod(manifest)
    pool = read_speech_pool(manifest)
    assert pool
    assert bool(pool.problems) != bool(pool.message)
    if pool.message:
        assert json.loads(encode(pool.message))["uid"] == "u"
