"""What a status says of pods that another object has."""

import pytest
from tests.unit.control.fleets import OPERATOR, World, a_pod, speech_pool

from speechpool_operator.names import Condition, Reason

POD, SECOND = a_pod("voice-0"), a_pod("voice-1")


def matched(world, name="voice"):
    return world.status["calls", name]["matched"]


@pytest.fixture
def world():
    """One object, and two sidecars that run it."""
    return World.of(POD, SECOND)


def test_the_loser_learns_the_winner(world):
    world.fleet.put_pool(speech_pool("better", priority=1))
    world.plan()
    assert world.condition(Condition.CONFLICTED) == ("True", Reason.HIGHER_PRIORITY)
    assert "better has 2 pods (higher priority)" in world.message(Condition.CONFLICTED)
    assert world.condition(Condition.CONFLICTED, "better") is None
    assert matched(world) == 0
    assert matched(world, "better") == 2


def test_a_conflict_is_over_with_the_winner(world):
    world.fleet.put_pool(speech_pool("better", priority=1))
    world.plan()
    world.fleet.drop_pool("calls", "better")
    world.plan()
    assert world.condition(Condition.CONFLICTED) is None
    assert matched(world) == 2


def test_a_conflict_is_over_with_the_pods(world):
    world.fleet.put_pool(speech_pool("better", priority=1))
    world.fleet.drop_pod(POD.uid)
    world.fleet.put_pod(a_pod("voice-1", gone=True))
    world.plan()
    assert world.condition(Condition.CONFLICTED) is None


def test_a_pod_that_names_another_object_is_a_conflict(world):
    world.fleet.put_pool(speech_pool("named", selector={"matchLabels": {"app": "x"}}))
    world.fleet.put_pod(a_pod("voice-0", pool="named"))
    world.plan()
    assert world.condition(Condition.CONFLICTED) == ("True", Reason.NAMED_BY_POD)
    assert "named has 1 pod (" in world.message(Condition.CONFLICTED)


def test_a_default_that_nobody_needs_is_in_no_conflict(world):
    world.fleet.put_pool(speech_pool("base", OPERATOR, scope="Cluster"))
    world.plan()
    assert world.condition(Condition.CONFLICTED, "base", OPERATOR) is None
    assert world.condition(Condition.READY, "base", OPERATOR) == ("True", Reason.NO_SIDECARS)
