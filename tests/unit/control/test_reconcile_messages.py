"""What each sidecar is sent: the settings of the object that its pod follows, once, and nothing else."""

import pytest
from tests.unit.control.fleets import OPERATOR, World, a_pod, applied, pool_manifest, speech_pool

from speechpool.settings.wire import NewSettings, NoSettings
from speechpool_operator.names import INJECTED_LABEL, Reason
from speechpool_operator.objects import read_speech_pool
from speechpool_operator.streams import Cell

POD = a_pod()


@pytest.fixture
def world():
    return World()


def started(world, *pools, pod=POD):
    """A world with these objects and one sidecar, which has what it is to run with."""
    for pool in pools:
        world.fleet.put_pool(pool)
    world.join(pod)
    return world.sent.get(pod.uid)


def runs(world, pod=POD):
    """What the sidecar was sent last, in short: the settings or the reason for none."""
    message = world.sent.get(pod.uid)
    return message.spec if isinstance(message, NewSettings) else message and message.reason.split(":")[0]


def test_a_sidecar_gets_its_objects_settings(world):
    pool = speech_pool(warmSize=4)
    assert started(world, pool) is pool.message


def test_a_sidecar_without_an_object_is_told_so(world):
    assert started(world, speech_pool(namespace="other")) == NoSettings(reason="NoMatch: no SpeechPool selects the pod")


def test_a_sidecar_whose_object_is_not_there_is_told_so(world):
    started(world, speech_pool(), pod=a_pod(pool="late"))
    assert runs(world) == Reason.NAMED_POOL_NOT_FOUND


def test_nothing_is_sent_twice(world):
    message = started(world, speech_pool())
    assert world.plan().messages == {}
    world.fleet.put_pod(a_pod())
    world.fleet.put_pool(speech_pool())
    world.say(POD, applied(message))
    assert world.plan().messages == {}


def test_nothing_is_sent_before_all_objects_are_known():
    world = World(known=False)
    world.fleet.keep_pods([POD])
    world.connect(POD)
    assert world.plan().messages == {}
    pool = speech_pool()
    world.fleet.keep_pools([pool])
    assert world.plan().messages[POD.uid][1] is pool.message


def test_settings_need_not_wait_for_the_pods():
    world = World(known=False)
    world.fleet.keep_pools([speech_pool(warmSize=1)])
    world.join(POD, watched=False)
    assert runs(world) == {"warmSize": 1}


def test_a_change_goes_to_those_who_follow_the_object_alone(world):
    other = a_pod("other", labels={"app": "other", INJECTED_LABEL: "true"})
    started(world, speech_pool(warmSize=1))
    world.join(other)
    world.fleet.put_pool(speech_pool(warmSize=2, generation=2))
    assert {uid: message.spec for uid, (_, message) in world.plan().messages.items()} == {POD.uid: {"warmSize": 2}}


def test_a_new_generation_with_the_same_settings_is_sent_too(world):
    started(world, speech_pool(warmSize=1))
    world.fleet.put_pool(speech_pool(warmSize=1, generation=2, priority=5))
    assert world.plan().messages[POD.uid][1].revision.generation == 2


def test_an_older_version_is_left_aside(world):
    started(world, speech_pool(warmSize=2, generation=2, version=20))
    world.fleet.put_pool(speech_pool(warmSize=1, generation=1, version=10))
    assert world.plan().messages == {}


def test_an_older_generation_is_left_aside_where_versions_are_no_numbers(world):
    manifests = [pool_manifest(warmSize=generation, generation=generation) for generation in (1, 2)]
    for one in manifests:
        one["metadata"]["resourceVersion"] = "opaque"
    old, new = (read_speech_pool(one) for one in manifests)
    started(world, new)
    world.fleet.put_pool(old)
    assert world.plan().messages == {}


def test_an_object_with_problems_changes_nothing(world):
    started(world, speech_pool(warmSize=1))
    world.fleet.put_pool(speech_pool(warmSize=-1, generation=2))
    assert world.plan().messages == {}
    newcomer = a_pod("voice-1")
    world.join(newcomer)
    assert runs(world, newcomer) is None
    world.fleet.put_pool(speech_pool(warmSize=3, generation=3))
    assert set(world.plan().messages) == {POD.uid, newcomer.uid}


def test_deleting_the_object_falls_back(world):
    started(world, speech_pool())
    world.fleet.drop_pool("calls", "voice")
    world.plan()
    assert runs(world) == Reason.NO_MATCH


def test_deleting_the_object_falls_back_on_the_next(world):
    started(world, speech_pool("a", priority=1, warmSize=1), speech_pool("b", warmSize=2))
    assert runs(world) == {"warmSize": 1}
    world.fleet.drop_pool("calls", "a", uid="pool-calls-a")
    world.plan()
    assert runs(world) == {"warmSize": 2}


def test_a_late_word_of_a_deleted_namesake_deletes_nothing(world):
    started(world, speech_pool(uid="second"))
    world.fleet.drop_pool("calls", "voice", uid="first")
    assert world.plan().messages == {}


def test_an_object_made_again_is_another(world):
    first = started(world, speech_pool(uid="first", generation=5, warmSize=1))
    world.fleet.drop_pool("calls", "voice", uid="first")
    world.fleet.put_pool(speech_pool(uid="second", generation=1, warmSize=1))
    world.plan()
    assert world.sent[POD.uid].revision != first.revision
    assert world.sent[POD.uid].revision.uid == "second"


def test_an_object_that_was_missed_being_deleted_is_so_after_a_list(world):
    started(world, speech_pool("a", priority=1, warmSize=1), speech_pool("b", warmSize=2))
    world.fleet.keep_pools([speech_pool("b", warmSize=2)])
    world.plan()
    assert runs(world) == {"warmSize": 2}


def test_a_renamed_label_changes_the_object(world):
    blue = speech_pool("blue", selector={"matchLabels": {"app": "blue"}}, warmSize=2)
    started(world, speech_pool(warmSize=1), blue)
    world.fleet.put_pod(a_pod(labels={"app": "blue", INJECTED_LABEL: "true"}))
    world.plan()
    assert runs(world) == {"warmSize": 2}


def test_a_changed_selector_changes_the_object(world):
    started(world, speech_pool(warmSize=1))
    world.fleet.put_pool(speech_pool(warmSize=1, generation=2, selector={"matchLabels": {"app": "x"}}))
    world.plan()
    assert runs(world) == Reason.NO_MATCH


def test_a_raised_priority_changes_the_object(world):
    started(world, speech_pool("a", warmSize=1), speech_pool("b", warmSize=2))
    world.fleet.put_pool(speech_pool("b", warmSize=2, generation=2, priority=1))
    world.plan()
    assert runs(world) == {"warmSize": 2}


def test_an_annotation_changes_the_object_and_back(world):
    named = speech_pool("named", selector={"matchLabels": {"app": "x"}}, warmSize=2)
    started(world, speech_pool(warmSize=1), named)
    seen = []
    for pool in ("named", "nowhere", None):
        world.fleet.put_pod(a_pod(pool=pool))
        world.plan()
        seen.append(runs(world))
    assert seen == [{"warmSize": 2}, Reason.NAMED_POOL_NOT_FOUND, {"warmSize": 1}]


def test_a_named_object_may_come_later_and_go(world):
    started(world, pod=a_pod(pool="late"))
    world.fleet.put_pool(speech_pool("late", selector={"matchLabels": {"app": "x"}}, warmSize=2))
    world.plan()
    assert runs(world) == {"warmSize": 2}
    world.fleet.drop_pool("calls", "late")
    world.plan()
    assert runs(world) == Reason.NAMED_POOL_NOT_FOUND


def test_the_platforms_default_holds_where_nothing_else_does(world):
    default = speech_pool("base", OPERATOR, scope="Cluster", warmSize=1)
    started(world, default)
    assert runs(world) == {"warmSize": 1}
    world.fleet.put_pool(speech_pool(warmSize=2))
    world.plan()
    assert runs(world) == {"warmSize": 2}
    world.fleet.drop_pool("calls", "voice")
    world.plan()
    assert runs(world) == {"warmSize": 1}
    world.fleet.put_pool(speech_pool("base", OPERATOR, warmSize=1, generation=2))
    world.plan()
    assert runs(world) == Reason.NO_MATCH


def test_a_sidecar_that_connects_again_gets_its_settings_again(world):
    pool = speech_pool()
    started(world, pool)
    world.leave(POD)
    assert world.plan().messages == {}
    world.sent.clear()
    world.join(POD)
    assert world.sent[POD.uid] is pool.message


def test_the_newest_connection_gets_the_messages(world):
    started(world, speech_pool())
    newest = world.connect(POD)
    assert world.plan().messages[POD.uid][0] is newest


def test_what_comes_on_an_older_connection_counts_no_more(world):
    message = started(world, speech_pool())
    older = world.cells[POD.uid]
    newest = world.connect(POD)
    world.fleet.said(POD.uid, older, applied(message))
    world.fleet.gone(POD.uid, older)
    stream = world.fleet.members[POD.uid].stream
    assert (stream.cell, stream.state) == (newest, None)


def test_a_terminating_pod_gets_nothing_more(world):
    started(world, speech_pool(warmSize=1))
    world.fleet.put_pod(a_pod(gone=True))
    world.fleet.put_pool(speech_pool(warmSize=2, generation=2))
    assert world.plan().messages == {}


def test_the_stream_of_a_pod_that_is_gone_is_closed(world):
    started(world, speech_pool())
    cell = world.fleet.members[POD.uid].stream.cell
    world.fleet.drop_pod(POD.uid)
    made = world.plan()
    assert (made.closing, made.messages) == ((cell,), {})
    world.leave(POD)
    assert world.plan().closing == ()


def test_a_pod_that_was_missed_being_deleted_is_so_after_a_list(world):
    started(world, speech_pool())
    world.fleet.keep_pods([a_pod("voice-1")])
    assert len(world.plan().closing) == 1
    assert set(world.fleet.members) == {"pod-calls-voice-1"}


def test_a_sidecar_that_the_watch_does_not_see_is_served_and_forgotten(world):
    pod = a_pod(labels={"app": "voice"})
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.join(pod, watched=False)
    assert runs(world, pod) == {"warmSize": 1}
    world.fleet.keep_pods([])
    assert world.plan().closing == ()
    world.leave(pod)
    assert world.fleet.members == {}


def test_newer_labels_of_the_watch_hold_over_those_of_the_connection(world):
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.fleet.put_pod(a_pod(version=10**9))
    world.connect(a_pod(labels={"app": "old"}, version=10**9 - 1))
    world.plan()
    assert runs(world) == {"warmSize": 1}


def test_what_is_said_without_a_connection_is_nothing(world):
    message = started(world, speech_pool())
    world.leave(POD)
    world.runs(POD)
    world.fleet.gone("nobody", Cell())
    world.fleet.drop_pod("nobody")
    world.fleet.drop_pool("no", "body")
    assert world.plan().messages == {}
    assert world.status["calls", "voice"]["connected"] == 0
    assert message


def test_a_word_is_of_the_pod_of_its_uid(world):
    """A pod made again under the same name is another pod."""
    again = a_pod(uid="again")
    started(world, speech_pool())
    world.fleet.drop_pod(POD.uid)
    world.join(again)
    assert set(world.fleet.members) == {"again"}
    assert isinstance(world.sent["again"], NewSettings)
