"""The life of `speechpool-operator run`: what it needs, how it ends, and who takes its place."""

import json
import signal
import subprocess
import sys

import pytest
from tests.cluster.apiserver import ApiError
from tests.e2e.sidecars import FALLBACK, Calls, applied_size, sidecar_of, waited
from tests.integration.sidecar import eventually

LEASE = ("--lease-name", "speechpool-operator")


@pytest.fixture
def calls(pools_api):
    made = Calls(pools_api)
    made.pod("a")
    return made


def runs(sidecar, size):
    waited(lambda: applied_size(sidecar) == size, lambda: sidecar.client.get_json("/v1/config")["sources"])


def test_it_ends_in_order_and_its_sidecar_goes_on_and_follows_the_next_one(calls, start_operator, tmp_path):
    first = start_operator()
    calls.apply("voice", 2)
    with sidecar_of(calls, "a", first, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
        calls.becomes("voice", Ready="True/AllWarm")
        assert first.stop() == 0
        assert first.logs[-1]["message"] == "operator stopped"
        assert applied_size(sidecar) == 2
        calls.apply("voice", 3)
        start_operator(namespace=first.namespace, listen=first.address)
        runs(sidecar, 3)
        calls.becomes("voice", Ready="True/AllWarm", counts={"observedGeneration": 2, "connected": 1})


def test_a_killed_one_leaves_nothing_behind_that_its_successor_would_need(calls, start_operator, tmp_path):
    first = start_operator()
    calls.apply("voice", 2)
    with sidecar_of(calls, "a", first, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
        first.kill()
        calls.delete("voice")
        start_operator(namespace=first.namespace, listen=first.address)
        runs(sidecar, FALLBACK)


def test_a_second_signal_ends_it_at_once(start_operator):
    operator = start_operator()
    operator.signal(signal.SIGSTOP)  # both signals are there when it goes on
    operator.signal(signal.SIGTERM)
    operator.signal(signal.SIGINT)
    operator.signal(signal.SIGCONT)
    assert operator.wait() in (-signal.SIGTERM, -signal.SIGINT)


def test_without_a_certificate_it_waits_and_says_so(pools_api, start_operator, tmp_path):
    operator = start_operator("--tls-cert-file", str(tmp_path / "later.crt"), ready=False)
    told = operator.wait_for_log("waiting for a certificate")
    assert "later.crt" in told["reason"]
    waited(lambda: "certificate" in operator.get("/readyz")[1], lambda: operator.get("/readyz"))
    assert operator.get("/livez") == (200, "ok\n")
    (tmp_path / "later.crt").write_bytes((tmp_path / "tls.crt").read_bytes())
    operator.wait_ready()


def test_a_wrong_setting_is_named_with_its_bounds(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "speechpool_operator", "run", "--listen", "here", "--log-level", "loud"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"SPEECHPOOL_OPERATOR_NAMESPACE": "No Name", "PATH": "/bin"},
    )
    assert done.returncode == 2
    problems = done.stderr.splitlines()
    assert len(problems) == 3
    assert "--listen must be host:port" in done.stderr
    assert "SPEECHPOOL_OPERATOR_NAMESPACE must be a Kubernetes name" in done.stderr
    assert "--log-level must be one of debug, info, warning, error; got 'loud'" in done.stderr


def test_an_address_that_is_in_use_ends_it_with_a_reason(start_operator):
    first = start_operator()
    second = start_operator(listen=first.address, ready=False)
    assert second.wait() == 1
    failed = second.wait_for_log("operator failed")
    assert first.address.rpartition(":")[2] in failed["error"]
    assert "in use" in failed["error"]


def test_one_namespace_needs_rights_in_it_alone(pools_api, start_operator, tmp_path):
    inside, outside = Calls(pools_api), Calls(pools_api)
    operator = start_operator(watch_namespace=inside.name)
    for each in (inside, outside):
        each.pod("a")
        each.apply("voice", 2)
    with sidecar_of(inside, "a", operator, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
        inside.becomes("voice", Synced="True/AllSynced", counts={"connected": 1})
    assert outside.status("voice") == {}
    assert [one for one in operator.logs if one["level"] in ("warning", "error")] == []


def test_of_two_the_leader_alone_is_ready_and_a_killed_ones_place_is_taken(calls, start_operator, tmp_path):
    first = start_operator(*LEASE, "--pod-name", "first")
    second = start_operator(*LEASE, "--pod-name", "second", namespace=first.namespace, ready=False)
    assert "another operator leads" in second.get("/readyz")[1]
    assert json.loads(second.get("/sidecars")[1])["leader"] is False
    calls.apply("voice", 2)
    calls.becomes("voice", Accepted="True/Valid", counts={"matched": 1})
    with sidecar_of(calls, "a", first, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
    first.kill()
    second.wait_ready()
    calls.apply("voice", 3)
    with sidecar_of(calls, "a", second, tmp_path / "b") as sidecar:
        runs(sidecar, 3)
        calls.becomes("voice", Synced="True/AllSynced", counts={"connected": 1, "observedGeneration": 2})


def test_at_its_end_it_gives_the_lease_back(start_operator):
    first = start_operator(*LEASE, "--pod-name", "first")
    second = start_operator(*LEASE, "--pod-name", "second", namespace=first.namespace, ready=False)
    assert first.stop() == 0
    second.wait_ready()


def test_one_that_lost_its_lease_ends(pools_api, start_operator):
    operator = start_operator(*LEASE, "--pod-name", "first")
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{operator.namespace}/leases/speechpool-operator"

    def take() -> bool:
        try:
            pools_api.patch(lease, {"spec": {"holderIdentity": "thief"}})
        except ApiError:
            return False
        return operator.process.poll() is not None

    eventually(take)
    assert operator.wait() == 1
    assert "LeaseLost" in operator.wait_for_log("operator failed")["error"]


def test_the_stream_of_a_pod_that_is_deleted_is_closed(calls, start_operator, tmp_path):
    operator = start_operator()
    calls.apply("voice", 2)
    with sidecar_of(calls, "a", operator, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
        calls.api.delete(f"{calls.pods}/a", grace_seconds=0)
        operator.wait_for_log("sidecar gone", pod="a", namespace=calls.name)
        calls.becomes("voice", Synced="True/NoSidecars", counts={"matched": 0, "connected": 0})
        assert "a" not in operator.sidecars(calls.name)


def test_it_tells_of_pods_without_a_sidecar_and_of_sidecars_that_are_not_labelled(calls, start_operator, tmp_path):
    operator = start_operator()
    calls.apply("voice", 2)
    calls.api.pod(calls.name, "asks", labels={"app": "voice", "speechpool.dev/inject": "true"})
    calls.api.pod(calls.name, "plain", labels={"app": "voice"})
    waited(lambda: set(operator.sidecars(calls.name)) == {"a", "asks"}, lambda: operator.sidecars(calls.name))
    with sidecar_of(calls, "plain", operator, tmp_path / "plain") as sidecar:
        runs(sidecar, 2)
        calls.becomes("voice", counts={"matched": 3, "connected": 1})
        calls.change_pod("asks", labels={"speechpool.dev/inject": None})
        calls.becomes("voice", counts={"matched": 2, "connected": 1})


def test_it_tells_sidecars_namespaces_whom_to_trust_and_users_what_happened(calls, start_operator, tmp_path):
    operator = start_operator("--ca-configmap-name", "speechpool-ca")
    calls.apply("voice", 2)
    with sidecar_of(calls, "a", operator, tmp_path / "a") as sidecar:
        runs(sidecar, 2)
        calls.apply("voice", 3)
        for namespace in (calls.name, operator.namespace):
            path = f"/api/v1/namespaces/{namespace}/configmaps/speechpool-ca"
            waited(lambda path=path: found(calls, path).get("data") == {"ca.crt": operator.ca_file.read_text()}, list)
        events = lambda: found(calls, f"/api/v1/namespaces/{calls.name}/events").get("items") or []  # noqa: E731 -- one expression
        waited(lambda: any(one["involvedObject"]["name"] == "voice" for one in events()), events)
        status, text = operator.get("/metrics")
        assert status == 200
        assert 'speechpool_operator_sidecars{state="connected"} 1.0' in text
        assert "speechpool_operator_apply_seconds_count" in text


def found(calls, path):
    try:
        return calls.api.get(path)
    except ApiError:
        return {}
