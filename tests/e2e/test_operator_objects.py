"""What each sidecar runs and what each status says, whatever is done to objects and pods: the state of the world."""

import pytest
from tests.e2e.sidecars import FALLBACK, Calls, applied_size, sidecar_of, waited
from tests.integration.sidecar import Sidecar

MAX_SIZE = 6
"""Of each pool, by the pods' own environment."""
TOO_MANY = MAX_SIZE + 1


class Pair:
    """Two pods of one application, each with its sidecar."""

    def __init__(self, calls: Calls, first: Sidecar, second: Sidecar) -> None:
        self.calls = calls
        self.sidecars = [first, second]

    def run(self, *sizes: int) -> None:
        """Wait until the sidecars keep so many voices warm."""
        found = lambda: tuple(applied_size(each) for each in self.sidecars)  # noqa: E731 -- one expression
        waited(lambda: found() == sizes, found)


@pytest.fixture(scope="module")
def sidecars(pools_api, control_plane, tmp_path_factory):
    calls = Calls(pools_api)
    directory = tmp_path_factory.mktemp("pair")
    for name in ("a", "b"):
        calls.pod(name)
    with (
        sidecar_of(calls, "a", control_plane, directory / "a", SPEECH_POOL_MAX_SIZE=str(MAX_SIZE)) as first,
        sidecar_of(calls, "b", control_plane, directory / "b", SPEECH_POOL_MAX_SIZE=str(MAX_SIZE)) as second,
    ):
        yield Pair(calls, first, second)


@pytest.fixture
def pair(sidecars):
    """The pair as it is without any object, with its first labels and no annotation."""
    calls = sidecars.calls
    calls.clear()
    for name in ("a", "b"):
        calls.change_pod(name, labels={"app": "voice"}, annotations={"speechpool.dev/pool": None})
    sidecars.run(FALLBACK, FALLBACK)
    return sidecars


def test_an_object_that_is_applied_reaches_its_sidecars(pair):
    pair.calls.apply("voice", 2)
    pair.run(2, 2)
    counts = {"matched": 2, "connected": 2, "synced": 2, "failed": 0, "missing": 0, "observedGeneration": 1}
    pair.calls.becomes("voice", Accepted="True/Valid", Synced="True/AllSynced", Ready="True/AllWarm", counts=counts)
    pair.calls.becomes("voice", counts={"warm": {"now": 4, "wanted": 4}})


def test_a_sidecar_tells_where_its_settings_come_from(pair):
    pair.calls.apply("voice", 2)
    pair.run(2, 2)
    config = pair.sidecars[0].client.get_json("/v1/config")
    uid = pair.calls.api.get(f"{pair.calls.path}/voice")["metadata"]["uid"]
    [origin] = {tuple(sorted(one.items())) for path, one in config["provenance"].items() if path.endswith("warmSize")}
    told = dict(origin)
    assert (told["source"], told["object"]) == ("operator", f"{pair.calls.name}/voice")
    assert (told["uid"], told["generation"]) == (uid, 1)


def test_an_edit_reaches_them_too(pair):
    pair.calls.apply("voice", 2)
    pair.calls.apply("voice", 3)
    pair.run(3, 3)
    pair.calls.becomes("voice", Synced="True/AllSynced", counts={"observedGeneration": 2, "synced": 2})


def test_without_the_object_they_fall_back(pair):
    pair.calls.apply("voice", 2)
    pair.run(2, 2)
    pair.calls.delete("voice")
    pair.run(FALLBACK, FALLBACK)


def test_an_object_of_the_same_name_is_followed_as_the_first_one_was(pair):
    pair.calls.apply("voice", 3)
    pair.calls.apply("voice", 2)  # generation 2
    pair.run(2, 2)
    pair.calls.delete("voice")
    pair.calls.apply("voice", 3)  # generation 1 again
    pair.run(3, 3)
    pair.calls.becomes("voice", Synced="True/AllSynced", counts={"observedGeneration": 1, "synced": 2})


def test_a_pod_whose_label_changes_changes_its_object(pair):
    pair.calls.apply("voice", 2)
    pair.calls.apply("other", 3, app="other")
    pair.run(2, 2)
    pair.calls.becomes("other", Synced="True/NoSidecars", counts={"matched": 0})
    pair.calls.change_pod("b", labels={"app": "other"})
    pair.run(2, 3)
    pair.calls.becomes("voice", Synced="True/AllSynced", counts={"matched": 1, "synced": 1})
    pair.calls.becomes("other", Synced="True/AllSynced", counts={"matched": 1, "synced": 1})
    pair.calls.change_pod("b", labels={"app": "nobody"})
    pair.run(2, FALLBACK)


def test_of_two_objects_that_match_the_higher_priority_wins_and_the_other_says_so(pair):
    pair.calls.apply("voice", 2)
    pair.calls.apply("urgent", 3, priority=10)
    pair.run(3, 3)
    pair.calls.becomes("voice", Conflicted="True/HigherPriority", counts={"matched": 0})
    pair.calls.becomes("urgent", Synced="True/AllSynced", without="Conflicted", counts={"synced": 2})
    pair.calls.apply("voice", 2, priority=20)
    pair.run(2, 2)
    pair.calls.becomes("urgent", Conflicted="True/HigherPriority")
    pair.calls.becomes("voice", without="Conflicted", counts={"synced": 2})
    pair.calls.delete("voice")
    pair.run(3, 3)
    pair.calls.becomes("urgent", without="Conflicted", counts={"synced": 2})


def test_an_annotation_names_the_object_that_a_pod_follows(pair):
    pair.calls.apply("voice", 2)
    pair.calls.apply("special", 3, app="nobody")
    pair.run(2, 2)
    pair.calls.change_pod("a", annotations={"speechpool.dev/pool": "special"})
    pair.run(3, 2)
    pair.calls.becomes("voice", Conflicted="True/NamedByPod", counts={"matched": 1})
    pair.calls.becomes("special", Synced="True/AllSynced", counts={"matched": 1})
    pair.calls.change_pod("a", annotations={"speechpool.dev/pool": "nothing"})
    pair.run(FALLBACK, 2)
    pair.calls.apply("nothing", 3, app="nobody")
    pair.run(3, 2)


def test_a_refusal_is_told_with_its_reason_and_the_pod(pair):
    pair.calls.apply("voice", 2)
    pair.run(2, 2)
    pair.calls.apply("voice", TOO_MANY)  # right by itself, and wrong with what the pods themselves set
    pair.calls.becomes("voice", Accepted="True/Valid", Synced="False/Refused", counts={"failed": 2, "synced": 0})
    pair.calls.becomes("voice", Degraded="True/Refused", Ready="False/Refused")
    told = pair.calls.status("voice")["lastError"]
    assert told["pod"] in ("a", "b")
    assert "warmSize" in told["message"]
    pair.run(2, 2)
    pair.calls.apply("voice", 3)
    pair.run(3, 3)
    pair.calls.becomes("voice", Synced="True/AllSynced", without="Degraded", counts={"failed": 0})
    assert "lastError" not in pair.calls.status("voice")
