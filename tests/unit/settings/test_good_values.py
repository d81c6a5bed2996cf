"""What users write is understood."""

import pytest

from speechpool.settings import Address, Source, from_dict, read_texts


def read(name, text):
    return read_texts({name: text}, source=Source.ENVIRONMENT, label=lambda knob: knob.env).values[name]


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on", "Enabled", " true "])
def test_words_for_true(text):
    assert read("session_awareness", text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off", "disabled"])
def test_words_for_false(text):
    assert read("session_awareness", text) is False


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("warm_pool_size", "0", 0),
        ("warm_pool_size", "+7", 7),
        ("warm_pool_max", "0", None),
        ("max_idle_sec", "0", None),
        ("max_idle_sec", "240", 240.0),
        ("warmup_interval_sec", "0.5", 0.5),
        ("warmup_interval_sec", ".5", 0.5),
        ("socket_mode", "0660", 0o660),
        ("socket_mode", "666", 0o666),
        ("socket_group", "audio", "audio"),
        ("socket_group", "0044", "44"),
        ("listen", "127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("listen", "localhost:0", Address("localhost", 0)),
        ("listen", "[0:0::1]:8080", Address("::1", 8080)),
        ("listen", "off", None),
        ("telemetry_address", "0.0.0.0:9090", Address("0.0.0.0", 9090)),
        ("telemetry_address", "my-host.example:9090", Address("my-host.example", 9090)),
        ("log_level", "INFO", "info"),
        (
            "listen_allowed_origins",
            "http://localhost:3000, https://A.example",
            ("http://localhost:3000", "https://a.example"),
        ),
    ],
)
def test_a_variable_is_understood(name, text, value):
    assert read(name, text) == value


def test_an_empty_variable_sets_nothing():
    assert not read_texts({"warm_pool_size": "  "}, source=Source.ENVIRONMENT, label=lambda knob: knob.env).values


def test_an_address_is_written_as_it_is_read():
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"


def test_options_of_engines_are_copied():
    options = {"local": {"voices": ["a", {"b": 1.5}], "none": None}}
    settings = from_dict({"engines": options, "engine": "local"})
    options["local"]["voices"].append("c")
    assert settings.engine_options() == {"voices": ["a", {"b": 1.5}], "none": None}


@pytest.mark.parametrize("name", ["maxTokens", "keyFile", "tokenizer", "keyframe", "monkey"])
def test_an_innocent_option_of_an_engine_is_no_secret(name):
    assert from_dict({"engines": {"local": {name: 1}}}).engine_options() == {name: 1}
