"""kopf beside the ledger, on a real API server, behind a gateway that lets it hear nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from tests.e2e.api_gateway import Gateway, open_gateway
from tests.e2e.sidecars import Calls

from speechpool_operator import kopf_thread
from speechpool_operator.fleet import Fleet
from speechpool_operator.health import Health
from speechpool_operator.kopf_thread import KopfThread
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.ledger import Ledger

PATIENCE_SECONDS = 60.0


class Watching:
    """A fleet that a ledger and a kopf keep true, kopf through the gateway."""

    def __init__(self, client: KubeClient, gate: Gateway, namespace: str) -> None:
        self.changed = asyncio.Event()
        self.fleet = Fleet("operator", clock=asyncio.get_running_loop().time)
        self.ledger = Ledger(client, self.fleet, wake=self.changed.set, namespace=namespace)
        self.kopf = KopfThread(gate.access, self.ledger, namespace=namespace)

    def sizes(self) -> dict[str, int]:
        return {
            name: entry.pool.spec.settings["pools"][0]["warmSize"] for (_, name), entry in self.fleet.entries.items()
        }

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()


@contextlib.asynccontextmanager
async def watching(calls: Calls) -> AsyncIterator[tuple[Watching, Gateway]]:
    access = from_kubeconfig(calls.api.kubeconfig())
    async with open_gateway(calls.api) as gate, KubeClient(access) as client:
        made = Watching(client, gate, calls.name)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (made.ledger.run(), made.kopf.run())]
            yield made, gate
            for each in tasks:
                each.cancel()


@pytest.fixture
def calls(pools_api):
    return Calls(pools_api)


async def test_it_tells_what_is_there_what_changes_and_what_goes(calls):
    await asyncio.to_thread(calls.apply, "first", 2)
    async with watching(calls) as (made, _):
        await made.until(lambda: made.fleet.pools_known and made.sizes() == {"first": 2})
        await asyncio.to_thread(calls.apply, "second", 3)
        await asyncio.to_thread(calls.apply, "first", 4)
        await made.until(lambda: made.sizes() == {"first": 4, "second": 3})
        await asyncio.to_thread(calls.delete, "first")
        await made.until(lambda: made.sizes() == {"second": 3})
        assert made.kopf.restarts == 0


async def test_without_any_object_all_is_known(calls):
    async with watching(calls) as (made, _):
        await made.until(lambda: made.fleet.pools_known)
        assert made.sizes() == {}


async def test_a_silent_kopf_holds_up_nobody_is_noticed_and_is_started_anew(calls, monkeypatch):
    monkeypatch.setattr(kopf_thread, "LAG_SECONDS", 4.0)
    await asyncio.to_thread(calls.apply, "first", 2)
    async with watching(calls) as (made, gate):
        never = lambda: False  # noqa: E731 -- one expression
        health = Health({"kopf": (made.kopf, 0.5)}, never, never, never, never)
        await made.until(lambda: made.fleet.pools_known)
        assert health.silent() == []
        gate.is_flowing.clear()
        await asyncio.to_thread(calls.apply, "first", 3)
        await asyncio.to_thread(calls.apply, "second", 4)
        await made.until(lambda: made.sizes() == {"first": 3, "second": 4})
        await made.until(lambda: health.silent() != [])
        assert "watch kopf" in health.silent()[0]
        await asyncio.to_thread(calls.delete, "second")
        await made.until(lambda: made.sizes() == {"first": 3})
        await made.until(lambda: made.kopf.restarts > 0)
        gate.is_flowing.set()
        await made.until(lambda: made.kopf.is_listed)
        await asyncio.to_thread(calls.apply, "first", 5)
        await made.until(lambda: made.sizes() == {"first": 5} and health.silent() == [])
