"""The API client and its watch, on a real API server and on one that has its bad days."""

import asyncio
import contextlib

import pytest
import uvloop
from tests.e2e.api_gateway import CLOSE, HANG, open_gateway

from speechpool_operator import kube, kube_list, kube_watch
from speechpool_operator.kube import METADATA, KubeClient, KubeError, KubeUnavailable
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.kube_watch import Watch

LABEL = "speechpool.dev/injected=true"


class Names:
    """A sink that knows which objects there are, and whether each has been seen changed."""

    def __init__(self):
        self.there = {}
        self.lists = 0
        self.happened = asyncio.Event()

    def listed(self, items):
        self.there = dict(items)
        self.lists += 1
        self.happened.set()

    def changed(self, item):
        self.there[item[0]] = item[1]
        self.happened.set()

    def deleted(self, item):
        del self.there[item[0]]
        self.happened.set()

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition(self):
                self.happened.clear()
                await self.happened.wait()


def read(manifest):
    return manifest["metadata"]["name"], (manifest["metadata"].get("annotations") or {}).get("seen", "")


@contextlib.asynccontextmanager
async def watching(client, namespace, **options):
    names = Names()
    watch = Watch(
        client, f"/api/v1/namespaces/{namespace}/pods", read=read, sink=names, label_selector=LABEL, **options
    )
    running = asyncio.ensure_future(watch.run())
    try:
        await names.until(lambda it: it.lists)
        yield names, watch
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


@contextlib.asynccontextmanager
async def faulty_watch(api, namespace, **options):
    """A watch through a gateway that can be told to fail."""
    async with (
        open_gateway(api) as faulty,
        KubeClient(faulty.access) as client,
        watching(client, namespace, **options) as (names, watch),
    ):
        yield faulty, names, watch


async def restarted(watch, times=1):
    """Wait until it was begun anew so often."""
    async with asyncio.timeout(60):
        while watch.restarts < times:  # noqa: ASYNC110 -- a count, which is told to nobody
            await asyncio.sleep(0.05)


@pytest.fixture
async def client(api):
    async with KubeClient(from_kubeconfig(api.kubeconfig())) as made:
        yield made


@pytest.fixture
def injected(api):
    """Makes a pod with the label that the watch asks for."""

    def make(namespace, name):
        return api.pod(namespace, name, labels={"speechpool.dev/injected": "true"})

    return make


def annotate(api, namespace, name, seen):
    api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}", {"metadata": {"annotations": {"seen": seen}}})


async def test_objects_are_got_created_patched_and_replaced(api, client):
    path = f"/api/v1/namespaces/{api.namespace()}/configmaps"
    made = await client.create(path, {"metadata": {"name": "one"}, "data": {"a": "1", "b": "2"}})
    assert (await client.merge_patch(f"{path}/one", {"data": {"a": None}}))["data"] == {"b": "2"}
    with pytest.raises(KubeError) as conflict:
        await client.replace(f"{path}/one", made)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    metadata = await client.get(f"{path}/one", accept=METADATA)
    assert metadata["metadata"]["name"] == "one"
    assert "data" not in metadata
    with pytest.raises(KubeError, match="404 NotFound"):
        await client.get(f"{path}/two")


async def test_a_token_of_a_kubeconfig_says_who_asks(api):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one", audience="https://kubernetes.default.svc")
    async with KubeClient(from_kubeconfig(api.kubeconfig(token=token, name="reader"))) as client:
        with pytest.raises(KubeError, match=f"system:serviceaccount:{namespace}:default") as refused:
            await client.get(f"/api/v1/namespaces/{namespace}/secrets")
        assert refused.value.status == 403


@pytest.mark.parametrize("fault", [(429, {"retry-after": "0"}), (500, {}), (503, {}), CLOSE], ids=str)
async def test_a_fault_that_passes_is_not_seen(api, fault):
    async with open_gateway(api) as faulty, KubeClient(faulty.access) as client:
        faulty.fail(fault, 3)
        assert (await client.get("/api/v1/namespaces/default"))["metadata"]["name"] == "default"
        assert len(faulty.seen) == 4


async def test_a_silent_connection_gives_way_to_another(api, monkeypatch):
    monkeypatch.setattr(kube, "ATTEMPT_SECONDS", 0.2)
    async with open_gateway(api) as faulty, KubeClient(faulty.access) as client:
        faulty.fail(HANG)
        assert (await client.get("/api/v1/namespaces/default"))["metadata"]["name"] == "default"


async def test_what_stays_is_told(api, monkeypatch):
    monkeypatch.setattr(kube, "MAX_BACKOFF_SECONDS", 0.01)
    async with open_gateway(api) as faulty, KubeClient(faulty.access) as client:
        faulty.fail((500, {}), 100)
        with pytest.raises(KubeError, match="500 Fault: a fault"):
            await client.get("/api/v1/namespaces/default")
        faulty.fail(CLOSE, 100)
        with pytest.raises(KubeError):
            await client.get("/api/v1/namespaces/default")
        faulty.forgive()
        faulty.fail(CLOSE, 100)
        with pytest.raises(KubeUnavailable, match="ServerDisconnectedError"):
            await client.get("/api/v1/namespaces/default")


async def test_a_refusal_is_not_tried_again(api):
    async with open_gateway(api) as faulty, KubeClient(faulty.access) as client:
        faulty.fail((403, {}))
        with pytest.raises(KubeError, match="403"):
            await client.get("/api/v1/namespaces/default")
        assert len(faulty.seen) == 1


async def test_a_redirect_is_not_followed_with_the_token(api):
    async with open_gateway(api) as faulty, KubeClient(faulty.access) as client:
        faulty.fail((302, {"location": "http://127.0.0.1:1/"}))
        with pytest.raises(KubeError, match="302"):
            await client.get("/api/v1/namespaces/default")


async def test_the_watch_knows_what_is_there_and_what_changes(api, client, injected):
    namespace = api.namespace()
    injected(namespace, "before")
    api.pod(namespace, "another")  # without the label
    async with watching(client, namespace) as (names, watch):
        assert names.there == {"before": ""}
        injected(namespace, "after")
        await names.until(lambda it: "after" in it.there)
        annotate(api, namespace, "after", "changed")
        await names.until(lambda it: it.there["after"] == "changed")
        api.delete(f"/api/v1/namespaces/{namespace}/pods/before", grace_seconds=0)
        await names.until(lambda it: "before" not in it.there)
        api.patch(f"/api/v1/namespaces/{namespace}/pods/after", {"metadata": {"labels": None}})
        await names.until(lambda it: not it.there)
        assert watch.is_listed
        assert watch.age_seconds < 60
        assert names.lists == 1


async def test_a_long_list_comes_in_pages(api, injected, monkeypatch):
    monkeypatch.setattr(kube_list, "PAGE_OBJECTS", 3)
    namespace = api.namespace()
    for number in range(10):
        injected(namespace, f"pod-{number}")
    async with faulty_watch(api, namespace) as (faulty, names, _):
        assert len(names.there) == 10
        assert len([seen for seen in faulty.seen if "limit=3" in seen]) == 4


async def test_an_event_larger_than_a_read_buffer_is_read(api, client, injected):
    namespace = api.namespace()
    injected(namespace, "one")
    async with watching(client, namespace) as (names, _):
        annotate(api, namespace, "one", "x" * 200_000)
        await names.until(lambda it: len(it.there["one"]) == 200_000)


async def test_a_watch_that_ends_goes_on_where_it_was(api, injected, monkeypatch):
    monkeypatch.setattr(kube_watch, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(kube_watch, "SERVER_SECONDS", 1.25)
    namespace = api.namespace()
    injected(namespace, "one")
    async with faulty_watch(api, namespace) as (_, names, watch):
        await names.until(lambda it: it.there)
        await restarted(watch, times=2)
        annotate(api, namespace, "one", "again")
        await names.until(lambda it: it.there["one"] == "again")
        assert names.lists == 1


async def test_after_410_the_list_is_read_again(api, injected, monkeypatch):
    monkeypatch.setattr(kube_watch, "FIRST_BACKOFF_SECONDS", 0.01)
    namespace = api.namespace()
    injected(namespace, "one")
    async with faulty_watch(api, namespace) as (faulty, names, _):
        faulty.end_watches()
        await names.until(lambda it: it.lists == 2)
        annotate(api, namespace, "one", "after")
        await names.until(lambda it: it.there["one"] == "after")


@pytest.mark.parametrize("fault", [(429, {"retry-after": "0"}), (410, {}), (500, {}), (401, {}), CLOSE], ids=str)
async def test_a_watch_outlives_what_the_api_server_answers(api, injected, monkeypatch, fault):
    monkeypatch.setattr(kube_watch, "FIRST_BACKOFF_SECONDS", 0.01)
    namespace = api.namespace()
    injected(namespace, "one")
    async with faulty_watch(api, namespace) as (faulty, names, _):
        faulty.fail(fault, 4)
        faulty.end_watches({"type": "ERROR", "object": {"kind": "Status", "code": 500}})
        annotate(api, namespace, "one", "after")
        await names.until(lambda it: it.there["one"] == "after")
        assert not faulty.owes


async def test_a_watch_that_died_silently_is_begun_anew(api, injected):
    namespace = api.namespace()
    injected(namespace, "one")
    async with faulty_watch(api, namespace, inactivity_seconds=0.5) as (faulty, names, watch):
        faulty.is_flowing.clear()
        annotate(api, namespace, "one", "unheard")
        await restarted(watch)
        faulty.is_flowing.set()
        await names.until(lambda it: it.there["one"] == "unheard")


def test_a_watch_outlives_the_death_of_the_api_server_and_of_etcd(stormy_api, monkeypatch):
    """On uvloop, as the operator runs: asyncio leaves the transport of a TLS handshake that was reset unclosed."""
    monkeypatch.setattr(kube_watch, "MAX_BACKOFF_SECONDS", 0.5)

    async def outlive(api, namespace):
        async with KubeClient(from_kubeconfig(api.kubeconfig())) as client, watching(client, namespace) as (names, _):
            await asyncio.to_thread(api.kill)
            await asyncio.to_thread(api.start)
            await asyncio.to_thread(annotate, api, namespace, "one", "after")
            await names.until(lambda it: it.there.get("one") == "after")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        namespace = stormy_api.namespace()
        stormy_api.pod(namespace, "one", labels={"speechpool.dev/injected": "true"})
        runner.run(outlive(stormy_api, namespace))
