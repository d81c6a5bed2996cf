"""Who waits for a Secret to say where Azure is, and what is wrong for good."""

from pathlib import Path
from typing import Any

import pytest

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech.azure import create_engine
from speechpool.speech.azure.awaiting import AwaitingSecret

KEY, REGION = "AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A Secret with a key alone, where the kubelet mounted it."""
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / KEY).write_text("k" * 32)
    return tmp_path


def options(secret: Path, **more: Any) -> dict[str, Any]:
    return {"keyFile": str(secret / KEY), "region": None, "endpoint": None, **more}


@pytest.mark.parametrize(
    ("more", "told"),
    [({}, "needs a place"), ({"region": "west europe!"}, r"AZURE_SPEECH_REGION"), ({"endpoint": "x"}, "ENDPOINT")],
)
async def test_a_mounted_secret_without_a_place_is_waited_for(secret: Path, more: dict[str, Any], told: str) -> None:
    for name, text in more.items():
        (secret / f"AZURE_SPEECH_{name.upper()}").write_text(text)
    engine = create_engine(options(secret, **more))
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match=told) as caught:
            await engine.open()
    assert "k" * 32 not in str(caught.value)
    (secret / REGION).write_text("westeurope\n")
    with pytest.raises(SettingsError, match="start it again"):
        await engine.open()


RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"


async def test_with_entra_id_a_secret_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to("..1")  # an optional Secret that is missing is an empty directory
    engine = create_engine({"resourceId": RESOURCE, "credentialsDirectory": str(tmp_path)})
    with pytest.raises(EngineUnavailable, match=f"needs a place.*the Secret that is mounted at {tmp_path}"):
        await engine.open()
    (tmp_path / REGION).write_text("westeurope\n")
    with pytest.raises(SettingsError, match="start it again"):
        await engine.open()


def test_with_entra_id_and_no_secret_at_all_nothing_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="place to connect to"):
        create_engine({"resourceId": RESOURCE, "credentialsDirectory": str(tmp_path)})


def test_a_secret_that_was_read_too_early_is_read_by_another_process(secret: Path) -> None:
    (secret / REGION).write_text("westeurope")
    with pytest.raises(SettingsError, match="place to connect to"):
        create_engine(options(secret))


@pytest.mark.parametrize(
    "more", [{"odd": 1}, {"endpoints": []}, {"keyFile": "relative"}, {"resourceId": "x"}, {"keyFile": None}]
)
def test_what_no_secret_mends_is_wrong_for_good(secret: Path, more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        create_engine(options(secret, **more))


def test_a_file_of_one_s_own_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text("k" * 32)
    with pytest.raises(SettingsError, match="place to connect to"):
        create_engine(options(tmp_path))


def test_a_missing_file_is_waited_for_wherever_it_belongs(tmp_path: Path) -> None:
    engine = create_engine(options(tmp_path))
    assert isinstance(engine, AwaitingSecret)
    assert "there is no such file" in engine.problem
    assert not engine.is_over
    (tmp_path / KEY).write_text("k" * 32)
    assert engine.is_over
