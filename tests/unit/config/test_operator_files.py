"""The files that a sidecar needs to reach its operator, and the one that it keeps of it."""

import asyncio
import contextlib
import json
import ssl
import threading
from dataclasses import replace

import pytest
import trustme

from speechpool.config.operator_files import read_credentials
from speechpool.config.operator_last_good import (
    END_SECONDS,
    FILE_NAME,
    PAUSE_SECONDS,
    LastGood,
    read_last_good,
    write_last_good,
)
from speechpool.config.operator_threads import HostNames, SideThreads
from speechpool.errors import SettingsError
from speechpool.settings.wire import NewSettings, Revision, WireError

SECRET = "s3cret-s3cret"
SETTINGS = NewSettings(
    name="calls/voice", revision=Revision(uid="a", generation=3, hash="b"), spec={"lexicon": [{"word": "ü"}]}
)


@pytest.fixture(scope="module")
def certificate():
    return trustme.CA().cert_pem.bytes()


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


class TestCredentials:
    def test_a_file_of_certificates_and_a_token_are_read(self, tmp_path, certificate, token):
        (tmp_path / "ca").write_bytes("# Müller's\n".encode() + certificate + trustme.CA().cert_pem.bytes())
        credentials = read_credentials(str(tmp_path / "ca"), str(token))
        assert credentials.token == SECRET
        assert len(credentials.trust.get_ca_certs()) == 2
        assert credentials.trust.check_hostname
        assert credentials.trust.verify_mode is ssl.CERT_REQUIRED

    def test_all_certificates_of_a_directory_are_trusted(self, tmp_path, certificate, token):
        for name in ("ca.crt", "next.pem"):
            (tmp_path / name).write_bytes(trustme.CA().cert_pem.bytes())
        (tmp_path / "other").write_text("no certificate")
        assert len(read_credentials(str(tmp_path), str(token)).trust.get_ca_certs()) == 2

    def test_only_what_the_files_hold_is_trusted(self, tmp_path, certificate, token):
        (tmp_path / "ca").write_bytes(certificate)
        assert len(read_credentials(str(tmp_path / "ca"), str(token)).trust.get_ca_certs()) == 1

    @pytest.mark.parametrize("content", [b"", b"certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\xff" * 100])
    def test_what_is_no_certificate_is_named_and_not_shown(self, tmp_path, token, content):
        (tmp_path / "ca").write_bytes(content)
        with pytest.raises(SettingsError, match=r"operatorCaFile: .*/ca must hold certificates in PEM"):
            read_credentials(str(tmp_path / "ca"), str(token))

    def test_a_directory_without_certificates_is_refused(self, tmp_path, token):
        with pytest.raises(SettingsError, match=r"operatorCaFile: .* holds no \*\.crt"):
            read_credentials(str(tmp_path), str(token))

    @pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"t\xffken", b"a\nb", b"x" * 16385, b"a\x00b"])
    def test_what_is_no_token_is_named_and_not_shown(self, tmp_path, certificate, content):
        (tmp_path / "ca").write_bytes(certificate)
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(
            SettingsError, match=r"operatorTokenFile: .*/token must hold 1 to 16384 printable"
        ) as caught:
            read_credentials(str(tmp_path / "ca"), str(tmp_path / "token"))
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("missing", ["operatorCaFile", "operatorTokenFile"])
    def test_a_file_that_is_missing_is_named(self, tmp_path, certificate, token, missing):
        (tmp_path / "ca").write_bytes(certificate)
        files = {"operatorCaFile": tmp_path / "ca", "operatorTokenFile": token}
        files[missing].unlink()
        with pytest.raises(SettingsError, match=f"^a setting is wrong: {missing}: .* there is no such file"):
            read_credentials(*map(str, files.values()))

    def test_the_token_is_not_in_a_repr(self, tmp_path, certificate, token):
        (tmp_path / "ca").write_bytes(certificate)
        assert SECRET not in repr(read_credentials(str(tmp_path / "ca"), str(token)))


class TestLastGood:
    def test_what_is_written_is_read(self, tmp_path):
        write_last_good(tmp_path / "new" / "state", SETTINGS)
        assert read_last_good(tmp_path / "new" / "state") == SETTINGS

    def test_it_is_for_its_owner_alone(self, tmp_path):
        write_last_good(tmp_path, SETTINGS)
        assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600

    def test_none_removes_it(self, tmp_path):
        for settings in (None, SETTINGS, None, None):
            write_last_good(tmp_path, settings)
        assert read_last_good(tmp_path) is None
        assert list(tmp_path.iterdir()) == []

    def test_where_nothing_was_kept_there_is_nothing(self, tmp_path):
        assert read_last_good(tmp_path) is None
        assert read_last_good(tmp_path / "nowhere") is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda fields: {},
            lambda fields: fields | {"format": "speechpool.dev/last-good/v9"},
            lambda fields: fields | {"sha256": "0" * 64},
            lambda fields: fields | {"settings": fields["settings"].replace("calls", "falls")},
            lambda fields: fields | {"settings": 7},
        ],
    )
    def test_a_damaged_or_foreign_file_is_told(self, tmp_path, change):
        write_last_good(tmp_path, SETTINGS)
        path = tmp_path / FILE_NAME
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
        with pytest.raises(WireError, match=r"^the file "):
            read_last_good(tmp_path)

    @pytest.mark.parametrize("content", ["{", "[1]", '{"format": "another"}', "\x00" * 100])
    def test_another_file_is_told(self, tmp_path, content):
        (tmp_path / FILE_NAME).write_text(content)
        with pytest.raises(WireError, match=r"^the file "):
            read_last_good(tmp_path)

    @pytest.mark.parametrize("length", range(0, 200, 20))
    def test_a_half_written_file_is_told(self, tmp_path, length):
        write_last_good(tmp_path, SETTINGS)
        path = tmp_path / FILE_NAME
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(WireError):
            read_last_good(tmp_path)

    def test_a_link_is_not_followed_when_it_is_written(self, tmp_path):
        (tmp_path / "precious").write_text("as it was")
        (tmp_path / FILE_NAME).with_suffix(".new").symlink_to(tmp_path / "precious")
        with pytest.raises(OSError, match=FILE_NAME.removesuffix(".json")):
            write_last_good(tmp_path, SETTINGS)
        assert (tmp_path / "precious").read_text() == "as it was"

    def test_too_much_is_not_kept_and_the_old_one_stays(self, tmp_path):
        write_last_good(tmp_path, SETTINGS)
        much = NewSettings(name="a/b", revision=SETTINGS.revision, spec={"x": '"' * 600_000})
        with pytest.raises(WireError, match="at most"):
            write_last_good(tmp_path, much)
        assert read_last_good(tmp_path) == SETTINGS

    @pytest.mark.parametrize("make", ["file", "directory", "link to itself"])
    async def test_what_cannot_be_read_is_no_obstacle(self, tmp_path, caplog, make):
        path = tmp_path / FILE_NAME
        {"file": path.touch, "directory": path.mkdir, "link to itself": lambda: path.symlink_to(path)}[make]()
        assert await LastGood(tmp_path, SideThreads()).read() is None
        assert caplog.messages == ["last good settings ignored"]

    @pytest.mark.looptime
    async def test_a_burst_is_written_once(self, tmp_path):
        threads = Inline()
        async with keeping(LastGood(tmp_path, threads)) as last_good:
            for generation in range(1, 6):
                last_good.keep(of_generation(generation))
                await asyncio.sleep(PAUSE_SECONDS / 10)
            await asyncio.sleep(PAUSE_SECONDS)
            assert read_last_good(tmp_path) == of_generation(5)
        assert threads.calls == 1

    @pytest.mark.looptime
    async def test_what_is_not_written_yet_is_written_at_the_end(self, tmp_path):
        async with keeping(LastGood(tmp_path, Inline())) as last_good:
            last_good.keep(SETTINGS)
            await asyncio.sleep(0)
            assert read_last_good(tmp_path) is None
        assert read_last_good(tmp_path) == SETTINGS

    async def test_an_end_without_news_leaves_what_is_kept(self, tmp_path):
        write_last_good(tmp_path, SETTINGS)
        async with keeping(LastGood(tmp_path, SideThreads())) as last_good:
            assert await last_good.read() == SETTINGS
        assert read_last_good(tmp_path) == SETTINGS

    @pytest.mark.looptime
    async def test_a_disk_that_hangs_does_not_hold_up_the_end(self, tmp_path, caplog):
        loop = asyncio.get_running_loop()
        async with keeping(LastGood(tmp_path, Hanging())) as last_good:
            last_good.keep(SETTINGS)
            began_at = loop.time()
        assert loop.time() - began_at == END_SECONDS
        assert caplog.messages == ["last good settings not kept"]


class Inline(SideThreads):
    """Makes each call where it stands: files are real, and time is virtual."""

    calls = 0

    async def call(self, function):
        self.calls += 1
        return function()


class Hanging(SideThreads):
    """No call comes back."""

    async def call(self, function):
        await asyncio.get_running_loop().create_future()


@contextlib.asynccontextmanager
async def keeping(last_good):
    task = asyncio.create_task(last_good.run())
    await asyncio.sleep(0)
    try:
        yield last_good
    finally:
        task.cancel()
        await asyncio.wait({task})


def of_generation(generation):
    return replace(SETTINGS, revision=replace(SETTINGS.revision, generation=generation))


class TestSideThreads:
    async def test_the_result_and_the_error_come_back(self):
        threads = SideThreads()
        assert await threads.call(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await threads.call(lambda: 1 // 0)

    async def test_what_hangs_counts(self):
        threads, gate = SideThreads(limit=2), threading.Event()
        hanging = [asyncio.create_task(threads.call(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="2 earlier reads"):
            await threads.call(lambda: 7)
        gate.set()
        assert await asyncio.gather(*hanging) == [True, True]
        assert await threads.call(lambda: 7) == 7

    async def test_who_is_cancelled_leaves_the_call_behind(self):
        gate = threading.Event()
        hanging = asyncio.create_task(SideThreads().call(gate.wait))
        await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        gate.set()

    async def test_host_names_are_resolved(self):
        found = await HostNames(SideThreads()).resolve("localhost", 8443)
        assert ("127.0.0.1", 8443) in {(one["host"], one["port"]) for one in found}
