"""`speechpool-operator injector` as a process of its own: how it starts, and how it ends without losing a question."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.integration.sidecar import PATIENCE_SECONDS, eventually
from tests.unit.control.injection.pods import pod


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Running:
    """An injector with mounted certificates, which needs no cluster."""

    def __init__(self, directory: Path, **environment: str) -> None:
        authority = trustme.CA()
        made = authority.issue_cert("localhost")
        made.cert_chain_pems[0].write_to_path(str(directory / "tls.crt"))
        made.private_key_pem.write_to_path(str(directory / "tls.key"))
        authority.cert_pem.write_to_path(str(directory / "ca.crt"))
        (directory / "injector.yaml").write_text("image: speechpool/sidecar:1\noperator: operator:8443\n")
        self.port, self.telemetry = free_port(), free_port()
        self.trust = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        settings = {
            "CERTIFICATES": "files",
            "CONFIG": str(directory / "injector.yaml"),
            "TLS_CERT_FILE": str(directory / "tls.crt"),
            "TLS_KEY_FILE": str(directory / "tls.key"),
            "CA_FILE": str(directory / "ca.crt"),
            "LISTEN": f"127.0.0.1:{self.port}",
            "TELEMETRY_ADDRESS": f"127.0.0.1:{self.telemetry}",
            "LOG_FORMAT": "json",
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speechpool_operator", "injector"],
            env=os.environ | {f"SPEECHPOOL_INJECTOR_{name}": value for name, value in settings.items()},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.telemetry}{path}", timeout=PATIENCE_SECONDS) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self) -> dict[str, object]:
        request = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": pod()}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
        url = f"https://localhost:{self.port}/inject/pod"
        with urllib.request.urlopen(url, data=body, timeout=PATIENCE_SECONDS, context=self.trust) as reply:
            answer: dict[str, object] = json.loads(reply.read())["response"]
        return answer


@contextlib.contextmanager
def running(directory: Path, **environment: str) -> Iterator[Running]:
    """An injector that is ready; killed at the end, if it still runs."""
    made = Running(directory, **environment)
    try:
        assert eventually(lambda: made.status("/readyz") == 200)
        yield made
    finally:
        made.process.kill()
        made.process.wait(PATIENCE_SECONDS)
        assert made.process.stderr
        made.process.stderr.close()


def test_at_its_end_it_is_not_ready_and_answers_a_while_unless_it_is_asked_again(tmp_path: Path) -> None:
    with running(tmp_path, SHUTDOWN_DELAY_SECONDS="300") as injector:
        assert "patch" in injector.ask()
        injector.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: injector.status("/readyz") == 503)
        assert "patch" in injector.ask()
        injector.process.send_signal(signal.SIGTERM)
        assert injector.process.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_after_that_while_it_exits_well(tmp_path: Path) -> None:
    with running(tmp_path, SHUTDOWN_DELAY_SECONDS="0.1") as injector:
        injector.process.send_signal(signal.SIGTERM)
        assert injector.process.wait(PATIENCE_SECONDS) == 0
        assert injector.process.stderr
        messages = [json.loads(line)["message"] for line in injector.process.stderr]
    assert messages[-1] == "injector stopped"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"CONFIG": "/nonexistent.yaml"}, "/nonexistent.yaml: No such file or directory"),
        ({"LISTEN": "off"}, "SPEECHPOOL_INJECTOR_LISTEN must be host:port"),
        ({"CERTIFICATES": "self", "KUBECONFIG": "/nonexistent"}, "/nonexistent: the kubeconfig cannot be read"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_line(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    made = Running(tmp_path, **environment)
    _, told = made.process.communicate(timeout=PATIENCE_SECONDS)
    assert made.process.returncode == 2
    assert sentence in told.splitlines()[-1]
    assert "Traceback" not in told


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Running(tmp_path, LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
        _, told = made.process.communicate(timeout=PATIENCE_SECONDS)
    assert made.process.returncode == 1
    assert "Address already in use" in told.splitlines()[-1]
