"""What the operator's probes say, and why."""

import math

import pytest

from speechpool_operator.health import Health


class Watched:
    def __init__(self, age_seconds, is_listed=True):
        self.age_seconds, self.is_listed, self.restarts = age_seconds, is_listed, 0


def health(watches=None, **facts):
    found = {"is_known": True, "leads": True, "is_serving": True, "is_stopping": False, **facts}
    return Health(watches or {}, **{name: (lambda value=value: value) for name, value in found.items()})


def test_each_silent_watch_is_named_with_its_age():
    made = health(
        {"pods": (Watched(12), 90), "speechpools": (Watched(91.4), 90), "kopf": (Watched(math.inf, False), 10)}
    )
    assert made.silent() == ["watch speechpools: not true for 91 s", "watch kopf: no list yet"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"is_stopping": True}, "stopping"),
        ({"leads": False, "is_serving": False}, "another operator leads"),
        ({"is_known": False}, "known yet"),
        ({"is_serving": False}, "no certificate"),
    ],
)
def test_each_reason_not_to_come_here_is_told(facts, reason):
    [told] = health(**facts).unready()
    assert reason in told


def test_it_is_ready_where_there_is_none():
    assert health().unready() == []
