"""What Prometheus is told of the operator."""

import asyncio
import contextlib
from collections import Counter
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.control.fleets import World, a_pod, rejected, speech_pool
from tests.virtual import VIRTUAL

from speechpool.settings.wire import Applying
from speechpool_operator.dispatch import Counts
from speechpool_operator.events import Recorder
from speechpool_operator.identity import IdentityRefused, IdentityUnknown, Refusal
from speechpool_operator.metrics import Metrics, Parts
from speechpool_operator.status_writer import StatusWriter


def values(metrics):
    """Each sample by its name and labels."""
    text, content_type = metrics.text()
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(text.decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def a_server():
    counts = Counts(lambda _: None)
    counts.pushed, counts.answers = 7, Counter({Applying.APPLIED: 5, Applying.REJECTED: 1})
    return SimpleNamespace(
        streams=3, counts=counts, refused=Counter(NoToken=2), endings=Counter(PeerClosed=4, Silent=1)
    )


def parts(fleet, *, server=None, watches=None, leading=True):
    return Parts(
        fleet=fleet,
        server=lambda: server,
        watches=watches or {},
        writer=StatusWriter(None, answered=lambda _: None, may_write=lambda: True),
        recorder=Recorder(None, instance="operator-0"),
        is_leading=lambda: leading,
        not_after=lambda: 2e9 if server else None,
    )


@VIRTUAL
async def test_objects_and_sidecars_are_counted_and_never_named():
    world, metrics = World(), Metrics("1.2.3")
    world.fleet.put_pool(speech_pool("voice", warmSize=2))
    world.fleet.put_pool(speech_pool("wrong", warmSize=-1))
    one, two = a_pod("secret-pod-0"), a_pod("secret-pod-1")
    for pod in (one, two):
        world.join(pod)
    world.runs(one)
    world.say(two, rejected(world.sent[two.uid]))
    world.plan()
    metrics.collect(parts(world.fleet))
    found = values(metrics)
    assert found["speechpool_operator_build_info", "1.2.3"] == 1
    assert found["speechpool_operator_leader",] == 1
    assert found["speechpool_operator_objects", "true"] == found["speechpool_operator_objects", "false"] == 1
    states = {key[1]: value for key, value in found.items() if key[0] == "speechpool_operator_sidecars"}
    assert states == {"matched": 2, "connected": 2, "synced": 1, "failed": 1, "missing": 0, "silent": 0}
    assert b"secret-pod" not in metrics.text()[0]


@VIRTUAL
async def test_the_server_is_told_of_while_there_is_one():
    metrics = Metrics("1")
    metrics.collect(parts(World().fleet, server=a_server(), leading=False))
    found = values(metrics)
    assert found["speechpool_operator_leader",] == 0
    assert found["speechpool_operator_streams",] == 3
    assert found["speechpool_operator_pushes_total",] == 7
    assert found["speechpool_operator_answers_total", "applied"] == 5
    assert found["speechpool_operator_answers_total", "rejected"] == 1
    assert found["speechpool_operator_refused_connections_total", "NoToken"] == 2
    assert found["speechpool_operator_streams_ended_total", "Silent"] == 1
    assert found["speechpool_operator_certificate_not_after_seconds",] == 2e9
    assert ("speechpool_operator_streams",) not in values(without_server())


def without_server():
    metrics = Metrics("1")
    metrics.collect(parts(World().fleet))
    return metrics


@VIRTUAL
async def test_a_watch_is_told_of_by_its_age():
    watches = {
        "pods": SimpleNamespace(age_seconds=1.5, restarts=2),
        "speechpools": SimpleNamespace(age_seconds=float("inf"), restarts=0),
    }
    metrics = Metrics("1")
    metrics.collect(parts(World().fleet, watches=watches))
    found = values(metrics)
    assert found["speechpool_operator_watch_age_seconds", "pods"] == 1.5
    assert found["speechpool_operator_watch_age_seconds", "speechpools"] == float("inf")
    assert found["speechpool_operator_watch_restarts_total", "pods"] == 2


@VIRTUAL
async def test_reasons_of_others_do_not_grow_for_ever():
    server, metrics = a_server(), Metrics("1")
    server.endings = Counter({f"Reason{number}": 1 for number in range(1000)})
    metrics.collect(parts(World().fleet, server=server))
    ended = {key[1]: n for key, n in values(metrics).items() if key[0] == "speechpool_operator_streams_ended_total"}
    assert len(ended) == 33
    assert ended["Other"] == 1000 - 32


def test_an_acknowledgement_falls_between_the_targets():
    metrics = Metrics("1")
    metrics.apply_seconds.observe(0.011)
    found = values(metrics)
    assert found["speechpool_operator_apply_seconds_bucket", "0.01"] == 0
    assert found["speechpool_operator_apply_seconds_bucket", "0.015"] == 1


def test_plans_are_measured_and_failures_counted():
    metrics = Metrics("1")
    with metrics.planning():
        pass
    with pytest.raises(ValueError, match="broken"), metrics.planning():
        raise ValueError("broken")
    found = values(metrics)
    assert found["speechpool_operator_plan_seconds_count",] == 2
    assert found["speechpool_operator_plan_failures_total",] == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "believed"),
        (IdentityRefused(Refusal.NO_TOKEN), "refused"),
        (IdentityUnknown("no answer"), "unknown"),
        (asyncio.CancelledError(), "unknown"),
    ],
)
async def test_token_reviews_are_measured_by_outcome(error, outcome):
    async def identify(token):
        if error:
            raise error
        return token

    metrics = Metrics("1")
    with contextlib.suppress(IdentityRefused, IdentityUnknown, asyncio.CancelledError):
        assert await metrics.timed(identify)("who") == "who"
    assert values(metrics)["speechpool_operator_token_review_seconds_count", outcome] == 1
