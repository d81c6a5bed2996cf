"""Two operators of which one leads: whatever becomes of it, the other takes its place and nothing is lost."""

import contextlib
import json
import signal
import socket

import pytest
from tests.e2e.callers import calling
from tests.e2e.crowd import Crowd
from tests.e2e.service import service
from tests.e2e.sidecars import Calls, sidecar_of, waited
from tests.e2e.stormy import HASTE, POOLS, generation_of, hasty_operator
from tests.integration.sidecar import eventually

CROWD = 8


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Pair:
    """Two operators behind one Service, and sidecars that know the Service alone."""

    def __init__(self, calls, first, second, front, crowd, sidecar, callers):
        self.calls = calls
        self.operators = [first, second]
        self.front = front
        self.crowd = crowd
        self.sidecar = sidecar
        self.callers = callers
        self.size = 1

    def edit(self):
        """Change the object; its new generation."""
        self.size += 1
        return self.calls.edit("voice", warmSize=1 + self.size % 2)

    def all_run(self, generation):
        """Everybody runs this, and the status says so."""
        self.crowd.all_run(generation)
        waited(lambda: generation_of(self.sidecar) == generation, lambda: generation_of(self.sidecar))
        self.calls.settles("voice", generation, CROWD + 1)
        self.callers.check()


@pytest.fixture
def pair(stormy_api, tmp_path):
    calls = Calls(stormy_api)
    calls.apply("voice", 1, pools=POOLS)
    names = ["real", *(f"c{number}" for number in range(CROWD))]
    for name in names:
        calls.pod(name)
    with contextlib.ExitStack() as stack:

        def start(name, address, **options):
            flags = ("--lease-name", "speechpool-operator", "--pod-name", name)
            return stack.enter_context(hasty_operator(calls, tmp_path, *flags, listen=address, **options))

        addresses = free_address(), free_address()
        first = start("first", addresses[0])
        second = start("second", addresses[1], ready=False)
        front = stack.enter_context(service([first, second], addresses))
        crowd = stack.enter_context(Crowd(tmp_path / "crowd", front.address, first.ca_file, **HASTE))
        for name in names[1:]:
            crowd.join(name, calls.api.token(calls.name, name))
        real = sidecar_of(calls, "real", first, tmp_path / "real", SPEECHPOOL_OPERATOR=front.address)
        sidecar = stack.enter_context(real)
        callers = stack.enter_context(calling(sidecar, pause_seconds=0.2))
        made = Pair(calls, first, second, front, crowd, sidecar, callers)
        made.all_run(1)
        yield made


def holder(pair):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{pair.calls.name}/leases/speechpool-operator"
    return pair.calls.api.get(path)["spec"]["holderIdentity"]


def test_the_place_of_a_killed_leader_is_taken_and_what_changed_meanwhile_is_pushed(pair):
    first, second = pair.operators
    assert second.get("/readyz") == (503, "another operator leads\n")
    assert json.loads(second.get("/sidecars")[1])["sidecars"] == []
    pair.edit()
    first.kill()
    generation = pair.edit()
    second.wait_ready()
    pair.all_run(generation)
    assert holder(pair) == "second"
    assert all(len(ready) <= 1 for ready in pair.front.ready)


def test_a_frozen_leader_is_replaced_and_says_and_writes_nothing_when_it_wakes(pair):
    first, second = pair.operators
    first.signal(signal.SIGSTOP)
    generation = pair.edit()
    second.wait_ready()
    pair.all_run(generation)
    status, pushed = pair.calls.status("voice"), pair.crowd.reconnects
    first.signal(signal.SIGCONT)
    assert first.wait() == 1
    assert "LeaseLost" in first.wait_for_log("operator failed")["error"]
    assert pair.calls.status("voice") == status
    assert pair.crowd.reconnects == pushed
    assert holder(pair) == "second"
    assert all(len(ready) <= 1 for ready in pair.front.ready)
    pair.all_run(pair.edit())
    eventually(lambda: pair.callers.heard["http"] > 0)
