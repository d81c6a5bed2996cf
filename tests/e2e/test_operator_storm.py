"""A thousand sidecars at once, one that is frozen, and clocks that are wrong, with the operator's own times."""

import contextlib
import datetime as dt
import signal
import time

import pytest
from tests.cluster.operators import running_operator
from tests.e2e.crowd import Crowd, Mint, make_pods
from tests.e2e.hasty_operator import CLOCK_ERROR
from tests.e2e.sidecars import Calls, sidecar_of, waited
from tests.e2e.stormy import POOLS, generation_of, hasty_operator
from tests.e2e.strangers import counters

from speechpool.config import operator_backoff

SIDECARS = 1000
STEP_SECONDS = 0.002
"""An operator needs many times as long to write to so many."""
PAUSE_SECONDS = 4.0
"""The longest between two tries of the thousand to connect: enough for all of them to come in turns."""
STALE_SECONDS = 15
HOURS = 3600


def now():
    return dt.datetime.now(dt.UTC)


class Frozen:
    """A sidecar that was stopped where it stood, and the others of its object."""

    def __init__(self, calls, sidecar):
        self.calls = calls
        self.sidecar = sidecar
        self.since = now()
        sidecar.signal(signal.SIGSTOP)


@pytest.fixture(scope="module")
def frozen(stormy_api, tmp_path_factory):
    """It is frozen while the tests before the one that looks at it run."""
    calls, directory = Calls(stormy_api), tmp_path_factory.mktemp("frozen")
    calls.apply("voice", 1, pools=POOLS)
    for name in ("frozen", "well"):
        calls.pod(name)
    with contextlib.ExitStack() as stack:
        started = running_operator(stormy_api, directory, namespace=calls.name, watch_namespace=calls.name)
        operator = stack.enter_context(started)
        crowd = stack.enter_context(Crowd(directory / "crowd", operator.address, operator.ca_file))
        crowd.join("well", stormy_api.token(calls.name, "well"))
        sidecar = stack.enter_context(sidecar_of(calls, "frozen", operator, directory / "frozen"))
        calls.settles("voice", 1, 2)
        made = Frozen(calls, sidecar)
        stack.callback(sidecar.signal, signal.SIGCONT)
        yield made


@pytest.mark.usefixtures("frozen")
def test_operators_with_wrong_clocks_serve_as_others_do(stormy_api, tmp_path, monkeypatch):
    """Ahead: every token seems to have ended, so streams are short. Behind: none seems to end."""
    monkeypatch.setattr(operator_backoff, "STABLE_SECONDS", 1.0)  # shorter than such a stream, as it is
    with contextlib.ExitStack() as stack:
        places = []
        for hours in (2, -2):
            calls, directory = Calls(stormy_api), tmp_path / str(hours)
            directory.mkdir()
            calls.apply("voice", 1, pools=POOLS)
            started = hasty_operator(calls, directory, env={CLOCK_ERROR: str(hours * HOURS)})
            operator = stack.enter_context(started)
            crowd = stack.enter_context(Crowd(directory / "crowd", operator.address, operator.ca_file))
            for name in ("a", "b", "c"):
                calls.pod(name)
                crowd.join(name, stormy_api.token(calls.name, name))
            places.append((calls, operator, crowd))
        for size in (2, 3):
            for calls, _, crowd in places:
                generation = calls.edit("voice", warmSize=size)
                crowd.all_run(generation)
                calls.settles("voice", generation, 3)
        ended = lambda operator: counters(operator, "speechpool_operator_streams_ended_total")  # noqa: E731 -- one expression
        ahead, behind = (operator for _, operator, _ in places)
        waited(lambda: ended(ahead).get("TokenExpired", 0) >= 3, lambda: ended(ahead))
        assert ended(behind) == {}
        for calls, _, crowd in places:
            generation = calls.edit("voice", warmSize=4)
            crowd.all_run(generation)
            calls.settles("voice", generation, 3)


def test_a_frozen_sidecar_is_told_of_within_fifteen_seconds_and_counts_again_when_it_wakes(frozen):
    calls = frozen.calls
    calls.becomes("voice", Stale="True/Silent")
    [stale] = [one for one in calls.status("voice")["conditions"] if one["type"] == "Stale"]
    assert dt.datetime.fromisoformat(stale["lastTransitionTime"]) - frozen.since <= dt.timedelta(seconds=STALE_SECONDS)
    generation = calls.edit("voice", warmSize=2)
    calls.becomes("voice", Stale="True/Silent", counts={"matched": 2, "synced": 1, "observedGeneration": generation})
    frozen.sidecar.signal(signal.SIGCONT)
    waited(lambda: generation_of(frozen.sidecar) == generation, lambda: generation_of(frozen.sidecar))
    calls.settles("voice", generation, 2)


def freeze_in_mid_push(calls, operator, crowd):
    """Change the object and let the operator run step by step, until it has told some of it; the new generation."""
    operator.signal(signal.SIGSTOP)
    generation = calls.edit("voice", warmSize=2)

    def has_begun():
        operator.signal(signal.SIGCONT)
        time.sleep(STEP_SECONDS)
        operator.signal(signal.SIGSTOP)
        crowd.turn()
        return crowd.generations[generation]

    waited(has_begun, lambda: crowd.generations)
    assert crowd.generations[generation] < SIDECARS
    return generation


def test_an_operator_that_is_killed_in_mid_push_is_replaced_and_a_thousand_come_back(stormy_api, tmp_path):
    calls = Calls(stormy_api)
    calls.apply("voice", 1, pools=POOLS)
    uids = make_pods(calls, (f"s{number}" for number in range(SIDECARS)))
    mint = Mint(stormy_api, stormy_api.token(calls.name, "s0"))
    where = {"namespace": calls.name, "watch_namespace": calls.name}
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_operator(stormy_api, tmp_path, **where))
        pauses = {"longest_pause_seconds": PAUSE_SECONDS}
        crowd = stack.enter_context(Crowd(tmp_path / "crowd", first.address, first.ca_file, **pauses))
        for name, uid in uids.items():
            crowd.join(name, mint.of_pod(name, uid))
        crowd.all_run(1)
        calls.settles("voice", 1, SIDECARS)
        generation = freeze_in_mid_push(calls, first, crowd)
        first.kill()
        second = stack.enter_context(running_operator(stormy_api, tmp_path, listen=first.address, **where))
        crowd.all_run(generation)
        crowd.all_connected()
        calls.settles("voice", generation, SIDECARS)
        assert counters(second, "speechpool_operator_streams")[""] == SIDECARS
