"""The injector's settings: what is read, and what is refused with which words."""

from decimal import Decimal

import pytest

from speechpool.errors import SettingsError
from speechpool_operator.injection.config import InjectorConfig, read_config
from speechpool_operator.injection.quantities import amount

IMAGE = {"image": "speechpool/sidecar:1"}


def test_an_image_is_enough() -> None:
    assert read_config(IMAGE) == InjectorConfig(image="speechpool/sidecar:1")


def test_every_key() -> None:
    read = read_config(
        IMAGE
        | {
            "imagePullPolicy": "Always",
            "imagePullSecrets": ["registry"],
            "operator": "speechpool-operator.ns.svc:8443",
            "engines": ["azure", "local", "mine"],
            "engine": "mine",
            "azureRegion": "westeurope",
            "credentialsSecret": "azure",
            "logLevel": "debug",
            "logFormat": "text",
            "startupWaitSeconds": 10,
            "resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"cpu": "2", "memory": None}},
            "guaranteedCpu": "1",
            "telemetryHost": "::",
            "telemetryPort": 9000,
            "runAsUser": None,
            "tokenExpirationSeconds": 600,
            "socketVolumeSize": "2Mi",
            "stateVolumeSize": "4Mi",
            "egressProxy": {"https": "http://proxy:3128", "noProxy": ".svc,10.0.0.0/8"},
            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        }
    )
    assert read.operator == "speechpool-operator.ns.svc:8443"
    assert (read.cpu_request, read.cpu_limit, read.memory_limit, read.run_as_user) == ("1", "2", "", None)
    assert (read.https_proxy, read.no_proxy) == ("http://proxy:3128", ".svc,10.0.0.0/8")
    assert read.engine == "mine"


@pytest.mark.parametrize("nothing", [None, {}])
def test_resources_may_be_left_out(nothing: object) -> None:
    assert read_config(IMAGE | {"resources": nothing}).memory_limit == "512Mi"


@pytest.mark.parametrize("off", ["", None, "off"])
def test_there_may_be_no_operator(off: object) -> None:
    assert read_config(IMAGE | {"operator": off}).operator == ""


BAD: list[tuple[object, str]] = [
    (None, "the file must be a mapping; got null"),
    ([], "the file must be a mapping"),
    ({}, "image is not set"),
    ({"image": "a b"}, "image must be an image"),
    (IMAGE | {"imagePullPolicy": "Sometimes"}, "imagePullPolicy must be one of Always, IfNotPresent, Never"),
    (IMAGE | {"imagePullSecrets": "registry"}, "imagePullSecrets must be a list of at most 16"),
    (IMAGE | {"operator": "operator"}, "operator must be host:port"),
    (IMAGE | {"engine": "mine"}, "engine must be one of engines (azure, local); got mine"),
    (IMAGE | {"startupWaitSeconds": "soon"}, "startupWaitSeconds must be a number from 0 to 600"),
    (IMAGE | {"resources": []}, "resources must be a mapping"),
    (IMAGE | {"resources": {"requests": {"cpu": "much"}}}, "resources.requests.cpu must be a quantity"),
    (IMAGE | {"resources": {"requests": {"cpu": True}}}, "resources.requests.cpu must be a quantity"),
    (
        IMAGE | {"resources": {"requests": {"memory": "1Gi"}}},
        "must be at most resources.limits.memory; got 1Gi and 512Mi",
    ),
    (IMAGE | {"resources": {"requests": {"disk": "1"}}}, "resources.requests.disk is unknown"),
    (IMAGE | {"telemetryPort": 80}, "telemetryPort must be a whole number from 1024 to 65535"),
    (IMAGE | {"telemetryHost": "127.0.0.1"}, "telemetryHost must be 0.0.0.0 or ::"),
    (IMAGE | {"runAsUser": 0}, "runAsUser must be"),
    (IMAGE | {"tokenExpirationSeconds": 60}, "tokenExpirationSeconds must be a whole number from 600"),
    (IMAGE | {"startupWait": 3}, "startupWait is unknown. Did you mean startupWaitSeconds?"),
    (IMAGE | {"egressProxy": {"https": "https://proxy"}}, "egressProxy.https must be a proxy's URL"),
    (IMAGE | {"env": {"A": "1"}}, "env must be a list"),
    (IMAGE | {"env": [{"name": "A", "value": 1}]}, "env must be a list"),
    (IMAGE | {"env": [{"name": "A"}, {"name": "A"}]}, "no name twice"),
    (
        IMAGE | {"env": [{"name": "AZURE_SPEECH_KEY", "value": "x"}]},
        "env must not have AZURE_SPEECH_KEY: put the key into",
    ),
    (IMAGE | {"azureRegion": "westeurope", "azureEndpoint": "ws://x"}, "only one can hold"),
]


@pytest.mark.parametrize(("tree", "sentence"), BAD, ids=[sentence[:40] for _, sentence in BAD])
def test_what_is_refused(tree: object, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_config(tree)
    assert any(sentence in problem for problem in refused.value.problems)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        read_config({"image": "", "logLevel": "loud", "telemetryPort": 1})
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100m", "0.1"),
        ("1", "1"),
        (2, "2"),
        (0.5, "0.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("5n", "5e-9"),
        (".5", "0.5"),
        ("1.", "1"),
    ],
)
def test_quantities(text: object, expected: str) -> None:
    assert amount(text) == Decimal(expected)


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "1KI", "one", None, True, [], "1mm", "0x10", "1e999", "Ki", "."])
def test_what_is_no_quantity(text: object) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        amount(text)
