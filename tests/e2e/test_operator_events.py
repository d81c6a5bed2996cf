"""Events as a user sees them: kubectl describe, on the real API server."""

import asyncio
import contextlib

import pytest
from tests.cluster.speechpools import manifest
from tests.unit.control.bad_specs import spec

from speechpool_operator.events import Note, Recorder, Weight
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.objects import read_pod, read_speech_pool
from speechpool_operator.telling import about_pod, about_pool

PATIENCE_SECONDS = 60


@contextlib.asynccontextmanager
async def recorder(api):
    async with KubeClient(from_kubeconfig(api.kubeconfig())) as client:
        made = Recorder(client, instance="speechpool-operator-0")
        running = asyncio.ensure_future(made.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.wait([running])


async def written(made, count):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while made.written + made.failed.total() < count:  # noqa: ASYNC110 -- a count, which nobody is told of
            await asyncio.sleep(0.02)
    assert not made.failed


@pytest.fixture
def namespace(pools_api):
    return pools_api.namespace()


async def test_describe_shows_what_happened_to_an_object_and_how_often(pools_api, namespace):
    path = f"/apis/speechpool.dev/v1alpha1/namespaces/{namespace}/speechpools"
    pool = read_speech_pool(pools_api.post(path, manifest(spec())))
    message = "warmSize must be at most 64"
    refused = Note(about=about_pool(pool), weight=Weight.WARNING, reason="Refused", message=message)
    async with recorder(pools_api) as made:
        made.record(refused)
        await written(made, 1)
        made.record(refused)
        await written(made, 2)
        described = await asyncio.to_thread(pools_api.kubectl, "describe", "speechpool", "voice", "-n", namespace)
    assert described.returncode == 0, described.stderr
    [line] = [each for each in described.stdout.splitlines() if "Refused" in each]
    assert line.split()[:2] == ["Warning", "Refused"]
    assert "(x2 over" in line
    assert line.endswith(f"speechpool-operator  {message}")


async def test_describe_shows_what_happened_to_a_pod(pools_api, namespace):
    pod = read_pod(pools_api.pod(namespace, "voice-0"))
    async with recorder(pools_api) as made:
        made.record(Note(about=about_pod(pod), weight=Weight.WARNING, reason="MissingSidecar", message="none came"))
        await written(made, 1)
        described = await asyncio.to_thread(pools_api.kubectl, "describe", "pod", "voice-0", "-n", namespace)
    assert "MissingSidecar" in described.stdout.partition("Events:")[2]


async def test_events_of_a_namespace_that_is_gone_are_counted_and_nothing_else_suffers(pools_api, namespace):
    pod = read_pod(pools_api.pod(namespace, "voice-0"))
    lost = Note(about=about_pod(pod), weight=Weight.NORMAL, reason="Injected", message="x")
    gone = Note(
        about=type(lost.about)(api_version="v1", kind="Pod", namespace="no-such", name="voice-0", uid="u"),
        weight=Weight.NORMAL,
        reason="Injected",
        message="x",
    )
    async with recorder(pools_api) as made:
        made.record(gone)
        made.record(lost)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while made.written < 1:  # noqa: ASYNC110 -- a count, which nobody is told of
                await asyncio.sleep(0.02)
        assert made.failed == {"NotFound": 1}
