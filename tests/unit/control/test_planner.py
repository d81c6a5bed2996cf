"""When plans are made and what becomes of them, in virtual time."""

import asyncio
import itertools

import pytest
from tests.unit.control.fleets import HELLO, OPERATOR, a_pod, applied, pod_manifest, speech_pool
from tests.virtual import VIRTUAL, settle

from speechpool.settings.wire import NewSettings
from speechpool_operator import planner as planners
from speechpool_operator.fleet import Fleet
from speechpool_operator.identity import PodIdentity
from speechpool_operator.planner import Planner, Streams
from speechpool_operator.streams import Cell

pytestmark = VIRTUAL

POD = a_pod()


class Writer:
    def __init__(self):
        self.statuses = {}
        self.count = 0

    def put(self, key, uid, status):
        self.statuses[key] = uid, status
        self.count += 1


class Lookout:
    def __init__(self):
        self.pods = []

    def look(self, pod):
        self.pods.append(pod)


class Control:
    """A fleet of one pod with a stream, and everything that plans for it."""

    def __init__(self):
        self.fleet = Fleet(OPERATOR, clock=asyncio.get_running_loop().time)
        self.writer, self.lookout, self.plans = Writer(), Lookout(), []
        self.planner = Planner(self.fleet, self.writer, told=self.plans.append)
        self.streams = Streams(self.fleet, wake=self.planner.wake, lookout=self.lookout)
        self.fleet.keep_pools([speech_pool(warmSize=1)])
        self.fleet.keep_pods([POD])
        self.cell = Cell()

    async def start(self):
        self.planner.start()
        self.connect(POD)
        await settle()
        return self

    def connect(self, pod):
        metadata = pod_manifest(pod.name)["metadata"]
        identity = PodIdentity(
            namespace=pod.namespace, name=pod.name, uid=pod.uid, service_account="", metadata=metadata, expires_at=0
        )
        self.streams.connected(identity, HELLO, self.cell)

    def change(self, **spec):
        self.fleet.put_pool(speech_pool(**spec))
        self.planner.wake()


def sent(cell):
    """What waits in a cell, which then is empty."""
    return None if cell.is_empty else cell.take()


async def test_a_change_goes_out_in_the_turn_in_which_it_came():
    control = await Control().start()
    assert isinstance(sent(control.cell), NewSettings)
    control.change(warmSize=2, generation=2)
    await asyncio.sleep(0)
    assert sent(control.cell).revision.generation == 2
    assert control.writer.statuses["calls", "voice"][0] == "pool-calls-voice"


async def test_all_events_of_one_turn_are_one_plan():
    control = await Control().start()
    before = len(control.plans)
    for generation in range(2, 10):
        control.change(warmSize=generation, generation=generation)
    await settle()
    assert len(control.plans) == before + 1
    assert sent(control.cell).revision.generation == 9


async def test_what_a_sidecar_says_reaches_its_objects_status():
    control = await Control().start()
    control.streams.said(POD.uid, control.cell, applied(sent(control.cell)))
    await asyncio.sleep(20)
    assert control.writer.statuses["calls", "voice"][1]["synced"] == 1
    control.streams.gone(POD.uid, control.cell)
    await settle()
    assert control.writer.statuses["calls", "voice"][1]["connected"] == 0


async def test_an_answer_that_says_nothing_new_plans_nothing_and_is_heard():
    control = await Control().start()
    state = applied(sent(control.cell))
    control.streams.said(POD.uid, control.cell, state)
    await settle()
    before = len(control.plans)
    for _ in range(5):
        await asyncio.sleep(4)
        control.streams.said(POD.uid, control.cell, state)
    assert len(control.plans) <= before + 2
    assert not control.fleet.members[POD.uid].late


async def test_a_sidecar_that_fell_silent_is_back_with_the_words_of_before():
    control = await Control().start()
    state = applied(sent(control.cell))
    control.streams.said(POD.uid, control.cell, state)
    await asyncio.sleep(30)
    control.streams.said(POD.uid, control.cell, state)
    await settle()
    kinds = {one["type"] for one in control.writer.statuses["calls", "voice"][1]["conditions"]}
    assert "Stale" not in kinds


async def test_time_alone_makes_plans_too():
    control = await Control().start()
    control.streams.said(POD.uid, control.cell, applied(sent(control.cell)))
    await asyncio.sleep(30)
    [stale] = [one for one in control.writer.statuses["calls", "voice"][1]["conditions"] if one["type"] == "Stale"]
    assert stale["status"] == "True"


async def test_an_operator_that_stood_still_blames_no_sidecar_for_it(monkeypatch):
    control = await Control().start()
    control.streams.said(POD.uid, control.cell, applied(sent(control.cell)))
    await asyncio.sleep(5)
    loop = asyncio.get_running_loop()
    due = control.planner._timer.when()
    monkeypatch.setattr(control.fleet, "clock", lambda: loop.time() + 300)
    control.planner._due(due)
    assert not control.fleet.members[POD.uid].late


async def test_nothing_is_planned_before_it_starts_and_after_it_stops():
    control = Control()
    control.connect(POD)
    await asyncio.sleep(100)
    assert control.plans == []
    control.planner.start()
    await settle()
    assert sent(control.cell)
    control.planner.stop()
    control.change(warmSize=2, generation=2)
    await asyncio.sleep(100)
    assert sent(control.cell) is None


async def test_the_stream_of_a_pod_that_is_gone_gets_its_farewell():
    control = await Control().start()
    control.fleet.drop_pod(POD.uid)
    control.planner.wake()
    await settle()
    assert control.cell.reason.startswith("PodGone:")


async def test_a_plan_that_fails_is_made_again_whole_with_growing_pauses(monkeypatch, caplog):
    control = await Control().start()
    control.change(warmSize=2, generation=2)
    calls, real = [], planners.plan

    def failing(fleet):
        calls.append(asyncio.get_running_loop().time())
        made = real(fleet)  # what it decided is lost
        if len(calls) < 5:
            raise RuntimeError("no plan")
        return made

    monkeypatch.setattr(planners, "plan", failing)
    await asyncio.sleep(20)
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls[:5])]
    assert pauses[-1] > pauses[0]
    assert sent(control.cell).revision.generation == 2
    assert [one.message for one in caplog.records] == ["plan failed"] * 4
    monkeypatch.setattr(planners, "plan", real)
    control.change(warmSize=3, generation=3)
    await settle()
    assert sent(control.cell).revision.generation == 3


async def test_events_do_not_hurry_a_plan_that_failed(monkeypatch):
    control = await Control().start()
    calls = []

    def failing(fleet):
        calls.append(fleet)
        raise RuntimeError("no plan")

    monkeypatch.setattr(planners, "plan", failing)
    for _ in range(1000):
        control.planner.wake()
        await asyncio.sleep(0.05)
    assert len(calls) <= 20


@pytest.mark.parametrize("watched", [True, False])
async def test_a_pod_that_no_watch_tells_of_is_looked_at(watched):
    control = await Control().start()
    if not watched:
        control.connect(a_pod("other"))
    assert [pod.name for pod in control.lookout.pods] == ([] if watched else ["other"])
