"""The election among operators, on the API server's own Leases."""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap

import pytest

from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.leader import Leader, LeaseLost, Timing

PATIENCE_SECONDS = 60
QUICK = Timing(lease=5, renew=3.5, retry=0.2, release=2)
NAME = "speechpool-operator"

CANDIDATE = """
    import asyncio, sys
    from pathlib import Path
    from speechpool_operator.kube import KubeClient
    from speechpool_operator.kube_access import from_kubeconfig
    from speechpool_operator.leader import Leader, Timing

    async def main(kubeconfig, namespace):
        async with KubeClient(from_kubeconfig(Path(kubeconfig))) as client:
            timing = Timing(lease=5, renew=3.5, retry=0.2, release=2)
            leader = Leader(client, namespace=namespace, name="speechpool-operator", identity="other", timing=timing)
            running = asyncio.ensure_future(leader.run())
            await leader.until_leading()
            print("leading", flush=True)
            await running

    asyncio.run(main(*sys.argv[1:]))
"""


def lease(api, namespace):
    return api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}")["spec"]


async def leads(leader):
    """Wait until it does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await leader.until_leading()


@contextlib.asynccontextmanager
async def candidate(api, namespace, identity="this", timing=QUICK):
    async with KubeClient(from_kubeconfig(api.kubeconfig())) as client:
        leader = Leader(client, namespace=namespace, name=NAME, identity=identity, timing=timing)
        running = asyncio.ensure_future(leader.run())
        try:
            yield leader, running
        finally:
            running.cancel()
            await asyncio.wait([running])


@contextlib.asynccontextmanager
async def another_process(api, namespace):
    """A candidate of its own, which leads; ended however the test left it."""
    words = ("-c", textwrap.dedent(CANDIDATE), str(api.kubeconfig()), namespace)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.stdout.readline() == b"leading\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        await process.communicate()


@pytest.fixture
def namespace(api):
    return api.namespace()


async def test_the_first_leads_and_the_second_follows_when_it_stops(api, namespace):
    async with candidate(api, namespace, "second") as (second, _):
        await leads(second)
        assert lease(api, namespace)["holderIdentity"] == "second"
        async with candidate(api, namespace, "third") as (third, _):
            await asyncio.sleep(2 * QUICK.retry)
            assert (second.is_leading, third.is_leading) == (True, False)
    spec = lease(api, namespace)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("", 0)
    async with candidate(api, namespace, "third") as (third, _):
        await leads(third)
        assert lease(api, namespace)["leaseTransitions"] == 1


async def test_two_who_begin_together_never_both_lead(api, namespace):
    async with candidate(api, namespace, "one") as (one, _), candidate(api, namespace, "two") as (two, _):
        waiting = [asyncio.ensure_future(leads(each)) for each in (one, two)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(10):
            assert one.is_leading != two.is_leading
            await asyncio.sleep(QUICK.retry)
        for each in waiting:
            each.cancel()


async def test_the_lease_of_a_killed_one_is_taken(api, namespace):
    async with another_process(api, namespace) as process, candidate(api, namespace) as (leader, _):
        await asyncio.sleep(2 * QUICK.retry)
        process.kill()
        await leads(leader)
        assert lease(api, namespace)["holderIdentity"] == "this"


async def test_one_that_was_frozen_ends_when_it_wakes_and_another_leads(api, namespace):
    async with another_process(api, namespace) as process, candidate(api, namespace) as (leader, _):
        os.kill(process.pid, signal.SIGSTOP)
        await leads(leader)
        os.kill(process.pid, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"LeaseLost" in errors
        assert lease(api, namespace)["holderIdentity"] == "this"
        assert leader.is_leading


async def test_a_lease_that_another_took_ends_the_leader(api, namespace):
    async with candidate(api, namespace) as (leader, running):
        await leads(leader)
        patch = {"spec": {"holderIdentity": "kubectl", "renewTime": "2026-11-01T00:00:00.000000Z"}}
        api.patch(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}", patch)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LeaseLost):
                await running
        assert lease(api, namespace)["holderIdentity"] == "kubectl"


async def test_a_user_without_the_right_never_leads_and_goes_on_trying(api, namespace, caplog):
    api.pod(namespace, "voice")
    token = api.token(namespace, "voice", audience="https://kubernetes.default.svc")
    access = from_kubeconfig(api.kubeconfig(token=token, name="nobody"))
    async with KubeClient(access) as client:
        leader = Leader(client, namespace=namespace, name=NAME, identity="nobody", timing=QUICK)
        running = asyncio.ensure_future(leader.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "lease not renewed" not in caplog.messages:  # noqa: ASYNC110 -- a log line, which nobody waits for
                await asyncio.sleep(0.05)
        assert not leader.is_leading
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
    assert token not in caplog.text
