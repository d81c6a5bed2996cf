"""A status says of an object's sidecars what is known, with a documented reason, and its times move with the truth."""

from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool_operator.conditions import Conflict, Facts, Refusal, differs, status_of
from speechpool_operator.names import Condition, Reason
from speechpool_operator.schema_status import MAX_ERROR_CHARACTERS, MAX_MESSAGE_CHARACTERS, status_schema

T0, T1 = "2026-11-01T00:00:00Z", "2026-11-01T00:01:00Z"

QUIET = Facts(generation=4)
WELL = Facts(generation=4, matched=5, connected=5, synced=5, warm=15, wanted=15)
REFUSAL = Refusal("voice-1", "warmSize must be at most maxSize (2)")
CONFLICT = Conflict("other", Reason.OLDER, 2)


def status(facts, previous=None, now=T0):
    return status_of(facts, previous=previous or {}, now=now)


def conditions(facts):
    return {one["type"]: (one["status"], one["reason"]) for one in status(facts)["conditions"]}


def message(facts, kind):
    return next(one["message"] for one in status(facts)["conditions"] if one["type"] == kind)


TRUE_VALID = ("True", Reason.VALID)

CASES = {
    "no sidecar": (QUIET, TRUE_VALID, ("True", Reason.NO_SIDECARS), ("True", Reason.NO_SIDECARS), {}),
    "all well": (WELL, TRUE_VALID, ("True", Reason.ALL_SYNCED), ("True", Reason.ALL_WARM), {}),
    "some are still to connect": (
        replace(WELL, matched=7),
        TRUE_VALID,
        ("True", Reason.ALL_SYNCED),
        ("True", Reason.ALL_WARM),
        {},
    ),
    "none is connected": (
        Facts(matched=5),
        TRUE_VALID,
        ("Unknown", Reason.NOT_CONNECTED),
        ("Unknown", Reason.NOT_CONNECTED),
        {},
    ),
    "invalid": (
        replace(WELL, problems=("spec.warmSize must be …",), synced=0),
        ("False", Reason.INVALID),
        ("False", Reason.NOT_ACCEPTED),
        ("False", Reason.NOT_ACCEPTED),
        {},
    ),
    "invalid without a sidecar": (
        replace(QUIET, problems=("spec.warmSize must be …",)),
        ("False", Reason.INVALID),
        ("False", Reason.NOT_ACCEPTED),
        ("False", Reason.NOT_ACCEPTED),
        {},
    ),
    "a default elsewhere": (
        replace(QUIET, ignored_outside="speechpool-system"),
        ("False", Reason.CLUSTER_SCOPE_IGNORED),
        ("False", Reason.NOT_ACCEPTED),
        ("False", Reason.NOT_ACCEPTED),
        {},
    ),
    "not acknowledged by all": (
        replace(WELL, synced=3),
        TRUE_VALID,
        ("False", Reason.PENDING),
        ("False", Reason.PENDING),
        {},
    ),
    "refused by one": (
        replace(WELL, synced=4, failed=1, refusal=REFUSAL),
        TRUE_VALID,
        ("False", Reason.REFUSED),
        ("False", Reason.REFUSED),
        {Condition.DEGRADED: Reason.REFUSED},
    ),
    "refused by one while others have not answered": (
        replace(WELL, synced=1, failed=1, refusal=REFUSAL),
        TRUE_VALID,
        ("False", Reason.REFUSED),
        ("False", Reason.REFUSED),
        {Condition.DEGRADED: Reason.REFUSED},
    ),
    "warming": (
        replace(WELL, warming=1, warm=12),
        TRUE_VALID,
        ("True", Reason.ALL_SYNCED),
        ("False", Reason.WARMING),
        {},
    ),
    "silent": (
        replace(WELL, silent=1, silent_pod="voice-3"),
        TRUE_VALID,
        ("True", Reason.ALL_SYNCED),
        ("Unknown", Reason.SILENT),
        {Condition.STALE: Reason.SILENT},
    ),
    "silent before it acknowledged": (
        replace(WELL, synced=4, silent=1, silent_pod="voice-3"),
        TRUE_VALID,
        ("False", Reason.PENDING),
        ("False", Reason.PENDING),
        {Condition.STALE: Reason.SILENT},
    ),
    "all silent and gone": (
        Facts(matched=5, silent=5, silent_pod="voice-3"),
        TRUE_VALID,
        ("Unknown", Reason.NOT_CONNECTED),
        ("Unknown", Reason.NOT_CONNECTED),
        {Condition.STALE: Reason.SILENT},
    ),
    "missing": (
        replace(WELL, matched=6, missing=1, missing_pod="voice-9"),
        TRUE_VALID,
        ("True", Reason.ALL_SYNCED),
        ("True", Reason.ALL_WARM),
        {Condition.DEGRADED: Reason.SIDECARS_MISSING},
    ),
    "missing and refused": (
        replace(WELL, matched=6, missing=1, missing_pod="voice-9", synced=4, failed=1, refusal=REFUSAL),
        TRUE_VALID,
        ("False", Reason.REFUSED),
        ("False", Reason.REFUSED),
        {Condition.DEGRADED: Reason.REFUSED},
    ),
    "in conflict": (
        replace(WELL, conflicts=(CONFLICT,)),
        TRUE_VALID,
        ("True", Reason.ALL_SYNCED),
        ("True", Reason.ALL_WARM),
        {Condition.CONFLICTED: Reason.OLDER},
    ),
    "lost everything": (
        replace(QUIET, conflicts=(Conflict("other", Reason.NAMED_BY_POD, 2), CONFLICT)),
        TRUE_VALID,
        ("True", Reason.NO_SIDECARS),
        ("True", Reason.NO_SIDECARS),
        {Condition.CONFLICTED: Reason.NAMED_BY_POD},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_conditions(case):
    facts, accepted, synced, ready, more = CASES[case]
    assert conditions(facts) == {
        Condition.ACCEPTED: accepted,
        Condition.SYNCED: synced,
        Condition.READY: ready,
        **{kind: ("True", reason) for kind, reason in more.items()},
    }


@pytest.mark.parametrize(
    ("case", "kind", "texts"),
    [
        ("no sidecar", "Ready", ["spec.selector", 'speechpool.dev/inject: "true"']),
        ("lost everything", "Ready", ["Conflicted"]),
        ("all well", "Synced", ["5 connected sidecars run generation 4."]),
        ("some are still to connect", "Synced", ["2 sidecars of this object are not connected"]),
        ("none is connected", "Synced", ["None of 5 sidecars is connected"]),
        ("invalid", "Accepted", ["keep what they run", "spec.warmSize must be …"]),
        ("a default elsewhere", "Accepted", ["speechpool-system", "Move the object there", "Namespace"]),
        ("not acknowledged by all", "Synced", ["3 of 5 connected sidecars run generation 4"]),
        ("refused by one", "Synced", ["1 of 5", "generation 4", "voice-1: warmSize must be at most maxSize (2)"]),
        ("refused by one", "Degraded", ["voice-1"]),
        ("warming", "Ready", ["1 of 5 connected sidecars"]),
        ("silent", "Stale", ["1 sidecar of 5", "15 seconds", "voice-3"]),
        ("missing", "Degraded", ["1 pod ", "60 seconds", "voice-9", "Restart"]),
        ("missing and refused", "Degraded", ["voice-1", "voice-9"]),
        ("in conflict", "Conflicted", ["other has 2 pods (older)", "spec.priority"]),
        ("lost everything", "Conflicted", ["named by their annotation", "older"]),
    ],
)
def test_messages_tell_what_to_do(case, kind, texts):
    said = message(CASES[case][0], kind)
    assert [text for text in texts if text not in said] == []


def test_a_status_has_the_counts():
    found = status(
        Facts(generation=2, matched=9, connected=7, synced=5, failed=1, missing=2, warm=6, wanted=8, refusal=REFUSAL)
    )
    del found["conditions"]
    assert found == {
        "observedGeneration": 2,
        "matched": 9,
        "missing": 2,
        "connected": 7,
        "synced": 5,
        "failed": 1,
        "warm": {"now": 6, "wanted": 8},
        "lastError": {"message": REFUSAL.error, "pod": "voice-1", "time": T0},
    }


def test_every_condition_is_of_the_objects_generation():
    assert {one["observedGeneration"] for one in status(CASES["silent"][0])["conditions"]} == {4}


def times(facts, previous, now):
    return {one["type"]: one["lastTransitionTime"] for one in status(facts, previous, now)["conditions"]}


def test_a_conditions_time_stays_while_its_status_does():
    before = status(WELL, now=T0)
    assert times(WELL, before, T1) == {"Accepted": T0, "Synced": T0, "Ready": T0}
    assert times(replace(WELL, matched=0, connected=0, synced=0), before, T1)["Ready"] == T0


def test_a_conditions_time_moves_with_its_status():
    before = status(WELL, now=T0)
    assert times(replace(WELL, warming=1), before, T1) == {"Accepted": T0, "Synced": T0, "Ready": T1}


def test_a_condition_that_comes_back_is_new():
    silent = CASES["silent"][0]
    between = status(WELL, status(silent, now=T0), now=T0)
    assert times(silent, between, T1)["Stale"] == T1


def test_the_time_of_an_error_is_when_it_first_was():
    failing = CASES["refused by one"][0]
    before = status(failing, now=T0)
    assert status(failing, before, T1)["lastError"]["time"] == T0
    other = replace(failing, refusal=Refusal("voice-1", "another"))
    assert status(other, before, T1)["lastError"]["time"] == T1


def test_an_error_that_is_over_is_not_told():
    assert "lastError" not in status(WELL, status(CASES["refused by one"][0]))


def test_the_number_of_warm_clients_makes_no_difference():
    assert not differs(status(WELL), status(replace(WELL, warm=3, wanted=99)))
    assert differs(status(WELL), status(replace(WELL, connected=4, synced=4)))
    assert differs(status(WELL), {})


def test_long_texts_are_cut():
    facts = Facts(problems=("x" * 40_000,), matched=1, connected=1, failed=1, refusal=Refusal("voice-1", "y" * 10_000))
    found = status(facts)
    assert len(found["conditions"][0]["message"]) == MAX_MESSAGE_CHARACTERS
    assert len(found["lastError"]["message"]) == MAX_ERROR_CHARACTERS


def test_many_conflicts_are_counted():
    many = tuple(Conflict(f"other-{index}", Reason.OLDER, 1) for index in range(9))
    said = message(replace(WELL, conflicts=many), "Conflicted")
    assert "other-4 has 1 pod (older); and 4 more." in said
    assert "other-5" not in said


COUNT = st.integers(0, 10)
CAUSES = [Reason.NAMED_BY_POD, Reason.HIGHER_PRIORITY, Reason.OLDER, Reason.FIRST_BY_NAME]
FACTS = st.builds(
    Facts,
    generation=COUNT,
    problems=st.lists(st.text(), max_size=2).map(tuple),
    ignored_outside=st.sampled_from(["", "speechpool-system"]),
    **dict.fromkeys(
        ("matched", "connected", "synced", "failed", "warming", "missing", "silent", "warm", "wanted"), COUNT
    ),
    refusal=st.none() | st.builds(Refusal, st.text(max_size=9), st.text(max_size=9)),
    conflicts=st.lists(st.builds(Conflict, st.text(), st.sampled_from(CAUSES), COUNT), max_size=7).map(tuple),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["conditions", "type", "status", "lastTransitionTime", "lastError", "time", "pod"]), inner
        )
    ),
    max_leaves=20,
)


@given(FACTS)
def test_every_status_is_what_the_api_server_takes(facts):
    jsonschema.validate(status(facts), status_schema())


@given(FACTS, st.dictionaries(st.sampled_from(["conditions", "lastError", "warm", "x"]), ANY_JSON))
def test_whatever_the_status_was_the_new_one_is_right(facts, previous):
    found = status(facts, previous)
    jsonschema.validate(found, status_schema())
    assert [one["type"] for one in found["conditions"]][:3] == ["Accepted", "Synced", "Ready"]
    assert not differs(status(facts, found, T1), found)
