"""Each value of the chart does something: another one makes other objects."""

import functools
import json
from typing import Any

import charts.make as chart
import pytest
import yaml
from tests.e2e.charts import CHART, KNOWN, MODES, template

TEXT = (CHART / "values.yaml").read_text("utf-8")
VALUES = yaml.safe_load(TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
PATHS = [path for path, _ in chart.documented(TEXT)]

EVERYTHING = {**MODES["all"], "certificates.mode": "self", "defaultPool.enabled": True, "image.operator.digest": ""}
"""So that a value is looked at where it counts."""

ELSEWHERE: dict[str, dict[str, Any]] = {
    "clusterDomain": {"certificates.mode": "certManager"},
    "certificates.certManager.": {"certificates.mode": "certManager"},
    "injection.policy.": {"injection.mode": "policy"},
    "image.operator.tag": {"image.operator.tag": "1"},
}
"""Values, or how several begin, that count with others alone."""

BY_KIND: dict[str, Any] = {
    "affinity": {"nodeAffinity": {}},
    "duration": "77s",
    "env": [{"name": "SOME", "value": "thing"}],
    "labels": {"some": "thing"},
    "level": "debug",
    "map": {"some": "thing"},
    "mounts": [{"name": "some", "mountPath": "/some"}],
    "name": "other",
    "namespace": "other",
    "objects": [{"targetLabel": "some", "replacement": "thing"}],
    "peers": [{"podSelector": {}}],
    "quantity": "99Mi",
    "resources": {"requests": {"cpu": "1m"}},
    "secrets": [{"name": "other"}],
    "strings": ["--some=thing"],
    "tolerations": [{"key": "some", "operator": "Exists"}],
    "topologySpread": [{"maxSkew": 2, "topologyKey": "some", "whenUnsatisfiable": "DoNotSchedule"}],
    "volumes": [{"name": "some", "emptyDir": {}}],
}
"""Another value for each kind that the schema defines."""

OTHERS: dict[str, Any] = {
    "certificates.certManager.issuerRef": {"name": "other", "kind": "ClusterIssuer"},
    "certificates.self.caSettleSeconds": 60,
    "clusterDomain": "cluster.example.org",
    "defaultPool.name": "other",
    "defaultPool.spec": {"warmSize": 7},
    "fullnameOverride": "other",
    "image.operator.digest": f"sha256:{'1' * 64}",
    "image.operator.repository": "other/operator",
    "image.operator.tag": "2",
    "image.registry": "other.example.org",
    "image.sidecar.digest": f"sha256:{'1' * 64}",
    "image.sidecar.repository": "other/sidecar",
    "image.sidecar.tag": "2",
    "injection.excludeNamespaces": ["other"],
    "monitoring.prometheusRule.disabled": ["SpeechPoolCold"],
    "monitoring.prometheusRule.runbookUrl": "https://example.org/page",
    "networkPolicy.apiServer.ports": [8443],
    "operator.podSecurityContext": {"fsGroup": 7},
    "operator.securityContext": {"runAsUser": 7},
    "injector.podSecurityContext": {"fsGroup": 7},
    "injector.podDisruptionBudget.maxUnavailable": "20%",
    "injector.securityContext": {"runAsUser": 7},
    "upgrader.podSecurityContext": {"fsGroup": 7},
    "upgrader.securityContext": {"runAsUser": 7},
    "sidecar.azureEndpoint": "https://speech.example.org",
    "sidecar.azureRegion": "westeurope",
    "sidecar.azureResourceId": "/subscriptions/some/speech",
    "sidecar.egressProxy.https": "http://proxy.example.org:3128",
    "sidecar.egressProxy.noProxy": "example.org",
    "sidecar.engines": ["local"],
    "sidecar.guaranteedCpu": "2",
    "sidecar.imagePullSecrets": ["other"],
    "sidecar.resources": {"requests": {"memory": "100Mi"}},
    "sidecar.runAsUser": 7,
    "test.sentence": "Something else.",
}
"""Where neither the kind nor the type says what another value may be."""


def node_at(path: str) -> dict[str, Any]:
    """The schema of a value."""
    node = SCHEMA
    for key in path.split("."):
        kind = node.get("$ref", "").removeprefix("#/definitions/")
        node = (SCHEMA["definitions"][kind] if kind else node)["properties"][key]
        node = node | node.get("allOf", [{}])[0]
    return node


def another(path: str) -> object:
    """A value that is allowed there, and is not the one that was."""
    if path in OTHERS:
        return OTHERS[path]
    node, was = node_at(path), EVERYTHING.get(path, chart.value_at(VALUES, path))
    if "$ref" in node:
        return BY_KIND[node["$ref"].removeprefix("#/definitions/")]
    if "enum" in node:
        return next(one for one in node["enum"] if one not in (was, ""))
    if node["type"] == "boolean":
        return not was
    assert node["type"] in {"integer", "number"}, f"{path}: name another value in OTHERS"
    return was + 1 if was < node["maximum"] else was - 1


@functools.cache
def made(values: str) -> str:
    """What helm prints."""
    done = template(json.loads(values), *KNOWN)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", PATHS)
def test_another_value_makes_other_objects(path: str):
    around = {}
    for beginning, values in ELSEWHERE.items():
        around |= values if path.startswith(beginning) else {}
    values = EVERYTHING | around

    assert made(json.dumps(values | {path: another(path)})) != made(json.dumps(values))
