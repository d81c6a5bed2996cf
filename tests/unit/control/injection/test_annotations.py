"""Annotations over the platform's settings: what is used, what is left aside, and what is said of it."""

from dataclasses import replace

import pytest
from tests.unit.control.injection.pods import CONFIG, env, injected, pod, result, sidecar

from speechpool_operator.injection.injecting import MAX_WARNINGS

BAD: list[tuple[str, str, str]] = [
    ("cpu-request", "much", "must be a quantity from 1m to 64; got 'much'"),
    ("cpu-request", "0", "must be a quantity from 1m to 64"),
    ("cpu-request", "-1", "must be a quantity"),
    ("cpu-request", "100 m", "must be a quantity"),
    ("cpu-request", "65", "must be a quantity from 1m to 64"),
    ("cpu-request", "1e99", "must be a quantity"),
    ("memory-request", "1", "must be a quantity from 64Mi to 64Gi"),
    ("memory-request", "128MB", "must be a quantity"),
    ("memory-limit", "32Mi", "must be a quantity from 64Mi to 64Gi; got '32Mi'"),
    ("memory-limit", "", "must be a quantity"),
    ("startup-wait-seconds", "soon", "must be a number from 0 to 600; got 'soon'"),
    ("startup-wait-seconds", "-1", "must be a number from 0 to 600"),
    ("startup-wait-seconds", "601", "must be a number from 0 to 600"),
    ("startup-wait-seconds", "nan", "must be a number from 0 to 600"),
    ("startup-wait-seconds", "30s", "must be a number from 0 to 600"),
    ("log-level", "loud", "must be one of debug, info, warning, error; got 'loud'"),
    ("engine", "Azure Speech", "must be an engine's name"),
    ("engine", "espeak", "must be one of azure, local; got 'espeak'"),
    ("engine", "azure", "nothing says where it is"),
    ("credentials-secret", "My Secret", "must be the name of an object"),
    ("credentials-secret", "a/b", "must be the name of an object"),
    ("credentials-secret", "x" * 254, "must be the name of an object"),
    ("azure-region", "West Europe", "must be the name of an Azure region"),
    ("azure-endpoint", "westeurope", "must be a URL"),
    ("cpu-limit", "1", "is unknown and ignored"),
    ("engin", "local", "Did you mean speechpool.dev/engine?"),
    ("inject", "true", "is ignored: it is a label"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD, ids=[f"{name}={value[:12]}" for name, value, _ in BAD])
def test_what_cannot_be_used_is_left_aside_and_told(name: str, value: str, sentence: str) -> None:
    manifest = pod(annotations={f"speechpool.dev/{name}": value})
    warnings = result(manifest).warnings
    assert len(warnings) == 1
    assert sentence in warnings[0]
    assert len(warnings[0]) <= 256
    assert sidecar(injected(manifest)) == sidecar(injected(pod()))
    assert injected(manifest)["metadata"]["annotations"]["speechpool.dev/injection-warnings"] == warnings[0]


GOOD: list[tuple[str, str, str, str]] = [
    ("log-level", "debug", "SPEECHPOOL_LOG_LEVEL", "debug"),
    ("log-level", " WARNING ", "SPEECHPOOL_LOG_LEVEL", "warning"),
    ("startup-wait-seconds", "0", "SPEECHPOOL_STARTUP_WAIT", "0"),
    ("startup-wait-seconds", "12.5", "SPEECHPOOL_STARTUP_WAIT", "12.5"),
    ("engine", "local", "SPEECHPOOL_ENGINE", "local"),
]


@pytest.mark.parametrize(("name", "value", "variable", "expected"), GOOD)
def test_what_an_annotation_sets(name: str, value: str, variable: str, expected: str) -> None:
    manifest = pod(annotations={f"speechpool.dev/{name}": value})
    assert result(manifest).warnings == ()
    assert env(sidecar(injected(manifest)))[variable] == expected


MEMORY: list[tuple[dict[str, str], tuple[str, str]]] = [
    ({}, ("128Mi", "512Mi")),
    ({"memory-request": "256Mi"}, ("256Mi", "512Mi")),
    ({"memory-request": "1Gi"}, ("1Gi", "1Gi")),
    ({"memory-limit": "1Gi"}, ("128Mi", "1Gi")),
    ({"memory-limit": "96Mi"}, ("96Mi", "96Mi")),
    ({"memory-request": "1Gi", "memory-limit": "2Gi"}, ("1Gi", "2Gi")),
]


@pytest.mark.parametrize(("asked", "expected"), MEMORY)
def test_a_request_is_never_more_than_its_limit(asked: dict[str, str], expected: tuple[str, str]) -> None:
    manifest = pod(annotations={f"speechpool.dev/{name}": value for name, value in asked.items()})
    made = sidecar(injected(manifest))["resources"]
    assert (made["requests"]["memory"], made["limits"]["memory"]) == expected
    assert result(manifest).warnings == ()


def test_a_request_above_its_own_limit_is_left_aside_with_it() -> None:
    asked = {"speechpool.dev/memory-request": "2Gi", "speechpool.dev/memory-limit": "1Gi"}
    assert "2Gi is more than 1Gi" in result(pod(annotations=asked)).warnings[0]
    assert sidecar(injected(pod(annotations=asked)))["resources"] == sidecar(injected(pod()))["resources"]


def test_a_region_and_an_endpoint_cannot_both_hold() -> None:
    asked = {"speechpool.dev/azure-region": "westeurope", "speechpool.dev/azure-endpoint": "wss://speech.example.org"}
    made = result(pod(annotations=asked | {"speechpool.dev/engine": "azure"}))
    assert "azure-region is ignored" in made.warnings[0]


def test_a_pod_s_place_replaces_the_platform_s() -> None:
    config = replace(CONFIG, engine="azure", azure_region="westeurope")
    found = env(sidecar(injected(pod(annotations={"speechpool.dev/azure-endpoint": "ws://speech:5000"}), config)))
    assert found["AZURE_SPEECH_ENDPOINT"] == "ws://speech:5000"
    assert "AZURE_SPEECH_REGION" not in found


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("speechpool.dev/engine", "label speechpool.dev/engine is ignored: it is an annotation"),
        ("speechpool.dev/injectd", "Did you mean speechpool.dev/injected?"),
    ],
)
def test_labels_that_should_be_something_else_are_told(name: str, sentence: str) -> None:
    made = result(pod(labels={"speechpool.dev/inject": "true", name: "local"}))
    assert len(made.warnings) == 1
    assert sentence in made.warnings[0]


@pytest.mark.parametrize("name", ["example.org/engine", "engine", "speechpool.dev.example.org/engine"])
def test_what_is_not_ours_is_not_looked_at(name: str) -> None:
    assert result(pod(annotations={name: "x"}, labels={"speechpool.dev/inject": "true", name: "x"})).warnings == ()


@pytest.mark.parametrize("name", ["pool", "operator-ca", "injection-warnings", "not-injected"])
def test_annotations_that_others_read_are_known(name: str) -> None:
    assert result(pod(annotations={f"speechpool.dev/{name}": "voice"})).warnings == ()


def test_warnings_are_bounded() -> None:
    made = result(pod(annotations={f"speechpool.dev/x{'y' * 400}{number}": "1" for number in range(100)}))
    assert len(made.warnings) == MAX_WARNINGS + 1
    assert made.warnings[-1] == "88 more warnings are not shown"
    assert max(map(len, made.warnings)) <= 256
    noted = injected(pod(annotations={f"speechpool.dev/x{number}": "1" for number in range(100)}))
    assert len(noted["metadata"]["annotations"]["speechpool.dev/injection-warnings"]) <= 1024
