"""`speechpool-operator` as its users call it, without a cluster."""

import subprocess
import sys

import pytest


def call(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "speechpool_operator", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **environment},
    )


def test_help_names_the_commands_and_explains_run():
    said = call("--help").stdout
    assert "run " in said
    assert "exit codes" in said
    of_run = " ".join(call("run", "--help").stdout.split())
    assert "--watch-namespace NAME" in of_run
    assert "$SPEECHPOOL_OPERATOR_LISTEN" in of_run
    assert "SIGTERM ends it in order" in of_run


@pytest.mark.parametrize("words", [("version",), ("--version",), ("-V",)])
def test_versions(words):
    done = call(*words)
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"speechpool-operator", "python", "kopf"}


@pytest.mark.parametrize("words", [(), ("walk",), ("run", "--fast")])
def test_what_is_no_command_is_told_in_one_line(words):
    done = call(*words)
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert "--help" in done.stderr


def test_without_a_cluster_it_says_what_is_missing():
    done = call("run")
    assert done.returncode == 2
    assert "/nowhere/.kube/config" in done.stderr


def test_a_slip_of_the_pen_in_a_variable_is_told():
    done = call("run", SPEECHPOOL_OPERATOR_LISTENN="x", SPEECHPOOL_OPERATOR_LOG_FORMAT="json")
    assert "SPEECHPOOL_OPERATOR_LISTENN" in done.stderr
