"""`speechpool status --cluster`: what is made of the operator's answer, or of what the API server knows without it."""

import pytest
from tests.unit.control.fleets import pod_manifest, pool_manifest

from speechpool_operator.commands.known import sidecars_of
from speechpool_operator.commands.sidecar_view import ClusterView, standing
from speechpool_operator.names import INJECT_LABEL, SIDECAR_CONTAINER
from speechpool_operator.sidecars import Overview, Sidecar, read_overview

GOOD = {
    "namespace": "calls",
    "pod": "voice-0",
    "uid": "u0",
    "pool": "calls/voice",
    "generation": 3,
    "wanted_generation": 3,
    "state": "applied",
    "connected": True,
    "silent": False,
    "missing": False,
    "synced": True,
    "ready": True,
    "warm": 2,
    "wanted": 3,
    "sessions": 4,
    "busy": 1,
    "version": "0.1.0",
    "error": "",
}


def answer(*sidecars: object) -> dict[str, object]:
    return {"version": "0.1.0", "leader": True, "known": True, "sidecars": list(sidecars)}


def a_sidecar(**changes: object) -> Sidecar:
    return read_overview(answer(GOOD | changes)).sidecars[0]


class TestReading:
    def test_every_field_is_read(self) -> None:
        read = read_overview(answer(GOOD))

        assert (read.version, read.leads, read.known) == ("0.1.0", True, True)
        assert all(getattr(read.sidecars[0], name) == value for name, value in GOOD.items())

    def test_they_are_sorted_by_namespace_and_pod(self) -> None:
        rows = [GOOD | {"namespace": ns, "pod": pod} for ns, pod in (("b", "a"), ("a", "z"), ("a", "b"))]

        assert [(one.namespace, one.pod) for one in read_overview(answer(*rows)).sidecars] == [
            ("a", "b"),
            ("a", "z"),
            ("b", "a"),
        ]

    def test_an_older_operator_says_less_and_a_newer_one_more(self) -> None:
        older = {"pod": "voice-0", "namespace": "calls", "warm": 1, "invented": 7}

        assert read_overview(answer(older)).sidecars[0].sessions is None

    @pytest.mark.parametrize("wrong", [{}, {"sidecars": None}, {"sidecars": 3}, {"sidecars": [None, 3, {}]}], ids=str)
    def test_what_is_no_answer_is_an_empty_one(self, wrong: dict[str, object]) -> None:
        assert read_overview(wrong) == Overview()

    def test_a_number_that_is_none_is_not_known(self) -> None:
        assert a_sidecar(warm="3", sessions=True, busy=-1).warm is None
        assert a_sidecar(warm="3", sessions=True, busy=-1).sessions is None
        assert a_sidecar(busy=-1).busy is None


class TestStanding:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "synced"),
            ({"synced": False, "state": "rejected", "error": "no"}, "refused"),
            ({"synced": False, "state": "applying"}, "applying"),
            ({"synced": False, "state": None}, "applying"),
            ({"connected": False, "synced": False}, "connecting"),
            ({"connected": False, "synced": False, "missing": True}, "missing"),
            ({"silent": True}, "silent"),
            ({"pool": None, "synced": False}, "no pool"),
        ],
    )
    def test_each_has_its_word(self, changes: dict[str, object], expected: str) -> None:
        assert standing(a_sidecar(**changes)) == expected


def words(line: str) -> str:
    return " ".join(line.split())


class TestTable:
    def test_a_row_for_each_and_their_sums(self) -> None:
        refused = a_sidecar(
            pod="voice-1", generation=2, synced=False, state="rejected", error="pools[tts]:\ntoo large", ready=False
        )
        lines = ClusterView((a_sidecar(), refused), operator_version="0.1.0").as_table().splitlines()

        assert lines[0] == "2 sidecars: 2 connected, 1 synced, 1 warm"
        assert words(lines[2]) == "NAMESPACE POD POOL GENERATION SYNCED WARM SESSIONS VERSION LAST ERROR"
        assert words(lines[3]) == "calls voice-0 voice 3 synced 2/3 4 0.1.0 -"
        assert words(lines[4]) == "calls voice-1 voice 2 of 3 refused 2/3 4 0.1.0 pools[tts]: too large"

    def test_a_pool_of_another_namespace_is_named_with_it(self) -> None:
        assert "speechpool-system/default" in ClusterView((a_sidecar(pool="speechpool-system/default"),)).as_table()

    def test_none_is_said_so(self) -> None:
        assert ClusterView(()).as_table() == "no sidecars"

    def test_without_the_operator_nothing_is_claimed(self) -> None:
        known = ClusterView(sidecars_of([a_whole_pod()], [pool_manifest()]), note="it is not there")

        head, *_, row = known.as_table().splitlines()
        assert head == "the operator did not answer: it is not there"
        assert words(row) == "calls voice-0 voice ? of 1 ? ? ? 0.1.0 -"
        assert known.as_json()["source"] == "api-server"
        assert known.as_json()["sidecars"][0]["standing"] is None


def a_whole_pod(image: str = "registry:5000/speechpool/sidecar:0.1.0@sha256:00", state: object = None, **changes):
    pod = pod_manifest(**changes)
    status = {"name": SIDECAR_CONTAINER, "started": state is None, "state": state or {"running": {}}}
    return pod | {
        "spec": {"initContainers": [{"name": SIDECAR_CONTAINER, "image": image}]},
        "status": {"phase": "Running", "initContainerStatuses": [status]},
    }


class TestWithoutTheOperator:
    def test_the_pool_is_the_one_that_the_operator_would_choose(self) -> None:
        pools = [pool_manifest("low"), pool_manifest("high", priority=7, generation=4), pool_manifest("other", "else")]

        (found,) = sidecars_of([a_whole_pod()], pools)

        assert (found.pool, found.wanted_generation, found.generation) == ("calls/high", 4, None)
        assert (found.ready, found.missing, found.version) == (True, False, "0.1.0")

    def test_a_pod_that_asked_and_has_none_is_missing_its_sidecar(self) -> None:
        bare = pod_manifest(labels={INJECT_LABEL: "true"}) | {"spec": {}, "status": {}}

        assert sidecars_of([bare], [])[0].missing

    def test_a_sidecar_that_does_not_start_says_why(self) -> None:
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}

        (found,) = sidecars_of([a_whole_pod(state=waiting)], [])

        assert found.error == "ImagePullBackOff: not found"
        assert not found.ready

    def test_the_error_that_the_status_has_of_this_pod_is_shown(self) -> None:
        pool = pool_manifest(status={"lastError": {"pod": "voice-0", "message": "too many", "time": ""}})

        found = sidecars_of([a_whole_pod(), a_whole_pod(name="voice-1")], [pool])

        assert [one.error for one in found] == ["too many", ""]

    def test_pods_that_ended_are_left_out(self) -> None:
        ended = a_whole_pod()
        ended["status"]["phase"] = "Succeeded"

        assert sidecars_of([ended], []) == ()
