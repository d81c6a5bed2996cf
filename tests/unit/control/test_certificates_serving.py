"""What a server presents, and mounted files that somebody else renews."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from speechpool_operator.certificates import Held, Terms, planned
from speechpool_operator.certificates_serving import MountedFiles, Serving

TERMS = Terms(hosts={"injector": ("injector.example.org",)})


@pytest.fixture(scope="module")
def held() -> Held:
    return planned(Held(), TERMS, datetime.now(UTC))


def serving(held: Held) -> Serving:
    made = Serving()
    leaf = held.leaves["injector"]
    made.use(leaf.certificate_pem(), leaf.key_pem())
    return made


def presented(server: Serving, held: Held, name: str | None = "injector.example.org") -> str:
    """The serial number that a client sees."""
    client = ssl.create_default_context(cadata=held.trusted_pem)
    client.check_hostname = name is not None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    asked = client.wrap_bio(incoming, outgoing, server_hostname=name)
    answered = server.context.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(3):
        for side in (asked, answered):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = asked.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("name", ["injector.example.org", None])
def test_clients_with_and_without_a_name_see_the_certificate(held: Held, name: str | None) -> None:
    assert int(presented(serving(held), held, name), 16) == held.leaves["injector"].certificate.serial_number


def test_who_connects_later_sees_the_newer_one(held: Held) -> None:
    server = serving(held)
    later = planned(held, TERMS, datetime.now(UTC) + timedelta(days=61))
    leaf = later.leaves["injector"]
    server.use(leaf.certificate_pem(), leaf.key_pem())
    assert server.not_after == leaf.ends_at.timestamp()
    assert later.leaves["injector"] != held.leaves["injector"]


def test_without_a_certificate_the_handshake_fails(held: Held) -> None:
    with pytest.raises(ssl.SSLError):
        presented(Serving(), held)


def test_a_pair_that_does_not_fit_changes_nothing(held: Held) -> None:
    server = serving(held)
    before = presented(server, held)
    other = planned(Held(), TERMS, datetime.now(UTC)).leaves["injector"]
    with pytest.raises(ssl.SSLError):
        server.use(other.certificate_pem(), held.leaves["injector"].key_pem())
    assert presented(server, held) == before


def test_mounted_files_are_waited_for_followed_and_kept(held: Held, tmp_path: Path) -> None:
    files = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt"
    server = Serving()
    seen: list[str] = []

    def use(certificate: str, key: str, authority: str) -> None:
        server.use(certificate, key)
        seen.append(authority)

    mounted = MountedFiles(*files, use=use)
    mounted.look()
    assert "No such file" in mounted.failure
    leaf = held.leaves["injector"]
    for file, text in zip(files, (leaf.certificate_pem(), leaf.key_pem(), held.trusted_pem), strict=True):
        file.write_text(text)
    mounted.look()
    mounted.look()
    assert (seen, mounted.failure) == ([held.trusted_pem], "")
    files[1].write_text("half written")
    mounted.look()
    assert mounted.failure
    assert len(seen) == 1
    files[1].write_text(leaf.key_pem())
    mounted.look()
    assert mounted.failure == ""
