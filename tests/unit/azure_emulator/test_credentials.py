import pytest

from speechpool.errors import SettingsError
from speechpool_azure_emulator.credentials import Credentials


def test_without_any_everybody_is_let_in() -> None:
    credentials = Credentials()

    assert credentials.admits(None, None)
    assert credentials.names() is None


def test_only_what_is_valid_is_let_in() -> None:
    credentials = Credentials({"first": "k1"}, {"service": "t1"})

    assert credentials.admits("k1", None)
    assert credentials.admits(None, "Bearer t1")
    assert not credentials.admits("k2", None)
    assert not credentials.admits(None, "Bearer t2")
    assert not credentials.admits(None, None)


def test_a_token_of_entra_id_is_known_with_and_without_its_resource() -> None:
    whole, bare = Credentials(tokens={"a": "aad#/subscriptions/x#t1"}), Credentials(tokens={"a": "t1"})

    assert whole.admits(None, "Bearer aad#/subscriptions/x#t1")
    assert bare.admits(None, "Bearer aad#/subscriptions/x#t1")
    assert not whole.admits(None, "Bearer t1")


def test_what_is_valid_changes_and_old_names_stay_known() -> None:
    credentials = Credentials({"old": "k1"})
    credentials.accept(keys={"new": "k2"})

    assert not credentials.admits("k1", None)
    assert credentials.admits("k2", None)
    assert credentials.name_of("k1", None) == "key:old"
    assert credentials.names() == ["key:new"]


def test_who_asks_is_told_by_name_only() -> None:
    credentials = Credentials({"a": "k1"}, {"b": "t1"})

    assert credentials.name_of("k1", None) == "key:a"
    assert credentials.name_of(None, "Bearer t1") == "token:b"
    assert credentials.name_of("k9", None) == "unknown"
    assert credentials.name_of(None, None) == "none"


def test_an_issued_token_expires() -> None:
    now = [0.0]
    credentials = Credentials({"a": "k1"}, clock=lambda: now[0])
    token = credentials.issue_token()

    assert credentials.admits(None, f"Bearer {token}")
    assert credentials.name_of(None, f"Bearer {token}") == "token:issued"
    now[0] = 601.0
    assert not credentials.admits(None, f"Bearer {token}")


@pytest.mark.parametrize("keys", [{"a": ""}, {"a": 3}, "k1"])
def test_secrets_that_are_none_are_refused_without_being_shown(keys: object) -> None:
    with pytest.raises(SettingsError, match=r"^keys") as raised:
        Credentials(keys)  # type: ignore[arg-type] # what is wrong is the point

    assert "k1" not in str(raised.value)
