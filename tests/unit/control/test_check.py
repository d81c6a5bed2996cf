"""`speechpool-operator check`: from what was found to lines, and what a sidecar would say to a certificate."""

import dataclasses
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from speechpool.settings import Address
from speechpool_operator.check_facts import Facts, Serving, Target, served_certificate
from speechpool_operator.check_judging import judge
from speechpool_operator.commands.facts import Known, Unknown
from speechpool_operator.commands.verdicts import Verdict
from speechpool_operator.crd import custom_resource_definition
from speechpool_operator.rights import forbidden, needed

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOST = "speechpool-operator.system.svc"
TARGET = Target(
    namespace="system",
    served="",
    lease="speechpool-operator",
    authority_map="speechpool-ca",
    host=HOST,
    certificate=Path("tls.crt"),
    key=Path("tls.key"),
    authority=Path("ca.crt"),
    dial=Address(HOST, 8443),
)
RIGHTS = list(needed(namespace="system", lease="speechpool-operator", authority_map="speechpool-ca"))
SECRETS = list(forbidden(namespace="system"))


def pool(name, *, accepted="True", generation=1, observed=1, missing=0):
    conditions = [{"type": "Accepted", "status": accepted}]
    return {
        "metadata": {"namespace": "calls", "name": name, "generation": generation},
        "status": {"observedGeneration": observed, "conditions": conditions, "missing": missing},
    }


def facts(**changes):
    right = Facts(
        target=TARGET,
        server="https://10.0.0.1",
        version=Known({"major": "1", "minor": "30+", "gitVersion": "v1.30.1"}),
        user=Known("system:serviceaccount:system:speechpool-operator"),
        needed=dict.fromkeys(RIGHTS, Known(value=True)),
        forbidden=dict.fromkeys(SECRETS, Known(value=False)),
        definition=Known(custom_resource_definition()),
        is_served=Known(value=True),
        reviews=Known({"error": "invalid bearer token"}),
        certificate=Known(Serving(not_after=(NOW + timedelta(days=60)).timestamp())),
        is_renewed=Known("speechpool-operator-0"),
        dialled=Known(""),
        pools=Known([pool("voice")]),
    )
    return dataclasses.replace(right, **changes)


def complaints(found):
    """What is not right, as verdict, text and advice."""
    return [(one.verdict, one.text, one.advice) for one in judge(found, NOW) if one.verdict is not Verdict.PASSED]


def test_where_all_is_right_nothing_is_said_against_it():
    assert complaints(facts()) == []
    assert len(judge(facts(), NOW)) == 12


def test_without_the_api_server_nothing_else_is_said():
    [(verdict, text, advice)] = complaints(facts(version=Unknown("connection refused")))
    assert (verdict, text) == (Verdict.FAILED, "the API server answers")
    assert advice.startswith("connection refused\nlook at the way to https://10.0.0.1")


DENIED = Unknown("forbidden", is_denied=True)
SOON = Known(Serving(not_after=(NOW + timedelta(days=2)).timestamp()))
FOREIGN = Known(Serving(not_after=(NOW + timedelta(days=60)).timestamp(), problem="Hostname mismatch"))
WITHOUT = {**dict.fromkeys(RIGHTS, Known(value=True)), RIGHTS[0]: Known(value=False)}
TOO_MUCH = {**dict.fromkeys(SECRETS, Known(value=False)), SECRETS[1]: Known(value=True)}


@pytest.mark.parametrize(
    ("changes", "verdict", "text", "advice"),
    [
        ({"version": Known({"major": "1", "minor": "29"})}, Verdict.FAILED, "1.30 or newer", "upgrade the cluster"),
        ({"is_served": Known(value=False)}, Verdict.FAILED, "are served", "kubectl apply -f crds/"),
        ({"definition": Known(None)}, Verdict.WARNED, "this program's version", "upgrade the chart"),
        ({"needed": WITHOUT}, Verdict.FAILED, "rights", "missing:\nget speechpools.speechpool.dev\n"),
        ({"needed": dict.fromkeys(RIGHTS, DENIED)}, Verdict.SKIPPED, "may what", "forbidden"),
        ({"forbidden": TOO_MUCH}, Verdict.WARNED, "no Secret", "list secrets in system"),
        ({"user": Known("kubernetes-admin")}, Verdict.SKIPPED, "no Secret", "in the operator's pod"),
        ({"reviews": DENIED}, Verdict.FAILED, "TokenReview", "no sidecar can prove who it is"),
        ({"reviews": Known({"authenticated": True})}, Verdict.FAILED, "TokenReview", "it believed"),
        ({"certificate": SOON}, Verdict.WARNED, f"{HOST}, until 2026-11-03 00:00 UTC", "ends in 2.0 days"),
        ({"certificate": FOREIGN}, Verdict.FAILED, HOST, "Hostname mismatch"),
        ({"certificate": Unknown("tls.crt: no such file")}, Verdict.SKIPPED, HOST, "tls.crt: no such file"),
        ({"is_renewed": Known("")}, Verdict.FAILED, "one operator leads", "nobody renews the Lease system/speech"),
        ({"is_renewed": Known(None)}, Verdict.FAILED, "one operator leads", "is not there"),
        ({"is_renewed": DENIED}, Verdict.SKIPPED, "one operator leads", "forbidden"),
        ({"target": dataclasses.replace(TARGET, lease="")}, Verdict.SKIPPED, "one operator leads", "no election"),
        ({"dialled": Known("no answer within 5 s")}, Verdict.FAILED, f"at {HOST}:8443", "Service and its endpoints"),
        ({"dialled": Unknown("this is no pod")}, Verdict.SKIPPED, "sidecars reach it", "this is no pod"),
        ({"pools": Known([pool("a"), pool("b", accepted="False")])}, Verdict.WARNED, "accepted: 1 of 2", "calls/b"),
        ({"pools": Known([pool("a", generation=2)])}, Verdict.WARNED, "newest form: 0 of 1", "calls/a"),
        ({"pools": Known([pool("a", missing=3)])}, Verdict.WARNED, "misses a sidecar: 0 of 1", "calls/a"),
        ({"pools": DENIED}, Verdict.SKIPPED, "every SpeechPool is accepted", "forbidden"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_do(changes, verdict, text, advice):
    [found] = complaints(facts(**changes))
    assert found[0] is verdict
    assert text in found[1]
    assert advice in found[2]


def test_of_many_objects_a_few_are_named():
    wrong = [pool(f"pool-{number}", accepted="False") for number in range(9)]
    [(_, _, advice)] = complaints(facts(pools=Known(wrong)))
    assert "calls/pool-4 and 4 more" in advice


def test_an_object_without_a_status_was_not_looked_at():
    fresh = {"metadata": {"namespace": "calls", "name": "new", "generation": 1}}
    [(_, text, _)] = complaints(facts(pools=Known([fresh])))
    assert "newest form" in text


def test_rights_are_asked_for_where_they_are_needed():
    one = {str(right) for right in needed(namespace="system", served="calls", lease="l")}
    assert "watch pods in calls" in one
    assert "create tokenreviews.authentication.k8s.io" in one
    assert "update leases.coordination.k8s.io l in system" in one
    assert {right.namespace for right in forbidden(namespace="system", served="calls")} == {"system", "calls"}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def ends(issuer, *names, trusted=None):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    issuer.issue_cert(*names).configure_cert(server)
    (trusted or issuer).configure_trust(client)
    return server, client


def test_a_certificate_that_a_sidecar_would_believe(authority):
    assert served_certificate(*ends(authority, HOST), HOST) == ""


def test_a_certificate_for_another_name(authority):
    assert "speechpool-operator.system.svc" in served_certificate(*ends(authority, "other.system.svc"), HOST)


def test_a_certificate_of_somebody_else(authority):
    assert served_certificate(*ends(trustme.CA(), HOST, trusted=authority), HOST)
