"""An operator with its sidecars in stormy weather: real and hasty, behind a gateway, with somebody who speaks on."""

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.apiserver import ApiServer
from tests.cluster.operators import ACCOUNT, KUBE_AUDIENCE, Operator, allow_operator, running_operator
from tests.e2e.api_gateway import Gateway, gateway
from tests.e2e.callers import Callers, calling
from tests.e2e.crowd import Crowd
from tests.e2e.hasty_operator import PROGRAM
from tests.e2e.sidecars import Calls, sidecar_of, waited
from tests.e2e.strangers import metric
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar

__all__ = [
    "HASTE",
    "POOLS",
    "WITH_METRICS",
    "Rig",
    "contact_of",
    "generation_of",
    "hasty_operator",
    "operator_source",
    "rig",
]

CROWD = 8
PAUSE_SECONDS = 0.2
HASTE = {"connect_seconds": 2.0, "longest_pause_seconds": 1.0}
"""How sidecars of a crowd look for a hasty operator."""
POOLS = [{"name": "tts", "kind": "TextToSpeech"}]


WITH_METRICS = {"SPEECHPOOL_TELEMETRY_ADDRESS": "127.0.0.1:0"}
"""The environment of a real sidecar that Prometheus can ask."""


def operator_source(sidecar: Sidecar) -> dict[str, Any]:
    """What a real sidecar says of the operator as a source of its settings."""
    sources = sidecar.client.get_json("/v1/config")["sources"]
    return dict(next(one for one in sources if one["source"] == "operator"))


def generation_of(sidecar: Sidecar) -> int:
    """Of the operator's settings that a real sidecar runs; 0 without any."""
    return int(operator_source(sidecar)["generation"] or 0)


def contact_of(sidecar: Sidecar) -> tuple[bool, float]:
    """What a real sidecar tells Prometheus: whether the operator is connected, and when it said something last."""
    url = f"http://{sidecar.listening('telemetryAddress')}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
        told = reply.read().decode()
    connected, heard_at = (
        metric(told, f"speechpool_operator_{name}")[""] for name in ("connected", "last_contact_seconds")
    )
    return connected == 1, heard_at


@contextlib.contextmanager
def hasty_operator(calls: Calls, directory: Path, *flags: str, **options: Any) -> Iterator[Operator]:
    """A hasty operator of this namespace alone; `running_operator` has its arguments."""
    where = {"namespace": calls.name, "watch_namespace": calls.name, "program": PROGRAM}
    with running_operator(calls.api, directory, *flags, **{**where, **options}) as operator:
        yield operator


class Rig:
    """One object, a hasty operator, sidecars in this process, and a real one with a caller who is never to notice.

    Args:
        calls: The namespace.
        directory: Where everything is.
        through: The gateway between the operator and the API server.
    """

    def __init__(self, calls: Calls, directory: Path, through: Gateway) -> None:
        self.calls = calls
        self.api = calls.api
        self.directory = directory
        self.gateway = through
        self.operator: Operator
        self.crowd: Crowd
        self.sidecar: Sidecar
        self.callers: Callers
        self.size = 1
        self._running = contextlib.ExitStack()
        allow_operator(self.api, calls.name, calls.name)
        token = self.api.token(calls.name, None, account=ACCOUNT, audience=KUBE_AUDIENCE, seconds=36_000)
        self._kubeconfig = through.kubeconfig(self.api.kubeconfig(token=token, name=f"gateway-{calls.name}"))

    def start_operator(self) -> None:
        """Start the operator, or another one in its place."""
        listen = {"listen": self.operator.address} if hasattr(self, "operator") else {}
        made = hasty_operator(self.calls, self.directory, "--kubeconfig", str(self._kubeconfig), **listen)
        self.operator = self._running.enter_context(made)

    def stop(self) -> None:
        """Stop every operator."""
        self._running.close()

    def edit(self) -> int:
        """Change the object; its new generation."""
        self.size += 1
        return self.calls.edit("voice", warmSize=1 + self.size % 2)

    def is_well(self) -> None:
        """A change reaches every sidecar, the status says so, the operator is in health, and nobody heard a break."""
        generation = self.edit()
        self.crowd.all_run(generation)
        waited(lambda: generation_of(self.sidecar) == generation, lambda: generation_of(self.sidecar))
        self.calls.settles("voice", generation, len(self.crowd.members) + 1)
        waited(lambda: self.operator.get("/healthz")[0] == 200, lambda: self.operator.get("/healthz"))
        self.callers.check()


@contextlib.contextmanager
def rig(api: ApiServer, directory: Path) -> Iterator[Rig]:
    """A rig in a namespace of its own."""
    calls = Calls(api)
    calls.apply("voice", 1, pools=POOLS)
    calls.pod("real")
    with contextlib.ExitStack() as stack:
        made = Rig(calls, directory, stack.enter_context(gateway(api)))
        stack.callback(made.stop)
        made.start_operator()
        made.crowd = stack.enter_context(
            Crowd(directory / "crowd", made.operator.address, made.operator.ca_file, **HASTE)
        )
        for number in range(CROWD):
            calls.pod(f"c{number}")
            made.crowd.join(f"c{number}", api.token(calls.name, f"c{number}"))
        real = sidecar_of(calls, "real", made.operator, directory / "real", **WITH_METRICS)
        made.sidecar = stack.enter_context(real)
        made.callers = stack.enter_context(calling(made.sidecar, pause_seconds=PAUSE_SECONDS))
        made.is_well()
        yield made
