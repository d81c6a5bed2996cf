"""Injection by a policy of the API server: what comes out is what the injector makes."""

import functools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer, running_api_server
from tests.e2e.charts import NAMESPACE, installed, rendered

from speechpool_operator.injection.config import InjectorConfig, read_config
from speechpool_operator.injection.injecting import inject
from speechpool_operator.injection.patches import applied

FEATURE = (
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
    "--feature-gates=MutatingAdmissionPolicy=true",
)
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
APP = {"name": "app", "image": "app"}
WARNINGS = "speechpool.dev/injection-warnings"

VALUES = {
    "injection.mode": "policy",
    "injection.policy.failurePolicy": "Fail",  # Ignore would hide every mistake
    "sidecar.imagePullSecrets": ["pull"],
    "sidecar.env": [{"name": "MESH", "value": "LIST of INDICES"}],
    "sidecar.egressProxy.https": "http://proxy.example.org:3128",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the feature on, and the chart installed."""
    with running_api_server(tmp_path_factory.mktemp("policy"), *FEATURE) as server:
        installed(server, VALUES)
        server.patch(f"/api/v1/namespaces/{NAMESPACE}/configmaps/speechpool-ca", {"data": {"ca.crt": CA}})
        server.service_account(NAMESPACE, "default")
        server.namespace("apps")
        server.namespace("asks")
        server.service_account("kube-system", "default")
        server.patch("/api/v1/namespaces/asks", {"metadata": {"labels": {"speechpool.dev/inject": "enabled"}}})
        _wait_in_force(server)
        yield server


def _wait_in_force(api: ApiServer) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while "operator-ca" not in json.dumps(made(api, pod({}), "apps")):  # a new policy takes seconds to act
        assert time.monotonic() < give_up_at, "the policy does nothing"
        time.sleep(0.2)


def pod(spec: dict[str, Any], annotations: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    asked = {"speechpool.dev/inject": "true"} | {key.replace("_", "/"): value for key, value in labels.items()}
    metadata = {"name": "p", "labels": asked, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [dict(APP)], **spec}}


def made(api: ApiServer, body: dict[str, Any], namespace: str) -> dict[str, Any]:
    """What the API server makes of a pod."""
    done: dict[str, Any] = api.post(f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict", body)
    return done


@functools.cache
def config() -> InjectorConfig:
    """The injector's, from the same values."""
    found = rendered({**VALUES, "injection.mode": "webhook"})
    text = next(one["data"]["injector.yaml"] for one in found if "injector.yaml" in (one.get("data") or {}))
    return read_config(yaml.safe_load(text))


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Without what a policy cannot do, and what the API server names at random."""
    spec = body["spec"]
    for one in [*spec["containers"], *spec["initContainers"]]:
        mounts = one.get("volumeMounts", [])
        one["volumeMounts"] = [each for each in mounts if not each["name"].startswith("kube-api-access")]
        one.get("env", []).sort(key=lambda each: each["name"])
    spec["volumes"] = [each for each in spec["volumes"] if not each["name"].startswith("kube-api-access")]
    spec.pop("nodeName", None)
    metadata = body["metadata"]
    kept = {name: value for name, value in metadata["annotations"].items() if name != WARNINGS}
    return {"annotations": kept, "injected": metadata["labels"]["speechpool.dev/injected"], "spec": spec}


PODS = {
    "plain": pod({}),
    "a group": pod({"securityContext": {"fsGroup": 2000, "runAsUser": 1000}}),
    "no annotations": {**pod({}), "metadata": {"name": "p", "labels": {"speechpool.dev/inject": "true"}}},
    "guaranteed": pod({"containers": [{**APP, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}),
    "host network": pod({"hostNetwork": True}, {"speechpool.dev/startup-wait-seconds": "5"}),
    "a short end": pod({"terminationGracePeriodSeconds": 8}),
    "a long end": pod({"terminationGracePeriodSeconds": 7200}),
    "azure": pod(
        {}, {"speechpool.dev/credentials-secret": "azure", "speechpool.dev/azure-region": "westeurope"}
    ),
    "azure without a place": pod({}, {"speechpool.dev/engine": "azure"}),
    "a place in the Secret": pod({}, {"speechpool.dev/credentials-secret": "azure"}),
    "an endpoint": pod(
        {}, {"speechpool.dev/azure-endpoint": "https://speech.example.org", "speechpool.dev/engine": "azure"}
    ),
    "a region and an endpoint": pod(
        {}, {"speechpool.dev/azure-endpoint": "https://speech.example.org", "speechpool.dev/azure-region": "westeurope"}
    ),
    "a region and an endpoint that is none": pod(
        {}, {"speechpool.dev/azure-endpoint": "https://key@example.org", "speechpool.dev/azure-region": "westeurope"}
    ),
    "a region that is none": pod(
        {}, {"speechpool.dev/azure-region": "9", "speechpool.dev/credentials-secret": "a..b"}
    ),
    "another engine": pod(
        {},
        {
            "speechpool.dev/azure-region": "westeurope",
            "speechpool.dev/credentials-secret": "azure",
            "speechpool.dev/engine": "local",
        },
    ),
    "resources as a whole": pod({"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}),
    "sizes": pod(
        {},
        {
            "speechpool.dev/cpu-request": "250m",
            "speechpool.dev/memory-request": "1Gi",
            "speechpool.dev/log-level": "debug",
            "speechpool.dev/startup-wait-seconds": "0",
        },
    ),
    "a small limit": pod({}, {"speechpool.dev/memory-limit": "100Mi"}),
    "wrong annotations": pod(
        {},
        {
            "speechpool.dev/cpu-request": "lots",
            "speechpool.dev/memory-limit": "1Ti",
            "speechpool.dev/log-level": "loud",
            "speechpool.dev/startup-wait-seconds": "601",
            "speechpool.dev/engine": "other",
            "speechpool.dev/credentials-secret": "No Secret",
        },
    ),
    "a mesh": pod(
        {
            "initContainers": [
                {"name": "istio-init", "image": "i"},
                {"name": "istio-proxy", "image": "i", "restartPolicy": "Always"},
                {"name": "migrate", "image": "m", "env": [{"name": "A", "value": "1"}]},
            ]
        },
        {"traffic.sidecar.istio.io/excludeInboundPorts": "9000"},
    ),
    "much of its own": pod(
        {
            "containers": [
                {**APP, "env": [{"name": "A", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                {"name": "b", "image": "b", "env": [{"name": "SPEECHPOOL_SOCKET", "value": "/other"}]},
                {"name": "c", "image": "c", "volumeMounts": [{"name": "v", "mountPath": "/run/speechpool"}]},
            ],
            "initContainers": [{"name": "first", "image": "f"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "imagePullSecrets": [{"name": "own"}],
        },
        {"kubectl.kubernetes.io/default-container": "b"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("body", PODS.values(), ids=list(PODS))
def test_a_policy_makes_what_the_injector_makes(api: ApiServer, body: dict[str, Any]):
    by_policy = made(api, body, "apps")
    patched = applied(body, inject(body, config(), ca=CA).patch)
    patched["metadata"]["labels"]["speechpool.dev/inject"] = "false"  # past the policy, for the server's own defaults
    by_injector = made(api, patched, "apps")
    assert comparable(by_policy) == comparable(by_injector)


def sidecars(body: dict[str, Any]) -> list[str]:
    return [one["name"] for one in body["spec"].get("initContainers", [])]


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("apps", {"speechpool.dev/inject": "false"}, []),
        ("apps", {}, []),
        ("apps", {"speechpool.dev/inject": "yes"}, []),
        ("apps", {"speechpool.dev/inject": "true", "speechpool.dev/injected": "true"}, []),
        ("asks", {}, ["speechpool"]),
        ("asks", {"speechpool.dev/inject": "false"}, []),
        ("kube-system", {"speechpool.dev/inject": "true"}, []),
        (NAMESPACE, {"speechpool.dev/inject": "true"}, []),
        ("asks", {"app.kubernetes.io/name": "speechpool"}, []),
    ],
)
def test_who_gets_a_sidecar(api: ApiServer, namespace: str, labels: dict[str, str], expected: list[str]):
    body = {"metadata": {"name": "p", "labels": labels}, "spec": {"containers": [APP], "serviceAccountName": "default"}}
    assert sidecars(made(api, body, namespace)) == expected


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "speechpool", "image": "x"}]},
        {"volumes": [{"name": "speechpool-socket", "emptyDir": {}}]},
        {"os": {"name": "windows"}},
        {"nodeSelector": {"kubernetes.io/os": "windows"}},
    ],
    ids=["container", "volume", "windows", "windows node"],
)
def test_a_pod_that_cannot_have_a_sidecar_starts_without(api: ApiServer, spec: dict[str, Any]):
    assert sidecars(made(api, pod(spec), "apps")) == []


def test_the_pod_of_helm_test_is_injected(api: ApiServer):
    body = next(one for one in rendered(VALUES) if one["metadata"]["name"] == "speechpool-test")
    assert sidecars(made(api, body, NAMESPACE)) == ["speechpool"]


def test_an_injected_pod_passes_the_restricted_profile(api: ApiServer):
    restricted = api.namespace()
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.patch(f"/api/v1/namespaces/{restricted}", {"metadata": {"labels": level}})
    strict = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    body = pod({"securityContext": security, "containers": [{**APP, "securityContext": strict}]})
    assert sidecars(made(api, body, restricted)) == ["speechpool"]
