"""Which objects there are, whatever kopf tells and in whatever order."""

import asyncio
import contextlib

from tests.unit.control.fleets import OPERATOR, pool_manifest, speech_pool
from tests.virtual import VIRTUAL

from speechpool_operator import ledger as ledgers
from speechpool_operator.fleet import Fleet
from speechpool_operator.kube import KubeError
from speechpool_operator.ledger import Ledger, read_line

pytestmark = VIRTUAL


class Api:
    """Objects that can be asked for."""

    def __init__(self):
        self.objects = {}
        self.asked = []

    async def get(self, path, **_):
        self.asked.append(path)
        if path not in self.objects:
            raise KubeError(404, "NotFound", "")
        return self.objects[path]


class World:
    def __init__(self):
        self.api, self.wakes = Api(), 0
        self.fleet = Fleet(OPERATOR, clock=asyncio.get_running_loop().time)
        self.ledger = Ledger(self.api, self.fleet, wake=self.wake)

    def wake(self):
        self.wakes += 1

    @property
    def names(self):
        return {name for _, name in self.fleet.entries}


def line(manifest):
    found = read_line(manifest)
    assert found
    return found


def pair(name="voice", **kwargs):
    """An object as the ledger's watch and as kopf tell of it."""
    manifest = pool_manifest(name, **kwargs)
    return line(manifest), speech_pool(name, version=manifest["metadata"]["resourceVersion"], **kwargs)


async def test_nothing_is_known_before_both_have_told():
    world = World()
    a_line, a_pool = pair("a")
    world.ledger.kopf_has(a_pool)
    assert (world.names, world.fleet.pools_known) == ({"a"}, False)
    b_line, b_pool = pair("b")
    world.ledger.listed([a_line, b_line])
    assert not world.fleet.pools_known
    world.ledger.kopf_has(b_pool)
    assert world.fleet.pools_known


async def test_an_empty_list_is_knowledge():
    world = World()
    world.ledger.listed([])
    assert world.fleet.pools_known


async def test_what_a_list_does_not_hold_any_more_is_gone():
    world = World()
    pairs = [pair(name) for name in "abc"]
    world.ledger.listed([one for one, _ in pairs])
    for _, pool in pairs:
        world.ledger.kopf_has(pool)
    world.ledger.listed([pairs[1][0]])
    assert world.names == {"b"}


async def test_a_late_echo_does_not_bring_an_object_back():
    world = World()
    a_line, a_pool = pair()
    world.ledger.listed([a_line])
    world.ledger.kopf_has(a_pool)
    _, edited = pair(generation=2)
    world.ledger.deleted(line(pool_manifest()))  # at a later version
    world.ledger.kopf_has(edited)
    assert world.names == set()


async def test_a_write_that_is_answered_after_its_object_is_gone_does_not_bring_it_back():
    world = World()
    a_line, a_pool = pair()
    world.ledger.listed([a_line])
    world.ledger.kopf_has(a_pool)
    _, answer = pair(status={"synced": 1})
    world.ledger.deleted(line(pool_manifest()))
    world.ledger.written(answer)
    assert world.names == set()


async def test_what_kopf_tells_first_counts_at_once():
    world = World()
    world.ledger.listed([])
    a_line, a_pool = pair()
    world.ledger.kopf_has(a_pool)
    assert world.names == {"voice"}
    world.ledger.changed(a_line)
    assert world.ledger.lag_seconds == 0


async def test_a_namesake_takes_the_place():
    world = World()
    old_line, old = pair(uid="1")
    world.ledger.listed([old_line])
    world.ledger.kopf_has(old)
    new_line, new = pair(uid="2")
    world.ledger.changed(new_line)
    assert world.names == set()
    world.ledger.kopf_has(new)
    world.ledger.kopf_lost(old)
    assert [entry.pool.uid for entry in world.fleet.entries.values()] == ["2"]


async def test_kopf_is_silent_from_the_first_that_it_owes_and_the_last_that_it_told_of():
    world = World()
    world.ledger.listed([])
    a_line, a_pool = pair("a")
    b_line, b_pool = pair("b")
    world.ledger.changed(a_line)
    await asyncio.sleep(3)
    world.ledger.changed(b_line)
    await asyncio.sleep(4)
    assert world.ledger.lag_seconds == 7
    world.ledger.kopf_has(a_pool)
    await asyncio.sleep(2)
    assert world.ledger.lag_seconds == 2
    world.ledger.forgive()
    assert world.ledger.lag_seconds == 0
    await asyncio.sleep(1)
    assert world.ledger.lag_seconds == 1
    world.ledger.kopf_has(b_pool)
    assert world.ledger.lag_seconds == 0


async def test_kopf_is_not_silent_while_it_lists_thousands():
    world = World()
    pairs = [pair(f"pool-{n}") for n in range(50)]
    world.ledger.listed([one for one, _ in pairs])
    for _, pool in pairs:
        await asyncio.sleep(1)
        assert world.ledger.lag_seconds <= 1
        world.ledger.kopf_has(pool)
    assert world.ledger.lag_seconds == 0


async def test_what_kopf_does_not_tell_of_is_asked_for_once_and_kopf_stays_behind():
    world = World()
    manifest = pool_manifest()
    world.api.objects["/apis/speechpool.dev/v1alpha1/namespaces/calls/speechpools/voice"] = manifest
    world.ledger.listed([line(manifest), line(pool_manifest("gone"))])
    task = asyncio.create_task(world.ledger._fetch_late())
    await asyncio.sleep(ledgers.FETCH_AFTER_SECONDS * 5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert world.names == {"voice"}
    assert len([path for path in world.api.asked if path.endswith("voice")]) == 1
    assert world.ledger.lag_seconds > ledgers.LAG_SECONDS / 2


async def test_what_is_no_object_is_left_out():
    world = World()
    world.ledger.listed([None, read_line({}), read_line({"metadata": {"name": "x"}})])
    world.ledger.changed(None)
    world.ledger.deleted(None)
    assert world.fleet.pools_known
