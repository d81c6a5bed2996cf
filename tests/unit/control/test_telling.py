"""Which events a user sees of objects and of pods."""

import pytest
from tests.unit.control.fleets import World, a_pod, rejected, speech_pool

from speechpool_operator.events import Weight
from speechpool_operator.fleet import MISSING_SECONDS, SILENCE_SECONDS
from speechpool_operator.names import INJECT_LABEL, INJECTED_LABEL
from speechpool_operator.telling import Teller, View, changes, injection

WRONG = {"warmSize": -1}


class Told(World):
    """A world that notes what is told of each plan."""

    def __init__(self, **kwargs):
        self.teller = Teller()
        self.notes = []
        super().__init__(**kwargs)

    def plan(self):
        made = super().plan()
        self.notes += self.teller.notes(self.fleet, made)
        return made

    @property
    def said(self):
        """What was told since the last look: about whom, how grave, why."""
        notes, self.notes = self.notes, []
        return [(note.about.kind, note.about.name, str(note.weight), note.reason) for note in notes]

    def put(self, *args, **kwargs):
        self.fleet.put_pool(speech_pool(*args, **kwargs))
        self.plan()

    def wait(self, seconds):
        self.now += seconds
        self.plan()


def test_an_object_that_is_refused_is_told_of_once_for_each_generation():
    world = Told()
    world.put(generation=1, **WRONG)
    [note] = world.notes
    assert note.message.startswith("Nothing of this generation is sent")
    assert "warmSize" in note.message
    assert world.said == [("SpeechPool", "voice", "Warning", "Invalid")]
    world.plan()
    assert world.said == []
    world.put(generation=2, **WRONG)
    assert world.said == [("SpeechPool", "voice", "Warning", "Invalid")]
    world.put(generation=3, warmSize=2)
    assert world.said == [("SpeechPool", "voice", "Normal", "Accepted")]


def test_a_refusal_by_a_sidecar_names_the_pod_and_its_words():
    world, pod = Told(), a_pod()
    world.put(generation=1, warmSize=2)
    world.join(pod)
    world.say(pod, rejected(world.sent[pod.uid], "warmSize must be at most 1"))
    world.plan()
    [note] = world.notes
    assert note.message == "voice-0: warmSize must be at most 1"
    assert world.said == [("SpeechPool", "voice", "Warning", "Refused")]
    world.say(pod, rejected(world.sent[pod.uid], "warmSize must be at most 1"))
    world.plan()
    assert world.said == []


def test_a_generation_is_told_to_be_synced_once_however_often_pods_come():
    world, pods = Told(), [a_pod(f"voice-{number}") for number in range(3)]
    world.put(generation=1, warmSize=2)
    for pod in pods:
        world.join(pod)
        world.runs(pod)
    assert world.said == [("SpeechPool", "voice", "Normal", "Synced")]
    world.put(generation=2, warmSize=3)
    for pod in pods:
        world.runs(pod)
    assert world.said == [("SpeechPool", "voice", "Normal", "Synced")]


def test_nothing_is_told_again_by_an_operator_that_comes_after():
    before, pod = Told(), a_pod()
    before.put(generation=4, warmSize=2)
    before.join(pod)
    before.runs(pod)
    after = Told()
    after.fleet.put_pool(speech_pool(generation=4, warmSize=2, status=before.status["calls", "voice"]))
    after.join(pod)
    after.runs(pod)
    assert after.said == []


def test_an_object_of_the_same_name_is_another_one():
    world, pod = Told(), a_pod()
    world.put(uid="old", generation=4, warmSize=2)
    world.join(pod)
    world.runs(pod)
    assert world.said == [("SpeechPool", "voice", "Normal", "Synced")]
    world.fleet.drop_pool("calls", "voice")
    world.put(uid="new", generation=1, warmSize=2)
    world.runs(pod)
    assert world.notes[-1].about.uid == "new"
    assert world.said == [("SpeechPool", "voice", "Normal", "Synced")]


def test_who_loses_its_pods_is_told_by_whom_and_not_at_each_pod():
    world = Told()
    world.put("first", priority=10)
    world.put("second")
    world.join(a_pod("voice-0"))
    assert ("SpeechPool", "second", "Warning", "Conflicted") in world.said
    world.join(a_pod("voice-1"))
    assert not [one for one in world.said if one[3] == "Conflicted"]


def test_a_silent_sidecar_is_told_of_once():
    world, pod = Told(), a_pod()
    world.put(warmSize=2)
    world.join(pod)
    world.runs(pod)
    assert world.said
    world.wait(SILENCE_SECONDS + 1)
    assert world.said == [("SpeechPool", "voice", "Warning", "Silent")]
    world.wait(60)
    assert world.said == []


def test_a_pod_without_its_sidecar_is_told_of_on_the_pod_and_on_the_object():
    world, pod = Told(), a_pod(labels={"app": "voice", INJECT_LABEL: "true"})
    world.put(warmSize=2)
    world.fleet.put_pod(pod)
    world.plan()
    assert world.said == []
    world.wait(MISSING_SECONDS + 1)
    assert "kubectl rollout restart" in world.notes[-1].message
    assert world.said == [
        ("SpeechPool", "voice", "Warning", "SidecarsMissing"),
        ("Pod", "voice-0", "Warning", "MissingSidecar"),
    ]


def test_a_thousand_pods_without_sidecars_are_each_told_of_once():
    world = Told()
    world.put(warmSize=2)
    for number in range(1000):
        world.fleet.put_pod(a_pod(f"voice-{number}"))
        world.now += 0.01
    for _ in range(100):
        world.wait(1)
    told = [name for kind, name, _, _ in world.said if kind == "Pod"]
    assert sorted(told) == sorted(f"voice-{number}" for number in range(1000))


def test_one_whose_sidecar_does_not_connect_is_sent_to_its_log():
    world, pod = Told(), a_pod()
    world.put(warmSize=2)
    world.fleet.put_pod(pod)
    world.plan()
    world.wait(MISSING_SECONDS + 1)
    assert "kubectl logs -n calls voice-0 -c speechpool" in world.notes[-1].message


def test_a_name_that_is_not_there_is_told_on_the_pod():
    world = Told()
    world.put(warmSize=2)
    world.join(a_pod(pool="vioce"))
    [note] = world.notes
    assert "'vioce'" in note.message
    assert world.said == [("Pod", "voice-0", "Warning", "NamedPoolNotFound")]


def test_what_is_gone_is_forgotten():
    world = Told()
    for number in range(500):
        world.put(f"pool-{number}", **WRONG)
        world.fleet.drop_pool("calls", f"pool-{number}")
    assert len(world.said) == 500
    assert len(world.teller._told) <= 65


def test_a_status_that_somebody_else_wrote_is_no_reason_to_fail():
    for status in (
        {},
        {"conditions": None},
        {"conditions": ["x", {"type": 3}]},
        {"lastError": "no"},
        {"lastError": {}},
    ):
        assert list(changes(View.of(status), View.of(status))) == []


@pytest.mark.parametrize(
    ("labels", "reason", "warnings", "told"),
    [
        ({INJECTED_LABEL: "true"}, "", "", (Weight.NORMAL, "Injected", "has a sidecar")),
        ({INJECTED_LABEL: "true"}, "", "one\ntwo", (Weight.WARNING, "Injected", "Ignored: one; two.")),
        ({INJECT_LABEL: "true"}, "", "", (Weight.WARNING, "NotInjected", "speechpool check")),
        ({INJECT_LABEL: "true"}, "HostPath", "", (Weight.WARNING, "NotInjected", "added none: HostPath.")),
        ({}, "HostPath", "", (Weight.WARNING, "NotInjected", "added none: HostPath.")),
        ({}, "", "", None),
    ],
)
def test_a_new_pod_is_told_whether_it_has_a_sidecar_and_why_not(labels, reason, warnings, told):
    note = injection(a_pod(labels=labels), reason, warnings)
    if told is None:
        assert note is None
    else:
        assert (note.weight, note.reason) == told[:2]
        assert told[2] in note.message
