"""The config server's certificate."""

import datetime as dt
import logging
import os

import pytest
import trustme

from speechpool.errors import SettingsError
from speechpool_operator.tls import Certificates, not_after

ENDS = dt.datetime(2041, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def write(authority, tmp_path):
    """Writes a pair that ends at a time."""

    def write(ends=ENDS):
        made = authority.issue_cert("operator.test", not_after=ends)
        (tmp_path / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        (tmp_path / "tls.key").write_bytes(made.private_key_pem.bytes())
        return tmp_path / "tls.crt", tmp_path / "tls.key"

    return write


@pytest.mark.parametrize(
    "ends",
    [ENDS, dt.datetime(1999, 12, 31, tzinfo=dt.UTC), dt.datetime(2050, 1, 1, tzinfo=dt.UTC)],
    ids=["UTCTime", "the-last-century", "GeneralizedTime"],
)
def test_it_is_known_when_a_certificate_ends(authority, ends):
    begins = ends - dt.timedelta(days=1)
    made = authority.issue_cert("operator.test", not_before=begins, not_after=ends)
    assert not_after(made.cert_chain_pems[0].bytes().decode()) == ends.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_refused(text):
    with pytest.raises(ValueError, match="holds no"):
        not_after(text)


def test_a_new_pair_is_read_and_connections_that_come_get_it(write):
    certificates = Certificates(*write())
    before = certificates.current
    assert not certificates.refresh()
    write(ENDS + dt.timedelta(days=1))
    assert certificates.refresh()
    assert certificates.current.context is not before.context
    assert certificates.current.not_after == before.not_after + 86_400


def test_a_swapped_link_is_noticed_whatever_the_times_say(write, tmp_path):
    """As the kubelet renews a Secret volume."""
    files = write()
    link = tmp_path / "current"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    link.symlink_to("one")
    for each in files:
        each.rename(tmp_path / "one" / each.name)
    for each in write(ENDS + dt.timedelta(days=1)):
        moved = each.rename(tmp_path / "two" / each.name)
        os.utime(moved, ns=2 * ((tmp_path / "one" / each.name).stat().st_mtime_ns,))
    certificates = Certificates(link / "tls.crt", link / "tls.key")
    link.unlink()
    link.symlink_to("two")
    assert certificates.refresh()
    assert certificates.current.not_after == (ENDS + dt.timedelta(days=1)).timestamp()


def test_a_pair_that_does_not_fit_changes_nothing_and_is_told_once(write, tmp_path, caplog):
    certificates = Certificates(*write())
    before = certificates.current
    key = (tmp_path / "tls.key").read_bytes()
    write()
    new_key = (tmp_path / "tls.key").read_bytes()
    (tmp_path / "tls.key").write_bytes(key)
    with caplog.at_level(logging.ERROR):
        assert not certificates.refresh()
        assert not certificates.refresh()
    assert certificates.current is before
    assert [record.message for record in caplog.records] == ["certificate not renewed"]
    (tmp_path / "tls.key").write_bytes(new_key)
    assert certificates.refresh()


def test_files_that_go_away_change_nothing(write, tmp_path):
    certificates = Certificates(*write())
    (tmp_path / "tls.crt").unlink()
    assert not certificates.refresh()
    assert certificates.current.not_after == ENDS.timestamp()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"no certificate"])
def test_a_start_without_a_usable_pair_names_the_files(write, tmp_path, content):
    certificate, key = write()
    certificate.unlink()
    if content is not None:
        certificate.write_bytes(content)
    with pytest.raises(SettingsError, match=r"tls\.crt"):
        Certificates(certificate, key)
