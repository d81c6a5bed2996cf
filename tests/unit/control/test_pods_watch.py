"""Two watches of pods as one, and looks at pods that neither tells of."""

import asyncio
import contextlib

import pytest
from tests.unit.control.fleets import HELLO, OPERATOR, a_pod, pod_manifest
from tests.virtual import VIRTUAL

from speechpool_operator import pods_watch
from speechpool_operator.fleet import Fleet
from speechpool_operator.kube import KubeError, KubeUnavailable
from speechpool_operator.pods_watch import PodsWatch
from speechpool_operator.reconcile import plan
from speechpool_operator.streams import Cell

pytestmark = VIRTUAL

GONE = KubeError(404, "NotFound", "")


class Api:
    """Pods that can be looked at, or the error that comes instead."""

    def __init__(self):
        self.answer = GONE
        self.looks = 0

    async def get(self, path, **_):
        self.looks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    def __init__(self):
        self.api, self.new = Api(), []
        self.fleet = Fleet(OPERATOR, clock=asyncio.get_running_loop().time)
        self.pods = PodsWatch(self.api, self.fleet, wake=lambda: None, appeared=self.new.append)
        self.have, self.want = self.pods._halves

    @property
    def names(self):
        return {member.pod.name for member in self.fleet.members.values()}

    def connect(self, pod):
        cell = Cell()
        self.fleet.connected(pod, HELLO, cell)
        return cell


@contextlib.asynccontextmanager
async def looking(answer):
    world = World()
    world.api.answer = answer
    task = asyncio.create_task(world.pods.lookout.run())
    try:
        yield world
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_all_are_known_when_both_have_listed():
    world = World()
    world.have.listed([a_pod("a")])
    assert not world.fleet.pods_known
    world.want.listed([a_pod("b"), None])
    assert (world.fleet.pods_known, world.names) == (True, {"a", "b"})


async def test_a_list_of_one_half_takes_nothing_from_the_other():
    world = World()
    world.have.listed([a_pod("a"), a_pod("c")])
    world.want.listed([a_pod("b")])
    world.have.listed([a_pod("a")])
    assert world.names == {"a", "b"}


async def test_a_pod_that_changes_from_one_half_to_the_other_keeps_its_stream():
    world = World()
    asking = a_pod("a", labels={"speechpool.dev/inject": "true"})
    world.have.listed([])
    world.want.listed([asking])
    cell = world.connect(asking)
    world.want.deleted(asking)
    world.have.changed(a_pod("a"))
    world.want.deleted(asking)
    assert plan(world.fleet).closing == ()
    assert world.fleet.members[asking.uid].stream.cell is cell


async def test_a_pod_that_was_on_its_way_out_is_gone_at_once():
    world = World()
    world.have.listed([a_pod("a")])
    world.want.listed([])
    cell = world.connect(a_pod("a"))
    world.have.deleted(a_pod("a", gone=True))
    assert plan(world.fleet).closing == (cell,)
    assert world.names == set()


async def test_of_pods_of_a_list_nobody_is_told_but_of_those_that_come_after():
    world = World()
    world.have.listed([a_pod("a")])
    world.want.listed([])
    world.have.changed(a_pod("a"))
    world.want.changed(a_pod("b"))
    world.want.changed(a_pod("b"))
    assert [pod.name for pod in world.new] == ["b"]


@pytest.mark.parametrize(
    "answer", [GONE, pod_manifest("a", gone=True), pod_manifest("a", uid="another")], ids=["gone", "ending", "another"]
)
async def test_a_pod_that_is_gone_when_it_is_looked_at_loses_its_stream(answer):
    async with looking(answer) as world:
        world.have.listed([a_pod("a")])
        world.want.listed([])
        cell = world.connect(a_pod("a"))
        world.have.deleted(a_pod("a"))  # it was not seen on its way out
        await asyncio.sleep(1)
        assert plan(world.fleet).closing == (cell,)
        assert world.names == set()


async def test_a_pod_that_lost_its_labels_is_looked_at_again_and_again():
    async with looking(GONE) as world:
        cell = world.connect(a_pod("a", labels={"app": "old"}))
        world.api.answer = pod_manifest("a", labels={"app": "new"})
        world.pods.lookout.look(a_pod("a"))
        await asyncio.sleep(1)
        assert world.fleet.members["pod-calls-a"].pod.labels == {"app": "new"}
        world.api.answer = GONE
        await asyncio.sleep(pods_watch.LOOK_AGAIN_SECONDS + 1)
        assert plan(world.fleet).closing == (cell,)


@pytest.mark.parametrize("error", [KubeUnavailable("no answer"), KubeError(403, "Forbidden", "")])
async def test_a_look_that_fails_says_nothing_of_the_pod(error):
    async with looking(error) as world:
        world.connect(a_pod("a"))
        world.pods.lookout.look(a_pod("a"))
        await asyncio.sleep(pods_watch.LOOK_AGAIN_SECONDS * 2)
        assert (plan(world.fleet).closing, world.names) == ((), {"a"})
        assert world.api.looks >= 2


async def test_a_pod_that_a_watch_tells_of_meanwhile_is_looked_at_no_more():
    async with looking(pod_manifest("a")) as world:
        world.connect(a_pod("a"))
        world.pods.lookout.look(a_pod("a"))
        world.have.changed(a_pod("a"))
        await asyncio.sleep(pods_watch.LOOK_AGAIN_SECONDS * 3)
        assert world.api.looks == 0


async def test_a_thousand_are_looked_at_at_a_bounded_rate():
    async with looking(GONE) as world:
        for n in range(1000):
            world.connect(a_pod(f"pod-{n}"))
            world.pods.lookout.look(a_pod(f"pod-{n}"))
        await asyncio.sleep(10)
        assert world.api.looks <= 10 * pods_watch.LOOKS_PER_SECOND + 2 * pods_watch.LOOKS_AT_ONCE
        await asyncio.sleep(15)
        assert world.names == set()
