"""Who may listen on the socket, and what becomes of what is in the way."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from tests.privileges import as_ordinary_user

from speechpool.cli.unix_socket import claim_socket
from speechpool.errors import SettingsError, SocketInUse
from speechpool.socket_path import connect_first, first_answering, socket_candidates


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sp.sock"


@pytest.fixture
def place_for_all() -> Iterator[Path]:
    """A directory that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


class TestClaim:
    def test_the_socket_has_its_mode_and_group_and_listens(self, path: Path) -> None:
        claim = claim_socket(str(path), mode=0o620, group=str(os.getgid()))

        status = path.stat()
        connect_first([path], 1.0).close()
        assert stat.S_IMODE(status.st_mode) == 0o620
        assert status.st_gid == os.getgid()
        claim.listener.close()

    def test_releasing_removes_the_file(self, path: Path) -> None:
        claim = claim_socket(str(path), mode=0o600, group=None)
        claim.listener.close()

        claim.release()

        assert list(path.parent.iterdir()) == []

    def test_a_stale_socket_is_replaced(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))

        claim = claim_socket(str(path), mode=0o600, group=None)

        connect_first([path], 1.0).close()
        claim.listener.close()

    def test_a_live_socket_is_refused_by_name_and_left_alone(self, path: Path) -> None:
        first = claim_socket(str(path), mode=0o600, group=None)

        with pytest.raises(SocketInUse, match=str(path)):
            claim_socket(str(path), mode=0o600, group=None)

        connect_first([path], 1.0).close()
        first.listener.close()

    def test_a_live_socket_whose_backlog_is_full_is_live(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(path))
            busy.listen(0)
            waiting.connect(str(path))

            with pytest.raises(SocketInUse):
                claim_socket(str(path), mode=0o600, group=None)

    def test_what_is_not_a_socket_is_never_removed(self, path: Path) -> None:
        path.write_text("precious")

        with pytest.raises(SettingsError, match="is not a socket"):
            claim_socket(str(path), mode=0o600, group=None)

        assert path.read_text() == "precious"

    def test_a_link_to_a_socket_is_never_removed(self, path: Path) -> None:
        path.symlink_to(path.with_name("elsewhere.sock"))

        with pytest.raises(SettingsError, match="is not a socket"):
            claim_socket(str(path), mode=0o600, group=None)

        assert path.is_symlink()

    def test_a_path_that_is_too_long_is_refused_with_the_bound(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="at most 107 bytes, got 1"):
            claim_socket(str(tmp_path / ("x" * 120)), mode=0o600, group=None)

    def test_an_unknown_group_is_refused_and_leaves_no_file(self, path: Path) -> None:
        with pytest.raises(SettingsError, match="no group 'nobody-has-this-one'"):
            claim_socket(str(path), mode=0o660, group="nobody-has-this-one")

        assert not path.exists()

    def test_a_place_without_a_directory_is_made_for_those_who_may_use_the_socket(self, tmp_path: Path) -> None:
        ours = claim_socket(str(tmp_path / "own" / "sp.sock"), mode=0o600, group=None)
        groups = claim_socket(str(tmp_path / "group" / "sp.sock"), mode=0o660, group=None)

        assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "group").stat().st_mode) == 0o710
        ours.listener.close()
        groups.listener.close()

    def test_releasing_leaves_a_socket_that_another_has_put_there(self, path: Path) -> None:
        old = claim_socket(str(path), mode=0o600, group=None)
        old.listener.close()
        new = claim_socket(str(path), mode=0o600, group=None)

        old.release()

        connect_first([path], 1.0).close()
        new.listener.close()


class TestPlaces:
    def test_a_client_waits_for_a_place_in_a_full_backlog(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
            busy.bind(str(path))
            busy.listen(0)
            first.connect(str(path))
            with ThreadPoolExecutor() as threads:
                second = threads.submit(connect_first, [path], 30.0)
                assert not wait([second], timeout=0.05).done

                busy.accept()[0].close()

                second.result(30.0).close()

    def test_a_named_socket_is_the_only_place(self) -> None:
        assert socket_candidates({"SPEECHPOOL_SOCKET": "/a/b.sock", "XDG_RUNTIME_DIR": "/c"}) == (Path("/a/b.sock"),)

    def test_the_systems_place_comes_before_the_users(self) -> None:
        system, own = socket_candidates({"XDG_RUNTIME_DIR": "/run/user/1"})

        assert system == Path("/run/speechpool/speechpool.sock")
        assert own == Path("/run/user/1/speechpool/speechpool.sock")

    def test_without_a_runtime_directory_the_place_bears_the_users_number(self) -> None:
        *_, own = socket_candidates({})

        assert own.parent.name == f"speechpool-{os.getuid()}"

    def test_without_a_temporary_directory_the_systems_place_is_the_only_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nowhere() -> str:
            raise FileNotFoundError("No usable temporary directory found")

        monkeypatch.setattr("tempfile.gettempdir", nowhere)

        assert socket_candidates({}) == (Path("/run/speechpool/speechpool.sock"),)

    def test_a_client_goes_on_to_the_place_where_somebody_listens(self, path: Path, tmp_path: Path) -> None:
        claim = claim_socket(str(path), mode=0o600, group=None)

        connect_first([tmp_path / "nobody.sock", path], 1.0).close()

        claim.listener.close()

    def test_a_client_goes_on_where_it_may_not_use_a_socket(self, place_for_all: Path) -> None:
        others = claim_socket(str(place_for_all / "others.sock"), mode=0o000, group=None)
        own = claim_socket(str(place_for_all / "own.sock"), mode=0o666, group=None)

        with as_ordinary_user():
            connect_first([others.path, own.path], 1.0).close()
            assert first_answering([others.path, own.path]) == own.path

        own.release()
        others.release()

    def test_that_a_socket_may_not_be_used_is_worth_more_than_that_another_is_not_there(
        self, place_for_all: Path
    ) -> None:
        others = claim_socket(str(place_for_all / "others.sock"), mode=0o000, group=None)

        with as_ordinary_user(), pytest.raises(PermissionError) as caught:
            connect_first([others.path, place_for_all / "nobody.sock"], 1.0)

        assert caught.value.filename == str(others.path)
        others.release()

    def test_where_nobody_answers_the_last_place_is_the_one(self, tmp_path: Path) -> None:
        assert first_answering([tmp_path / "a", tmp_path / "b"]) == tmp_path / "b"

    def test_without_a_name_the_first_place_that_can_be_written_to_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = tmp_path / "file"
        blocked.touch()
        places = (blocked / "speechpool" / "sp.sock", tmp_path / "own" / "sp.sock")
        monkeypatch.setattr("speechpool.cli.unix_socket.socket_candidates", lambda _: places)

        claim = claim_socket(None, mode=0o660, group=None)

        assert claim.path == places[1]
        assert stat.S_IMODE(claim.path.parent.stat().st_mode) == 0o700
        claim.release()

    def test_where_nothing_can_be_written_the_places_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = tmp_path / "file"
        blocked.touch()
        monkeypatch.setattr("speechpool.cli.unix_socket.socket_candidates", lambda _: (blocked / "a" / "sp.sock",))

        with pytest.raises(SettingsError, match=f"may not write to {blocked}/a"):
            claim_socket(None, mode=0o660, group=None)

    def test_a_directory_of_another_user_in_a_place_for_all_is_not_trusted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = os.getuid() + 1
        path = tmp_path / f"speechpool-{other}" / "sp.sock"
        claim = claim_socket(str(path), mode=0o600, group=None)
        monkeypatch.setattr(os, "getuid", lambda: other)
        monkeypatch.setattr("speechpool.cli.unix_socket.socket_candidates", lambda _: (path,))

        with pytest.raises(PermissionError):
            connect_first([path], 1.0)
        with pytest.raises(SettingsError, match="may not write"):
            claim_socket(None, mode=0o600, group=None)

        claim.release()
