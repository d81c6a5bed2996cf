"""What the API server makes of right SpeechPools, and what users of kubectl see of them."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cluster.apiserver import ApiError, ApiServer, running_api_server
from tests.cluster.build import version
from tests.cluster.speechpools import CRD_FILE, install_crd, manifest, try_create
from tests.integration.sidecar import eventually
from tests.unit.control.bad_specs import BAD_SPECS, SELECTOR, pools, spec, stt, tts

from speechpool.settings import POOL_KNOBS, Knob, PoolKind, Resolved, resolve
from speechpool.settings.kinds import Integer, Number
from speechpool.settings.lexicon import MAX_ENTRIES, MAX_SAID_CHARACTERS, MAX_WORD_CHARACTERS
from speechpool.settings.process import MAX_POOLS
from speechpool_operator.crd import custom_resource_definition
from speechpool_operator.schema import FALLBACK_KNOBS, LIVE_PROCESS_KNOBS
from speechpool_operator.spec import read

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "speechpools").glob("*.yaml"))
COLLECTION = "/apis/speechpool.dev/v1alpha1/namespaces/{}/speechpools"
NUMBERS = [one for one in (*FALLBACK_KNOBS, *LIVE_PROCESS_KNOBS) if isinstance(one.kind, Integer | Number)]


def accepted(api: ApiServer, tree: Any) -> Any:
    """The spec as the API server holds it."""
    return try_create(api, manifest(tree))["spec"]


def refused(api: ApiServer, tree: Any) -> str:
    """What the API server has against a spec; empty where it takes it."""
    try:
        try_create(api, manifest(tree))
    except ApiError as error:
        return error.message
    return ""


def sidecar_runs(tree: Any) -> Resolved:
    said = read(manifest(tree))
    assert said.problems == ()
    assert said.layer
    return resolve([said.layer])


# --- examples and extremes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_applied_as_it_is_and_a_sidecar_runs_with_it(pools_api: ApiServer, path: Path):
    text = path.read_text("utf-8")
    namespace = pools_api.namespace()
    applied = pools_api.kubectl("apply", "--validate=strict", "-n", namespace, "-f", "-", stdin=text)
    assert (applied.returncode, applied.stderr) == (0, "")
    written = yaml.safe_load(text)
    held = pools_api.get(f"{COLLECTION.format(namespace)}/{written['metadata']['name']}")
    assert held["spec"] == written["spec"]
    sidecar_runs(held["spec"])


@pytest.mark.parametrize(
    "tree",
    [
        spec(),
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        {"selector": {"matchLabels": {"app": ""}}},
        {"selector": {"matchLabels": {"a" * 253 + "/" + "b" * 63: "c" * 63}}},
        {"selector": {**SELECTOR, "matchExpressions": []}},
        pools(tts(), stt()),
        pools({"name": "x" * 63, "kind": "TextToSpeech"}),
        pools(stt(languages=["en-US"], languageMode="Single")),
        pools(stt(languages=["zh-Hans-CN", "yue-Hant-HK-x2345678"], languageMode="Detect")),
        pools(stt(languages=["en-US", "de-DE"])),
        pools(tts(warmSize=9, maxSize=9), maxSize=5),
        pools(tts(warmSize=9, maxWarmSize=0), stt(maxWarmSize=8), warmSize=5, maxWarmSize=0, maxSize=9),
        spec(defaultVoice="Ærøskøbing 🎧"),
        spec(lexicon=[]),
        spec(lexicon=[{"word": "New  York\tCity", "alias": "N\u00a0Y"}, {"word": "東京", "ipa": "tokʲo"}]),
        spec(priority=-1_000_000, scope="Namespace"),
        spec(priority=1_000_000, scope="Cluster"),
    ],
)
def test_what_is_absent_stays_absent(pools_api: ApiServer, tree: Any):
    assert accepted(pools_api, tree) == tree
    assert read(manifest(tree)).problems == ()


def test_null_is_absent(pools_api: ApiServer):
    assert accepted(pools_api, spec(warmSize=None, pools=None)) == spec()


@pytest.mark.parametrize("knob", NUMBERS, ids=lambda knob: knob.key)
def test_the_bounds_of_a_number_are_those_of_the_model(pools_api: ApiServer, knob: Knob):
    least, most = knob.kind.minimum, knob.kind.maximum
    within = [least, most, *([0] if knob.kind.off else [])]
    beyond = [*(value for value in (0, -1, least / 2) if value < least and value not in within), most + 1]
    for value in within:
        assert accepted(pools_api, spec(**{knob.key: value})) == spec(**{knob.key: value})
    for value in beyond:
        with pytest.raises(ApiError, match=rf"spec\.{knob.key}: Invalid value"):
            try_create(pools_api, manifest(spec(**{knob.key: value})))


def largest(knob: Knob) -> Any:
    match knob.key:
        case "languages":
            return [f"{chr(97 + number)}{'b' * 2}-abcdefgh-abcdefgh-abcdefgh" for number in range(10)]
        case "languageMode":
            return "Detect"
        case "defaultVoice":
            return "v" * 128
        case "defaultLanguage":
            return "abc-abcdefgh-abcdefgh-abcdefgh"
        case "lexicon":
            width = MAX_WORD_CHARACTERS
            return [{"word": f"{number:w>{width}}", "ipa": "x" * MAX_SAID_CHARACTERS} for number in range(MAX_ENTRIES)]
    if isinstance(knob.kind, Integer | Number):
        return knob.kind.maximum
    return knob.kind.to_value(knob.default)


def largest_spec() -> dict[str, Any]:
    terms = [
        {"key": f"k{number}", "operator": "In", "values": [f"{value:v>63}" for value in range(32)]}
        for number in range(16)
    ]
    names = {f"{number:l>63}": "v" * 63 for number in range(16)}
    values = {one.key: largest(one) for one in (*FALLBACK_KNOBS, *LIVE_PROCESS_KNOBS)}
    kinds = [list(PoolKind)[number % 2] for number in range(MAX_POOLS)]
    each = [
        {"name": f"{number:p>63}", "kind": str(kind)}
        | {one.key: largest(one) for one in POOL_KNOBS if one.applies_to(kind)}
        for number, kind in enumerate(kinds)
    ]
    whom = {"selector": {"matchLabels": names, "matchExpressions": terms}, "priority": 1_000_000, "scope": "Cluster"}
    return {**whom, **values, "pools": each}


def test_the_largest_object_is_within_the_cost_budget_and_kept(pools_api: ApiServer):
    tree = largest_spec()
    path = COLLECTION.format(pools_api.namespace())
    assert pools_api.post(path, manifest(tree))["spec"] == tree
    assert pools_api.get(f"{path}/voice")["spec"] == tree
    sidecar_runs(tree)


def test_two_who_apply_own_a_pool_each(pools_api: ApiServer):
    path = COLLECTION.format(pools_api.namespace()) + "/voice?fieldManager={}"
    for name in ("a", "b"):
        body = manifest(pools(tts(name, warmSize=2)))
        pools_api.request("PATCH", path.format(name), body, content_type="application/apply-patch+yaml")
    held = pools_api.request("GET", path.format("a"))
    assert [one["name"] for one in held["spec"]["pools"]] == ["a", "b"]


# --- the API server and the reader are one mind ----------------------------------------------------------------------

SIZES = st.sampled_from([-1, 0, 1, 2, 3, 1000, 1001, 2.5, "3", True])
POOL_VALUES = {
    "warmSize": SIZES,
    "maxWarmSize": SIZES,
    "maxSize": SIZES,
    "maxIdleSeconds": st.sampled_from([0, 0.5, 1, 604_800, 604_801, "1"]),
    "sessionAwareness": st.sampled_from(["Enabled", "Disabled", "on", False]),
    "maxCharactersPerMinute": SIZES,
}
OWN_VALUES = POOL_VALUES | {
    "languages": st.lists(st.sampled_from(["en-US", "de-DE", "e", "fr"]), max_size=3),
    "languageMode": st.sampled_from(["Single", "Detect", "Both"]),
    "outputFormat": st.sampled_from(["Raw24Khz16BitMonoPcm", "Raw8Khz8BitMonoALaw", "wav"]),
}
SPECS = st.fixed_dictionaries(
    {"selector": st.just(SELECTOR)},
    optional=POOL_VALUES
    | {
        "priority": st.sampled_from([0, 1_000_001]),
        "defaultVoice": st.sampled_from(["alloy", "", "a\x7f", "ə" * 128, "\u2028"]),
        "uploadStallSeconds": st.sampled_from([0, 0.1, 2, 3]),
        "uploadTimeoutSeconds": st.sampled_from([0.1, 2, 3600]),
        "lexicon": st.lists(
            st.fixed_dictionaries(
                {"word": st.sampled_from(["a", "b", " ", "\u3000", "\u2028", "c\x00"])},
                optional={"alias": st.sampled_from(["x", "", "\ufffe"]), "ipa": st.sampled_from(["ə", "1", "a/b"])},
            ),
            max_size=2,
        ),
        "pools": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["a", "b", "c", "A"]), "kind": st.sampled_from(list(map(str, PoolKind)))},
                optional=OWN_VALUES,
            ),
            max_size=3,
        ),
    },
)


@given(SPECS)
@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_reader_refuses_what_the_api_server_refuses(pools_api: ApiServer, tree: dict[str, Any]):
    refusal = refused(pools_api, tree)
    assert bool(read(manifest(tree)).problems) == bool(refusal), refusal


@pytest.fixture(scope="module")
def older_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server three minor versions back, as far as this one can go: its CEL has no newer functions."""
    major, minor = version().removeprefix("v").split(".")[:2]
    older = f"kube={major}.{int(minor) - 3}"
    flags = f"--emulated-version={older}", f"--min-compatibility-version={older}"
    with running_api_server(tmp_path_factory.mktemp("older"), *flags) as server:
        yield server


def test_what_an_older_definition_let_in_is_still_served_and_read(older_api: ApiServer):
    """Objects made before the schema knew any bound are there after the upgrade, and each has its problem told."""
    older = custom_resource_definition()
    schema = {"type": "object", "properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True}}}
    older["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    install_crd(older_api, json.dumps(older))
    path = COLLECTION.format(older_api.namespace())
    names = {f"p{number}": name for number, name in enumerate(BAD_SPECS)}
    for each, name in names.items():
        older_api.post(path, manifest(copy.deepcopy(BAD_SPECS[name].spec), each))
    install_crd(older_api)
    held = {one["metadata"]["name"]: one for one in older_api.get(path)["items"]}
    assert held.keys() == names.keys()
    silent = {names[each] for each, one in held.items() if not read(one).problems}
    # the API server serves no field that its schema does not know, nor a null
    dropped = {name for name, bad in BAD_SPECS.items() if any("unknown field" in part for part in bad.said)}
    lenient = {name for name, bad in BAD_SPECS.items() if not bad.read_path}
    assert silent <= dropped | lenient


def test_an_older_api_server_takes_the_definition(older_api: ApiServer):
    install_crd(older_api)
    # the definition of the test before may hold for another moment
    assert eventually(lambda: "spec.warmSize" in refused(older_api, spec(warmSize=2, maxSize=1)))


# --- what users see --------------------------------------------------------------------------------------------------

STATUS = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AllWarm",
            "message": "every pool is at its warm size",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "matched": 3,
    "missing": 0,
    "connected": 3,
    "synced": 2,
    "failed": 1,
    "warm": {"now": 11, "wanted": 12},
    "lastError": {"message": "warmSize must be at most maxSize", "pod": "voice-0", "time": "2026-01-01T00:00:00.5Z"},
}


def with_status(api: ApiServer, **changes: Any) -> tuple[str, Any]:
    """A namespace with one object whose status was written."""
    namespace = api.namespace()
    path = COLLECTION.format(namespace)
    api.post(path, manifest(spec(warmSize=3, priority=5)))
    return namespace, api.patch(f"{path}/voice/status", {"status": {**STATUS, **changes}})


def test_the_definition_is_taken_without_a_warning(pools_api: ApiServer):
    again = pools_api.apply(CRD_FILE.read_text("utf-8"))
    assert (again.returncode, again.stderr) == (0, "")


def test_kubectl_shows_the_columns_by_the_short_name(pools_api: ApiServer):
    namespace, _ = with_status(pools_api)
    shown = pools_api.kubectl("get", "spool", "-n", namespace).stdout.splitlines()
    assert shown[0].split() == ["NAME", "READY", "WARM", "WANTED", "SYNCED", "MATCHED", "AGE"]
    assert shown[1].split()[:-1] == ["voice", "True", "11", "12", "2", "3"]
    wide = pools_api.kubectl("get", "speechpools", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert "REASON" in wide[0]
    assert "AllWarm" in wide[1]
    assert STATUS["lastError"]["message"] in wide[1]
    assert "voice" in pools_api.kubectl("get", "all", "-n", namespace).stdout


def test_a_status_is_written_beside_the_spec_and_leaves_the_generation(pools_api: ApiServer):
    _, held = with_status(pools_api)
    assert held["status"] == STATUS
    assert held["metadata"]["generation"] == 1


def test_who_writes_the_object_does_not_write_its_status(pools_api: ApiServer):
    made = try_create(pools_api, {**manifest(spec()), "status": STATUS})
    assert "status" not in made


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"matched": -1}, "status.matched"),
        ({"warm": {"now": 1}}, "status.warm.wanted"),
        ({"conditions": [{**STATUS["conditions"][0], "status": "Maybe"}]}, "status.conditions[0].status"),
        ({"conditions": [{**STATUS["conditions"][0], "reason": "not one word"}]}, "status.conditions[0].reason"),
        ({"conditions": STATUS["conditions"] * 2}, "status.conditions[1]"),
        ({"lastError": {**STATUS["lastError"], "message": "x" * 4097}}, "status.lastError.message"),
        ({"lastError": {**STATUS["lastError"], "time": "yesterday"}}, "status.lastError.time"),
    ],
)
def test_a_wrong_status_is_refused(pools_api: ApiServer, changes: Any, path: str):
    with pytest.raises(ApiError) as error:
        with_status(pools_api, **changes)
    assert path in error.value.message


def test_kubectl_explains_a_field(pools_api: ApiServer):
    text = " ".join(pools_api.kubectl("explain", "speechpools.spec.pools.warmSize").stdout.split())
    assert "Clients kept warm in each pool" in text
    assert "from 0 to 1000; in clients" in text
