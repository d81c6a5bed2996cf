"""The settings of the operator's program: where they come from, and what is said of wrong ones."""

import argparse

import pytest

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool_operator.options import OPTIONS, add_arguments, read_options, unknown_variables


def read(*words, **environment):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(words), environment)


def test_without_any_the_defaults_hold():
    options = read()
    assert options.listen == Address("::", 8443)
    assert options.telemetry_address == Address("::", 8080)
    assert (options.watch_namespace, options.lease_name, options.log_level) == ("", "", "info")
    assert str(options.tls_cert_file) == "/var/run/speechpool/tls/tls.crt"


def test_a_flag_is_stronger_than_a_variable():
    environment = {"SPEECHPOOL_OPERATOR_LISTEN": "127.0.0.1:1", "SPEECHPOOL_OPERATOR_LEASE_NAME": "one"}
    options = read("--listen", "127.0.0.1:2", **environment)
    assert options.listen == Address("127.0.0.1", 2)
    assert options.lease_name == "one"


def test_an_empty_variable_is_none():
    assert read(SPEECHPOOL_OPERATOR_LISTEN="", SPEECHPOOL_OPERATOR_NAMESPACE=" ").listen.port == 8443


def test_telemetry_can_be_off_and_the_streams_cannot():
    assert read("--telemetry-address", "off").telemetry_address is None
    with pytest.raises(SettingsError, match="LISTEN must be host:port"):
        read("--listen", "off")


def test_two_without_a_name_are_not_the_same():
    assert read().pod_name != read().pod_name


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("listen", "8443", "host:port"),
        ("listen", "[::]:70000", "port 0 to 65535"),
        ("telemetry_address", "everywhere", "host:port"),
        ("namespace", "Calls", "lower case"),
        ("watch_namespace", "a/b", "lower case"),
        ("lease_name", "-", "lower case"),
        ("log_level", "trace", "debug, info, warning, error"),
        ("log_format", "xml", "auto, json, text"),
        ("tls_key_file", "x" * 5000, "1 to 4096 bytes"),
    ],
)
def test_a_wrong_one_is_named_with_its_bounds_wherever_it_comes_from(name, value, bound):
    [option] = [one for one in OPTIONS if one.name == name]
    for words, environment in (((f"{option.flag}={value}",), {}), ((), {option.variable: value})):
        with pytest.raises(SettingsError) as refused:
            read(*words, **environment)
        [problem] = refused.value.problems
        assert problem.startswith(f"{option.flag if words else option.variable} must be ")
        assert bound in problem
        assert len(problem) < 500


def test_all_wrong_ones_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        read("--listen", "x", "--log-level", "y", SPEECHPOOL_OPERATOR_NAMESPACE="Z")
    assert len(refused.value.problems) == 3


def test_a_slip_of_the_pen_is_noticed_and_what_others_set_is_not_ours():
    environment = {
        "SPEECHPOOL_OPERATOR_LISTENN": "x",
        "SPEECHPOOL_OPERATOR_LISTEN": "x",
        "SPEECHPOOL_OPERATOR_SERVICE_HOST": "10.0.0.1",
        "SPEECHPOOL_OPERATOR_PORT_8443_TCP": "tcp://",
        "SPEECHPOOL_OPERATOR": "host:1",
        "SPEECHPOOL_OPERATOR_CA_FILE": "x",
    }
    assert unknown_variables(environment) == ["SPEECHPOOL_OPERATOR_LISTENN"]


def test_every_setting_is_a_field():
    assert [one.name for one in OPTIONS] == list(type(read()).__dataclass_fields__)
