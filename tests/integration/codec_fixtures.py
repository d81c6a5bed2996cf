"""What the tests of the codecs' processes share."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.program import PATIENCE_SECONDS

from speechpool.audio.codecs import Codecs

__all__ = ["codecs", "patient_codecs", "without_pyav"]


def patient_codecs(**options: Any) -> Codecs:
    """Codecs whose processes have the time of a busy machine."""
    return Codecs(**{"reply_timeout_seconds": PATIENCE_SECONDS, **options})


@pytest.fixture
async def codecs() -> AsyncIterator[Codecs]:
    async with patient_codecs() as codecs:
        yield codecs


@pytest.fixture
def without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that start from now on find no PyAV."""
    (tmp_path / "av.py").write_text("raise ModuleNotFoundError('No module named av', name='av')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
