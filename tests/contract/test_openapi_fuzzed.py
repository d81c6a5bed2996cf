"""schemathesis reads /openapi.json from the running sidecar and asks whatever it allows, and what it does not."""

import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from tests.integration.sidecar import Sidecar

TOKEN = "a-token-for-schemathesis"
# Not positive_data_acceptance: no schema can tell which voices, pools and recordings exist.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
    "ensure_resource_availability",
)


@pytest.mark.timeout(300)
def test_nothing_it_sends_gets_an_undocumented_answer(start_sidecar: Callable[..., Sidecar], tmp_path):
    env = {"SPEECHPOOL_LISTEN": "127.0.0.1:0", "SPEECHPOOL_LISTEN_TOKEN": TOKEN}
    sidecar = start_sidecar(env=env)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://{sidecar.listening('listen')}/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--checks", ",".join(CHECKS)),
        *("--max-examples", "5", "--seed", "1", "--generation-database", "none", "--no-color"),
        *("--suppress-health-check", "all"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=280)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(sidecar.socket), verify=False), base_url="http://speechpool"
    ) as http:
        for session in http.get("/v1/sessions").json()["data"]:
            assert http.delete(f"/v1/sessions/{session['id']}").status_code == 204
        assert http.post("/v1/audio/speech", json={"input": "Still here.", "response_format": "wav"}).status_code == 200
    sidecar.settled()
    assert not [line for line in sidecar.logs if line["level"] == "error"]
