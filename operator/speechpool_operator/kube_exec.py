"""Tokens of credential plugins: what clouds put into a kubeconfig as `exec` (client.authentication.k8s.io/v1)."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from speechpool.errors import SettingsError

__all__ = ["PluginToken"]

VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

PLUGIN_SECONDS: Final = 120.0
"""Bound of one run: a person may have to log in by it."""

_CLUSTER_INFO: Final = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
)
"""What `spec.cluster` of KUBERNETES_EXEC_INFO takes over from a kubeconfig's cluster."""

EARLY: Final = timedelta(seconds=10)
"""So long before its end a token is asked for anew; a guess: a request takes less."""


class PluginToken:
    """A token that a program gives, kept until it ends.

    The program runs in the foreground and may ask its user something: this is for commands that people run.

    Args:
        path: The kubeconfig, for messages.
        plugin: What it says under `exec`.
        cluster: The cluster's entry, told to the program where it wants to know.

    Raises:
        SettingsError: The program is of another interface.
    """

    def __init__(self, path: Path, plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
        self._path = path
        self._plugin = plugin
        self._cluster = cluster
        self._token = ""
        self._until: datetime | None = None
        if plugin.get("apiVersion") not in VERSIONS or not plugin.get("command"):
            raise SettingsError(f"{path}: exec must have a command and an apiVersion of {' or '.join(VERSIONS)}")

    def __call__(self) -> str:
        """The token as it is now.

        Raises:
            SettingsError: The program is not there, or it failed.
        """
        if not self._token or (self._until and datetime.now(UTC) >= self._until - EARLY):
            self._token, self._until = self._credential(self._run())
        return self._token

    def _run(self) -> str:
        command = str(self._plugin["command"])
        words = [command, *map(str, self._plugin.get("args") or ())]
        stdin = None if self._is_interactive() else subprocess.DEVNULL
        try:
            done = subprocess.run(
                words,
                env=self._environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                timeout=PLUGIN_SECONDS,
                check=True,
                text=True,
            )
        except FileNotFoundError:
            hint = str(self._plugin.get("installHint") or "install it, or use a token").strip()
            raise self._wrong(f"there is no program {command!r}: {hint}") from None
        except subprocess.CalledProcessError as error:
            raise self._wrong(f"{command!r} ended with {error.returncode}") from None
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            raise self._wrong(f"{command!r} gave nothing ({type(error).__name__})") from None
        return done.stdout

    def _credential(self, text: str) -> tuple[str, datetime | None]:
        try:
            status = json.loads(text)["status"]
            token, until = status.get("token"), status.get("expirationTimestamp")
            end = datetime.fromisoformat(until) if until else None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._wrong("its program's answer is no ExecCredential") from None
        if not isinstance(token, str) or not token:
            raise self._wrong("its program gave no token; client certificates of programs are not understood")
        return token, end

    def _is_interactive(self) -> bool:
        return self._plugin.get("interactiveMode") != "Never" and sys.stdin is not None and sys.stdin.isatty()

    def _environment(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": self._is_interactive()}
        if self._plugin.get("provideClusterInfo"):
            spec["cluster"] = {name: self._cluster[name] for name in _CLUSTER_INFO if name in self._cluster}
        info = {"apiVersion": self._plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
        more = {str(one.get("name")): str(one.get("value")) for one in self._plugin.get("env") or ()}
        return {**os.environ, **more, "KUBERNETES_EXEC_INFO": json.dumps(info)}

    def _wrong(self, what: str) -> SettingsError:
        return SettingsError(f"{self._path}: exec: {what}")
