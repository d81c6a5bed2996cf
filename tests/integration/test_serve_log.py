"""What the sidecar logs while its engine cannot authenticate: why, and not again and again."""

from collections import Counter
from pathlib import Path

from tests.integration.azure_sidecar import azure_sidecar, http, speech_pool
from tests.integration.sidecar import eventually

from speechpool_azure_emulator import running_emulator


def test_a_refused_key_is_told_with_its_reason_and_each_attempt_is_counted_alone(tmp_path: Path) -> None:
    with (
        running_emulator(keys={"right": "0" * 32}) as azure,
        azure_sidecar(tmp_path, azure.url, speech_pool(warmSize=3), ready=False) as sidecar,
        http(sidecar) as client,
    ):
        sidecar.wait_for_log("client could not be made")
        eventually(lambda: client.get("/v1/pools/tts").json()["metrics"]["creations_failed"] >= 5)
        warnings = [record for record in sidecar.logs if record["level"] == "warning"]

    assert not [record for record in warnings if record["logger"] == "speechpool.pools"]
    assert all("refused AZURE_SPEECH_KEY" in record["reason"] for record in warnings if "reason" in record)
    told = Counter(record["reason"][:30] for record in warnings if record["message"] == "client could not be made")
    assert set(told.values()) == {1}
