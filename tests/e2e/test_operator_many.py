"""Sixty streams on one operator, each with its own token: all have what they should, also after it was away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.cluster.operators import Operator
from tests.e2e.sidecars import Calls

from speechpool.config import ConfigStore
from speechpool.config.operator_connection import Place
from speechpool.config.operator_source import Usage
from speechpool.config.operator_stream import OperatorStream
from speechpool.settings import Address
from speechpool.settings.wire import PoolState

SIDECARS = 60
PATIENCE_SECONDS = 60.0


class Many:
    """The sidecars' sides of the streams of all pods of a namespace; each applies what it gets at once."""

    def __init__(self, calls: Calls, operator: Operator, directory: Path) -> None:
        self.calls = calls
        self.changed = asyncio.Event()
        self.stores = [ConfigStore([]) for _ in range(SIDECARS)]
        port = int(operator.address.rpartition(":")[2])
        self.streams = []
        for number, store in enumerate(self.stores):
            token = directory / f"token-{number}"
            token.write_text(calls.api.token(calls.name, f"pod-{number}"))
            place = Place(address=Address("127.0.0.1", port), ca_file=str(operator.ca_file), token_file=str(token))
            stream = OperatorStream(store, place, usage=self.usage, version="0.1.0")
            store.bind(self.apply, stream.on_update)
            self.streams.append(stream)

    @staticmethod
    def usage() -> Usage:
        return Usage(pools={"tts": PoolState(warm=1, wanted=1, ready=True)}, sessions=0, busy=0)

    async def apply(self, old: object, new: object) -> None:
        self.changed.set()

    def sizes(self) -> set[int]:
        return {store.current.pools[0].warm_pool_size for store in self.stores}

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; looked at when a sidecar has applied something, and now and then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self.changed.wait()


@contextlib.asynccontextmanager
async def following(calls: Calls, operator: Operator, directory: Path) -> AsyncIterator[Many]:
    many = Many(calls, operator, directory)
    tasks = [asyncio.create_task(stream.run()) for stream in many.streams]
    try:
        yield many
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def calls(pools_api):
    made = Calls(pools_api)
    for number in range(SIDECARS):
        made.pod(f"pod-{number}")
    return made


async def test_all_get_each_change_and_a_burst_ends_with_the_last(calls, start_operator, tmp_path):
    operator = await asyncio.to_thread(start_operator)
    async with following(calls, operator, tmp_path) as many:
        await asyncio.to_thread(calls.apply, "voice", 2)
        await many.until(lambda: many.sizes() == {2})
        counts = {"matched": SIDECARS, "connected": SIDECARS, "synced": SIDECARS}
        await asyncio.to_thread(calls.becomes, "voice", Ready="True/AllWarm", counts=counts)
        path = f"{calls.path}/voice"
        for size in range(3, 30):
            pools = [{"name": "tts", "kind": "TextToSpeech", "warmSize": size}]
            await asyncio.to_thread(calls.api.patch, path, {"spec": {"pools": pools}})
        await many.until(lambda: many.sizes() == {29})
        await asyncio.to_thread(calls.becomes, "voice", Synced="True/AllSynced", counts={"synced": SIDECARS})
        assert {one["sessions"] for one in operator.sidecars(calls.name).values()} == {0}


async def test_all_come_back_to_an_operator_that_was_killed_and_none_is_left_with_what_was(
    calls, start_operator, tmp_path
):
    first = await asyncio.to_thread(start_operator)
    await asyncio.to_thread(calls.apply, "voice", 2)
    async with following(calls, first, tmp_path) as many:
        await many.until(lambda: many.sizes() == {2})
        await asyncio.to_thread(first.kill)
        await asyncio.to_thread(calls.apply, "voice", 3)
        assert many.sizes() == {2}
        second = await asyncio.to_thread(start_operator, namespace=first.namespace, listen=first.address)
        await many.until(lambda: many.sizes() == {3})
        counts = {"connected": SIDECARS, "synced": SIDECARS, "missing": 0}
        await asyncio.to_thread(calls.becomes, "voice", Synced="True/AllSynced", without="Stale", counts=counts)
        assert len(second.sidecars(calls.name)) == SIDECARS
