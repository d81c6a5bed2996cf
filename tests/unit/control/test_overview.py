"""What an operator tells of its sidecars, read as `status --cluster` and the upgrader read it."""

import dataclasses
from importlib.metadata import version

from tests.unit.control.fleets import HELLO, OPERATOR, World, a_pod, applied, rejected, speech_pool

from speechpool.settings.wire import Applying, PoolState, State
from speechpool_operator.fleet import Fleet
from speechpool_operator.names import INJECT_LABEL
from speechpool_operator.overview import overview
from speechpool_operator.sidecars import Sidecar, read_overview


def a_world(*pods, pools=()) -> World:
    world = World(known=False)
    world.fleet.keep_pools(pools)
    world.fleet.keep_pods(pods)
    return world


def told(world: World) -> Sidecar:
    (found,) = read_overview(overview(world.fleet, leads=True)).sidecars
    return found


def test_of_a_sidecar_that_follows_an_object() -> None:
    pod, pool = a_pod(), speech_pool(generation=4)
    world = a_world(pod, pools=[pool])
    world.connect(pod)
    world.say(pod, dataclasses.replace(applied(pool.message, warm=3), sessions=2, busy=1))

    assert told(world) == Sidecar(
        namespace="calls",
        pod="voice-0",
        uid=pod.uid,
        pool="calls/voice",
        generation=4,
        wanted_generation=4,
        state="applied",
        connected=True,
        synced=True,
        ready=True,
        warm=3,
        wanted=3,
        sessions=2,
        busy=1,
        version=HELLO.version,
    )


def test_of_one_that_refused_it() -> None:
    pod, pool = a_pod(), speech_pool()
    world = a_world(pod, pools=[pool])
    world.connect(pod)
    world.say(pod, rejected(pool.message, "too many"))

    found = told(world)
    assert (found.state, found.error, found.synced, found.generation) == ("rejected", "too many", False, None)


def test_of_one_that_follows_nothing_it_is_told_whether_it_is_warm() -> None:
    pod = a_pod()
    world = a_world(pod)
    world.connect(pod)
    assert not told(world).ready

    for warm, ready in ((2, False), (3, True)):
        pools = {"tts": PoolState(warm=warm, wanted=3, ready=True)}
        world.say(pod, State(state=Applying.APPLIED, pools=pools, sessions=0, busy=0))
        assert told(world).ready is ready
        assert (told(world).pool, told(world).sessions) == ("", 0)


def test_of_a_pod_that_only_asks_for_one() -> None:
    found = told(a_world(a_pod(labels={INJECT_LABEL: "true"})))

    assert (found.pod, found.connected, found.ready, found.sessions, found.version) == (
        "voice-0",
        False,
        False,
        None,
        "",
    )


def test_of_the_operator_itself() -> None:
    read = read_overview(overview(Fleet(OPERATOR, clock=lambda: 0.0), leads=True))

    assert (read.version, read.leads, read.known) == (version("speechpool"), True, False)
    assert read_overview(overview(a_world().fleet, leads=True)).known


def test_one_that_does_not_lead_tells_of_none() -> None:
    read = read_overview(overview(a_world(a_pod()).fleet, leads=False))

    assert (read.leads, read.sidecars) == (False, ())
