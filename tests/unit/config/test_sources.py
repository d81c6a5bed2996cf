"""The environment, the file and the flags as sources, and all of them at a start."""

import argparse
import os

import pytest
from tests.privileges import as_ordinary_user

from speechpool.config import load, read_listen_token
from speechpool.config.environment import read_environment
from speechpool.config.file import MAX_FILE_BYTES, FileMissing, read_file
from speechpool.config.flags import add_setting_flags, flag_layer
from speechpool.errors import SettingsError
from speechpool.settings import ALL_KNOBS, Origin, Source


def flags(*words):
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)
    return flag_layer(parser.parse_args(words))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- environment ---------------------------------------------------------------------------------------------------


def test_the_seeds_variables_are_read():
    pool = load(
        {
            "SPEECH_POOL_WARM_SIZE": "5",
            "SPEECH_POOL_SESSION_AWARENESS": "false",
            "SPEECH_POOL_WARMUP_INTERVAL": "10",
            "SPEECH_POOL_SESSION_MAX_AGE": "600",
        }
    ).current.pools[0]
    assert (pool.warm_pool_size, pool.session_awareness) == (5, False)
    assert (pool.warmup_interval_sec, pool.session_max_age_sec) == (10.0, 600.0)


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("SPEECHPOOL_LOGLEVEL", "SPEECHPOOL_LOG_LEVEL"),
        ("SPEECH_POOL_WARMSIZE", "SPEECH_POOL_WARM_SIZE"),
        ("SPEECHPOOL_WARM_SIZE", "SPEECH_POOL_WARM_SIZE"),
    ],
)
def test_an_unknown_variable_is_a_warning_with_a_proposal(name, proposal):
    assert read_environment({name: "s3cret"}).warnings == (
        f"{name} is not a setting, and has no effect. Did you mean {proposal}?",
    )


def test_a_variable_of_another_tool_gets_no_far_fetched_proposal():
    assert read_environment({"SPEECHPOOL_XYZ": "1"}).warnings == (
        "SPEECHPOOL_XYZ is not a setting, and has no effect.",
    )


def test_the_warning_shows_in_the_description():
    assert len(load({"SPEECHPOOL_XYZ": "1"}).describe()["warnings"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        "SPEECHPOOL_SERVICE_HOST",
        "SPEECHPOOL_SERVICE_PORT",
        "SPEECHPOOL_SERVICE_PORT_HTTP_METRICS",
        "SPEECHPOOL_PORT",
        "SPEECHPOOL_PORT_443_TCP",
        "SPEECHPOOL_PORT_443_TCP_ADDR",
        "SPEECHPOOL_OPERATOR_SERVICE_HOST",
        "OTHER_VARIABLE",
    ],
)
def test_variables_that_kubernetes_sets_for_services_are_no_warning(name):
    assert read_environment({name: "tcp://10.0.0.1:443"}).warnings == ()


def test_warnings_are_bounded():
    assert len(read_environment({f"SPEECHPOOL_X{i}": "" for i in range(1000)}).warnings) <= 20


# --- file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"\xff\xfe\x00", ["UTF-8", "byte 1"]),
        (b"a: caf\xe9", ["UTF-8", "byte 7"]),
        (b"#" * (MAX_FILE_BYTES + 1), ["at most 1048576 bytes"]),
        (b"- 1\n- 2\n", ["settings must be a mapping", "[1, 2]"]),
        (b"just text", ["settings must be a mapping"]),
        (b"warmSize: [1", ["not valid YAML", "line"]),
        (b"warmSize: 1\nwarmSize: 2", ["line 2", "'warmSize' is there twice"]),
        (b"warmSize: -1\nnope: 1", ["warmSize must be", "nope is not a setting"]),
        (b"warmSize: 3   # fine\nmaxSize: .nan", ["maxSize must be a whole number", "nan"]),
    ],
)
def test_a_wrong_file_is_refused_with_its_path(tmp_path, content, parts):
    path = write(tmp_path / "s.yaml", content)
    with pytest.raises(SettingsError) as refused:
        read_file(path)
    for part in parts:
        assert part in str(refused.value)
    assert all(problem.startswith(f"{path}: ") for problem in refused.value.problems)


def test_a_missing_file_is_told_apart(tmp_path):
    with pytest.raises(FileMissing, match="there is no such file"):
        read_file(tmp_path / "s.yaml")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"Is a directory|regular file"):
        read_file(tmp_path)


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="regular file"):
        read_file(tmp_path / "pipe")


def test_a_device_is_refused():
    with pytest.raises(SettingsError, match="regular file"):
        read_file("/dev/zero")


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = write(tmp_path / "s.yaml", "warmSize: 1")
    path.chmod(0)
    with as_ordinary_user(), pytest.raises(SettingsError, match="Permission denied"):
        read_file(path)


def test_a_path_through_a_file_is_missing(tmp_path):
    with pytest.raises(FileMissing):
        read_file(write(tmp_path / "s.yaml", "") / "below")


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_file(tmp_path / "a")


@pytest.mark.parametrize("content", ["", "# nothing\n", "\ufeff", "{}"])
def test_an_empty_file_sets_nothing(tmp_path, content):
    layer = read_file(write(tmp_path / "s.yaml", content))
    assert not layer.values
    assert layer.pools is None


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    assert read_file(write(tmp_path / "s.yaml", "\ufeffwarmSize: 2")).values == {"warm_pool_size": 2}


def test_a_layer_knows_its_file(tmp_path):
    first = read_file(write(tmp_path / "s.yaml", "warmSize: 2"))
    second = read_file(write(tmp_path / "s.yaml", "warmSize: 3"))
    assert first.location == str(tmp_path / "s.yaml")
    assert first.digest != second.digest


# --- flags ---------------------------------------------------------------------------------------------------------


def test_flags_are_read():
    values = flags("--warm-size", "5", "--session-awareness", "false", "--socket", "/s").values
    assert values == {"warm_pool_size": 5, "session_awareness": False, "socket": "/s"}


def test_without_flags_nothing_is_set():
    assert not flags().values


def test_wrong_flags_are_refused_by_their_own_name():
    with pytest.raises(SettingsError) as refused:
        flags("--warm-size", "many", "--listen", "0.0.0.0:80")
    listen, size = sorted(refused.value.problems)
    assert listen.startswith("--listen must be a loopback address")
    assert size.startswith("--warm-size must be a whole number from 0 to 1000; got 'many'")


def test_no_two_settings_share_a_name():
    for names in (
        [one.flag for one in ALL_KNOBS if one.flag],
        [one.env for one in ALL_KNOBS if one.env],
        [one.key for one in ALL_KNOBS],
        [one.name for one in ALL_KNOBS],
    ):
        assert len(set(names)) == len(names)


# --- all of them ---------------------------------------------------------------------------------------------------


def test_flags_win_over_the_file_and_the_file_over_the_environment(tmp_path):
    path = write(tmp_path / "s.yaml", "warmSize: 2\nmaxSize: 20\n")
    environ = {"SPEECHPOOL_CONFIG": str(path), "SPEECH_POOL_WARM_SIZE": "1", "SPEECH_POOL_MAX_WAITING": "7"}
    pool = load(environ, flags("--max-size", "30")).current.pools[0]
    assert (pool.warm_pool_size, pool.max_size, pool.max_waiting) == (2, 30, 7)


def test_the_flag_names_the_file_over_the_variable(tmp_path):
    path = write(tmp_path / "s.yaml", "warmSize: 2")
    store = load({"SPEECHPOOL_CONFIG": "/nowhere"}, flags("--config", str(path)))
    assert store.current.config_file == str(path)
    assert store.resolved.provenance["pools[tts].warmSize"] == Origin(Source.FILE, "warmSize")


def test_a_start_tells_the_problems_of_all_sources(tmp_path):
    path = write(tmp_path / "s.yaml", "warmSize: x\nnope: 1")
    with pytest.raises(SettingsError) as refused:
        load({"SPEECHPOOL_CONFIG": str(path), "SPEECHPOOL_ENGINE": "A B"})
    assert len(refused.value.problems) == 3


def test_a_start_with_a_missing_file_is_an_error():
    with pytest.raises(SettingsError, match=r"/nowhere/s.yaml: there is no such file"):
        load({"SPEECHPOOL_CONFIG": "/nowhere/s.yaml"})


# --- the token -----------------------------------------------------------------------------------------------------

LISTEN = {"SPEECHPOOL_LISTEN": "127.0.0.1:0"}


def token_file(path):
    return load(LISTEN | {"SPEECHPOOL_LISTEN_TOKEN_FILE": str(path)}).current


def test_a_token_from_the_variable():
    assert (
        read_listen_token(load(LISTEN | {"SPEECHPOOL_LISTEN_TOKEN": "0123456789abcdef"}).current) == "0123456789abcdef"
    )


def test_a_token_from_a_file(tmp_path):
    assert read_listen_token(token_file(write(tmp_path / "t", "0123456789abcdef\n"))) == "0123456789abcdef"


def test_no_token_where_nothing_listens():
    assert read_listen_token(load({"SPEECHPOOL_LISTEN_TOKEN": "0123456789abcdef"}).current) is None


@pytest.mark.parametrize("content", ["", "short", "hunter2 hunter2 hunter2", b"hunter2-hunter2-\xff", "hunter2" * 100])
def test_a_file_without_a_token_is_refused_without_being_shown(tmp_path, content):
    with pytest.raises(SettingsError, match=r"listenTokenFile: .* must hold 16 to 512") as refused:
        read_listen_token(token_file(write(tmp_path / "t", content)))
    assert "hunter2" not in str(refused.value)


def test_a_token_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"listenTokenFile: .*there is no such file"):
        read_listen_token(token_file(tmp_path / "t"))
