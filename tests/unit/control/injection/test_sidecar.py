"""The sidecar as it comes into a pod: its place, its rights, its resources, its environment, its probes."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.control.injection.pods import CA, CONFIG, env, injected, names, pod, sidecar

PROXY = {"name": "istio-proxy", "restartPolicy": "Always"}

PLACES: list[tuple[str, list[str], list[str]]] = [
    ("alone", [], ["speechpool"]),
    ("before what initialises the application", ["migrate", "seed"], ["speechpool", "migrate", "seed"]),
    ("after istio", ["istio-init", "istio-proxy+", "migrate"], ["istio-init", "istio-proxy", "speechpool", "migrate"]),
    ("after linkerd", ["linkerd-init", "linkerd-proxy+"], ["linkerd-init", "linkerd-proxy", "speechpool"]),
    ("before a mesh whose proxy comes last", ["istio-init", "migrate"], ["speechpool", "istio-init", "migrate"]),
    ("before another sidecar", ["logs+"], ["speechpool", "logs"]),
]


@pytest.mark.parametrize(("before", "after"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_place_among_the_init_containers(before: list[str], after: list[str]) -> None:
    inits: list[dict[str, Any]] = [
        {"name": name.rstrip("+"), **({"restartPolicy": "Always"} if name.endswith("+") else {})} for name in before
    ]
    made = injected(pod(initContainers=inits) if before else pod())
    assert names(made["spec"]["initContainers"]) == after


def test_sidecar_is_native_and_holds_up_the_application_for_a_bounded_time() -> None:
    made = sidecar(injected(pod()))
    assert made["restartPolicy"] == "Always"
    assert made["startupProbe"]["httpGet"] == {"path": "/startupz", "port": 15790}
    assert "readinessProbe" not in made


@pytest.mark.parametrize("seconds", ["0", "30", "0.5", "600"])
def test_the_probe_is_more_patient_than_the_sidecar(seconds: str) -> None:
    made = sidecar(injected(pod(annotations={"speechpool.dev/startup-wait-seconds": seconds})))
    probe = made["startupProbe"]
    assert env(made)["SPEECHPOOL_STARTUP_WAIT"] == seconds
    assert probe["periodSeconds"] * probe["failureThreshold"] >= float(seconds) + 60


def test_restricted_profile_is_met() -> None:
    assert sidecar(injected(pod()))["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


USERS: list[tuple[str, int | None, dict[str, Any], int | None]] = [
    ("usual", 65532, {}, 65532),
    ("another", 1000, {}, 1000),
    ("that of the namespace", None, {}, None),
    ("that of the pod", None, {"runAsUser": 1234}, None),
    ("not root, whatever the pod wants", None, {"runAsUser": 0}, 65532),
]


@pytest.mark.parametrize(("given", "context", "expected"), [row[1:] for row in USERS], ids=[row[0] for row in USERS])
def test_user(given: int | None, context: dict[str, Any], expected: int | None) -> None:
    made = sidecar(injected(pod(securityContext=context), replace(CONFIG, run_as_user=given)))
    assert made["securityContext"].get("runAsUser") == expected
    assert made["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("context", "mode"),
    [({}, "0666"), ({"fsGroup": 2000}, "0660"), ({"fsGroup": 0}, "0660"), ({"runAsGroup": 5}, "0666")],
)
def test_socket_mode_follows_the_group_of_the_pod_which_stays(context: dict[str, Any], mode: str) -> None:
    made = injected(pod(securityContext=context))
    assert env(sidecar(made))["SPEECHPOOL_SOCKET_MODE"] == mode
    assert made["spec"]["securityContext"] == context


def bounded() -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}


GUARANTEED = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
BURSTABLE = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}

RESOURCES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("best effort", {}, BURSTABLE),
    ("limits alone are guaranteed", {"containers": [bounded()]}, GUARANTEED),
    (
        "a request below",
        {
            "containers": [
                {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}}
            ]
        },
        BURSTABLE,
    ),
    ("only one of two", {"containers": [bounded(), {}]}, BURSTABLE),
    ("an init container without", {"containers": [bounded()], "initContainers": [{"name": "migrate"}]}, BURSTABLE),
    ("an init container with", {"containers": [bounded()], "initContainers": [{"name": "m", **bounded()}]}, GUARANTEED),
    ("no limit of memory", {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}, BURSTABLE),
    ("nonsense", {"containers": [{"resources": {"limits": {"cpu": "much", "memory": []}}}]}, BURSTABLE),
    ("of the pod as a whole", {"resources": {"limits": {"cpu": "2"}}}, {}),
]


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in RESOURCES], ids=[row[0] for row in RESOURCES])
def test_resources_keep_the_class_of_service(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sidecar(injected(pod(**spec)))["resources"] == expected


def test_equal_amounts_in_two_notations_are_guaranteed() -> None:
    own = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}
    assert sidecar(injected(pod(containers=[{"resources": own}])))["resources"] == GUARANTEED


def test_resources_of_annotations_in_a_guaranteed_pod() -> None:
    asked = {"speechpool.dev/cpu-request": "2", "speechpool.dev/memory-limit": "1Gi"}
    made = sidecar(injected(pod(annotations=asked, containers=[bounded()])))
    assert made["resources"]["requests"] == made["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}


def test_a_platform_that_wants_no_limits_gets_none() -> None:
    config = replace(CONFIG, memory_limit="", cpu_request="", memory_request="")
    assert sidecar(injected(pod(), config))["resources"] == {}


def test_metrics_are_found_by_the_port_s_name_and_two_ports_never_collide() -> None:
    own = {"name": "app", "ports": [{"containerPort": 15790}, {"containerPort": 15791}]}
    made = sidecar(injected(pod(containers=[own])))
    assert made["ports"] == [{"name": "speechpool", "containerPort": 15792, "protocol": "TCP"}]
    assert env(made)["SPEECHPOOL_TELEMETRY_ADDRESS"] == "[::]:15792"
    assert made["startupProbe"]["httpGet"]["port"] == made["livenessProbe"]["httpGet"]["port"] == 15792


def test_in_the_node_s_network_no_port_is_taken() -> None:
    made = sidecar(injected(pod(hostNetwork=True)))
    assert "ports" not in made
    assert "livenessProbe" not in made
    assert "SPEECHPOOL_TELEMETRY_ADDRESS" not in env(made)
    probe = made["startupProbe"]
    assert probe["exec"]["command"][:3] == ["speechpool", "wait", "--started"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 90


def test_a_platform_without_ipv6_may_say_so() -> None:
    made = sidecar(injected(pod(), replace(CONFIG, telemetry_host="0.0.0.0")))
    assert env(made)["SPEECHPOOL_TELEMETRY_ADDRESS"] == "0.0.0.0:15790"


@pytest.mark.parametrize(
    ("grace", "seconds"), [(None, "25"), (30, "25"), (120, "115"), (8, "4"), (0, "0"), (9999, "3600")]
)
def test_the_sidecar_ends_before_the_pod_s_patience_does(grace: int | None, seconds: str) -> None:
    made = pod() if grace is None else pod(terminationGracePeriodSeconds=grace)
    assert env(sidecar(injected(made)))["SPEECHPOOL_SHUTDOWN_TIMEOUT"] == seconds


def test_the_operator_is_shown_a_token_and_trusted_by_annotation_and_config_map() -> None:
    made = injected(pod())
    sources = next(one for one in made["spec"]["volumes"] if one["name"] == "speechpool-operator")["projected"][
        "sources"
    ]
    assert sources[0]["serviceAccountToken"] == {
        "audience": "speechpool-operator",
        "expirationSeconds": 3600,
        "path": "token",
    }
    item = sources[1]["downwardAPI"]["items"][0]
    assert item["path"] == "ca/admission.crt"
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['speechpool.dev/operator-ca']"
    assert made["metadata"]["annotations"]["speechpool.dev/operator-ca"] == CA
    assert sources[2]["configMap"]["optional"] is True
    assert names(made["spec"]["containers"][0]["volumeMounts"]) == ["speechpool-socket"]


def test_without_a_known_ca_the_config_map_alone_brings_it() -> None:
    made = injected(pod(), ca="")
    assert "speechpool.dev/operator-ca" not in made["metadata"].get("annotations", {})
    sources = next(one for one in made["spec"]["volumes"] if one["name"] == "speechpool-operator")["projected"][
        "sources"
    ]
    assert [next(iter(one)) for one in sources] == ["serviceAccountToken", "configMap"]


def test_without_an_operator_there_is_nothing_of_it() -> None:
    made = injected(pod(), replace(CONFIG, operator=""))
    assert names(made["spec"]["volumes"]) == ["speechpool-socket", "speechpool-no-token"]
    assert "speechpool.dev/operator-ca" not in made["metadata"].get("annotations", {})
    assert not {"SPEECHPOOL_OPERATOR", "SPEECHPOOL_STATE_DIR"} & set(env(sidecar(made)))


KEY_FILE = "/var/run/secrets/speechpool-credentials/AZURE_SPEECH_KEY"


def secret_key(name: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": "azure", "key": name, "optional": True}}


AZURE: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("nothing set", {}, {}),
    ("local", {"engine": "local"}, {"SPEECHPOOL_ENGINE": "local"}),
    (
        "a Secret alone",
        {"credentials-secret": "azure"},
        {
            "SPEECHPOOL_ENGINE": "azure",
            "AZURE_SPEECH_KEY_FILE": KEY_FILE,
            "AZURE_SPEECH_REGION": secret_key("AZURE_SPEECH_REGION"),
            "AZURE_SPEECH_ENDPOINT": secret_key("AZURE_SPEECH_ENDPOINT"),
        },
    ),
    (
        "a Secret and a region",
        {"credentials-secret": "azure", "azure-region": "westeurope"},
        {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_KEY_FILE": KEY_FILE, "AZURE_SPEECH_REGION": "westeurope"},
    ),
    (
        "a region whose Secret was forgotten",
        {"engine": "azure", "azure-region": "westeurope"},
        {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_KEY_FILE": KEY_FILE, "AZURE_SPEECH_REGION": "westeurope"},
    ),
    (
        "a container of the service",
        {"engine": "azure", "azure-endpoint": "ws://speech.tools.svc:5000"},
        {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_ENDPOINT": "ws://speech.tools.svc:5000"},
    ),
    (
        "the offline engine with a Secret",
        {"engine": "local", "credentials-secret": "azure"},
        {"SPEECHPOOL_ENGINE": "local"},
    ),
]


@pytest.mark.parametrize(("asked", "expected"), [row[1:] for row in AZURE], ids=[row[0] for row in AZURE])
def test_engine(asked: dict[str, str], expected: dict[str, Any]) -> None:
    made = sidecar(injected(pod(annotations={f"speechpool.dev/{name}": value for name, value in asked.items()})))
    found = {name: value for name, value in env(made).items() if "AZURE" in name or name == "SPEECHPOOL_ENGINE"}
    assert found == expected


def test_a_secret_that_is_missing_keeps_no_pod_from_starting() -> None:
    made = injected(pod(annotations={"speechpool.dev/credentials-secret": "azure"}))
    volume = next(one for one in made["spec"]["volumes"] if one["name"] == "speechpool-credentials")
    assert volume["secret"]["optional"] is True
    assert volume["secret"]["secretName"] == "azure"
    assert [one["path"] for one in volume["secret"]["items"]] == [
        "AZURE_SPEECH_KEY",
        "AZURE_SPEECH_REGION",
        "AZURE_SPEECH_ENDPOINT",
    ]


def test_with_entra_id_no_key_is_named() -> None:
    config = replace(CONFIG, engine="azure", azure_region="westeurope", azure_resource_id="/subscriptions/x")
    found = env(sidecar(injected(pod(), config)))
    assert found["AZURE_SPEECH_RESOURCE_ID"] == "/subscriptions/x"
    assert "AZURE_SPEECH_KEY_FILE" not in found


def test_what_the_platform_adds() -> None:
    more = ({"name": "SPEECH_POOL_WARM_SIZE", "value": "5"},)
    config = replace(
        CONFIG, https_proxy="http://proxy:3128", no_proxy=".svc", env=more, image_pull_secrets=("registry",)
    )
    made = injected(pod(imagePullSecrets=[{"name": "own"}]), config)
    found = env(sidecar(made))
    assert (found["HTTPS_PROXY"], found["NO_PROXY"], found["SPEECH_POOL_WARM_SIZE"]) == (
        "http://proxy:3128",
        ".svc",
        "5",
    )
    assert names(made["spec"]["imagePullSecrets"]) == ["own", "registry"]
