"""`speechpool check`: what is made of the facts, each line with what to do."""

import dataclasses
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509

from speechpool_operator.commands.facts import Facts, Known, Unknown, trial_namespace, trial_pod
from speechpool_operator.commands.judging import judge
from speechpool_operator.commands.verdicts import Verdict, failed, passed, report, skipped, warned
from speechpool_operator.crd import custom_resource_definition
from speechpool_operator.names import SIDECAR_CONTAINER
from speechpool_operator.sidecars import Overview, Sidecar

NOW = datetime(2026, 11, 1, tzinfo=UTC)
VERSION = "0.1.0"
DENIED = Unknown("this user may not look", is_denied=True)


@pytest.fixture(scope="module")
def ca_bundle() -> str:
    return b64encode(trustme.CA().cert_pem.bytes()).decode()


def deployment(part: str, *, available: int = 1, wanted: int = 1, version: str = VERSION, problem: str = ""):
    labels = {"app.kubernetes.io/component": part, "app.kubernetes.io/version": version}
    conditions = [{"type": "Available", "status": "False", "message": problem}] if problem else []
    return {
        "metadata": {"namespace": "speechpool-system", "name": f"speechpool-{part}", "labels": labels},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app.kubernetes.io/component": part}}},
        "status": {"availableReplicas": available, "conditions": conditions},
    }


def webhook(bundle: str, policy: str = "Ignore"):
    entry = {"name": "pods", "failurePolicy": policy, "clientConfig": {"caBundle": bundle}}
    return {"metadata": {"name": "speechpool-injector"}, "webhooks": [entry]}


def definition(**changes: object):
    made = custom_resource_definition()
    return made | {"status": {"conditions": [{"type": "Established", "status": "True"}]}} | changes


def admitted(*names: str, annotations: dict[str, str] | None = None):
    pod = trial_pod()
    pod["metadata"] |= {"namespace": "calls", "annotations": annotations or {}}
    pod["spec"]["initContainers"] = [{"name": name} for name in names]
    return pod


def pool(generation: int = 1, observed: int = 1, **conditions: str):
    listed = [{"type": name, "status": status, "message": f"{name}!"} for name, status in conditions.items()]
    return {
        "metadata": {"namespace": "calls", "name": "voice", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": listed},
    }


def sidecar(pod: str = "voice-0", **changes: object) -> Sidecar:
    good = Sidecar(namespace="calls", pod=pod, uid=pod, connected=True, synced=True, ready=True, version=VERSION)
    return dataclasses.replace(good, **changes)


def overview(*sidecars: Sidecar, known: bool = True) -> Overview:
    return Overview(version=VERSION, leads=True, known=known, sidecars=sidecars)


@pytest.fixture
def good(ca_bundle: str) -> Facts:
    return Facts(
        server="https://cluster",
        version=Known({"major": "1", "minor": "35", "gitVersion": "v1.35.4"}),
        definition=Known(definition()),
        deployments=Known([deployment("operator"), deployment("injector", available=2, wanted=2)]),
        overview=Known(overview(sidecar())),
        upgrades=Known(None),
        webhooks=Known([webhook(ca_bundle)]),
        policies=Known([]),
        namespaces=Known([{"metadata": {"name": "calls"}}]),
        bare=Known([]),
        pools=Known([pool(Accepted="True", Synced="True", Ready="True")]),
        trial=Known(admitted(SIDECAR_CONTAINER)),
    )


def complaints(facts: Facts, **changes: object) -> list[tuple[Verdict, str, str]]:
    """What is not right, after facts have changed."""
    lines = judge(dataclasses.replace(facts, **changes), VERSION, NOW)
    return [(line.verdict, line.text, line.advice) for line in lines if line.verdict is not Verdict.PASSED]


def only(facts: Facts, **changes: object) -> tuple[Verdict, str]:
    """The one line that is not right: how it is judged, and all of its text."""
    ((verdict, text, advice),) = complaints(facts, **changes)
    assert advice
    return verdict, f"{text}\n{advice}"


def test_where_all_is_right_nothing_is_complained_of(good: Facts) -> None:
    assert complaints(good) == []


class TestKubernetes:
    def test_without_an_api_server_nothing_else_is_said(self, good: Facts) -> None:
        (line,) = judge(dataclasses.replace(good, version=Unknown("no answer")), VERSION, NOW)

        assert line.verdict is Verdict.FAILED
        assert "no answer" in line.advice
        assert "https://cluster" in line.advice

    @pytest.mark.parametrize(
        ("minor", "is_right"), [("29", False), ("30", True), ("30+", True), ("100", True), ("", False)]
    )
    def test_a_cluster_that_is_too_old_is_named(self, good: Facts, minor: str, is_right: bool) -> None:
        found = complaints(good, version=Known({"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}))

        assert (not found) is is_right


class TestInstallation:
    def test_a_definition_that_is_not_there(self, good: Facts) -> None:
        verdict, text = only(good, definition=Known(None))

        assert verdict is Verdict.FAILED
        assert "helm install" in text

    def test_a_definition_that_is_not_served_yet(self, good: Facts) -> None:
        assert only(good, definition=Known(definition(status=None)))[0] is Verdict.FAILED

    def test_a_definition_of_another_version(self, good: Facts) -> None:
        other = definition()
        other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "older"

        assert only(good, definition=Known(other))[0] is Verdict.WARNED

    def test_what_may_not_be_looked_at_is_skipped(self, good: Facts) -> None:
        assert [verdict for verdict, _, _ in complaints(good, definition=DENIED, deployments=DENIED)] == [
            Verdict.SKIPPED,
            Verdict.SKIPPED,
        ]

    def test_no_operator(self, good: Facts) -> None:
        verdict, text = only(good, deployments=Known([deployment("injector")]))

        assert verdict is Verdict.FAILED
        assert "--operator-namespace" in text

    def test_an_operator_that_is_down_says_why(self, good: Facts) -> None:
        down = deployment("operator", available=0, problem='violates PodSecurity "restricted"')

        verdict, text = only(good, deployments=Known([down]))

        assert verdict is Verdict.FAILED
        assert "0 of 1 replicas" in text
        assert 'violates PodSecurity "restricted"' in text
        assert "kubectl -n speechpool-system describe pods -l app.kubernetes.io/component=operator" in text

    def test_an_injector_with_one_of_two_replicas_works_still(self, good: Facts) -> None:
        found = Known([deployment("operator"), deployment("injector", available=1, wanted=2)])

        assert only(good, deployments=found)[0] is Verdict.WARNED

    def test_an_operator_that_was_scaled_to_nothing(self, good: Facts) -> None:
        verdict, text = only(good, deployments=Known([deployment("operator", available=0, wanted=0)]))

        assert verdict is Verdict.FAILED
        assert "scale deployment/speechpool-operator --replicas=1" in text

    def test_an_operator_of_another_version(self, good: Facts) -> None:
        assert "0.0.9" in only(good, deployments=Known([deployment("operator", version="0.0.9")]))[1]

    def test_two_operators(self, good: Facts) -> None:
        assert only(good, deployments=Known([deployment("operator")] * 2))[0] is Verdict.WARNED

    def test_an_operator_that_does_not_answer(self, good: Facts) -> None:
        found = complaints(good, overview=Unknown("no operator leads"))

        assert [verdict for verdict, _, _ in found] == [Verdict.FAILED, Verdict.SKIPPED]
        assert "no operator leads" in found[0][2]

    def test_an_operator_that_is_still_listing(self, good: Facts) -> None:
        assert only(good, overview=Known(overview(known=False)))[0] is Verdict.WARNED


class TestInjection:
    def test_a_failure_policy_that_can_stop_pods(self, good: Facts, ca_bundle: str) -> None:
        assert "Ignore" in only(good, webhooks=Known([webhook(ca_bundle, "Fail")]))[1]

    @pytest.mark.parametrize("bundle", ["", "?", b64encode(b"nothing").decode()], ids=["none", "no base64", "no PEM"])
    def test_a_ca_bundle_that_is_none(self, good: Facts, bundle: str) -> None:
        verdict, text = only(good, webhooks=Known([webhook(bundle)]))

        assert verdict is Verdict.FAILED
        assert "caBundle" in text

    def test_a_ca_bundle_near_its_end_and_after_it(self, good: Facts, ca_bundle: str) -> None:
        end = x509.load_pem_x509_certificate(b64decode(ca_bundle)).not_valid_after_utc
        verdicts = [judge(good, VERSION, end - before) for before in (timedelta(days=30), timedelta(1), timedelta(-2))]

        worst = [next((one.verdict for one in lines if "certificate" in one.text), None) for lines in verdicts]
        assert worst == [Verdict.PASSED, Verdict.WARNED, Verdict.FAILED]

    def test_a_pod_that_gets_no_sidecar(self, good: Facts) -> None:
        verdict, text = only(good, trial=Known(admitted("proxy")))

        assert verdict is Verdict.FAILED
        assert "in namespace calls" in text

    def test_a_pod_that_gets_none_for_a_reason(self, good: Facts) -> None:
        trial = admitted(annotations={"speechpool.dev/not-injected": "HostNetwork"})

        assert "HostNetwork" in only(good, trial=Known(trial))[1]

    def test_a_namespace_that_refuses_the_pod(self, good: Facts) -> None:
        verdict, text = only(good, trial=Unknown('violates PodSecurity "restricted:latest"'))

        assert verdict is Verdict.FAILED
        assert "violates PodSecurity" in text

    def test_who_may_make_no_pods_does_not_try(self, good: Facts) -> None:
        assert only(good, trial=DENIED)[0] is Verdict.SKIPPED

    def test_without_webhook_and_policy_none_is_expected(self, good: Facts) -> None:
        assert only(good, webhooks=Known([]), trial=Known(admitted()))[0] is Verdict.SKIPPED

    def test_with_a_policy_one_is_expected(self, good: Facts) -> None:
        found = complaints(good, webhooks=Known([]), policies=Known([{"metadata": {}}]), trial=Known(admitted()))

        assert [verdict for verdict, _, _ in found] == [Verdict.FAILED]

    def test_pods_that_asked_and_have_none(self, good: Facts) -> None:
        bare = [{"metadata": {"namespace": "calls", "name": f"old-{n}"}} for n in range(7)]
        bare[0]["metadata"]["annotations"] = {"speechpool.dev/not-injected": "HostNetwork"}

        verdict, text = only(good, bare=Known(bare))

        assert verdict is Verdict.WARNED
        assert "calls/old-0 (HostNetwork), calls/old-1" in text
        assert "and 2 more" in text


class TestWhereTheInjectionIsTried:
    @pytest.mark.parametrize(
        ("own", "only", "never", "labelled", "expected"),
        [
            ("default", [], [], [], "default"),
            ("default", [], ["kube-system"], ["calls"], "default"),
            ("kube-system", [], ["kube-system"], ["calls"], "calls"),
            ("kube-system", [], ["kube-system"], [], "kube-system"),
            ("default", ["team-a"], ["kube-system"], [], "team-a"),
            ("team-b", ["team-a", "team-b"], [], [], "team-b"),
        ],
    )
    def test_it_is_one_that_is_served(self, own, only, never, labelled, expected) -> None:
        found = (("In", only), ("NotIn", never))
        rules = [{"key": "kubernetes.io/metadata.name", "operator": word, "values": names} for word, names in found]
        selector = {"matchExpressions": [rule for rule in rules if rule["values"]]}
        webhooks = [{"webhooks": [{"namespaceSelector": selector}, {}]}]
        namespaces = [{"metadata": {"name": name}} for name in labelled]

        assert trial_namespace(own, Known(webhooks), Known(namespaces)) == expected

    def test_where_nothing_may_be_looked_at_it_is_the_users_own(self) -> None:
        assert trial_namespace("calls", DENIED, DENIED) == "calls"


class TestSidecars:
    def test_a_sidecar_that_is_still_starting_is_no_complaint(self, good: Facts) -> None:
        coming = overview(sidecar("a", connected=False, version=""), sidecar("b"))
        lines = [line.text for line in judge(dataclasses.replace(good, overview=Known(coming)), VERSION, NOW)]
        assert "every sidecar is connected: 1 of 2, 1 not started yet" in lines
        assert complaints(good, overview=Known(coming)) == []

    def test_those_that_are_not_heard_of(self, good: Facts) -> None:
        late = [sidecar("a", missing=True, connected=False), sidecar("b", silent=True), sidecar("c")]

        verdict, text = only(good, overview=Known(overview(*late)))

        assert verdict is Verdict.WARNED
        assert "1 of 3" in text
        assert "calls/a, calls/b" in text

    def test_those_of_another_version(self, good: Facts) -> None:
        verdict, text = only(good, overview=Known(overview(sidecar("a", version="0.0.9"), sidecar("b"))))

        assert verdict is Verdict.WARNED
        assert "0.0.9" in text
        assert "calls/a" in text


class TestUpgrades:
    def test_while_they_go_on(self, good: Facts) -> None:
        going = {"stopped": None, "sidecars": {"current": 3, "due": 1, "busy": 0}}
        lines = judge(dataclasses.replace(good, upgrades=Known(going)), VERSION, NOW)

        assert "upgrades of running sidecars go on: 3 current, 1 due" in [line.text for line in lines]

    def test_where_they_have_stopped(self, good: Facts) -> None:
        verdict, text = only(good, upgrades=Known({"stopped": "calls/a is not warm", "sidecars": {}}))

        assert verdict is Verdict.FAILED
        assert "calls/a is not warm" in text

    def test_where_something_hinders_them(self, good: Facts) -> None:
        going = {"stopped": None, "hindered": "calls/a: no right", "sidecars": {}}

        assert only(good, upgrades=Known(going)) == (
            Verdict.WARNED,
            "upgrades of running sidecars go on: no sidecars\ncalls/a: no right",
        )

    def test_where_it_may_not_be_asked(self, good: Facts) -> None:
        assert only(good, upgrades=DENIED)[0] is Verdict.SKIPPED


class TestPools:
    def test_one_that_is_wrong(self, good: Facts) -> None:
        verdict, text = only(good, pools=Known([pool(Accepted="False")]))

        assert verdict is Verdict.FAILED
        assert "Accepted!" in text
        assert "kubectl -n calls edit speechpool voice" in text

    @pytest.mark.parametrize("condition", ["Degraded", "Stale", "Conflicted"])
    def test_one_that_complains(self, good: Facts, condition: str) -> None:
        verdict, text = only(good, pools=Known([pool(Accepted="True", **{condition: "True"})]))

        assert verdict is Verdict.WARNED
        assert condition in text

    def test_one_whose_change_nobody_has_looked_at(self, good: Facts) -> None:
        assert only(good, pools=Known([pool(generation=2, observed=1)]))[0] is Verdict.WARNED

    def test_one_that_nobody_has_looked_at_at_all(self, good: Facts) -> None:
        new = {"metadata": {"namespace": "calls", "name": "voice", "generation": 1}}

        assert only(good, pools=Known([new]))[0] is Verdict.WARNED


class TestReport:
    LINES = (
        passed("a", "one"),
        warned("a", "two", "look\ntwice"),
        failed("b", "three", "mend"),
        skipped("b", "four", "no"),
    )

    def test_sections_signs_and_advice(self) -> None:
        assert report(self.LINES, plain=True).splitlines() == [
            "a",
            "  ok one",
            "  !! two",
            "      look",
            "      twice",
            "",
            "b",
            "  XX three",
            "      mend",
            "  -- four",
            "      no",
            "",
            "not right: 1 failed, 1 to look at",
        ]

    def test_how_it_ends(self) -> None:
        assert report(self.LINES[:1], plain=False).endswith("all is right")
        assert report(self.LINES[:2], plain=False).endswith("right, but 1 to look at")
