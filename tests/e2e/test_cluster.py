"""The API server that the operator's tests run on is a real one, and comes back as it was."""

from tests.cluster.apiserver import AUDIENCE, ApiServer


def test_a_token_that_is_bound_to_a_pod_tells_the_pods_name_and_uid(api: ApiServer):
    namespace = api.namespace()
    uid = api.pod(namespace, "voice", labels={"app": "voice"})["metadata"]["uid"]
    review = {"spec": {"token": api.token(namespace, "voice"), "audiences": [AUDIENCE]}}
    status = api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert status["authenticated"]
    assert status["audiences"] == [AUDIENCE]
    extra = status["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["voice"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [uid]


def test_kubectl_applies_with_strict_validation(api: ApiServer):
    namespace = api.namespace()
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": namespace}}
    assert api.apply(config_map).returncode == 0
    refused = api.apply(config_map | {"dta": {}})
    assert refused.returncode == 1
    assert 'unknown field "dta"' in refused.stderr


def test_what_was_written_is_there_after_both_were_killed(stormy_api: ApiServer):
    namespace = stormy_api.namespace()
    stormy_api.kill()
    stormy_api.start()
    assert stormy_api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace
