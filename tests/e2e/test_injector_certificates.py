"""The certificates of injectors: made once by however many, renewed while pods are admitted, mended when broken."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from aiohttp import web
from tests.cluster.apiserver import ApiServer
from tests.e2e.injectors import Installed, certificates, eventually, installed, running
from tests.e2e.test_injector import ASK, create, has_sidecar, manifest

from speechpool_operator import certificates_keeper
from speechpool_operator.certificates import Held, Terms
from speechpool_operator.certificates_keeper import CaBundle, Keeper
from speechpool_operator.certificates_serving import Serving
from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.metrics import Metrics
from speechpool_operator.injection.server import Webhook
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import access

NAMES = {"injector.crt", "injector.key", "operator.crt", "operator.key", "ca.crt", "ca-signing.crt", "ca-signing.key"}


@pytest.fixture
def place(api: ApiServer, tmp_path):
    with installed(api, tmp_path) as made:
        made.pods = api.namespace()
        made.register(made.pods, failure_policy="Fail")  # a fault of the certificate's is an error then
        yield made


def served(place: Installed) -> bytes:
    """The certificate that the webhook presents now."""
    pem = ssl.get_server_certificate(("127.0.0.1", place.port), timeout=10)
    return ssl.PEM_cert_to_DER_cert(pem)


def test_two_that_start_at_once_agree(api: ApiServer, place: Installed) -> None:
    other = Installed.__new__(Installed)
    other.__dict__ |= place.__dict__ | {"port": place.port + 1}
    with running(place, "one") as one, running(other, "two", LISTEN="127.0.0.1:0") as two:
        texts = place.texts()
        assert set(texts) == NAMES
        assert place.bundle() == texts["ca.crt"]
        assert one.metric("speechpool_injector_certificate_not_after_seconds") == two.metric(
            "speechpool_injector_certificate_not_after_seconds"
        )
        assert has_sidecar(create(api, place.pods, manifest("asks", labels=ASK)))
        hosts = certificates(texts["operator.crt"])[0].extensions
        assert "speechpool-operator" in str(hosts)


def test_a_bundle_that_somebody_overwrote_is_written_again(api: ApiServer, place: Installed) -> None:
    with running(place):
        _overwrite_bundle(api, place, trustme.CA().cert_pem.bytes())
        eventually(lambda: place.bundle() == place.texts()["ca.crt"])


async def test_what_somebody_changes_is_mended_without_waiting_for_the_next_look(
    api: ApiServer, place: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates_keeper, "LOOK_SECONDS", 1e6)
    terms = Terms(hosts={"injector": ("localhost",)})
    async with KubeClient(access(str(api.kubeconfig()))) as client:
        bundle, name = CaBundle(client, place.webhook), "speechpool-certificates"
        keeping = asyncio.create_task(
            Keeper(client, namespace=place.namespace, name=name, terms=terms, bundle=bundle).run()
        )
        try:
            await asyncio.to_thread(eventually, lambda: place.bundle() == place.texts().get("ca.crt", "none"))
            first = place.bundle()
            api.patch(place.secret, {"data": {"ca-signing.key": None}})
            await asyncio.to_thread(eventually, lambda: first != place.bundle() == place.texts().get("ca.crt"))
            _overwrite_bundle(api, place, trustme.CA().cert_pem.bytes())
            await asyncio.to_thread(eventually, lambda: place.bundle() == place.texts()["ca.crt"])
        finally:
            keeping.cancel()


def _overwrite_bundle(api: ApiServer, place: Installed, pem: bytes) -> None:
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{place.webhook}"
    found = api.get(path)
    for webhook in found["webhooks"]:
        webhook["clientConfig"]["caBundle"] = base64.b64encode(pem).decode()
    api.request("PUT", path, found)


async def test_an_authority_is_replaced_and_every_pod_admitted_at_each_step(api: ApiServer, place: Installed) -> None:
    """The keeper's clock begins in the past, so that what it makes is good now too."""
    now = datetime.now(UTC)
    clock, life = [now - timedelta(hours=41)], timedelta(hours=60)
    terms = Terms(hosts={"injector": ("localhost",)}, leaf_life=life, authority_life=life, settle=timedelta(minutes=30))
    serving, authority = Serving(), [""]

    def use(held: Held) -> None:
        leaf = held.leaves["injector"]
        serving.use(leaf.certificate_pem(), leaf.key_pem())
        authority[0] = held.trusted_pem

    async with answering(place, serving, lambda: authority[0]), KubeClient(access(str(api.kubeconfig()))) as client:
        bundle = CaBundle(client, place.webhook)
        keeper = Keeper(
            client,
            namespace=place.namespace,
            name="speechpool-certificates",
            terms=terms,
            bundle=bundle,
            use=use,
            now=lambda: clock[0],
        )
        trusted = []
        for before_now in (timedelta(hours=41), timedelta(hours=1), timedelta(minutes=30), timedelta()):
            clock[0] = now - before_now
            await keeper.look()
            made = await asyncio.to_thread(create, api, place.pods, manifest("asks", labels=ASK), "?dryRun=All")
            assert made["metadata"]["annotations"]["speechpool.dev/operator-ca"] == place.bundle() == authority[0]
            trusted.append(certificates(authority[0]))
        old, new = trusted[1]
        assert trusted == [[old], [old, new], [new, old], [new]]


@contextlib.asynccontextmanager
async def answering(place: Installed, serving: Serving, authority: Callable[[], str]) -> AsyncIterator[None]:
    config = InjectorConfig(image="speechpool/sidecar:1", operator="operator:8443")
    metrics = Metrics(not_after=lambda: serving.not_after, failures=dict)
    webhook = Webhook(config=lambda: config, ca=authority, metrics=metrics)
    runner = web.AppRunner(webhook.application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", place.port, ssl_context=serving.context).start()
    try:
        yield
    finally:
        await runner.cleanup()


def test_a_broken_secret_is_mended(api: ApiServer, place: Installed) -> None:
    with running(place) as injector:
        before = served(place)
        api.patch(place.secret, {"data": {"injector.key": base64.b64encode(b"nonsense").decode()}})
        eventually(lambda: served(place) != before)
        assert has_sidecar(create(api, place.pods, manifest("asks", labels=ASK)))
        assert injector.get("/readyz")[0] == 200


def test_without_an_api_server_s_answer_it_says_so_and_serves_on(api: ApiServer, place: Installed) -> None:
    with running(place) as injector:
        api.delete(place.secret)
        eventually(lambda: injector.get("/healthz")[0] == 503)
        assert "NotFound" in injector.get("/healthz")[1]
        assert injector.get("/readyz")[0] == 200
        assert has_sidecar(create(api, place.pods, manifest("asks", labels=ASK)))


def test_mounted_certificates_are_used_and_followed(api: ApiServer, place: Installed, tmp_path) -> None:
    """As cert-manager's: no right on anything is needed, for nothing is asked of the API server."""
    authority = trustme.CA()
    files = {"TLS_CERT_FILE": "tls.crt", "TLS_KEY_FILE": "tls.key", "CA_FILE": "ca.crt"}
    settings = {name: str(tmp_path / file) for name, file in files.items()}
    authority.cert_pem.write_to_path(settings["CA_FILE"])
    _issue(authority, settings)
    _overwrite_bundle(api, place, authority.cert_pem.bytes())
    with running(place, CERTIFICATES="files", KUBECONFIG="/nonexistent", **settings) as injector:
        made = create(api, place.pods, manifest("asks", labels=ASK))
        assert made["metadata"]["annotations"]["speechpool.dev/operator-ca"] == authority.cert_pem.bytes().decode()
        before = served(place)
        _issue(authority, settings)
        eventually(lambda: served(place) != before)
        assert has_sidecar(create(api, place.pods, manifest("again", labels=ASK)))
        assert injector.get("/healthz")[0] == 200


def _issue(authority: trustme.CA, settings: dict[str, str]) -> None:
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(settings["TLS_KEY_FILE"])
    made.cert_chain_pems[0].write_to_path(settings["TLS_CERT_FILE"])


def test_an_installation_without_a_webhook_has_the_operator_s_certificate(api: ApiServer, tmp_path) -> None:
    place = Installed(api, tmp_path)
    with running(place, COMMAND="certificates") as keeper:
        assert set(place.texts()) == NAMES
        assert keeper.metric("speechpool_injector_certificate_not_after_seconds") > 0
    assert json.loads(keeper.log.read_text().splitlines()[-1])["message"] == "certificates no longer looked after"
