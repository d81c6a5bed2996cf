"""What the sizer recommends, against the definition it is made from."""

import random

import pytest

from speechpool.pools.sizing import WINDOW_SEC, Sizer
from speechpool.pools.stats import Peak, Stats
from speechpool.pools.tiers import AllocationTier


def sizer_of(arrivals, creation_sec=0.2):
    sizer = Sizer()
    sizer.created(creation_sec)
    sizer.arrivals.extend(arrivals)
    return sizer


def cold_share(arrivals, creation_sec, size):
    """The definition: a call is cold if at least `size` calls came within one creation before it."""
    cold = 0
    for index, arrival in enumerate(arrivals):
        before = sum(other > arrival - creation_sec for other in arrivals[:index])
        cold += before >= size
    return cold / len(arrivals)


@pytest.mark.parametrize("rate", [0.1, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("target", [0.01, 0.1])
def test_is_the_smallest_size_with_few_enough_cold_calls(rate, target):
    rng = random.Random(3)
    arrivals, now = [], 0.0
    for _ in range(int(rate * 600)):
        now += rng.expovariate(rate)
        arrivals.append(now)

    size = sizer_of(arrivals).recommend(target, now)

    assert cold_share(arrivals, 0.2, size) <= target
    assert size == 1 or cold_share(arrivals, 0.2, size - 1) > target


def test_knows_nothing_without_traffic_or_creations():
    idle = Sizer()
    idle.arrivals.append(0.0)

    assert idle.recommend(0.01, 0.0) is None
    assert sizer_of([]).recommend(0.01, 0.0) is None


def test_forgets_what_is_older_than_its_window():
    sizer = sizer_of([0.0] * 10)

    assert sizer.recommend(0.01, 1.0) == 10
    assert sizer.recommend(0.01, WINDOW_SEC) is None


def test_a_burst_across_two_counts_is_one_burst():
    sizer = sizer_of([0.0, 0.01])
    sizer.recommend(0.01, 0.01)
    sizer.arrivals.append(0.02)

    assert sizer.recommend(0.01, 0.02) == 3


def test_a_peak_is_remembered_for_its_window_and_no_longer():
    peak = Peak()
    peak.roll(0, 80.0, 0.0)
    peak.note(5)
    for now in range(1, 80):
        peak.roll(1, 80.0, float(now))
    assert peak.highest == 5

    for now in range(80, 101):
        peak.roll(1, 80.0, float(now))
    assert peak.highest == 1


def test_a_peak_survives_no_gap_longer_than_its_window():
    peak = Peak()
    peak.note(5)

    peak.roll(2, 80.0, 10_000.0)

    assert peak.highest == 2


def test_waits_are_cumulative_and_include_those_who_did_not_wait():
    stats = Stats()
    for tier in AllocationTier:
        stats.allocated(tier)
    stats.waited(0.2)
    stats.waited(100.0)

    buckets = stats.wait_buckets(served=5)

    assert (buckets["0"], buckets["0.1"], buckets["0.25"], buckets["30.0"], buckets["+Inf"]) == (3, 3, 4, 4, 5)
    assert stats.wait_seconds == pytest.approx(100.2)
