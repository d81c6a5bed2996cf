"""The Azure engine where its SDK is not installed."""

import subprocess
import sys

import pytest

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech.azure import create_engine
from speechpool.speech.loading import load_engine

OPTIONS = {"endpoint": "ws://127.0.0.1:9"}


async def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.cognitiveservices.speech", None)
    engine = create_engine(OPTIONS)

    with pytest.raises(EngineUnavailable, match=r"not installed .*pip install 'speechpool\[azure\]'"):
        await engine.open()

    await engine.close()


def test_its_options_are_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.cognitiveservices.speech", None)

    with pytest.raises(SettingsError, match=r"engines\.azure\.odd is unknown"):
        load_engine("azure", {**OPTIONS, "odd": 1})


def test_the_sdk_is_not_loaded_before_the_engine_opens() -> None:
    program = (
        "import sys; from speechpool.speech.loading import load_engine;"
        "load_engine('azure', {'endpoint': 'ws://c:1'});"
        "sys.exit('azure.cognitiveservices' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
