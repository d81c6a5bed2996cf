"""What a running operator tells: Events by kubectl, metrics to Prometheus, and nothing of tokens in its log."""

import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.cluster.speechpools import manifest
from tests.unit.control.bad_specs import spec

PATIENCE_SECONDS = 60


@pytest.fixture
def namespace(pools_api):
    return pools_api.namespace()


def events(api, namespace, name, reason):
    """The events of one object with one reason, as soon as there is one."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        items = api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        if found := [one for one in items if (one["involvedObject"]["name"], one["reason"]) == (name, reason)]:
            return found
        assert time.monotonic() < give_up_at, [(one["involvedObject"]["name"], one["reason"]) for one in items]
        time.sleep(0.05)


def make(api, namespace, name, **changes):
    path = f"/apis/speechpool.dev/v1alpha1/namespaces/{namespace}/speechpools"
    return api.post(path, manifest(spec(**changes), name))


def test_an_object_that_is_not_honoured_is_told_of_once(pools_api, control_plane, namespace):
    made = make(pools_api, namespace, "everywhere", scope="Cluster")
    [event] = events(pools_api, namespace, "everywhere", "ClusterScopeIgnored")
    assert event["involvedObject"]["uid"] == made["metadata"]["uid"]
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert event["source"]["component"] == "speechpool-operator"
    described = pools_api.kubectl("describe", "spool", "everywhere", "-n", namespace)
    assert "ClusterScopeIgnored" in described.stdout.partition("Events:")[2]


def test_a_pod_that_asked_and_has_none_is_told_of_on_the_pod(pools_api, control_plane, namespace):
    why = {"speechpool.dev/not-injected": "HostPathSocket"}
    pools_api.pod(namespace, "asks", labels={"speechpool.dev/inject": "true"}, annotations=why)
    [event] = events(pools_api, namespace, "asks", "NotInjected")
    assert "HostPathSocket" in event["message"]
    pools_api.pod(namespace, "has", labels={"speechpool.dev/inject": "true", "speechpool.dev/injected": "true"})
    [event] = events(pools_api, namespace, "has", "Injected")
    assert event["type"] == "Normal"


def test_prometheus_is_told_how_it_does(pools_api, control_plane, namespace):
    make(pools_api, namespace, "voice")
    status, text = control_plane.get("/metrics")
    assert status == 200
    samples = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert samples["speechpool_operator_leader",] == 1
    assert samples["speechpool_operator_plan_failures_total",] == 0
    assert samples["speechpool_operator_plan_seconds_count",] > 0
    ages = [value for key, value in samples.items() if key[0] == "speechpool_operator_watch_age_seconds"]
    assert len(ages) >= 3
    assert max(ages) < PATIENCE_SECONDS + 60
    assert samples["speechpool_operator_certificate_not_after_seconds",] > time.time()
    assert namespace not in text


def test_its_log_is_json_with_constant_messages_and_no_token(pools_api, control_plane, namespace):
    pools_api.pod(namespace, "voice-0")
    token = pools_api.token(namespace, "voice-0")
    assert control_plane.get("/healthz")[0] == 200
    lines = control_plane.stderr_text.splitlines()
    records = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    assert token not in control_plane.stderr_text
    assert "eyJ" not in control_plane.stderr_text
