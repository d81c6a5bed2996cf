"""What the operator offers: which of it is applied, and what is told of it."""

import asyncio
import contextlib

import pytest
from tests.virtual import VIRTUAL, settle

from speechpool.config import ConfigStore
from speechpool.config.operator_source import OperatorSource, is_older
from speechpool.errors import EngineUnavailable
from speechpool.settings import Layer, Source
from speechpool.settings.wire import Applying, NewSettings, NoSettings, Revision, spec_hash

pytestmark = VIRTUAL


def revision(generation, uid="a", content=""):
    return Revision(uid=uid, generation=generation, hash=content or str(generation))


def offer(generation, uid="a", **spec):
    return NewSettings(name="calls/voice", revision=revision(generation, uid, spec_hash(spec)), spec=spec)


class Applier:
    """Stands for the running sidecar: notes the warm sizes that it gets; may be slow, or refuse."""

    def __init__(self):
        self.sizes = []
        self.gate = None
        self.refusal = None

    async def __call__(self, old, new):
        if self.gate:
            await self.gate.wait()
        if self.refusal:
            raise self.refusal
        self.sizes.append(new.pools[0].warm_pool_size)


class Kept:
    """Stands for the disk."""

    def __init__(self, settings=None):
        self.settings = settings

    async def read(self):
        return self.settings

    def keep(self, settings):
        self.settings = settings


class World:
    def __init__(self, *layers, kept=None):
        self.store = ConfigStore(layers)
        self.applier = Applier()
        self.kept = Kept(kept)
        self.source = OperatorSource(self.store, self.kept)
        self.store.bind(self.applier, self.source.on_update)
        self.changes = 0
        self.source.on_change(self.changed)

    def changed(self):
        self.changes += 1

    async def offered(self, *messages):
        for message in messages:
            self.source.offer(message)
        await settle()
        return self.source.state()


@contextlib.asynccontextmanager
async def running(*layers, kept=None):
    world = World(*layers, kept=kept)
    task = asyncio.create_task(world.source.run())
    yield world
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("known", "offered", "older"),
    [
        (None, revision(1), False),
        (revision(2), revision(1), True),
        (revision(2), revision(2), False),
        (revision(2), revision(3), False),
        (revision(2, content="x"), revision(2, content="y"), False),
        (revision(2, "a"), revision(1, "b"), False),
    ],
)
def test_older_is_an_earlier_generation_of_the_same_object(known, offered, older):
    assert is_older(known, offered) is older


async def test_an_offer_is_applied_and_told():
    async with running() as world:
        state = await world.offered(offer(3, warmSize=5))
        assert (state.state, state.offered, state.applied) == (Applying.APPLIED, *[offer(3, warmSize=5).revision] * 2)
        assert state.applied_at
        assert world.applier.sizes == [5]
        assert world.changes > 0


async def test_while_one_is_applied_only_the_newest_waits():
    async with running() as world:
        world.applier.gate = asyncio.Event()
        assert (await world.offered(offer(1, warmSize=1))).state is Applying.APPLYING
        state = await world.offered(*(offer(number, warmSize=number) for number in (2, 3, 4)))
        assert (state.state, state.offered.generation, state.applied) == (Applying.APPLYING, 4, None)
        world.applier.gate.set()
        await settle()
        assert world.applier.sizes == [1, 4]
        assert world.source.state().applied.generation == 4


async def test_an_older_one_is_ignored_even_after_a_refusal():
    async with running() as world:
        await world.offered(offer(1, warmSize=5))
        await world.offered(offer(3, warmSize=5000))
        state = await world.offered(offer(2, warmSize=6))
        assert (state.state, state.offered.generation, state.applied.generation) == (Applying.REJECTED, 3, 1)
        assert world.applier.sizes == [5]


async def test_an_object_made_again_is_no_older_one():
    async with running() as world:
        await world.offered(offer(9, warmSize=5))
        assert (await world.offered(offer(1, uid="b", warmSize=6))).applied.uid == "b"


async def test_a_new_generation_with_equal_settings_is_told_and_not_applied_again():
    async with running() as world:
        await world.offered(offer(1, warmSize=5))
        assert (await world.offered(offer(2, warmSize=5))).applied.generation == 2
        assert world.applier.sizes == [5]


@pytest.mark.parametrize("spec", [{"warmSize": 5000}, {"socket": "/x"}, {"nope": 1}, {"warmSize": 5, "maxSize": 4}])
async def test_what_is_wrong_is_refused_as_a_whole(spec):
    async with running() as world:
        await world.offered(offer(1, warmSize=5))
        state = await world.offered(offer(2, warmupIntervalSeconds=9, **spec))
        assert (state.state, state.applied.generation) == (Applying.REJECTED, 1)
        assert next(iter(spec)) in state.error
        assert len(state.error) <= 1024
        assert (world.applier.sizes, world.source.nacks) == ([5], 1)
        assert world.kept.settings == offer(1, warmSize=5)


async def test_what_the_sidecar_refuses_is_told():
    async with running() as world:
        world.applier.refusal = EngineUnavailable("no engine")
        state = await world.offered(offer(1, warmSize=5))
        assert (state.state, state.error, state.applied) == (Applying.REJECTED, "no engine", None)


async def test_a_refusal_that_another_source_makes_good_is_told():
    async with running(Layer(source=Source.FILE, values={"max_size": 4})) as world:
        assert (await world.offered(offer(1, warmSize=5))).state is Applying.REJECTED
        changes = world.changes
        await world.store.update(Layer(source=Source.FILE, values={"max_size": 8}))
        assert world.source.state().state is Applying.APPLIED
        assert world.source.applied == offer(1, warmSize=5).revision
        assert world.changes > changes
        assert world.kept.settings == offer(1, warmSize=5)


async def test_the_time_is_that_of_the_change():
    async with running() as world:
        first = await world.offered(offer(1, warmSize=5))
        assert (await world.offered(offer(1, warmSize=5))).applied_at == first.applied_at
        assert (await world.offered(NoSettings())).applied_at == ""


async def test_without_an_object_the_weaker_sources_hold_and_nothing_is_kept():
    async with running(Layer(source=Source.ENVIRONMENT, values={"warm_pool_size": 2})) as world:
        await world.offered(offer(1, warmSize=5))
        assert world.kept.settings == offer(1, warmSize=5)
        state = await world.offered(NoSettings())
        assert (state.state, state.offered, state.applied) == (Applying.APPLIED, None, None)
        assert world.applier.sizes == [5, 2]
        assert world.kept.settings is None


async def test_after_none_any_generation_is_new():
    async with running() as world:
        await world.offered(offer(5, warmSize=5), NoSettings())
        assert (await world.offered(offer(4, warmSize=6))).applied.generation == 4


async def test_the_last_good_settings_hold_until_the_operator_answers():
    async with running(kept=offer(4, warmSize=5)) as world:
        await world.source.restore()
        assert world.source.state().applied.generation == 4
        assert world.applier.sizes == [5]
        assert (await world.offered(offer(3, warmSize=6))).applied.generation == 4
        assert (await world.offered(offer(5, warmSize=6))).applied.generation == 5


async def test_last_good_settings_that_no_longer_fit_are_refused_and_harm_nobody():
    async with running(Layer(source=Source.FILE, values={"max_size": 4}), kept=offer(4, warmSize=5)) as world:
        await world.source.restore()
        state = world.source.state()
        assert (state.state, state.offered.generation, state.applied) == (Applying.REJECTED, 4, None)
        assert world.store.current.pools[0].warm_pool_size == 3


async def test_values_name_their_object():
    async with running() as world:
        await world.offered(offer(4, warmSize=5))
        shown = world.store.describe()
        assert shown["provenance"]["pools[tts].warmSize"] == {
            "source": "operator",
            "name": "warmSize",
            "object": "calls/voice",
            "uid": "a",
            "generation": 4,
        }
        assert shown["provenance"]["pools[tts].maxSize"] == {"source": "default", "name": None}
