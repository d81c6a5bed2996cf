"""The chart on a real API server: every object of every mode, the rights of each, install, upgrade and uninstall."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer, running_api_server
from tests.cluster.speechpools import install_crd
from tests.cluster.tools import foreign_definitions, kubeconform_binary
from tests.e2e.charts import CHART, KNOWN, MODES, NAMESPACE, helm, installed, rendered
from tests.e2e.injectors import eventually

from speechpool_operator.rights import Right, forbidden, needed

FEATURE = (
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
    "--feature-gates=MutatingAdmissionPolicy=true",
)
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/speechpool-injector"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/speechpools.speechpool.dev"


def is_there(api: ApiServer, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of its own: a release has objects that are the whole cluster's."""
    with running_api_server(tmp_path_factory.mktemp("chart"), *FEATURE) as server:
        yield server


def forget_the_kind(api: ApiServer) -> None:
    """Delete the definition, and wait for all that the API server then does in its own time: helm asks for each of it.

    The objects go first, then the definition, then the kind from what is told of the API.
    """
    api.delete(DEFINITION)
    eventually(lambda: not is_there(api, DEFINITION))
    eventually(lambda: api.kubectl("api-resources", "--api-group=speechpool.dev", "-o", "name").stdout == "")


def pools(namespace: str, name: str = "") -> str:
    return f"/apis/speechpool.dev/v1alpha1/namespaces/{namespace}/speechpools/{name}".rstrip("/")


# --- a release's life; the first test, while the cluster does not know SpeechPools ---


def test_a_release_lives_and_leaves_what_is_not_its_own(api: ApiServer):
    values = {"defaultPool.enabled": True}
    installed(api, values)
    assert api.get(pools(NAMESPACE, "default"))["spec"]["scope"] == "Cluster"
    api.post(pools("default"), {"apiVersion": "speechpool.dev/v1alpha1", "kind": "SpeechPool",
             "metadata": {"name": "mine"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}})  # fmt: skip

    # what the injector and the operator fill in, an upgrade leaves alone
    secret = f"/api/v1/namespaces/{NAMESPACE}/secrets/speechpool-certificates"
    authority = f"/api/v1/namespaces/{NAMESPACE}/configmaps/speechpool-ca"
    api.patch(secret, {"data": {"ca.crt": "Q0E="}})
    api.patch(authority, {"data": {"ca.crt": "CA"}})
    hooks = api.get(WEBHOOK)["webhooks"]
    for one in hooks:
        one["clientConfig"]["caBundle"] = "Q0E="
    api.patch(WEBHOOK, {"webhooks": hooks})
    installed(api, {**values, "defaultPool.spec": {"warmSize": 4}, "injector.timeoutSeconds": 9})
    assert api.get(secret)["data"] == {"ca.crt": "Q0E="}
    assert api.get(authority)["data"] == {"ca.crt": "CA"}
    hook = api.get(WEBHOOK)["webhooks"][0]
    assert (hook["clientConfig"]["caBundle"], hook["timeoutSeconds"]) == ("Q0E=", 9)
    pool = api.get(pools(NAMESPACE, "default"))
    assert pool["spec"]["warmSize"] == 4
    values["defaultPool.spec"] = {"warmSize": 4}

    installed(api, {**values, "injection.mode": "policy"})
    assert api.get(pools(NAMESPACE, "default"))["metadata"]["uid"] == pool["metadata"]["uid"]  # nothing changed in it
    assert not is_there(api, WEBHOOK)
    installed(api, {**values, "injection.mode": "none"})
    policies = api.get("/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies")
    assert policies["items"] == []
    done = helm("rollback", "speechpool", "1", "--namespace", NAMESPACE, api=api)
    assert done.returncode == 0, done.stderr
    assert is_there(api, WEBHOOK)

    done = helm("uninstall", "speechpool", "--namespace", NAMESPACE, api=api)
    assert done.returncode == 0, done.stderr
    assert not is_there(api, WEBHOOK)
    assert not is_there(api, secret)
    assert not is_there(api, pools(NAMESPACE, "default"))
    assert is_there(api, DEFINITION)
    assert is_there(api, pools("default", "mine"))
    left = api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles?labelSelector=app.kubernetes.io/name=speechpool")
    assert left["items"] == []

    installed(api, values)  # again, over the definition that was kept
    uid = api.get(pools(NAMESPACE, "default"))["metadata"]["uid"]
    installed(api, {**values, "defaultPool.spec": {"warmSize": 5}})
    pool = api.get(pools(NAMESPACE, "default"))
    assert (pool["spec"]["warmSize"], pool["metadata"]["uid"]) == (5, uid)  # the kind was known: changed in place
    helm("uninstall", "speechpool", "--namespace", NAMESPACE, api=api)
    assert is_there(api, pools("default", "mine"))


@pytest.mark.parametrize("first", [True, False], ids=["first installation", "kind known"])
def test_a_default_pool_goes_when_it_is_not_wanted_any_more(api: ApiServer, first: bool):
    if first:
        forget_the_kind(api)
    installed(api, {"defaultPool.enabled": True})
    assert is_there(api, pools(NAMESPACE, "default"))
    installed(api, {"defaultPool.enabled": False})
    assert not is_there(api, pools(NAMESPACE, "default"))
    helm("uninstall", "speechpool", "--namespace", NAMESPACE, api=api)
    assert not is_there(api, pools(NAMESPACE, "default"))


def test_the_notes_name_the_next_step(api: ApiServer):
    done = helm("install", "speechpool", str(CHART), "--dry-run=server", "--namespace", NAMESPACE, api=api)
    notes = done.stdout.partition("NOTES:")[2]
    assert 'speechpool.dev/inject: "true"' in notes
    assert f"helm test speechpool -n {NAMESPACE} --logs" in notes


# --- every object ---


@functools.cache
def objects(mode: str) -> str:
    """Every object of a mode, as one text."""
    return "\n---\n".join(json.dumps(one) for one in rendered(MODES[mode], *KNOWN))


@pytest.fixture(scope="module")
def prepared(api: ApiServer) -> ApiServer:
    """The API server with the definitions of all that a release may have, and the namespaces."""
    install_crd(api)
    for path in foreign_definitions():
        assert api.kubectl("apply", "--server-side", "-f", str(path)).returncode == 0
        api.kubectl("wait", "--for=condition=Established", "-f", str(path), "--timeout=30s")
    for name in ("team-a", NAMESPACE):
        if not is_there(api, f"/api/v1/namespaces/{name}"):
            api.namespace(name)
        elif not is_there(api, f"/api/v1/namespaces/{name}/serviceaccounts/default"):
            api.service_account(name, "default")
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.patch(f"/api/v1/namespaces/{NAMESPACE}", {"metadata": {"labels": level}})
    return api


@pytest.mark.parametrize("mode", MODES)
def test_the_api_server_accepts_every_object_strictly(prepared: ApiServer, mode: str):
    done = prepared.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=objects(mode))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr  # a warning too: Pod Security says here what it would refuse


# --- rights ---

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
Rules = set[tuple[str, str, str, str]]


def may(api: ApiServer, right: Right, account: str = "speechpool-operator") -> bool:
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    spec = {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": right.as_attributes()}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return bool(api.post(ACCESS, body)["status"]["allowed"])


def rules(api: ApiServer, account: str, namespace: str) -> Rules:
    """Every right in a namespace that not everybody has, as verb, group, resource and name."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    user = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    done = api.kubectl("create", user, "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(body))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["status"]
    assert not found.get("incomplete")
    return {
        (verb, group, resource, name)
        for rule in found["resourceRules"]
        for verb in rule["verbs"]
        for group in rule.get("apiGroups", [""])
        for resource in rule.get("resources", [])
        for name in rule.get("resourceNames") or [""]
    }


POOLS: Rules = {(verb, "speechpool.dev", "speechpools", "") for verb in ("get", "list", "watch")}
PODS: Rules = {(verb, "", "pods", "") for verb in ("get", "list", "watch")}
STATUS: Rules = {("patch", "speechpool.dev", "speechpools/status", "")}
EVENTS: Rules = {("create", "", "events", ""), ("patch", "", "events", "")}
REVIEWS: Rules = {("create", "authentication.k8s.io", "tokenreviews", "")}
AUTHORITY: Rules = {(verb, "", "configmaps", "speechpool-ca") for verb in ("get", "list", "watch", "patch")}
MAPS: Rules = {("create", "", "configmaps", ""), *AUTHORITY}
SERVED = POOLS | PODS | STATUS | EVENTS | MAPS
LEASE: Rules = {
    ("create", "coordination.k8s.io", "leases", ""),
    *((verb, "coordination.k8s.io", "leases", "speechpool-operator") for verb in ("get", "update")),
}
SECRET: Rules = {(verb, "", "secrets", "speechpool-certificates") for verb in ("get", "list", "watch", "update")}
HOOK: Rules = {
    (verb, "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "speechpool-injector")
    for verb in ("get", "list", "watch", "patch")
}
UPGRADES: Rules = {*((verb, "", "pods", "") for verb in ("list", "patch")), ("create", "", "events", "")}


@pytest.fixture(scope="module")
def everybody(prepared: ApiServer) -> Rules:
    """What every ServiceAccount may."""
    return rules(prepared, "nobody", "team-a")


def granted(api: ApiServer, values: dict[str, Any], everybody: Rules, wanted: dict[tuple[str, str], Rules]) -> None:
    installed(api, values)
    try:
        found = {(account, where): rules(api, account, where) - everybody for account, where in wanted}
        assert found == wanted
        hold_rights(api, values)
    finally:
        helm("uninstall", "speechpool", "--namespace", NAMESPACE, api=api)


def hold_rights(api: ApiServer, values: dict[str, Any]) -> None:
    served = str(values.get("watchNamespace", ""))
    lease = "speechpool-operator" if values.get("operator.replicas") == 2 else ""
    asked = needed(namespace=NAMESPACE, served=served, lease=lease, authority_map="speechpool-ca")
    assert [str(right) for right in asked if not may(api, right)] == []
    refused = list(forbidden(namespace=NAMESPACE, served=served))
    if served:
        refused += [Right(verb=verb, resource="pods", namespace="default") for verb in ("get", "list", "watch")]
        refused += [Right(verb="list", resource="pods"), Right(verb="list", resource="pods", namespace=NAMESPACE)]
    assert [str(right) for right in refused if may(api, right)] == []


OPERATOR, INJECTOR, UPGRADER = "speechpool-operator", "speechpool-injector", "speechpool-upgrader"


def test_the_rights_in_the_whole_cluster(prepared: ApiServer, everybody: Rules):
    wanted = {
        (OPERATOR, "team-a"): SERVED | REVIEWS,
        (OPERATOR, NAMESPACE): SERVED | REVIEWS | LEASE,
        (INJECTOR, "team-a"): HOOK,
        (INJECTOR, NAMESPACE): HOOK | SECRET,
        (UPGRADER, "team-a"): UPGRADES,
    }
    granted(prepared, {"operator.replicas": 2, "upgrader.enabled": True}, everybody, wanted)


def test_the_rights_in_one_namespace(prepared: ApiServer, everybody: Rules):
    wanted = {
        (OPERATOR, "team-a"): SERVED | REVIEWS,
        (OPERATOR, NAMESPACE): AUTHORITY | REVIEWS,
        (OPERATOR, "default"): REVIEWS,
        (INJECTOR, "team-a"): set[tuple[str, str, str, str]](),
        (INJECTOR, NAMESPACE): SECRET,
        (UPGRADER, "team-a"): UPGRADES,
        (UPGRADER, "default"): set[tuple[str, str, str, str]](),
    }
    values = {"watchNamespace": "team-a", "upgrader.enabled": True, "injection.mode": "none"}
    granted(prepared, values, everybody, wanted)


def test_with_cert_manager_the_injector_has_no_rights(prepared: ApiServer, everybody: Rules):
    none = set[tuple[str, str, str, str]]()
    wanted = {(INJECTOR, NAMESPACE): none, (INJECTOR, "team-a"): none}
    granted(prepared, {"certificates.mode": "certManager"}, everybody, wanted)


def test_roles_are_added_to_those_of_the_cluster():
    roles = {one["metadata"]["name"]: one for one in rendered({}) if one["kind"] == "ClusterRole"}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    for name, targets in (("view", {"view", "edit", "admin"}), ("edit", {"edit", "admin"})):
        labels = roles[f"speechpool-{name}"]["metadata"]["labels"]
        assert {key.removeprefix(prefix) for key in labels if key.startswith(prefix)} == targets


# --- kubeconform, with the schemas of this very API server ---


def schemas(api: ApiServer, directory: Path) -> None:
    """A JSON schema for each kind that a mode has, as kubeconform looks for them."""
    wanted = {json.loads(one)["kind"] for mode in MODES for one in objects(mode).split("\n---\n")}
    for path in api.get("/openapi/v3")["paths"]:
        if path.count("/") < (1 if path.startswith("api/") else 2) or path.endswith("/"):
            continue
        components = api.get(f"/openapi/v3/{path}").get("components", {}).get("schemas", {})
        if not {name.rpartition(".")[2] for name in components} & wanted:
            continue
        definitions = {name: strict(one) for name, one in components.items()}
        for name, one in components.items():
            for kind in one.get("x-kubernetes-group-version-kind", ()):
                if kind["kind"] not in wanted:
                    continue
                group = kind["group"].partition(".")[0]
                file = "-".join(part for part in (kind["kind"].lower(), group, kind["version"]) if part)
                schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
                (directory / f"{file}.json").write_text(
                    json.dumps(schema).replace("#/components/schemas/", "#/definitions/")
                )


def strict(node: Any) -> Any:
    """The schema of OpenAPI as JSON schema, in which what is not named is not allowed."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: strict(one) for key, one in node.items() if key != "default"}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def schema_directory(prepared: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("schemas")
    schemas(prepared, directory)
    return directory


def conforms(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    location = f"{directory}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    words = [str(kubeconform_binary()), "-strict", "-summary", "-schema-location", location]
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize("mode", MODES)
def test_every_object_conforms(schema_directory: Path, mode: str):
    done = conforms(schema_directory, objects(mode))
    assert done.returncode == 0, done.stdout
    assert "Skipped: 0" in done.stdout


def test_kubeconform_refuses_what_is_wrong(schema_directory: Path):
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"port": [{"port": 1}]}}
    done = conforms(schema_directory, json.dumps(wrong))
    assert done.returncode == 1
    assert "port" in done.stdout
