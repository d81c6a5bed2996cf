"""Keys and tokens are in no message, provenance, description or repr."""

import json

import pytest

from speechpool.config import load
from speechpool.errors import SettingsError
from speechpool.settings import ALL_KNOBS

SECRET = "hunter2-hunter2-hunter2"
ENVIRON = {
    "AZURE_SPEECH_KEY": SECRET,
    "AZURE_SPEECH_REGION": "westeurope",
    "SPEECHPOOL_LISTEN_TOKEN": SECRET,
    "SPEECHPOOL_LISTEN": "127.0.0.1:8080",
}


def test_they_are_read():
    settings = load(ENVIRON).current
    assert settings.listen_token == settings.azure_speech_key == settings.engine_options()["key"] == SECRET


def test_they_are_not_shown_where_settings_are_shown():
    store = load(ENVIRON)
    for text in (
        json.dumps(store.describe()),
        json.dumps(store.current.to_dict()),
        repr(store.current),
        repr(store.resolved),
        repr(store.states),
    ):
        assert SECRET not in text


def test_it_is_shown_that_they_are_set():
    assert load(ENVIRON).describe()["settings"]["listenToken"] == "(set)"
    assert "listenToken" not in load({}).describe()["settings"]


@pytest.mark.parametrize("variable", [one.env for one in ALL_KNOBS if one.secret])
@pytest.mark.parametrize("value", ["two words " + SECRET, SECRET + "é", SECRET * 100])
def test_a_wrong_one_is_not_shown_in_the_message(variable, value):
    with pytest.raises(SettingsError) as refused:
        load({variable: value})
    assert variable in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_one_in_a_file_is_refused_without_being_shown(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(f"listenToken: {SECRET}\nengines: {{azure: {{key: {SECRET}}}}}\n")
    with pytest.raises(SettingsError) as refused:
        load({"SPEECHPOOL_CONFIG": str(path)})
    assert len(refused.value.problems) == 2
    assert "hunter2" not in str(refused.value)


def test_they_have_no_flag():
    assert all(one.flag is None for one in ALL_KNOBS if one.secret)


def test_a_password_in_a_url_is_not_in_the_message_that_refuses_it():
    with pytest.raises(SettingsError) as refused:
        load({"AZURE_SPEECH_ENDPOINT": f"wss://user:{SECRET}@speech.example"})
    assert SECRET not in str(refused.value)
    assert "://…@speech.example" in str(refused.value)
