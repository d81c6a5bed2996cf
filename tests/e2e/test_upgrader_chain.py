"""A real sidecar, the real operator that knows it, and the upgrader and the command that ask the operator."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.apiserver import ApiServer
from tests.cluster.operators import Operator
from tests.e2e.operator_pods import machine_address, operator_pod
from tests.e2e.sidecars import Calls, sidecar_of
from tests.e2e.upgrading import IMAGE, OLD, Fenced, fenced
from tests.integration.commands import speechpool
from tests.integration.sidecar import eventually

from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig
from speechpool_operator.upgrade.settings import read_settings
from speechpool_operator.upgrade.upgrader import Upgrader


@pytest.fixture
def inside(pools_api: ApiServer) -> Iterator[Fenced]:
    with fenced(pools_api) as made:
        yield made


def a_round(inside: Fenced, operator: Operator) -> dict[str, Any]:
    """A new upgrader looks once; what it says of itself."""

    async def look() -> dict[str, Any]:
        values = {"IMAGE": IMAGE, "OPERATOR": operator.telemetry.removeprefix("http://")}
        values["WATCH_NAMESPACE"] = inside.namespace
        settings = read_settings({f"SPEECHPOOL_UPGRADER_{name}": value for name, value in values.items()})
        way = from_kubeconfig(inside.api.kubeconfig(token=inside.token, name=inside.name))
        async with KubeClient(way) as client, aiohttp.ClientSession() as session:
            upgrader = Upgrader(client, session, settings)
            await upgrader.round()
            return upgrader.measures.as_json()

    return asyncio.run(look())


def test_a_sidecar_is_upgraded_when_its_last_session_has_ended(
    inside: Fenced, start_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    operator = start_operator("--telemetry-address", "0.0.0.0:0")
    inside.pod("voice")
    inside.report("voice", "voice-1")
    calls = Calls(inside.api, inside.namespace)

    def said() -> tuple[bool, int | None]:
        known = operator.sidecars(inside.namespace)["voice"]
        return known.get("ready", False), known.get("sessions")

    with sidecar_of(calls, "voice", operator, tmp_path / "voice") as sidecar:
        with sidecar.client.speak("Good morning.", session_id="call", response_format="pcm") as speech:
            speech.read()
        eventually(lambda: said() == (True, 1))
        assert a_round(inside, operator)["sidecars"]["busy"] == 1
        assert inside.image("voice") == OLD

        sidecar.client.delete_session("call")
        eventually(lambda: said() == (True, 0))
        assert a_round(inside, operator)["sidecars"]["upgrading"] == 1
        assert inside.image("voice") == IMAGE


def test_the_command_shows_what_the_sidecar_says_of_itself(
    pools_api: ApiServer, start_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    operator = start_operator("--telemetry-address", "0.0.0.0:0")
    operator_pod(pools_api, operator.namespace, machine_address(), int(operator.telemetry.rpartition(":")[2]))
    calls = Calls(pools_api)
    calls.apply("voice", 2)
    calls.pod("a")
    words = ("status", "--cluster", "--json", "-n", calls.name, "--operator-namespace", operator.namespace)
    with sidecar_of(calls, "a", operator, tmp_path / "a"):
        calls.becomes("voice", Ready="True/AllWarm")
        shown = json.loads(speechpool(*words, "--kubeconfig", str(pools_api.kubeconfig())).stdout)

    (found,) = shown["sidecars"]
    assert shown["source"] == "operator"
    assert (found["pod"], found["pool"], found["standing"]) == ("a", f"{calls.name}/voice", "synced")
    assert (found["generation"], found["wanted_generation"], found["ready"]) == (1, 1, True)
    assert (found["wanted"], found["sessions"], found["busy"]) == (2, 0, 0)
