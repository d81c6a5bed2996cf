"""The injector as the API server asks it: real admissions, real Pod Security, kubectl as users have it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.apiserver import ApiError, ApiServer
from tests.e2e.injectors import CONFIG, Injector, Installed, eventually, installed, running

SOCKET = "/run/speechpool/speechpool.sock"
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def place(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed(api, tmp_path_factory.mktemp("injector")) as made:
        made.plain, made.enabled, made.restricted = (api.namespace() for _ in range(3))
        api.patch(f"/api/v1/namespaces/{made.enabled}", {"metadata": {"labels": {"speechpool.dev/inject": "enabled"}}})
        enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.patch(f"/api/v1/namespaces/{made.restricted}", {"metadata": {"labels": enforce}})
        made.register(made.plain, made.enabled, made.restricted)
        yield made


@pytest.fixture(scope="module")
def injector(place: Installed) -> Iterator[Injector]:
    with running(place) as made:
        yield made


def manifest(
    name: str, *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    containers = [{"name": "app", "image": "app"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def create(api: ApiServer, namespace: str, body: dict[str, Any], query: str = "") -> dict[str, Any]:
    made: dict[str, Any] = api.post(f"/api/v1/namespaces/{namespace}/pods{query}", body)
    return made


def has_sidecar(pod: dict[str, Any]) -> bool:
    return any(one["name"] == "speechpool" for one in pod["spec"].get("initContainers", ()))


ASK = {"speechpool.dev/inject": "true"}
REFUSE = {"speechpool.dev/inject": "false"}


def test_a_pod_that_asks_has_a_sidecar_that_the_api_server_accepts(
    api: ApiServer, place: Installed, injector: Injector
) -> None:
    pod = create(api, place.plain, manifest("asks", labels=ASK))
    assert has_sidecar(pod)
    sidecar = pod["spec"]["initContainers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["imagePullPolicy"] == "Never"
    assert pod["spec"]["containers"][0]["env"] == [{"name": "SPEECHPOOL_SOCKET", "value": SOCKET}]
    assert pod["metadata"]["labels"]["speechpool.dev/injected"] == "true"
    assert pod["metadata"]["annotations"]["speechpool.dev/operator-ca"] == place.texts()["ca.crt"]


def test_the_sidecar_does_not_get_the_application_s_api_token(
    api: ApiServer, place: Installed, injector: Injector
) -> None:
    pod = create(api, place.plain, manifest("token-of-its-own", labels=ASK))
    where = "/var/run/secrets/kubernetes.io/serviceaccount"
    mounted = {
        one["name"]: next(mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == where)
        for one in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])
    }
    assert mounted["app"].startswith("kube-api-access-")
    assert mounted["speechpool"] == "speechpool-no-token"


@pytest.mark.parametrize(
    ("where", "labels", "expected"),
    [
        ("plain", {}, False),
        ("plain", REFUSE, False),
        ("enabled", {}, True),
        ("enabled", ASK, True),
        ("enabled", REFUSE, False),
    ],
)
def test_labels_of_pods_and_namespaces_decide(
    api: ApiServer, place: Installed, injector: Injector, where: str, labels: dict[str, str], expected: bool
) -> None:
    pod = create(api, getattr(place, where), manifest(f"labels-{len(labels)}-{labels == ASK}".lower(), labels=labels))
    assert has_sidecar(pod) is expected


def test_a_restricted_namespace_takes_the_sidecar(api: ApiServer, place: Installed, injector: Injector) -> None:
    body = manifest("restricted", labels=ASK, annotations={"speechpool.dev/credentials-secret": "azure"})
    body["spec"]["containers"][0]["securityContext"] = RESTRICTED
    assert has_sidecar(create(api, place.restricted, body))
    with pytest.raises(ApiError, match="restricted"):  # the namespace does enforce it
        create(api, place.restricted, manifest("loose", labels=ASK))


def test_kubectl_shows_what_was_left_aside(api: ApiServer, place: Installed, injector: Injector) -> None:
    wrong = {"speechpool.dev/cpu-request": "much", "speechpool.dev/engin": "local"}
    done = api.kubectl(
        "create", "-n", place.plain, "-f", "-", stdin=json.dumps(manifest("warned", labels=ASK, annotations=wrong))
    )
    assert done.returncode == 0, done.stderr
    assert "Warning: speechpool: speechpool.dev/cpu-request is ignored: it must be a quantity" in done.stderr
    assert "Did you mean speechpool.dev/engine?" in done.stderr
    pod = api.get(f"/api/v1/namespaces/{place.plain}/pods/warned")
    assert has_sidecar(pod)
    assert "cpu-request is ignored" in pod["metadata"]["annotations"]["speechpool.dev/injection-warnings"]


def test_a_slip_of_the_pen_in_the_label_is_told(api: ApiServer, place: Installed, injector: Injector) -> None:
    body = json.dumps(manifest("yes", labels={"speechpool.dev/inject": "yes"}))
    done = api.kubectl("create", "-n", place.plain, "-f", "-", stdin=body)
    assert done.returncode == 0, done.stderr
    assert 'must be "true" or "false"; got \'yes\'' in done.stderr
    pod = api.get(f"/api/v1/namespaces/{place.plain}/pods/yes")
    assert pod["metadata"]["annotations"]["speechpool.dev/not-injected"] == "UnknownLabel"


BUSY: dict[str, dict[str, Any]] = {
    "fs-group": {"securityContext": {"fsGroup": 2000, "runAsUser": 1000}},
    "init-containers": {
        "initContainers": [{"name": "migrate", "image": "m"}, {"name": "logs", "image": "l", "restartPolicy": "Always"}]
    },
    "istio": {
        "initContainers": [
            {"name": "istio-init", "image": "i"},
            {"name": "istio-proxy", "image": "i", "restartPolicy": "Always"},
        ]
    },
    "host-network": {"hostNetwork": True},
    "volumes": {"volumes": [{"name": "own", "emptyDir": {}}], "imagePullSecrets": [{"name": "registry"}]},
    "ports": {"containers": [{"name": "app", "image": "a", "ports": [{"name": "speechpool", "containerPort": 15790}]}]},
    "guaranteed": {
        "containers": [{"name": "app", "image": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]
    },
    "many": {"containers": [{"name": f"app-{number}", "image": "a"} for number in range(100)]},
    "token": {"automountServiceAccountToken": True, "serviceAccountName": "default"},
    "short": {"terminationGracePeriodSeconds": 2},
}


@pytest.mark.parametrize("name", BUSY)
def test_the_api_server_accepts_the_sidecar_in_every_kind_of_pod(
    api: ApiServer, place: Installed, injector: Injector, name: str
) -> None:
    pod = create(api, place.plain, manifest(name, labels=ASK, **BUSY[name]), "?fieldValidation=Strict")
    assert has_sidecar(pod)
    before = pod.get("status", {}).get("qosClass")
    assert before == ("Guaranteed" if name == "guaranteed" else "Burstable")


def test_a_generated_name_and_a_dry_run(api: ApiServer, place: Installed, injector: Injector) -> None:
    body = manifest("", labels=ASK)
    body["metadata"] = {"generateName": "voice-", "labels": ASK}
    assert has_sidecar(create(api, place.plain, body, "?dryRun=All"))


def test_what_an_account_may_do_is_its_secret_and_its_webhook(
    api: ApiServer, place: Installed, injector: Injector
) -> None:
    who = f"system:serviceaccount:{place.namespace}:speechpool-injector"
    refused = [
        ("get", "secrets", "another"),
        ("list", "secrets", ""),
        ("create", "secrets", ""),
        ("delete", "secrets", "speechpool-certificates"),
        ("get", "pods", ""),
        ("list", "mutatingwebhookconfigurations", ""),
        ("create", "configmaps", ""),
    ]
    for verb, resource, name in refused:
        words = ["auth", "can-i", verb, f"{resource}/{name}" if name else resource, "-n", place.namespace, "--as", who]
        assert api.kubectl(*words).stdout.strip() == "no", words


def test_metrics_tell_what_became_of_pods(api: ApiServer, place: Installed, injector: Injector) -> None:
    name = 'speechpool_injector_admissions_total{outcome="Injected"}'
    before, warned = injector.metric(name), injector.metric("speechpool_injector_warnings_total")
    create(api, place.plain, manifest("counted", labels=ASK, annotations={"speechpool.dev/x": "1"}))
    assert injector.metric(name) == before + 1
    assert injector.metric("speechpool_injector_warnings_total") == warned + 1
    assert injector.metric("speechpool_injector_admission_seconds_count") > 0
    assert injector.metric("speechpool_injector_certificate_not_after_seconds") > 1_700_000_000


def test_new_settings_hold_without_a_restart_and_wrong_ones_do_not(
    api: ApiServer, place: Installed, injector: Injector
) -> None:
    injector.config.write_text(json.dumps(CONFIG | {"image": "speechpool/sidecar:2"}))
    eventually(lambda: _image(api, place) == "speechpool/sidecar:2")
    injector.config.write_text(json.dumps(CONFIG | {"image": 3}))
    eventually(lambda: injector.metric('speechpool_injector_failing{part="settings"}') == 1)
    assert _image(api, place) == "speechpool/sidecar:2"
    assert injector.get("/readyz")[0] == 200
    assert "image must be" in injector.get("/healthz")[1]
    injector.config.write_text(json.dumps(CONFIG))
    eventually(lambda: injector.get("/healthz")[0] == 200)


def _image(api: ApiServer, place: Installed) -> str:
    made = create(api, place.plain, manifest("looked-at", labels=ASK), "?dryRun=All")
    return str(made["spec"]["initContainers"][0]["image"])


def test_without_an_injector_pods_start_as_they_are(api: ApiServer, tmp_path) -> None:
    with installed(api, tmp_path) as place:
        where = api.namespace()
        place.register(where)
        assert not has_sidecar(create(api, where, manifest("before", labels=ASK)))
        with running(place) as injector:
            assert has_sidecar(create(api, where, manifest("during", labels=ASK)))
            assert injector.end() == 0
        assert not has_sidecar(create(api, where, manifest("after", labels=ASK)))
