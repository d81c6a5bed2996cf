"""The webhook over HTTP: every question is answered, within bounds, and nobody's fault keeps a pod from starting."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.program import PATIENCE_SECONDS
from tests.unit.control.injection.pods import CONFIG, pod

from speechpool_operator.certificates_serving import Serving
from speechpool_operator.injection import server
from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.metrics import Metrics
from speechpool_operator.injection.server import NAMESPACE_PATH, POD_PATH, Webhook
from speechpool_operator.injection.telemetry import telemetry

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(not_after=lambda: 1.0, failures=lambda: {"settings": False})


@pytest.fixture
async def client(metrics: Metrics) -> AsyncIterator[Client]:
    webhook = Webhook(config=lambda: CONFIG, ca=lambda: "CA", metrics=metrics)
    async with TestClient(TestServer(webhook.application)) as made:
        yield made


def question(manifest: dict[str, Any]) -> dict[str, Any]:
    request = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": manifest}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def ask(client: Client, manifest: dict[str, Any], path: str = POD_PATH) -> dict[str, Any]:
    async with client.post(path, json=question(manifest)) as reply:
        assert reply.status == 200
        assert reply.content_type == "application/json"
        answer: dict[str, Any] = (await reply.json())["response"]
    assert answer["allowed"] is True
    return answer


def counted(metrics: Metrics, line: str) -> float:
    found = [one for one in metrics.text().decode().splitlines() if one.startswith(f"{line} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.mark.parametrize(
    ("path", "labels", "expected"),
    [
        (POD_PATH, {"speechpool.dev/inject": "true"}, True),
        (POD_PATH, {}, False),
        (NAMESPACE_PATH, {}, True),
        (NAMESPACE_PATH, {"speechpool.dev/inject": "false"}, False),
    ],
)
async def test_the_path_says_whether_the_namespace_asks(
    client: Client, path: str, labels: dict[str, str], expected: bool
) -> None:
    assert ("patch" in await ask(client, pod(labels=labels), path)) is expected


async def test_a_hundred_at_once_are_all_answered(client: Client, metrics: Metrics) -> None:
    answers = await asyncio.gather(*(ask(client, pod()) for _ in range(100)))
    assert all("patch" in answer for answer in answers)
    assert counted(metrics, 'speechpool_injector_admissions_total{outcome="Injected"}') == 100
    assert counted(metrics, "speechpool_injector_admission_seconds_count") == 100


async def test_what_is_no_question_is_refused_and_counted(client: Client, metrics: Metrics) -> None:
    async with client.post(POD_PATH, data=b"{") as reply:
        assert reply.status == 400
        assert "must be JSON" in await reply.text()
    assert counted(metrics, 'speechpool_injector_errors_total{reason="BadReview"}') == 1


async def test_a_question_that_is_too_large_is_not_read(client: Client, metrics: Metrics) -> None:
    async with client.post(POD_PATH, data=io.BytesIO(b"x" * (server.MAX_BODY_BYTES + 1))) as reply:
        assert reply.status == 413
    assert counted(metrics, 'speechpool_injector_errors_total{reason="TooLarge"}') == 1


async def test_a_question_that_does_not_come_to_its_end_is_given_up(
    client: Client, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with asyncio.timeout(PATIENCE_SECONDS), client.post(POD_PATH, data=body()) as reply:
        assert reply.status == 408
    assert counted(metrics, 'speechpool_injector_errors_total{reason="TooSlow"}') == 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", POD_PATH, 405), ("POST", "/inject", 404), ("POST", "/", 404)]
)
async def test_nothing_else_is_answered(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as reply:
        assert reply.status == status


async def test_a_fault_of_ours_admits_the_pod_and_is_told(metrics: Metrics) -> None:
    def broken() -> InjectorConfig:
        raise RuntimeError("not for anybody's eyes")

    webhook = Webhook(config=broken, ca=lambda: "", metrics=metrics)
    async with TestClient(TestServer(webhook.application)) as client:
        answer = await ask(client, pod())
    assert "patch" not in answer
    assert answer["warnings"] == [f"speechpool: {server._BROKEN}"]
    assert counted(metrics, 'speechpool_injector_errors_total{reason="Internal"}') == 1


async def test_probes_say_what_is_wrong(metrics: Metrics) -> None:
    problems: list[str] = []
    application = telemetry(metrics, unready=lambda: problems, wrong=lambda: problems)
    async with TestClient(TestServer(application)) as client:
        for path in ("/livez", "/healthz", "/readyz", "/metrics"):
            async with client.get(path) as reply:
                assert reply.status == 200
        problems.append("no certificate yet")
        for path, status in (("/livez", 200), ("/healthz", 503), ("/readyz", 503)):
            async with client.get(path) as reply:
                assert reply.status == status
        async with client.get("/readyz") as reply:
            assert await reply.text() == "no certificate yet\n"


async def test_without_a_certificate_nobody_is_answered(metrics: Metrics) -> None:
    webhook = Webhook(config=lambda: CONFIG, ca=lambda: "", metrics=metrics)
    runner = web.AppRunner(webhook.application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=Serving().context)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.post(f"https://127.0.0.1:{port}{POD_PATH}", json=question(pod()), ssl=False)
    finally:
        await runner.cleanup()
