"""The certificates that the product makes: for years, whoever reads late trusts whatever is served late."""

import base64
import ssl
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature

from speechpool_operator.certificates import Held, Terms, planned
from speechpool_operator.certificates_made import made_authority, made_leaf, read_certificates, read_pair
from speechpool_operator.certificates_secret import read_held, written
from speechpool_operator.certificates_serving import load
from speechpool_operator.tls import not_after

START = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = {"injector": ("speechpool-injector.ns.svc",), "operator": ("speechpool-operator.ns.svc", "another")}
TERMS = Terms(hosts=HOSTS)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def first() -> Held:
    return planned(Held(), TERMS, START)


def test_from_nothing_there_is_one_authority_and_a_certificate_for_each(first: Held) -> None:
    assert first.authority
    assert first.following is None
    assert first.retired == ()
    assert set(first.leaves) == {"injector", "operator"}
    assert first.leaves["operator"].names == {"speechpool-operator.ns.svc", "another"}
    assert all(leaf.is_signed_by(first.authority) for leaf in first.leaves.values())


def test_nothing_is_to_be_done_twice(first: Held) -> None:
    assert planned(first, TERMS, START + DAY) is first


def test_certificates_last_as_long_as_was_asked(first: Held) -> None:
    assert first.authority
    assert first.authority.ends_at - START == timedelta(days=730)
    leaf = first.leaves["operator"]
    assert leaf.ends_at - START == timedelta(days=90)
    assert START - leaf.certificate.not_valid_before_utc == timedelta(minutes=5)
    assert not_after(leaf.certificate_pem()) == leaf.ends_at.timestamp()


def test_a_server_s_certificate_is_renewed_when_a_third_of_its_life_is_left(first: Held) -> None:
    assert planned(first, TERMS, START + 59 * DAY) is first
    after = planned(first, TERMS, START + 61 * DAY)
    assert after.authority == first.authority
    assert all(after.leaves[who] != first.leaves[who] for who in HOSTS)


def test_new_hosts_make_new_certificates_of_those_concerned(first: Held) -> None:
    hosts = HOSTS | {"injector": ("elsewhere.example.org",)}
    after = planned(first, replace(TERMS, hosts=hosts), START)
    assert after.leaves["injector"].names == {"elsewhere.example.org"}
    assert after.leaves["operator"] == first.leaves["operator"]


def test_an_authority_is_trusted_before_it_signs_and_forgotten_after_it_did(first: Held) -> None:
    assert first.authority
    due = START + timedelta(days=487)
    announced = planned(planned(first, TERMS, due - DAY), TERMS, due)
    assert announced.authority == first.authority
    assert announced.following
    assert announced.trusted == (first.authority.certificate, announced.following.certificate)
    assert all(leaf.is_signed_by(first.authority) for leaf in announced.leaves.values())
    assert planned(announced, TERMS, due + HOUR / 2) is announced
    promoted = planned(announced, TERMS, due + HOUR)
    assert promoted.authority == announced.following
    assert promoted.retired == (first.authority.certificate,)
    assert all(leaf.is_signed_by(announced.following) for leaf in promoted.leaves.values())
    assert planned(promoted, TERMS, due + 1.5 * HOUR) is promoted
    settled = planned(promoted, TERMS, due + 2 * HOUR)
    assert settled.trusted == (announced.following.certificate,)


@pytest.mark.parametrize("seed_days", [0, 1])
def test_over_years_whoever_is_late_trusts_whatever_is_served_late(seed_days: int) -> None:
    """Any bundle that was read within a settling time verifies any certificate that was served within one."""
    terms = Terms(
        hosts={"operator": ("operator",)},
        leaf_life=6 * DAY,
        authority_life=20 * DAY + seed_days * HOUR,
        settle=12 * HOUR,
    )
    held, seen, authorities = Held(), deque[Held](maxlen=4), set()
    for step in range(4 * 75):  # a look each 6 hours: two of them lie within one settling time
        now = START + step * 6 * HOUR
        held = planned(held, terms, now)
        seen.append(held)
        authorities.add(held.authority)
        recent = list(seen)[-2:]
        for reader in recent:
            for server in recent:
                leaf = server.leaves["operator"]
                assert any(_signed(leaf.certificate, one) for one in reader.trusted)
                assert leaf.ends_at > now + 6 * HOUR
    assert len(authorities) >= 5
    assert len(held.trusted) <= 2


def _signed(leaf, authority) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True


def test_a_lost_key_is_mended_at_once_and_the_old_authority_trusted_for_a_while(first: Held) -> None:
    assert first.authority
    lost = {name: text for name, text in written(first).items() if name != "ca-signing.key"}
    held = read_held({"data": lost})
    assert held.authority is None
    after = planned(held, TERMS, START + DAY)
    assert after.authority
    assert first.authority.certificate in after.retired
    assert all(leaf.is_signed_by(after.authority) for leaf in after.leaves.values())
    assert planned(after, TERMS, START + DAY + 2 * HOUR).retired == ()


def test_a_process_that_slept_too_long_begins_anew(first: Held) -> None:
    late = START + timedelta(days=800)
    after = planned(first, TERMS, late)
    assert after.authority
    assert after.authority.ends_at > late
    assert after.retired == ()
    assert all(leaf.ends_at > late for leaf in after.leaves.values())


def test_a_server_s_certificate_never_outlives_its_authority() -> None:
    authority = made_authority(START, 10 * DAY)
    assert made_leaf(authority, ["x"], START + 5 * DAY, 90 * DAY).ends_at == authority.ends_at


def test_a_secret_holds_all_of_it(first: Held) -> None:
    busy = planned(planned(first, TERMS, START + timedelta(days=487)), TERMS, START + timedelta(days=487, hours=1))
    for held in (first, busy):
        data = written(held)
        assert read_held({"data": data}) == held
        assert read_certificates(base64.b64decode(data["ca.crt"]).decode()) == held.trusted
    assert {"ca.crt", "injector.crt", "injector.key", "operator.crt", "operator.key"} < set(written(first))


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {"ca.crt": "%%%", "ca-signing.crt": "AAAA", "ca-signing.key": "AAAA"}},
        {"data": {"ca.crt": base64.b64encode(b"\xff\xfe").decode()}},
        {
            "data": {
                "operator.crt": base64.b64encode(
                    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
                ).decode()
            }
        },
    ],
)
def test_whatever_a_secret_holds_it_becomes_right(secret: dict[str, object]) -> None:
    assert set(planned(read_held(secret), TERMS, START).leaves) == {"injector", "operator"}


def test_a_key_of_another_certificate_is_not_taken(first: Held) -> None:
    one, other = first.leaves["injector"], first.leaves["operator"]
    assert read_pair(one.certificate_pem(), other.key_pem()) is None
    assert read_pair(one.certificate_pem(), one.key_pem()) == one


def test_keys_are_not_shown(first: Held) -> None:
    assert "PRIVATE" not in repr(first)
    assert "key" not in repr(first.authority)


@pytest.mark.parametrize("host", ["speechpool-operator.ns.svc", "another"])
def test_openssl_accepts_what_is_made(first: Held, host: str) -> None:
    now = datetime.now(UTC)
    held = planned(Held(), TERMS, now)
    client = ssl.create_default_context(cadata=held.trusted_pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    asked = client.wrap_bio(incoming, outgoing, server_hostname=host)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(server, held.leaves["operator"].certificate_pem(), held.leaves["operator"].key_pem())
    answered = server.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(4):
        for side in (asked, answered):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert dict(part[0] for part in asked.getpeercert()["subject"])["commonName"] == "speechpool-operator.ns.svc"
