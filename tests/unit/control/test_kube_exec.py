"""Tokens that a kubeconfig has a program give."""

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from speechpool.errors import SettingsError
from speechpool_operator.kube_access import from_kubeconfig

V1 = "client.authentication.k8s.io/v1"


class Plugin:
    """A program that counts how often it is run, and what it is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "plugin"
        self.spec = {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never"}

    def answers(self, text: str, code: int = 0) -> None:
        program = f"""#!{sys.executable}
import os, sys
with open({str(self.directory / "runs")!r}, "a") as runs:
    print(os.environ["KUBERNETES_EXEC_INFO"] + chr(9) + " ".join(sys.argv[1:]) + os.environ.get("MORE", ""), file=runs)
print({text!r})
sys.exit({code})
"""
        self.file.write_text(program)
        self.file.chmod(self.file.stat().st_mode | stat.S_IXUSR)

    def gives(self, token: str, ends_at: datetime | None = None) -> None:
        status = {"token": token} | ({"expirationTimestamp": ends_at.isoformat()} if ends_at else {})
        self.answers(json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}))

    @property
    def runs(self) -> list[str]:
        return (self.directory / "runs").read_text().splitlines()

    def token(self, **changes: object):
        config = {
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1", "proxy-url": "http://p"}}],
            "users": [{"name": "u", "user": {"exec": {**self.spec, **changes}}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = self.directory / "config"
        path.write_text(json.dumps(config))
        return from_kubeconfig(path, with_plugins=True).token


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def test_the_token_is_asked_for_once_while_it_is_good(plugin: Plugin) -> None:
    plugin.gives("first", datetime.now(UTC) + timedelta(hours=1))
    token = plugin.token()

    assert [token(), token()] == ["first", "first"]
    assert len(plugin.runs) == 1


def test_one_without_an_end_stays(plugin: Plugin) -> None:
    plugin.gives("first")
    token = plugin.token()

    assert [token(), token()] == ["first", "first"]
    assert len(plugin.runs) == 1


def test_one_that_ends_in_a_moment_is_asked_for_anew(plugin: Plugin) -> None:
    plugin.gives("first", datetime.now(UTC) + timedelta(seconds=5))
    token = plugin.token()
    token()
    plugin.gives("second")

    assert token() == "second"


def test_it_gets_its_arguments_its_environment_and_what_it_wants_to_know(plugin: Plugin) -> None:
    plugin.gives("t")
    plugin.token(args=["get", "token"], env=[{"name": "MORE", "value": "!"}], provideClusterInfo=True)()

    info, _, rest = plugin.runs[0].partition("\t")
    assert rest == "get token!"
    assert json.loads(info) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "http://127.0.0.1:1", "proxy-url": "http://p"}},
    }


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{}", 0, "no ExecCredential"),
        ("secret-token", 0, "no ExecCredential"),
        ('{"status": {"token": 3}}', 0, "gave no token"),
        ('{"status": {"clientCertificateData": "secret-token"}}', 0, "gave no token"),
        ('{"status": {"token": "secret-token", "expirationTimestamp": "soon"}}', 0, "no ExecCredential"),
        ("secret-token", 3, "ended with 3"),
    ],
)
def test_what_it_does_wrong_is_told_and_never_what_it_said(plugin: Plugin, text: str, code: int, message: str) -> None:
    plugin.answers(text, code)

    with pytest.raises(SettingsError, match=message) as refused:
        plugin.token()()

    assert "secret-token" not in str(refused.value)


def test_one_that_is_not_installed_tells_how_to(plugin: Plugin) -> None:
    with pytest.raises(SettingsError, match="install it with pip"):
        plugin.token(installHint="install it with pip")()


@pytest.mark.parametrize("changes", [{"apiVersion": "client.authentication.k8s.io/v1alpha1"}, {"command": ""}], ids=str)
def test_another_interface_is_refused(plugin: Plugin, changes: dict) -> None:
    with pytest.raises(SettingsError, match="exec must have a command"):
        plugin.token(**changes)
