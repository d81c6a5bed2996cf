"""The sidecar with Microsoft Entra ID while what it needs for that is missing: up, telling why, mended by itself."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import trustme
from tests.integration.azure_sidecar import ask, azure_sidecar, http, in_order, speech_pool
from tests.integration.sidecar import eventually, running_sidecar

from speechpool_azure_emulator import running_emulator

RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
IDENTITY = {
    "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111",
    "AZURE_CLIENT_ID": "22222222-2222-2222-2222-222222222222",
    "SPEECHPOOL_STARTUP_WAIT": "0.2",
}


class _Authority(BaseHTTPRequestHandler):
    """Answers as Entra ID does who shows the pod's token."""

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        is_known = asked.get("client_assertion") == ["of-the-pod"]
        answer = {"access_token": "entra", "expires_in": 3600, "token_type": "Bearer"}
        body = json.dumps(answer if is_known else {"error": "invalid_client"}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def authority(directory: Path) -> Iterator[dict[str, str]]:
    """A place that gives tokens; the variables with which it is found and trusted."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Authority) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield {
                "AZURE_AUTHORITY_HOST": f"https://localhost:{server.server_port}",
                "REQUESTS_CA_BUNDLE": str(directory / "ca.pem"),
            }
        finally:
            server.shutdown()


def test_a_token_file_that_comes_late_is_used_without_a_restart(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with (
        authority(tmp_path) as place,
        running_emulator(tokens={"pod": f"aad#{RESOURCE}#entra"}) as azure,
        azure_sidecar(
            tmp_path,
            azure.url,
            speech_pool(warmSize=1),
            env={
                **IDENTITY,
                **place,
                "AZURE_SPEECH_RESOURCE_ID": RESOURCE,
                "AZURE_FEDERATED_TOKEN_FILE": str(token),
                "SPEECHPOOL_TELEMETRY_ADDRESS": "127.0.0.1:0",
            },
            ready=False,
        ) as sidecar,
        http(sidecar) as client,
    ):
        why = f"AZURE_FEDERATED_TOKEN_FILE: {token}: there is no such file"
        assert why in sidecar.wait_for_log("token not renewed")["reason"]
        eventually(lambda: why in client.get("/readyz").text)
        refused = ask(sidecar)
        assert (refused.status_code, why in refused.json()["error"]["message"]) == (502, True)

        token.write_text("of-the-pod")
        in_order(sidecar)
        assert ask(sidecar).status_code == 200
        assert azure.connections[-1].credential == "token:pod"


def test_a_secret_that_brings_the_place_late_ends_the_sidecar_so_that_it_starts_again_with_it(tmp_path: Path) -> None:
    mounted = tmp_path / "secret"
    mounted.mkdir()
    (mounted / "..data").symlink_to("..1")
    variables = {
        **IDENTITY,
        "SPEECHPOOL_ENGINE": "azure",
        "AZURE_SPEECH_RESOURCE_ID": RESOURCE,
        "AZURE_SPEECH_CREDENTIALS_DIR": str(mounted),
    }
    with running_sidecar(tmp_path, env=variables, ready=False) as sidecar:
        assert "needs a place to connect to" in sidecar.wait_for_log("engine not open")["reason"]
        assert f"the Secret that is mounted at {mounted}" in str(sidecar.client.not_ready_reason())
        (mounted / "AZURE_SPEECH_REGION").write_text("westeurope")
        assert sidecar.wait() == 2
        assert "start it again, with AZURE_SPEECH_REGION" in sidecar.stderr_text
