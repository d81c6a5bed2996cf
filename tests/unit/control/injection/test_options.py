"""The settings of the injector's process."""

import argparse
from datetime import timedelta
from pathlib import Path

import pytest

from speechpool.errors import SettingsError
from speechpool_operator.injection.config_file import ConfigFile, read_file
from speechpool_operator.injection.options import (
    CERTIFICATE_OPTIONS,
    INJECTOR_OPTIONS,
    Options,
    read_options,
)
from speechpool_operator.option_table import add_arguments, unknown_variables


def read(*words: str, certificates_only: bool = False, **environment: str) -> Options:
    options = CERTIFICATE_OPTIONS if certificates_only else INJECTOR_OPTIONS
    parser = argparse.ArgumentParser()
    add_arguments(parser, options)
    variables = {f"SPEECHPOOL_INJECTOR_{name}": value for name, value in environment.items()}
    return read_options(parser.parse_args(words), options, variables)


def test_defaults() -> None:
    options = read()
    assert str(options.listen) == "[::]:9443"
    assert str(options.telemetry_address) == "[::]:8080"
    assert options.config == Path("/etc/speechpool/injector.yaml")
    assert options.tls_key_file == Path("/var/run/speechpool/tls/tls.key")
    assert (options.certificates, options.webhook_name) == ("self", "")


def test_a_flag_is_stronger_than_a_variable_and_an_empty_variable_is_none() -> None:
    assert read("--namespace", "one", NAMESPACE="two").namespace == "one"
    assert read(NAMESPACE="two").namespace == "two"
    assert read(SECRET_NAME=" ").secret_name == "speechpool-certificates"


def test_hosts_of_the_certificates() -> None:
    terms = read(MORE_HOSTS="localhost,inject.example.org", CERTIFICATE_DAYS="30").terms("voice")
    assert terms.hosts["injector"] == (
        "speechpool-injector.voice.svc",
        "speechpool-injector.voice.svc.cluster.local",
        "speechpool-injector.voice",
        "localhost",
        "inject.example.org",
    )
    assert terms.hosts["operator"][0] == "speechpool-operator.voice.svc"
    assert terms.leaf_life == timedelta(days=30)
    assert terms.settle == timedelta(hours=1)


def test_certificates_alone_need_no_webhook() -> None:
    assert read(certificates_only=True, CA_DAYS="365").ca_days == 365


BAD: list[tuple[dict[str, str], str]] = [
    ({"LISTEN": "9443"}, "SPEECHPOOL_INJECTOR_LISTEN must be host:port"),
    ({"LISTEN": "off"}, "SPEECHPOOL_INJECTOR_LISTEN must be host:port; got off"),
    ({"NAMESPACE": "Not_A_Name"}, "SPEECHPOOL_INJECTOR_NAMESPACE must be the name of an object"),
    ({"CERTIFICATES": "magic"}, "SPEECHPOOL_INJECTOR_CERTIFICATES must be self or files; got 'magic'"),
    ({"CERTIFICATE_DAYS": "0"}, "SPEECHPOOL_INJECTOR_CERTIFICATE_DAYS must be a number from 0.001 to 825"),
    (
        {"CERTIFICATE_DAYS": "400", "CA_DAYS": "365"},
        "CERTIFICATE_DAYS must be at most SPEECHPOOL_INJECTOR_CA_DAYS; got 400 and 365",
    ),
    ({"CERTIFICATE_DAYS": "0.1"}, "CA_SETTLE_SECONDS must be at most a third of"),
    ({"MORE_HOSTS": "a b"}, "SPEECHPOOL_INJECTOR_MORE_HOSTS must be host names"),
    ({"SHUTDOWN_DELAY_SECONDS": "-1"}, "SHUTDOWN_DELAY_SECONDS must be a number from 0 to 300"),
    ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of"),
]


@pytest.mark.parametrize(("environment", "sentence"), BAD, ids=[sentence[:50] for _, sentence in BAD])
def test_what_is_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**environment)
    assert sentence in refused.value.problems[0]


def test_every_problem_is_told_at_once_by_the_name_that_was_used() -> None:
    with pytest.raises(SettingsError) as refused:
        read("--listen", "x", NAMESPACE="_")
    assert [problem.split()[0] for problem in refused.value.problems] == ["--listen", "SPEECHPOOL_INJECTOR_NAMESPACE"]


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_changed_file_holds_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "injector.yaml"
    path.write_text("image: one")
    file = ConfigFile(path)
    path.write_text("image: two")
    file.look()
    assert (file.current.image, file.failure) == ("two", "")
    path.write_text("image: 3")
    file.look()
    assert file.current.image == "two"
    assert "image must be" in file.failure
    path.write_text("image: four")
    file.look()
    assert (file.current.image, file.failure) == ("four", "")
    path.unlink()
    file.look()
    assert file.current.image == "four"
    assert "No such file" in file.failure


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"image: [", "must be YAML"),
        (b"\xff\xfe\x00", "must be YAML"),
        (b"", "must be a mapping"),
        (b"a: " + b"x" * 1024 * 1024, "must have at most"),
        (b"!!python/object:os.system {}", "must be YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "injector.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_file(path)
    assert str(path) in refused.value.problems[0]
    assert sentence in refused.value.problems[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SPEECHPOOL_INJECTOR_CONFIG"):
        read_file(tmp_path / "none.yaml")


def test_a_slip_of_the_pen_is_noticed_and_what_kubernetes_sets_is_not_ours() -> None:
    names = ("LISTENN", "LISTEN", "SERVICE_HOST", "PORT_443_TCP")
    environment = {f"SPEECHPOOL_INJECTOR_{name}": "x" for name in names}
    assert unknown_variables(INJECTOR_OPTIONS, environment) == ["SPEECHPOOL_INJECTOR_LISTENN"]
