"""What `GET /sidecars` tells, as its readers read it."""

import json

from tests.unit.control.fleets import World, a_pod, rejected, speech_pool

from speechpool_operator.overview import overview
from speechpool_operator.sidecars import read_overview

POD = a_pod()


def told(world, *, leads=True):
    return read_overview(json.loads("".join(overview(world.fleet, leads=leads))))


def test_a_sidecar_that_runs_what_it_should():
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.join(POD)
    world.runs(POD, warm=2, wanted=3)
    [one] = told(world).sidecars
    assert (one.namespace, one.pod, one.uid, one.pool) == ("calls", "voice-0", POD.uid, "calls/voice")
    assert (one.generation, one.wanted_generation, one.state, one.synced) == (1, 1, "applied", True)
    assert (one.connected, one.silent, one.missing, one.ready) == (True, False, False, False)
    assert (one.warm, one.wanted, one.version, one.error) == (2, 3, "0.1.0", "")


def test_one_that_has_more_than_it_wants_is_full_and_no_fuller():
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.join(POD)
    world.runs(POD, warm=5, wanted=3)
    [one] = told(world).sidecars
    assert (one.warm, one.wanted, one.ready) == (3, 3, True)


def test_one_that_refused_its_settings_says_why():
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.join(POD)
    world.say(POD, rejected(world.sent[POD.uid], "warmSize must be at most 6"))
    [one] = told(world).sidecars
    assert (one.state, one.error, one.synced, one.generation) == ("rejected", "warmSize must be at most 6", False, None)


def test_one_that_never_came_and_one_that_fell_silent():
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=1))
    world.fleet.put_pod(a_pod("asks"))
    world.join(POD)
    world.now += 100
    world.plan()
    found = {one.pod: (one.missing, one.silent, one.connected) for one in told(world).sidecars}
    assert found == {"asks": (True, False, False), "voice-0": (False, True, True)}


def test_one_that_no_object_selects_is_there_too():
    world = World()
    world.join(POD)
    [one] = told(world).sidecars
    assert (one.pool, one.generation, one.connected) == ("", None, True)


def test_who_ends_is_not_told_of_and_all_are_in_order():
    world = World()
    for name in ("c", "a", "b"):
        world.fleet.put_pod(a_pod(name, gone=name == "b"))
    assert [one.pod for one in told(world).sidecars] == ["a", "c"]


def test_one_that_does_not_lead_tells_so_and_nothing_else():
    world = World()
    world.join(POD)
    found = told(world, leads=False)
    assert (found.leads, found.known, found.sidecars) == (False, True, ())


def test_before_all_is_known_it_says_so():
    assert told(World(known=False)).known is False


def test_a_fleet_may_change_while_it_is_told_of():
    world = World()
    world.fleet.put_pool(speech_pool(warmSize=1))
    for name in "abc":
        world.join(a_pod(name))
    pieces = overview(world.fleet, leads=True)
    told_first = [next(pieces), next(pieces)]
    world.fleet.drop_pod("pod-calls-b")
    world.fleet.drop_pool("calls", "voice")
    found = json.loads("".join([*told_first, *pieces]))
    assert [one["pod"] for one in found["sidecars"]] == ["a", "b", "c"]
