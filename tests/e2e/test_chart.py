"""The chart without a cluster: linted, rendered as it was, and refused where a value is wrong.

`SPEECHPOOL_REFRESH=1 pytest tests/e2e/test_chart.py` writes what is rendered now into tests/data/chart.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.charts import CHART, MODES, NAMESPACE, flags, helm, rendered, template

from speechpool_operator.injection.config import InjectorConfig, read_config

SNAPSHOTS = Path(__file__).parents[1] / "data" / "chart"


@pytest.mark.parametrize("mode", MODES)
def test_the_chart_lints(mode: str):
    done = helm("lint", "--strict", str(CHART), "--namespace", NAMESPACE, *flags(MODES[mode]))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mode", MODES)
def test_what_a_mode_renders_is_as_it_was(mode: str):
    objects = rendered(MODES[mode])
    for one in objects:
        if one["kind"] == "CustomResourceDefinition":
            one["spec"] = "as in crds/"  # held by the next test
        if one["metadata"]["name"] == "speechpool-dashboard":
            one["data"] = "as in files/dashboard.json"
    text = yaml.safe_dump_all(sorted(objects, key=_place), sort_keys=True, width=120)
    path = SNAPSHOTS / f"{mode}.yaml"
    if os.environ.get("SPEECHPOOL_REFRESH"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"if this is right: SPEECHPOOL_REFRESH=1 pytest {Path(__file__).name}"


def _place(one: dict[str, Any]) -> tuple[str, str, str]:
    return (
        one["kind"],
        one["metadata"].get("namespace", ""),
        str(one["metadata"]["name"]) + str(one["metadata"].get("annotations")),
    )


def definition(**values: Any) -> dict[str, Any]:
    found = rendered({name.replace("_", "."): value for name, value in values.items()})
    return next(one for one in found if one["kind"] == "CustomResourceDefinition")


def test_the_definition_is_that_of_the_repository_and_is_kept():
    made = definition(commonLabels={"team": "voice"}, crds_annotations={"a": "b"})
    held = yaml.safe_load((CHART.parents[1] / "crds" / "speechpools.speechpool.dev.yaml").read_text("utf-8"))
    assert made["spec"] == held["spec"]
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep", "a": "b"}
    assert made["metadata"]["labels"]["team"] == "voice"


def test_the_definition_goes_with_the_release_only_where_that_was_asked_for():
    assert "helm.sh/resource-policy" not in definition(crds_keep=False)["metadata"].get("annotations", {})


def test_without_definitions_none_is_made():
    assert "CustomResourceDefinition" not in {one["kind"] for one in rendered({"crds.install": False})}


WRONG = [
    ("replica", 1, ""),
    ("operator.replicas", 3, "/operator/replicas"),
    ("operator.resources", {"limits": {"memory": "lots"}}, "/operator/resources/limits/memory"),
    ("operator.tolerations", [{"effect": "Never"}], "/operator/tolerations/0/effect"),
    ("operator.extraEnv", [{"name": "A", "value": 1}], "/operator/extraEnv/0/value"),
    ("operator.extraEnv", [{"value": "1"}], "/operator/extraEnv/0"),
    ("operator.podLabels", {"a b": "c"}, "/operator/podLabels"),
    ("operator.serviceAccount.create", "yes", "/operator/serviceAccount/create"),
    ("operator.logLevel", "trace", "/operator/logLevel"),
    ("injector.replicas", 0, "/injector/replicas"),
    ("injector.failurePolicy", "ignore", "/injector/failurePolicy"),
    ("injector.timeoutSeconds", 31, "/injector/timeoutSeconds"),
    ("injector.podDisruptionBudget.maxUnavailable", "half", "/injector/podDisruptionBudget/maxUnavailable"),
    ("injection.mode", "webhooks", "/injection/mode"),
    ("injection.excludeNamespaces", ["A"], "/injection/excludeNamespaces/0"),
    ("watchNamespace", "Team A", "/watchNamespace"),
    ("image.pullPolicy", "always", "/image/pullPolicy"),
    ("image.operator.digest", "sha256:1", "/image/operator/digest"),
    ("image.sidecar.repository", "", "/image/sidecar/repository"),
    ("image.pullSecrets", ["pull"], "/image/pullSecrets/0"),
    ("sidecar.startupWaitSeconds", 601, "/sidecar/startupWaitSeconds"),
    ("sidecar.engine", "espeak", "/sidecar/engine"),
    ("sidecar.runAsUser", 0, "/sidecar/runAsUser"),
    ("sidecar.resource", {}, "/sidecar"),
    ("sidecar.resources.limits.memory", "32 MB", "/sidecar/resources/limits/memory"),
    ("sidecar.telemetryPort", 80, "/sidecar/telemetryPort"),
    ("sidecar.egressProxy.https", "proxy:3128", "/sidecar/egressProxy/https"),
    ("certificates.mode", "cert-manager", "/certificates/mode"),
    ("certificates.certManager.duration", "90d", "/certificates/certManager/duration"),
    ("defaultPool.spec", [], "/defaultPool/spec"),
    ("upgrader.perMinute", 0, "/upgrader/perMinute"),
    ("networkPolicy.apiServer.ports", [], "/networkPolicy/apiServer/ports"),
    ("networkPolicy.telemetryFrom", [{"pods": {}}], "/networkPolicy/telemetryFrom/0"),
    ("monitoring.interval", 30, "/monitoring/interval"),
    ("monitoring.dashboards", {}, "/monitoring"),
    ("test.sentence", "", "/test/sentence"),
    ("listenHost", "127.0.0.1", "/listenHost"),
]


@pytest.mark.parametrize(("path", "value", "where"), WRONG)
def test_a_wrong_value_is_refused_with_its_path(path: str, value: object, where: str):
    done = helm("template", "speechpool", str(CHART), *flags({path: value}))
    assert done.returncode != 0
    assert f"at '{where}'" in done.stderr


def test_values_of_a_tree_of_charts_pass():
    assert rendered({"global.registry": "registry.example.org"})


@pytest.mark.parametrize(("version", "accepted"), [("1.29.9", False), ("1.30.0", True), ("1.36.1-gke.5", True)])
def test_the_chart_says_which_clusters_it_is_for(version: str, accepted: bool):
    done = helm("template", "speechpool", str(CHART), "--kube-version", version)
    assert (done.returncode == 0) is accepted
    assert accepted or "chart requires kubeVersion" in done.stderr


@pytest.mark.parametrize(("version", "expected"), [("1.36.0", "v1"), ("1.34.0", "v1beta1"), ("1.33.0", None)])
def test_a_policy_is_of_the_version_that_the_cluster_has(version: str, expected: str | None):
    words = ("template", "speechpool", str(CHART), "--kube-version", version, "--set", "injection.mode=policy")
    done = helm(*words)
    if expected is None:
        assert "Set injection.mode to webhook" in done.stderr
    else:
        assert f"admissionregistration.k8s.io/{expected}\nkind: MutatingAdmissionPolicy\n" in done.stdout


@pytest.mark.parametrize(
    ("release", "override", "expected"),
    [
        ("speechpool", "", "speechpool-operator"),
        ("my-speechpool", "", "my-speechpool-operator"),
        ("voice", "", "voice-speechpool-operator"),
        ("voice", "sp", "sp-operator"),
    ],
)
def test_objects_are_named_after_the_release(release: str, override: str, expected: str):
    done = helm("template", release, str(CHART), "--set", f"fullnameOverride={override}")
    names = {one["metadata"]["name"] for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "Deployment"}
    assert expected in names


def test_the_webhook_never_looks_at_the_control_plane_or_its_own_namespace():
    made = next(one for one in rendered({}) if one["kind"] == "MutatingWebhookConfiguration")
    for hook in made["webhooks"][:2]:
        (never,) = [one for one in hook["namespaceSelector"]["matchExpressions"] if one["operator"] == "NotIn"]
        assert {"kube-system", NAMESPACE} <= set(never["values"])
    (test,) = made["webhooks"][2:]
    assert test["objectSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    for hook in made["webhooks"]:
        assert (hook["failurePolicy"], hook["sideEffects"], hook["reinvocationPolicy"]) == (
            "Ignore",
            "None",
            "IfNeeded",
        )
        assert "caBundle" not in hook["clientConfig"]


def test_every_pod_of_the_chart_has_requests_and_passes_the_restricted_profile():
    for one in rendered({"upgrader.enabled": True}):
        spec = (
            one["spec"]
            if one["kind"] == "Pod"
            else one["spec"]["template"]["spec"]
            if one["kind"] == "Deployment"
            else {}
        )
        for container in spec.get("containers", ()):
            assert container["resources"]["requests"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert spec["securityContext"]["runAsNonRoot"] is True


UNFIT = [
    ({"sidecar.azureRegion": "westeurope", "sidecar.azureEndpoint": "https://a"}, "sidecar.azureRegion and"),
    (
        {"sidecar.engine": "azure", "sidecar.engines": ["local"]},
        "sidecar.engine must be one of sidecar.engines (local)",
    ),
    ({"sidecar.resources.requests.memory": "1Gi"}, "at most sidecar.resources.limits.memory; got 1Gi and 512Mi"),
    ({"sidecar.resources.limits.cpu": "50m"}, "at most sidecar.resources.limits.cpu; got 100m and 50m"),
    ({"sidecar.resources.limits.cpu": 65}, "sidecar.resources.limits.cpu must be a quantity from 1m to 64; got 65"),
    (
        {"sidecar.resources.limits.memory": "32Mi"},
        "sidecar.resources.limits.memory must be a quantity from 64Mi to 64Gi",
    ),
    ({"sidecar.resources.requests.memory": 1000}, "sidecar.resources.requests.memory must be a quantity from 64Mi to"),
    ({"defaultPool.spec": {"scope": "Namespace"}}, "defaultPool.spec must not have scope"),
    ({"defaultPool.spec": {"selector": {}}}, "defaultPool.spec must not have selector"),
    ({"sidecar.guaranteedCpu": "100"}, "sidecar.guaranteedCpu must be a quantity from 1m to 64; got 100"),
    ({"sidecar.socketVolumeSize": "1Ki"}, "sidecar.socketVolumeSize must be a quantity from 64Ki to 16Gi; got 1Ki"),
    ({"sidecar.stateVolumeSize": "1Ti"}, "sidecar.stateVolumeSize must be a quantity from 64Ki to 16Gi; got 1Ti"),
    ({"sidecar.env": [{"name": "NO_PROXY", "value": "a"}]}, "sidecar.env must not have NO_PROXY"),
    ({"sidecar.env": [{"name": "A"}, {"name": "A"}]}, "sidecar.env has A twice"),
    ({"certificates.self.certificateDays": 100, "certificates.self.caDays": 99}, "got 100 and 99"),
    ({"certificates.self.certificateDays": 2, "certificates.self.caSettleSeconds": 57601}, "got 57601 seconds"),
    ({"injector.shutdownDelaySeconds": 30}, "injector.shutdownDelaySeconds must be less than"),
]


@pytest.mark.parametrize(("values", "expected"), UNFIT)
def test_values_that_do_not_fit_each_other_are_refused(values: dict[str, Any], expected: str):
    done = template(values)
    assert done.returncode != 0
    assert expected in done.stderr


def test_values_at_their_bounds_pass():
    assert rendered({
        "sidecar.resources": {"requests": {"cpu": "64", "memory": 67108864}, "limits": {"cpu": 64, "memory": "64Gi"}},
        "sidecar.guaranteedCpu": "1m",
        "sidecar.socketVolumeSize": "64Ki",
        "certificates.self.certificateDays": 2,
        "certificates.self.caSettleSeconds": 57600,
    })  # fmt: skip


def test_what_is_taken_away_is_not_there():
    """Helm takes a value away that is null, and the injector would take its own default for it."""
    settings = injector_settings({"sidecar.resources.limits.memory": None, "sidecar.runAsUser": None})
    assert (settings.memory_limit, settings.memory_request, settings.run_as_user) == ("", "128Mi", None)
    settings = injector_settings({"sidecar.resources": None})
    assert (settings.memory_limit, settings.memory_request, settings.cpu_request) == ("", "", "")


def injector_settings(values: dict[str, Any]) -> InjectorConfig:
    made = next(
        one for one in rendered(values) if one["kind"] == "ConfigMap" and "injector.yaml" in one.get("data", {})
    )
    return read_config(yaml.safe_load(made["data"]["injector.yaml"]))


def policies(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The NetworkPolicies, by the component that they are for."""
    every = rendered({"networkPolicy.enabled": True, "upgrader.enabled": True, **values})
    return {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: one["spec"]
        for one in every
        if one["kind"] == "NetworkPolicy"
    }


def test_the_network_lets_in_whoever_has_to():
    made = policies({"networkPolicy.telemetryFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]})
    ports = {who: {str(rule["ports"][0]["port"]) for rule in one["ingress"]} for who, one in made.items()}
    assert ports == {
        "operator": {"config", "telemetry"},
        "injector": {"webhook", "telemetry"},
        "upgrader": {"telemetry"},
    }
    (telemetry,) = [rule for rule in made["operator"]["ingress"] if rule["ports"][0]["port"] == "telemetry"]
    who = [peer["podSelector"]["matchLabels"] for peer in telemetry["from"]]
    assert who[0] == {"app": "prometheus"}
    assert who[1]["app.kubernetes.io/component"] == "upgrader"  # it asks the operator who is busy
    assert "from" not in next(
        rule for rule in policies({})["operator"]["ingress"] if rule["ports"][0]["port"] != "config"
    )


def test_the_network_lets_out_to_the_api_server_and_the_name_server():
    for spec in policies({}).values():
        out = {(port["port"], port["protocol"]) for rule in spec["egress"] for port in rule["ports"]}
        assert {(443, "TCP"), (6443, "TCP"), (53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")} <= out
    assert policies({"certificates.mode": "certManager"})["injector"]["egress"] == []  # it asks nobody
