"""The ConfigMaps that tell sidecars whom to trust, on a real API server with the rights of an operator."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import pytest
from tests.cluster.apiserver import ApiError, ApiServer
from tests.e2e import injectors

from speechpool_operator import ca_publisher
from speechpool_operator.ca_publisher import CaPublisher
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import access

OF_THE_NAME = ("get", "list", "watch", "patch")


@pytest.fixture
def kubeconfig(api: ApiServer) -> str:
    """What the chart gives to the operator of ConfigMaps, and nothing else."""
    return with_rights(api, OF_THE_NAME)


def with_rights(api: ApiServer, of_the_name: Sequence[str]) -> str:
    namespace = api.namespace()
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    rules = [{**maps, "verbs": ["create"]}, {**maps, "resourceNames": ["speechpool-ca"], "verbs": list(of_the_name)}]
    rbac, name = "/apis/rbac.authorization.k8s.io/v1", {"name": f"publisher-{namespace}"}
    api.post(f"{rbac}/clusterroles", {"metadata": name, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **name}
    account = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    api.post(f"{rbac}/clusterrolebindings", {"metadata": name, "roleRef": role, "subjects": [account]})
    token = api.token(namespace, None, audience="https://kubernetes.default.svc")
    return str(api.kubeconfig(token=token, name=name["name"]))


@contextlib.asynccontextmanager
async def publishing(kubeconfig: str, ca: Callable[[], str], places: Iterable[str] = ()) -> AsyncIterator[CaPublisher]:
    async with KubeClient(access(kubeconfig)) as client:
        publisher = CaPublisher(client, ca=ca, places=places)
        task = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def read(api: ApiServer, namespace: str) -> str:
    try:
        return str(
            (api.get(f"/api/v1/namespaces/{namespace}/configmaps/speechpool-ca").get("data") or {}).get("ca.crt")
        )
    except ApiError:
        return ""


async def eventually(api: ApiServer, namespace: str, text: str) -> None:
    await asyncio.to_thread(injectors.eventually, lambda: read(api, namespace) == text)


async def test_each_namespace_with_sidecars_is_told_and_told_again(
    api: ApiServer, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca_publisher, "LOOK_SECONDS", 0.1)
    one, two, empty = api.namespace(), api.namespace(), api.namespace()
    api.post(f"/api/v1/namespaces/{empty}/configmaps", {"metadata": {"name": "speechpool-ca"}})  # as the chart makes it
    text = ["first"]
    async with publishing(kubeconfig, lambda: text[0]) as publisher:
        publisher.want([one, empty])
        await eventually(api, one, "first")
        await eventually(api, empty, "first")
        assert await asyncio.to_thread(read, api, two) == ""
        publisher.want([one, two])
        await eventually(api, two, "first")
        text[0] = "second"
        await eventually(api, one, "second")
        await eventually(api, two, "second")
        assert await asyncio.to_thread(read, api, empty) == "first"  # nobody there needs it any more
        assert not publisher.failed


def overwritten(api: ApiServer, namespace: str) -> None:
    api.patch(f"/api/v1/namespaces/{namespace}/configmaps/speechpool-ca", {"data": {"ca.crt": "other"}})


@pytest.mark.parametrize("is_bounded", [False, True], ids=["everywhere", "in two namespaces"])
async def test_what_somebody_changed_or_deleted_is_written_again_at_once(
    api: ApiServer, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, is_bounded: bool
) -> None:
    """The watch alone tells of it: no look by the clock comes within the test."""
    monkeypatch.setattr(ca_publisher, "LOOK_SECONDS", 3600.0)
    own, served = api.namespace(), api.namespace()
    async with publishing(kubeconfig, lambda: "text", places=[own, served] if is_bounded else ()) as publisher:
        publisher.want([own, served])
        for namespace in (own, served):
            await eventually(api, namespace, "text")
            await asyncio.to_thread(overwritten, api, namespace)
            await eventually(api, namespace, "text")
            await asyncio.to_thread(api.delete, f"/api/v1/namespaces/{namespace}/configmaps/speechpool-ca")
            await eventually(api, namespace, "text")
        assert not publisher.failed


async def test_where_the_watch_fails_it_looks_by_the_clock(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "RENEW_SECONDS"):
        monkeypatch.setattr(ca_publisher, name, 0.1)
    namespace = api.namespace()
    async with publishing(with_rights(api, ("get", "patch")), lambda: "text") as publisher:
        publisher.want([namespace])
        await eventually(api, namespace, "text")
        await asyncio.to_thread(overwritten, api, namespace)
        await eventually(api, namespace, "text")


async def test_what_fails_is_told_once(
    api: ApiServer, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ca_publisher, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(ca_publisher, "PAUSE_SECONDS", 0.05)
    async with publishing(kubeconfig, lambda: "text") as publisher:
        publisher.want(["a-gone"])
        await asyncio.to_thread(injectors.eventually, lambda: publisher.failed["NotFound"] > 2)
    told = [one for one in caplog.records if one.message == "authority not published"]
    assert len(told) == 1


async def test_one_namespace_that_is_gone_holds_up_no_other(
    api: ApiServer, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca_publisher, "LOOK_SECONDS", 0.1)
    namespace = api.namespace()
    async with publishing(kubeconfig, lambda: "text") as publisher:
        publisher.want(["a-gone", namespace])
        await eventually(api, namespace, "text")
        assert publisher.failed["NotFound"]


async def test_without_an_authority_nothing_is_written(
    api: ApiServer, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca_publisher, "LOOK_SECONDS", 0.05)
    namespace, looked = api.namespace(), asyncio.Event()
    looks: list[None] = []

    def unknown() -> str:
        looks.append(None)
        if len(looks) > 2:
            looked.set()
        return ""

    async with publishing(kubeconfig, unknown) as publisher:
        publisher.want([namespace])
        await asyncio.wait_for(looked.wait(), 60)
    assert read(api, namespace) == ""
