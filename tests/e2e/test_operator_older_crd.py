"""Objects that an older or laxer definition let in: each is told what is wrong with it, and none ends the operator."""

import json

import pytest
import yaml
from tests.cluster.apiserver import running_api_server
from tests.cluster.operators import running_operator
from tests.cluster.speechpools import CRD_FILE, install_crd
from tests.e2e.sidecars import Calls
from tests.integration.sidecar import eventually
from tests.unit.control.bad_specs import BAD_SPECS

ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture(scope="module")
def lax_api(tmp_path_factory):
    """An API server whose definition takes any spec."""
    definition = yaml.safe_load(CRD_FILE.read_text("utf-8"))
    for each in definition["spec"]["versions"]:
        each["schema"] = {"openAPIV3Schema": ANYTHING | {"properties": {"status": ANYTHING}}}
    with running_api_server(tmp_path_factory.mktemp("lax")) as api:
        install_crd(api, json.dumps(definition))
        yield api


def test_each_wrong_object_gets_a_condition_that_says_why_and_a_right_one_beside_them_works(lax_api, tmp_path):
    calls = Calls(lax_api)
    names = {}
    for number, bad in enumerate(one for one in BAD_SPECS.values() if one.read_path):
        body = {"apiVersion": "speechpool.dev/v1alpha1", "kind": "SpeechPool", "metadata": {"name": f"bad-{number}"}}
        lax_api.post(calls.path, body | {"spec": bad.spec})
        names[f"bad-{number}"] = bad
    with running_operator(lax_api, tmp_path) as operator:

        def untold() -> set[str]:
            found = {one["metadata"]["name"]: one.get("status") or {} for one in lax_api.get(calls.path)["items"]}
            accepted = {name: _accepted(status) for name, status in found.items()}
            return {name for name, one in accepted.items() if name in names and one.get("reason") != "Invalid"}

        eventually(lambda: not untold())
        calls.pod("a")
        calls.apply("good", 2)
        calls.becomes("good", Accepted="True/Valid")
        for one in lax_api.get(calls.path)["items"]:
            if one["metadata"]["name"] in names:
                assert names[one["metadata"]["name"]].read_path in _accepted(one["status"])["message"]
        assert operator.process.poll() is None
        assert [one for one in operator.logs if one["level"] == "error"] == []


def _accepted(status):
    return next((one for one in status.get("conditions", ()) if one["type"] == "Accepted"), {})
