"""An operator that begins to lead after it has watched for long, and plans that have to be made again."""

from tests.unit.control.fleets import World, a_pod, speech_pool

POD = a_pod()


def test_nobody_is_missing_before_there_was_time_to_connect():
    world = World()
    world.fleet.put_pool(speech_pool())
    world.fleet.put_pod(POD)
    world.now += 1000  # as a standby, which plans nothing
    world.fleet.begin()
    world.plan()
    assert world.status["calls", "voice"]["missing"] == 0
    world.now += 61
    world.plan()
    assert world.status["calls", "voice"]["missing"] == 1


def test_a_status_that_is_there_waits_for_those_who_come_back():
    world = World()
    world.fleet.put_pool(speech_pool())
    world.join(POD)
    world.runs(POD)
    status = world.status["calls", "voice"]
    after = World()
    after.fleet.put_pool(speech_pool(status=status))
    after.fleet.put_pod(POD)
    after.fleet.begin()
    assert after.plan().statuses == {}
    after.connect(POD)
    assert after.plan().statuses == {}


def test_what_was_planned_is_planned_again_on_demand():
    world = World()
    pool = speech_pool()
    world.fleet.put_pool(pool)
    world.join(POD)
    world.fleet.put_pool(speech_pool(generation=2, warmSize=2))
    world.plan()
    world.fleet.replan()
    again = world.plan()
    assert set(again.messages) == {POD.uid}
    assert set(again.statuses) == {pool.key}
