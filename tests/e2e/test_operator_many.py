"""Sixty streams on one operator, each with its own token: all have what they should, also after it was away."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.operators import Operator
from tests.e2e.crowd import Crowd, make_pods
from tests.e2e.sidecars import Calls
from tests.e2e.stormy import HASTE

SIDECARS = 60


@pytest.fixture
def calls(pools_api):
    made = Calls(pools_api)
    make_pods(made, map(str, range(SIDECARS)))
    return made


@contextlib.contextmanager
def following(calls: Calls, operator: Operator, directory: Path) -> Iterator[Crowd]:
    """A sidecar of each pod."""
    with Crowd(directory / "crowd", operator.address, operator.ca_file, **HASTE) as crowd:
        for name in map(str, range(SIDECARS)):
            crowd.join(name, calls.api.token(calls.name, name))
        yield crowd


def sizes(crowd):
    """As many voices are kept warm by the sidecars."""
    return {one.store.current.pools[0].warm_pool_size for one in crowd.members.values()}


def test_all_get_each_change_and_a_burst_ends_with_the_last(calls, start_operator, tmp_path):
    operator = start_operator()
    with following(calls, operator, tmp_path) as crowd:
        calls.apply("voice", 2)
        crowd.all_run(1)
        assert sizes(crowd) == {2}
        calls.becomes("voice", Ready="True/AllWarm", counts={"synced": SIDECARS})
        for size in range(3, 30):
            pools = [{"name": "tts", "kind": "TextToSpeech", "warmSize": size}]
            generation = calls.edit("voice", pools=pools)
        crowd.all_run(generation)
        assert sizes(crowd) == {29}
        calls.settles("voice", generation, SIDECARS)
        assert {one["sessions"] for one in operator.sidecars(calls.name).values()} == {0}


def test_all_come_back_to_an_operator_that_was_killed_and_none_is_left_with_what_was(calls, start_operator, tmp_path):
    first = start_operator()
    calls.apply("voice", 2)
    with following(calls, first, tmp_path) as crowd:
        crowd.all_run(1)
        first.kill()
        calls.apply("voice", 3)
        assert sizes(crowd) == {2}
        second = start_operator(namespace=first.namespace, listen=first.address)
        crowd.all_run(2)
        assert sizes(crowd) == {3}
        calls.settles("voice", 2, SIDECARS)
        assert len(second.sidecars(calls.name)) == SIDECARS
