"""A real API server with as many pods as the sidecars that a benchmark plays, each pod with its token."""

import asyncio
import http.client
import json
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
from tests.cluster.apiserver import AUDIENCE, ApiServer
from tests.cluster.operators import allow_operator
from tests.cluster.speechpools import install_crd, manifest

from speechpool_operator.names import ENABLED, INJECTED_LABEL

__all__ = ["Cluster"]

AT_ONCE = 16
LABELS = {"app": "voice", INJECTED_LABEL: ENABLED}
POOLS = [
    {"name": f"voice-{n}", "kind": "TextToSpeech", "outputFormat": "Raw24Khz16BitMonoPcm",
     "maxWarmSize": 8, "maxIdleSeconds": 240, "maxLifetimeSeconds": 480, "warmupIntervalSeconds": 30}
    for n in range(4)
]  # fmt: skip


class Cluster:
    """A namespace with one SpeechPool and pods that it selects.

    Args:
        api: A running API server.
        directory: Where tokens are kept, one file a pod.
    """

    def __init__(self, api: ApiServer, directory: Path) -> None:
        self.api = api
        self.generation = 0
        self._tokens = directory / "tokens"
        self._tokens.mkdir()
        install_crd(api)
        self.namespace = api.namespace()
        self.operator_namespace = api.namespace()
        allow_operator(api, self.operator_namespace)
        self._pool = f"/apis/speechpool.dev/v1alpha1/namespaces/{self.namespace}/speechpools"
        spec = {"selector": {"matchLabels": {"app": "voice"}}, "warmSize": 1, "pools": POOLS}
        api.post(self._pool, manifest(spec, "voice"))
        self._tls = ssl.create_default_context(cafile=str(api.directory / "ca.crt"))
        self._tls.load_cert_chain(api.directory / "admin.crt", api.directory / "admin.key")
        self._write = http.client.HTTPSConnection("127.0.0.1", api.port, context=self._tls)

    def dial(self) -> None:
        """Connect anew for `edit()`: an API server closes a connection that was idle for 90 seconds."""
        self._write.close()
        self._write.connect()

    def edit(self) -> tuple[float, float]:
        """Change the object, as `kubectl edit` does; when the request went out, and when the answer was there."""
        self.generation += 1
        body = json.dumps({"spec": {"warmSize": 1 + self.generation % 8}})
        asked_at = time.perf_counter()
        self._write.request("PATCH", f"{self._pool}/voice", body, {"content-type": "application/merge-patch+json"})
        reply = self._write.getresponse()
        said = reply.read()
        answered_at = time.perf_counter()
        assert reply.status == 200, said
        return asked_at, answered_at

    def status(self) -> dict[str, Any]:
        """What the operator says of the object, with the generation that it is of."""
        found = self.api.get(f"{self._pool}/voice")
        return {**found.get("status", {}), "generation": found["metadata"]["generation"]}

    async def have_pods(self, count: int) -> None:
        """Make the pods that are still missing, and their tokens."""
        room = asyncio.Semaphore(AT_ONCE)
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=AT_ONCE)
        async with aiohttp.ClientSession(self.api.url, connector=connector, raise_for_status=True) as session:

            async def one(number: int) -> None:
                async with room:
                    await self._make(session, number)

            missing = (number for number in range(count) if not (self._tokens / str(number)).exists())
            await asyncio.gather(*(one(number) for number in missing))

    async def _make(self, session: aiohttp.ClientSession, number: int) -> None:
        pods, accounts = (f"/api/v1/namespaces/{self.namespace}/{kind}" for kind in ("pods", "serviceaccounts"))
        pod = {
            "metadata": {"name": f"voice-{number}", "labels": LABELS},
            "spec": {"nodeName": "nowhere", "containers": [{"name": "app", "image": "app"}]},
        }
        async with session.post(pods, json=pod) as reply:
            uid = (await reply.json())["metadata"]["uid"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": f"voice-{number}", "uid": uid}
        spec = {"audiences": [AUDIENCE], "expirationSeconds": 36_000, "boundObjectRef": bound}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        async with session.post(f"{accounts}/default/token", json=request) as reply:
            (self._tokens / str(number)).write_text((await reply.json())["status"]["token"])
