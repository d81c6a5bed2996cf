"""Many sidecars in this process: each is the sidecar's own client of the operator, with settings of its own."""

import asyncio
import base64
import json
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer
from tests.e2e.sidecars import INJECTED, Calls, waited

from speechpool.config.operator_backoff import MOST_SECONDS, Backoff
from speechpool.config.operator_connection import Limits, Place
from speechpool.config.operator_source import Usage, revision_of
from speechpool.config.operator_stream import OperatorStream
from speechpool.config.store import ConfigStore
from speechpool.settings import Address, Source
from speechpool.settings.wire import PoolState

__all__ = ["Crowd", "Follower", "Mint", "make_pods"]

USAGE = Usage(pools={"tts": PoolState(warm=1, wanted=1, ready=True)}, sessions=0, busy=0)
AT_ONCE = 16


class Mint:
    """Makes tokens with the API server's own key, with whatever claims.

    Args:
        api: The API server.
        like: A token of its own, whose claims are the pattern.
    """

    def __init__(self, api: ApiServer, like: str) -> None:
        pem = (api.directory / "sa.key").read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._head, claims, _ = like.split(".")
        self.claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(claims + "=="))

    def token(self, **changes: Any) -> str:
        """A token with other claims than the pattern's."""
        content = f"{self._head}.{_text(json.dumps(self.claims | changes).encode())}"
        r, s = utils.decode_dss_signature(self._key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{content}.{_text(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def of_pod(self, name: str, uid: str, **changes: Any) -> str:
        """A token of another pod of the same ServiceAccount."""
        bound = self.claims["kubernetes.io"] | {"pod": {"name": name, "uid": uid}}
        return self.token(**{"kubernetes.io": bound, "jti": f"token-of-{uid}", **changes})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def make_pods(calls: Calls, names: Iterable[str], app: str = "voice") -> dict[str, str]:
    """Pods with a sidecar, many at once; by name their uids."""
    return uvloop.run(_make_pods(calls, names, app))


async def _make_pods(calls: Calls, names: Iterable[str], app: str) -> dict[str, str]:
    api = calls.api
    tls = ssl.create_default_context(cafile=str(api.directory / "ca.crt"))
    tls.load_cert_chain(api.directory / "admin.crt", api.directory / "admin.key")
    connector = aiohttp.TCPConnector(ssl=tls, limit=AT_ONCE)
    spec = {"nodeName": "nowhere", "containers": [{"name": "app", "image": "app"}]}
    async with aiohttp.ClientSession(api.url, connector=connector, raise_for_status=True) as session:

        async def one(name: str) -> tuple[str, str]:
            pod = {"metadata": {"name": name, "labels": {"app": app, **INJECTED}}, "spec": spec}
            async with session.post(calls.pods, json=pod) as reply:
                return name, str((await reply.json())["metadata"]["uid"])

        return dict(await asyncio.gather(*(one(name) for name in names)))


class Follower:
    """One sidecar's client of the operator.

    Args:
        name: Its pod's.
        place: Where the operator is.
        limits: How long things may take.
        longest_pause_seconds: Between two tries to connect.
    """

    def __init__(self, name: str, place: Place, limits: Limits, longest_pause_seconds: float) -> None:
        self.name = name
        self.store = ConfigStore([])
        backoff = Backoff(lambda low, high: random.uniform(low, min(high, longest_pause_seconds)))
        self.stream = OperatorStream(
            self.store, place, usage=lambda: USAGE, version="1.0", limits=limits, backoff=backoff
        )
        self.store.bind(self._apply, self.stream.on_update)

    @property
    def generation(self) -> int:
        """Of the operator's settings in force; 0 without any."""
        revision = revision_of(self.store.states.get(Source.OPERATOR))
        return revision.generation if revision else 0

    @property
    def facts(self) -> dict[str, Any]:
        """How its connection is."""
        return self.stream.describe()

    async def _apply(self, old: object, new: object) -> None:
        """Nothing is kept warm here."""


class Crowd:
    """Sidecars that follow an operator, on an event loop in a thread of its own; a context manager.

    Args:
        directory: Where their tokens are.
        address: The operator's.
        ca_file: Who vouches for it.
        connect_seconds: For each try to connect; a sidecar's own by default.
        longest_pause_seconds: Of each between two tries; likewise.
    """

    def __init__(
        self,
        directory: Path,
        address: str,
        ca_file: Path,
        *,
        connect_seconds: float = Limits().connect_seconds,
        longest_pause_seconds: float = MOST_SECONDS,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        host, _, port = address.rpartition(":")
        self._address, self._ca_file = Address(host, int(port)), ca_file
        self._limits = Limits(connect_seconds=connect_seconds)
        self._longest_pause_seconds = longest_pause_seconds
        self.members: dict[str, Follower] = {}
        self._loop = uvloop.new_event_loop()
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), name="crowd")

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def give_token(self, name: str, token: str) -> Path:
        """Put a pod's token into its volume as the kubelet does, a new one too; where the pod finds it."""
        volume = self._directory / name
        written = volume / f"..{time.monotonic_ns()}"
        written.mkdir(parents=True)
        (written / "token").write_text(token)
        (volume / "..data_tmp").symlink_to(written.name)
        (volume / "..data_tmp").rename(volume / "..data")
        return volume / "..data" / "token"

    def join(self, name: str, token: str) -> Follower:
        """A sidecar more."""
        token_file = self.give_token(name, token)
        place = Place(address=self._address, ca_file=str(self._ca_file), token_file=str(token_file))
        made = self.members[name] = Follower(name, place, self._limits, self._longest_pause_seconds)
        self._loop.call_soon_threadsafe(self._start, made)
        return made

    def leave(self, name: str) -> None:
        """Take a sidecar away."""
        del self.members[name]
        self._loop.call_soon_threadsafe(self._tasks[name].cancel)

    def turn(self) -> None:
        """Wait until all have read what is there to be read."""
        for _ in range(3):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), self._loop).result(PATIENCE_SECONDS)

    def all_run(self, generation: int, told: Callable[[], object] = lambda: "") -> None:
        """Wait until every sidecar runs this generation."""
        waited(lambda: self.generations.keys() == {generation}, lambda: (self.generations, self.problems, told()))

    def all_connected(self) -> None:
        """Wait until every sidecar is connected."""
        waited(lambda: all(one.stream.connected for one in self.members.values()), lambda: self.problems)

    @property
    def generations(self) -> Counter[int]:
        """How many run which generation."""
        return Counter(one.generation for one in tuple(self.members.values()))

    @property
    def problems(self) -> Counter[str]:
        """What keeps how many from being connected."""
        return Counter(str(one.facts["problem"]) for one in tuple(self.members.values()))

    @property
    def reconnects(self) -> int:
        """Of all together."""
        return sum(int(one.facts["reconnectsTotal"]) for one in tuple(self.members.values()))

    def _start(self, member: Follower) -> None:
        self._tasks[member.name] = self._loop.create_task(member.stream.run(), name=member.name)

    async def _run(self) -> None:
        await self._stop.wait()
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=PATIENCE_SECONDS)
            await asyncio.sleep(0.1)  # connections that were broken off are closed in turns of the loop to come
