"""An object's status tells the truth about every sidecar that follows it, and is planned only when it differs."""

import pytest
from tests.unit.control.fleets import (
    OPERATOR,
    World,
    a_pod,
    applied,
    pool_manifest,
    rejected,
    speech_pool,
)

from speechpool.settings.wire import Applying, PoolState, State
from speechpool_operator.fleet import MISSING_SECONDS, SILENCE_SECONDS
from speechpool_operator.names import INJECT_LABEL, Condition, Reason
from speechpool_operator.objects import read_speech_pool
from speechpool_operator.reconcile import REST_SECONDS, WARM_SECONDS

POD, SECOND = a_pod("voice-0"), a_pod("voice-1")
KEY = "calls", "voice"


@pytest.fixture
def world():
    """One object, and two sidecars that run it."""
    return World.of(POD, SECOND)


def counts(world, key=KEY):
    return {one: world.status[key][one] for one in ("matched", "missing", "connected", "synced", "failed")}


def edit(world, generation=2, **spec):
    world.fleet.put_pool(speech_pool(generation=generation, **spec))
    world.plan()


def test_all_is_well(world):
    assert counts(world) == {"matched": 2, "missing": 0, "connected": 2, "synced": 2, "failed": 0}
    assert world.status[KEY]["warm"] == {"now": 6, "wanted": 6}
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)


def test_an_object_has_a_status_on_the_first_visit():
    world = World()
    world.fleet.put_pool(speech_pool())
    world.plan()
    assert world.condition(Condition.ACCEPTED) == ("True", Reason.VALID)
    assert world.condition(Condition.READY) == ("True", Reason.NO_SIDECARS)


def test_nothing_is_written_before_objects_and_pods_are_known():
    world = World(known=False)
    world.fleet.keep_pools([speech_pool()])
    assert world.plan().statuses == {}
    world.fleet.keep_pods([POD])
    assert list(world.plan().statuses) == [KEY]


def test_nothing_is_written_twice(world):
    assert world.plan().statuses == {}
    world.runs(POD)
    assert world.plan().statuses == {}


def test_the_echo_of_a_written_status_is_no_news(world):
    echo = pool_manifest(generation=1, warmSize=3, status=world.status[KEY])
    world.fleet.put_pool(read_speech_pool(echo))
    assert world.plan().statuses == {}


def test_a_status_that_another_has_changed_is_written_again(world):
    other = {**world.status[KEY], "synced": 77}
    world.fleet.put_pool(read_speech_pool(pool_manifest(generation=1, warmSize=3, status=other)))
    assert world.plan().statuses == {KEY: world.status[KEY]}


def test_while_sidecars_answer_one_status_a_second_is_made():
    """The first change is told of at once, and what follows within a second of it together, by its end."""
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=3))
    pods = [a_pod(f"voice-{number}") for number in range(20)]
    for pod in pods:
        world.join(pod)
    world.now += REST_SECONDS
    world.fleet.put_pool(speech_pool(generation=2, warmSize=3))
    made = world.plan(rested=False)
    assert made.statuses[KEY]["observedGeneration"] == 2
    began_at = world.now
    for pod in pods:
        world.now += REST_SECONDS / len(pods) / 2
        world.say(pod, applied(world.sent[pod.uid]))
        made = world.plan(rested=False)
        assert (made.statuses, made.due_at) == ({}, began_at + REST_SECONDS)
    world.now = made.due_at
    assert world.plan(rested=False).statuses[KEY]["synced"] == len(pods)
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)


def test_an_old_acknowledgement_is_not_one_of_the_new_generation(world):
    old = world.sent[POD.uid]
    edit(world, warmSize=4)
    world.say(POD, applied(old))
    world.plan()
    assert counts(world)["synced"] == 0
    assert world.condition(Condition.SYNCED) == ("False", Reason.PENDING)
    assert world.status[KEY]["observedGeneration"] == 2
    for pod in (POD, SECOND):
        world.runs(pod)
    assert world.condition(Condition.SYNCED) == ("True", Reason.ALL_SYNCED)


def test_a_sidecar_that_is_still_applying_is_not_synced(world):
    edit(world, warmSize=4)
    message = world.sent[POD.uid]
    world.say(POD, State(state=Applying.APPLYING, offered=message.revision, applied=message.revision))
    world.plan()
    assert counts(world)["synced"] == 0


def test_an_acknowledgement_of_an_object_made_again_is_not_one_of_the_first(world):
    first = world.sent[POD.uid]
    world.fleet.drop_pool(*KEY)
    world.fleet.put_pool(speech_pool(uid="second", warmSize=3))
    world.plan()
    world.say(POD, applied(first))
    world.plan()
    assert counts(world)["synced"] == 0


def test_a_refusal_is_told_with_its_pod(world):
    running = world.sent[POD.uid].revision
    edit(world, warmSize=4)
    world.say(SECOND, rejected(world.sent[SECOND.uid], "warmSize is too large", running=running))
    world.runs(POD)
    assert counts(world) == {"matched": 2, "missing": 0, "connected": 2, "synced": 1, "failed": 1}
    assert world.status[KEY]["lastError"]["pod"] == "voice-1"
    assert world.status[KEY]["lastError"]["message"] == "warmSize is too large"
    assert world.condition(Condition.DEGRADED) == ("True", Reason.REFUSED)


def test_the_last_refusal_is_told(world):
    edit(world, warmSize=4)
    for pod, error in ((POD, "first"), (SECOND, "second"), (POD, "first")):
        world.say(pod, rejected(world.sent[pod.uid], error))
        world.plan()
    assert world.status[KEY]["lastError"]["message"] == "second"


def test_a_late_refusal_is_not_one_of_the_new_generation(world):
    edit(world, warmSize=4)
    late = rejected(world.sent[POD.uid])
    edit(world, warmSize=5, generation=3)
    world.say(POD, late)
    world.plan()
    assert counts(world)["failed"] == 0
    assert "lastError" not in world.status[KEY]


def test_a_refusal_is_over_with_the_next_generation(world):
    edit(world, warmSize=4)
    world.say(POD, rejected(world.sent[POD.uid]))
    world.plan()
    edit(world, warmSize=5, generation=3)
    assert "lastError" not in world.status[KEY]
    assert world.condition(Condition.DEGRADED) is None


def test_a_sidecar_that_leaves_takes_what_it_said_with_it(world):
    edit(world, warmSize=4)
    world.say(POD, rejected(world.sent[POD.uid]))
    world.leave(POD)
    world.plan()
    assert counts(world) == {"matched": 2, "missing": 0, "connected": 1, "synced": 0, "failed": 0}
    assert world.status[KEY]["warm"] == {"now": 3, "wanted": 3}


def test_a_pod_that_is_gone_is_no_longer_counted(world):
    world.fleet.drop_pod(POD.uid)
    world.fleet.put_pod(a_pod("voice-1", gone=True))
    world.plan()
    assert counts(world)["matched"] == 0
    assert world.condition(Condition.READY) == ("True", Reason.NO_SIDECARS)


def test_a_pod_without_a_sidecar_that_asks_for_none_is_not_counted(world):
    world.fleet.put_pod(a_pod("plain", labels={"app": "voice"}))
    assert world.plan().statuses == {}


# --- warm clients -------------------------------------------------------------------------------------------------


def test_a_pool_below_its_warm_size_is_not_ready(world):
    edit(world, warmSize=9)
    for pod in (POD, SECOND):
        world.runs(pod, warm=3, wanted=9)
    assert world.condition(Condition.SYNCED) == ("True", Reason.ALL_SYNCED)
    assert world.condition(Condition.READY) == ("False", Reason.WARMING)
    for pod in (POD, SECOND):
        world.runs(pod, warm=9, wanted=9)
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)


def test_clients_in_use_do_not_make_a_pool_unready(world):
    world.runs(POD, warm=0, wanted=3)
    world.now += WARM_SECONDS
    world.plan()
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)
    assert world.status[KEY]["warm"] == {"now": 3, "wanted": 6}


def test_what_one_pool_has_too_many_fills_no_other(world):
    """Equal numbers mean that each pool is at its warm size; as many as were wanted before are there a while longer."""
    world.runs(POD, warm=5, wanted=3)
    world.now += WARM_SECONDS
    world.runs(SECOND, warm=1, wanted=3)
    assert world.status[KEY]["warm"] == {"now": 4, "wanted": 6}


def test_a_pool_that_cannot_serve_is_not_ready(world):
    world.runs(POD, warm=0, wanted=3, ready=False)
    assert world.condition(Condition.READY) == ("False", Reason.WARMING)


def test_one_pool_of_several_counts(world):
    pools = {"tts": PoolState(warm=3, wanted=3, ready=True), "stt": PoolState(warm=0, wanted=1, ready=True)}
    edit(world, warmSize=4)
    revision = world.sent[POD.uid].revision
    world.runs(SECOND)
    world.say(POD, State(state=Applying.APPLIED, offered=revision, applied=revision, pools=pools))
    world.plan()
    assert world.condition(Condition.READY) == ("False", Reason.WARMING)


def test_numbers_of_warm_clients_are_renewed_every_ten_seconds_at_most(world):
    world.now += WARM_SECONDS
    world.runs(POD, warm=2)
    assert world.status[KEY]["warm"]["now"] == 5
    world.now += WARM_SECONDS - 1
    world.runs(SECOND)
    world.say(POD, applied(world.sent[POD.uid], warm=1))
    made = world.plan()
    assert (made.statuses, made.due_at) == ({}, world.now + 1)
    world.now += 1
    assert world.plan().statuses[KEY]["warm"]["now"] == 4
    assert world.plan().statuses == {}


# --- silence and absence ------------------------------------------------------------------------------------------


def test_a_frozen_sidecar_is_stale_within_fifteen_seconds(world):
    assert SILENCE_SECONDS + 2 <= 15
    world.now += SILENCE_SECONDS - 1
    world.runs(SECOND)
    assert world.condition(Condition.STALE) is None
    made = world.plan()
    assert made.due_at == world.now + 1
    world.now = made.due_at
    world.plan()
    assert world.condition(Condition.STALE) == ("True", Reason.SILENT)
    assert "voice-0" in world.message(Condition.STALE)
    assert world.condition(Condition.READY) == ("Unknown", Reason.SILENT)


def test_a_sidecar_that_speaks_again_is_stale_no_more(world):
    world.now += SILENCE_SECONDS
    world.plan()
    assert counts(world)["connected"] == 2
    for pod in (POD, SECOND):
        world.runs(pod)
    assert world.condition(Condition.STALE) is None
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)


def test_a_sidecar_that_lost_its_connection_is_stale_after_a_while(world):
    world.leave(POD)
    world.plan()
    assert world.condition(Condition.STALE) is None
    world.now += SILENCE_SECONDS
    world.runs(SECOND)
    world.plan()
    assert world.condition(Condition.STALE) == ("True", Reason.SILENT)
    world.join(POD)
    assert world.condition(Condition.STALE) is None


@pytest.mark.parametrize("labels", [None, {"app": "voice", INJECT_LABEL: "true"}])
def test_a_sidecar_that_never_connects_is_missing_after_a_while(world, labels):
    world.fleet.put_pod(a_pod("voice-9", labels=labels))
    world.plan()
    assert counts(world) == {"matched": 3, "missing": 0, "connected": 2, "synced": 2, "failed": 0}
    for _ in range(2):
        world.now += MISSING_SECONDS / 2
        for pod in (POD, SECOND):
            world.runs(pod)
    assert counts(world)["missing"] == 1
    assert world.condition(Condition.STALE) is None
    assert world.condition(Condition.READY) == ("True", Reason.ALL_WARM)
    assert world.condition(Condition.DEGRADED) == ("True", Reason.SIDECARS_MISSING)
    assert "voice-9" in world.message(Condition.DEGRADED)
    world.join(a_pod("voice-9", labels=labels))
    assert counts(world) == {"matched": 3, "missing": 0, "connected": 3, "synced": 2, "failed": 0}
    assert world.condition(Condition.DEGRADED) is None


def test_time_alone_makes_no_plan(world):
    world.now += 3600
    world.plan()
    world.now += 3600
    made = world.plan()
    assert (made.messages, made.statuses, made.closing, made.due_at) == ({}, {}, (), None)


# --- a new operator -----------------------------------------------------------------------------------------------


def taken_over(world, **kwargs):
    """Another operator that takes over: it finds the statuses that the first one wrote."""
    successor = World(known=False)
    successor.now = world.now
    manifest = pool_manifest(generation=1, warmSize=3, status=world.status[KEY], **kwargs)
    successor.fleet.keep_pools([read_speech_pool(manifest)])
    successor.fleet.keep_pods([POD, SECOND])
    return successor


def test_a_new_operator_waits_for_the_sidecars_to_come_back(world):
    successor = taken_over(world)
    assert successor.plan().statuses == {}
    for pod in (POD, SECOND):
        successor.join(pod)
        successor.runs(pod)
    assert successor.status == {}


def test_a_new_operator_tells_of_those_who_do_not_come_back(world):
    successor = taken_over(world)
    due_at = successor.plan().due_at
    assert due_at == successor.now + SILENCE_SECONDS
    successor.now = due_at
    successor.plan()
    assert successor.condition(Condition.SYNCED) == ("Unknown", Reason.NOT_CONNECTED)


def test_a_new_operator_tells_of_a_generation_that_is_new_to_it_at_once(world):
    world.status[KEY] = {**world.status[KEY], "observedGeneration": 0}
    successor = taken_over(world)
    assert successor.plan().statuses[KEY]["observedGeneration"] == 1


def test_a_new_operator_keeps_the_times(world):
    before = {one["type"]: one["lastTransitionTime"] for one in world.status[KEY]["conditions"]}
    successor = taken_over(world)
    successor.now += 500
    successor.plan()
    after = {one["type"]: one["lastTransitionTime"] for one in successor.status[KEY]["conditions"]}
    assert after["Accepted"] == before["Accepted"]
    assert after["Ready"] > before["Ready"]


# --- other objects ----------------------------------------------------------------------------------------------------


def test_pods_of_other_namespaces_are_told_with_them():
    world = World()
    world.fleet.put_pool(speech_pool("base", OPERATOR, scope="Cluster"))
    world.join(POD)
    world.say(POD, rejected(world.sent[POD.uid], "no"))
    world.plan()
    assert world.status[OPERATOR, "base"]["lastError"]["pod"] == "calls/voice-0"


def test_a_default_of_another_namespace_is_not_accepted(world):
    edit(world, warmSize=3, scope="Cluster")
    assert world.condition(Condition.ACCEPTED) == ("False", Reason.CLUSTER_SCOPE_IGNORED)
    assert OPERATOR in world.message(Condition.ACCEPTED)
    assert counts(world)["matched"] == 0


def test_an_object_with_problems_is_not_accepted(world):
    edit(world, warmSize=-1)
    assert world.condition(Condition.ACCEPTED) == ("False", Reason.INVALID)
    assert "spec.warmSize must be" in world.message(Condition.ACCEPTED)
    assert world.condition(Condition.READY) == ("False", Reason.NOT_ACCEPTED)
    assert counts(world) == {"matched": 2, "missing": 0, "connected": 2, "synced": 0, "failed": 0}


def test_the_status_of_an_object_that_is_gone_is_not_planned(world):
    world.connect(POD)
    world.fleet.drop_pool(*KEY)
    assert world.plan().statuses == {}
