"""The upgrader on a real API server behind its real fence; the test is the kubelet, and says what the operator says."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer
from tests.e2e.upgrading import IMAGE, OLD, Fenced, fenced

from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.upgrade.settings import read_settings
from speechpool_operator.upgrade.upgrader import Upgrader


class Operator:
    """What the operator says of the sidecars."""

    def __init__(self) -> None:
        self.sidecars: dict[str, dict[str, Any]] = {}
        self.leads = True
        self.address = ""

    def knows(self, uid: str, **changes: Any) -> None:
        good = {"connected": True, "ready": True, "sessions": 0, "busy": 0}
        self.sidecars[uid] = {"namespace": "n", "pod": uid, "uid": uid} | good | changes

    async def answer(self, _: web.Request) -> web.Response:
        said = {"version": "0.1.0", "leader": self.leads, "known": True, "sidecars": list(self.sidecars.values())}
        return web.json_response(said)


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    made = Operator()
    application = web.Application()
    application.router.add_get("/sidecars", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def inside(api: ApiServer) -> Iterator[Fenced]:
    with fenced(api) as made:
        yield made


@contextlib.asynccontextmanager
async def upgrading(inside: Fenced, operator: Operator, **changes: str) -> AsyncIterator[Upgrader]:
    """An upgrader with the rights of its ServiceAccount."""
    values = {"IMAGE": IMAGE, "OPERATOR": operator.address, "WATCH_NAMESPACE": inside.namespace, "PER_MINUTE": "600"}
    settings = read_settings({f"SPEECHPOOL_UPGRADER_{name}": value for name, value in (values | changes).items()})
    way = from_kubeconfig(inside.api.kubeconfig(token=inside.token, name=inside.name))
    async with KubeClient(way) as client, aiohttp.ClientSession() as session:
        yield Upgrader(client, session, settings)


def events(inside: Fenced) -> list[tuple[str, str, str]]:
    listed = inside.api.get(f"/api/v1/namespaces/{inside.namespace}/events")["items"]
    return sorted((one["involvedObject"]["name"], one["type"], one["reason"]) for one in listed)


def voices(inside: Fenced, operator: Operator, *names: str, owner: str = "") -> dict[str, str]:
    """Pods whose sidecars run and are known; their uids."""
    uids = {}
    for name in names:
        uids[name] = inside.pod(name, owner=owner)
        inside.report(name, f"{name}-1")
        operator.knows(uids[name])
    return uids


async def test_one_after_the_other_is_brought_to_the_image(inside: Fenced, operator: Operator) -> None:
    uids = voices(inside, operator, "a", "b", owner="rs")
    async with upgrading(inside, operator) as upgrader:
        await upgrader.round()
        assert [inside.image(name) for name in "ab"] == [IMAGE, OLD]

        await upgrader.round()
        assert inside.image("b") == OLD  # the kubelet has not even begun

        inside.report("a", "a-2", restarts=1, started=False)
        operator.knows(uids["a"], connected=False, ready=False)
        await upgrader.round()
        assert inside.image("b") == OLD

        inside.report("a", "a-2", restarts=1)
        operator.knows(uids["a"])
        await asyncio.sleep(0.11)  # the rate: ten in a second
        await upgrader.round()
        assert inside.image("b") == IMAGE

    assert events(inside) == [("a", "Normal", "SidecarUpgraded"), ("b", "Normal", "SidecarUpgraded")]
    assert upgrader.measures.as_json()["stopped"] is None


@pytest.mark.parametrize("said", [{"sessions": 1}, {"busy": 2}, {"sessions": None}, {"ready": False}], ids=str)
async def test_none_with_sessions_and_none_that_is_not_well(inside: Fenced, operator: Operator, said: Any) -> None:
    uids = voices(inside, operator, "a")
    operator.knows(uids["a"], **said)
    async with upgrading(inside, operator) as upgrader:
        await upgrader.round()

    assert inside.image("a") == OLD
    assert upgrader.measures.as_json()["sidecars"]["current"] == 0


async def test_without_its_fence_it_changes_nothing(api: ApiServer, operator: Operator) -> None:
    inside = Fenced(api)
    voices(inside, operator, "a", "b")
    async with upgrading(inside, operator, PER_MINUTE="600") as upgrader:
        await upgrader.round()
        assert [inside.image(name) for name in "ab"] == [OLD, OLD]
        assert "not in force" in upgrader.measures.as_json()["hindered"]

        try:
            await asyncio.to_thread(inside.put_up)
            await upgrader.round()
        finally:
            inside.take_down()

        assert upgrader.measures.as_json()["hindered"] is None
        assert sorted(inside.image(name) for name in "ab") == [OLD, IMAGE]


async def test_a_fence_for_another_image_hinders_it(inside: Fenced, operator: Operator) -> None:
    voices(inside, operator, "a", "b")
    async with upgrading(inside, operator, IMAGE="speechpool/sidecar:3") as upgrader:
        await upgrader.round()
        await asyncio.sleep(0.11)  # the rate: ten in a second
        await upgrader.round()

    assert [inside.image(name) for name in "ab"] == [OLD, OLD]
    assert f"and that to {IMAGE}" in upgrader.measures.as_json()["hindered"]


async def test_the_first_that_is_not_warm_again_stops_it(inside: Fenced, operator: Operator) -> None:
    uids = voices(inside, operator, "a", "b")
    async with upgrading(inside, operator, BACK_SECONDS="5") as upgrader:
        await upgrader.round()
        operator.knows(uids["a"], connected=False)
        inside.report("a", "", restarts=1, started=False)
        loop = asyncio.get_running_loop()
        real = loop.time
        loop.time = lambda: real() + 5.1  # type: ignore[method-assign] # the bound has passed
        try:
            await upgrader.round()
            await upgrader.round()
        finally:
            loop.time = real  # type: ignore[method-assign]

    assert inside.image("b") == OLD
    assert events(inside) == [("a", "Normal", "SidecarUpgraded"), ("a", "Warning", "SidecarUpgradeFailed")]
    assert upgrader.measures.as_json()["stopped"].endswith("/a is not warm 5 s after its upgrade")


async def test_while_no_operator_leads_it_waits_and_says_so(inside: Fenced, operator: Operator) -> None:
    voices(inside, operator, "a")
    operator.leads = False
    async with upgrading(inside, operator) as upgrader:
        await upgrader.round()
        assert "does not lead" in upgrader.complaint
        assert inside.image("a") == OLD

        operator.leads = True
        await upgrader.round()
        assert upgrader.complaint == ""
        assert inside.image("a") == IMAGE


async def test_without_its_operator_too(inside: Fenced, operator: Operator) -> None:
    voices(inside, operator, "a")
    async with upgrading(inside, operator, OPERATOR="127.0.0.1:9") as upgrader:
        await upgrader.round()

    assert upgrader.complaint
    assert inside.image("a") == OLD


async def test_a_pod_that_is_replaced_meanwhile_is_left(inside: Fenced, operator: Operator) -> None:
    """The name is the same, the pod is another: its uid tells."""
    voices(inside, operator, "a")
    async with upgrading(inside, operator) as upgrader:
        looked = upgrader._overview

        async def replaced_then() -> Any:
            inside.api.delete(f"/api/v1/namespaces/{inside.namespace}/pods/a", grace_seconds=0)
            inside.pod("a")
            return await looked()

        upgrader._overview = replaced_then  # type: ignore[method-assign]
        await upgrader.round()

    assert inside.image("a") == OLD
    assert upgrader.measures.as_json()["stopped"] is None


async def test_as_a_program(inside: Fenced, operator: Operator) -> None:
    voices(inside, operator, "a")
    port = _free_port()
    environment = {
        "SPEECHPOOL_UPGRADER_IMAGE": IMAGE,
        "SPEECHPOOL_UPGRADER_OPERATOR": operator.address,
        "SPEECHPOOL_UPGRADER_WATCH_NAMESPACE": inside.namespace,
        "SPEECHPOOL_UPGRADER_TELEMETRY_ADDRESS": f"127.0.0.1:{port}",
        "SPEECHPOOL_UPGRADER_LOG_FORMAT": "json",
    }
    kubeconfig = inside.api.kubeconfig(token=inside.token, name=inside.name)
    words = [sys.executable, "-m", "speechpool_operator", "upgrader", "--kubeconfig", str(kubeconfig)]
    process = await asyncio.create_subprocess_exec(*words, env={**os.environ, **environment}, stderr=subprocess.PIPE)
    try:
        await _until(lambda: inside.image("a") == IMAGE or process.returncode is not None)
        shown = await asyncio.to_thread(_get, port, "/metrics")
        state = json.loads(await asyncio.to_thread(_get, port, "/upgrades"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        log = (await process.communicate())[1].decode()

    assert process.returncode == 0, log
    assert 'speechpool_upgrader_sidecars{state="upgrading"} 1.0' in shown
    assert state["image"] == IMAGE
    assert [json.loads(line)["message"] for line in log.splitlines()][-1] == "upgrader stopped"
    assert inside.token not in log


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS) as reply:
        return str(reply.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until(holds: Any) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.05)
