"""Back-off, circuit and pace, without a loop."""

import random

import pytest

from speechpool.pools.circuit import Circuit, Pace
from speechpool.pools.settings import PoolSettings

SETTINGS = PoolSettings(factory=object, circuit_failures=3, circuit_probe_sec=10.0)
ERROR = OSError("refused")


@pytest.fixture
def circuit():
    return Circuit(random.Random(1))


def test_refills_are_limited_while_all_is_well(circuit):
    assert circuit.refills(SETTINGS, 0, 0.0) == 4
    assert circuit.refills(SETTINGS, 3, 0.0) == 1
    assert circuit.refills(SETTINGS, 9, 0.0) == 0


def test_after_a_failure_one_at_a_time_and_not_at_once(circuit):
    assert not circuit.failed(ERROR, SETTINGS, 0.0)

    assert 0.0 <= circuit.retry_at <= 0.2
    assert circuit.refills(SETTINGS, 0, circuit.retry_at) == 1
    assert circuit.refills(SETTINGS, 1, circuit.retry_at) == 0


def test_opens_once_and_probes_once_in_a_period(circuit):
    opened = [circuit.failed(ERROR, SETTINGS, 0.0) for _ in range(5)]

    assert opened == [False, False, True, False, False]
    assert circuit.state(SETTINGS, 9.9) == "open"
    assert circuit.refills(SETTINGS, 0, 9.9) == 0
    assert circuit.state(SETTINGS, 10.0) == "half_open"
    assert circuit.refills(SETTINGS, 0, 10.0) == 1


def test_one_success_closes_it(circuit):
    for _ in range(3):
        circuit.failed(ERROR, SETTINGS, 0.0)

    assert circuit.succeeded(SETTINGS)
    assert circuit.state(SETTINGS, 0.0) == "closed"
    assert circuit.refills(SETTINGS, 0, 0.0) == 4
    assert not circuit.succeeded(SETTINGS)


def test_pauses_double_with_full_jitter_up_to_a_bound(circuit):
    longest = [max(circuit.pause(SETTINGS, failures) for _ in range(500)) for failures in (1, 2, 3, 20, 5000)]

    assert longest == pytest.approx([0.2, 0.4, 0.8, 30.0, 30.0], rel=0.05)
    assert min(circuit.pause(SETTINGS, 20) for _ in range(500)) < 1.0


def test_no_more_creations_in_any_minute_than_allowed():
    pace = Pace()
    for at in (0.0, 10.0):
        assert pace.room(2, at)
        pace.begin(at)

    assert not pace.room(2, 59.9)
    assert pace.next_at(2) == 60.0
    assert pace.room(2, 60.0)
    assert pace.room(None, 10.0)
