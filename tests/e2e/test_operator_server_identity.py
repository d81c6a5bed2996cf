"""Who gets a stream: only the sidecar of a living pod, by a token that a real API server made and judges."""

import base64
import json

import pytest
from tests.e2e.config_streams import hear, serving, settings

from speechpool.settings.wire import NewSettings
from speechpool_operator.identity import Identities, IdentityRefused, IdentityUnknown, Refusal
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import from_kubeconfig


@pytest.fixture
async def identities(api):
    async with KubeClient(from_kubeconfig(api.kubeconfig())) as client:
        yield Identities(client)


async def refusal(identities, token):
    with pytest.raises(IdentityRefused) as refused:
        await identities.identify(token)
    return refused.value.refusal


async def test_a_bound_token_names_its_pod_as_the_api_server_knows_it(api, identities):
    namespace = api.namespace()
    api.service_account(namespace, "voice")
    pod = api.pod(namespace, "one", labels={"app": "voice"}, annotations={"a": "b"}, account="voice")
    found = await identities.identify(api.token(namespace, "one", account="voice"))
    assert (found.namespace, found.name, found.uid) == (namespace, "one", pod["metadata"]["uid"])
    assert found.service_account == "voice"
    assert found.metadata["labels"] == {"app": "voice"}
    assert found.metadata["annotations"] == {"a": "b"}
    assert "managedFields" not in found.metadata


@pytest.mark.parametrize(
    "token", ["", "x", "a.b", "a.b.c", "a.e30.c", "é.é.é", "a." + "A" * 9000 + ".c", "...", "a.W10.c"]
)
async def test_what_is_no_token_is_refused(identities, token):
    assert await refusal(identities, token) in {Refusal.MALFORMED_TOKEN, Refusal.WRONG_AUDIENCE}


async def test_the_pods_token_for_another_audience_is_refused(api, identities):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one", audience="https://kubernetes.default.svc")
    assert await refusal(identities, token) is Refusal.WRONG_AUDIENCE


async def test_a_token_whose_audience_was_changed_is_refused(api, identities):
    """The glance at the claims decides nothing: the API server does."""
    namespace = api.namespace()
    api.pod(namespace, "one")
    head, claims, signature = api.token(namespace, "one", audience="https://kubernetes.default.svc").split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed["aud"] = ["speechpool-operator"]
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    assert await refusal(identities, f"{head}.{forged}.{signature}") is Refusal.NOT_AUTHENTICATED


async def test_a_token_that_names_another_pod_than_it_was_made_for_is_refused(api, identities):
    namespace = api.namespace()
    api.pod(namespace, "one")
    api.pod(namespace, "two")
    head, claims, signature = api.token(namespace, "one").split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed["kubernetes.io"]["pod"]["name"] = "two"
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    assert await refusal(identities, f"{head}.{forged}.{signature}") is Refusal.NOT_AUTHENTICATED


async def test_a_token_of_another_clusters_key_is_refused(api, identities, tmp_path_factory):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one")
    head, claims, signature = token.split(".")
    assert await refusal(identities, f"{head}.{claims}.{signature[:-8]}AAAAAAAA") is Refusal.NOT_AUTHENTICATED


async def test_an_unbound_token_with_our_audience_is_refused(api, identities):
    namespace = api.namespace()
    assert await refusal(identities, api.token(namespace, None)) is Refusal.NOT_A_POD


async def test_a_deleted_pods_token_is_refused(api, identities):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one")
    api.delete(f"/api/v1/namespaces/{namespace}/pods/one", grace_seconds=0)
    # the API server itself accepts such a token for ten seconds more
    assert await refusal(identities, token) in {Refusal.POD_NOT_FOUND, Refusal.NOT_AUTHENTICATED}


async def test_the_token_of_a_pod_that_was_replaced_under_its_name_is_refused(api, identities):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one")
    assert (await identities.identify(token)).name == "one"
    api.delete(f"/api/v1/namespaces/{namespace}/pods/one", grace_seconds=0)
    api.pod(namespace, "one")
    assert await refusal(identities, token) in {Refusal.POD_REPLACED, Refusal.NOT_AUTHENTICATED}


async def test_a_terminating_pods_token_is_refused(api, identities):
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one")
    api.delete(f"/api/v1/namespaces/{namespace}/pods/one", grace_seconds=600)
    assert await refusal(identities, token) is Refusal.POD_TERMINATING


async def test_pods_of_one_name_in_two_namespaces_are_told_apart(api, identities):
    one, two = api.namespace(), api.namespace()
    uids = {each: api.pod(each, "voice")["metadata"]["uid"] for each in (one, two)}
    found = await identities.identify(api.token(two, "voice"))
    assert (found.namespace, found.uid) == (two, uids[two])


async def test_an_api_server_that_does_not_let_us_review_is_no_refusal(api, identities):
    """A mistake in the operator's rights must not read as a forged token."""
    namespace = api.namespace()
    api.pod(namespace, "one")
    token = api.token(namespace, "one")
    bare = api.token(namespace, "one", audience="https://kubernetes.default.svc")
    access = from_kubeconfig(api.kubeconfig(token=bare, name="nobody"))
    async with KubeClient(access) as client:
        with pytest.raises(IdentityUnknown, match="403"):
            await Identities(client).identify(token)


async def test_the_server_answers_401_for_tokens_and_403_for_pods_and_tells_no_more(api, tmp_path):
    namespace = api.namespace()
    api.pod(namespace, "one")
    gone = api.token(namespace, "one")
    api.delete(f"/api/v1/namespaces/{namespace}/pods/one", grace_seconds=600)
    async with serving(api, tmp_path) as served:
        assert await served.refused(None) == 401
        assert await served.refused("nonsense") == 401
        assert await served.refused(api.token(namespace, None)) == 401
        assert await served.refused(gone) == 403
        assert served.server.refused == {"NoToken": 1, "MalformedToken": 1, "NotAPod": 1, "PodTerminating": 1}
        assert not served.fleet.hellos


async def test_each_sidecar_gets_the_settings_of_its_own_pod(api, tmp_path):
    """Whatever a sidecar says of itself, its token alone decides."""
    one, two = api.namespace(), api.namespace()
    uids = [api.pod(each, "voice")["metadata"]["uid"] for each in (one, two)]
    async with serving(api, tmp_path) as served:
        served.fleet.first = {uids[0]: settings(1, warm=1), uids[1]: settings(2, warm=2)}
        async with served.sidecar(api.token(one, "voice")) as first, served.sidecar(api.token(two, "voice")) as second:
            assert (await hear(first, NewSettings)).spec == {"warmSize": 1}
            assert (await hear(second, NewSettings)).spec == {"warmSize": 2}
