"""When a client that speaks with Azure asks why its connection is not open yet: late, unless a test is about that.

What is asked is one more request, and one more connection, of those that tests count.
"""

import pytest
from tests.program import PATIENCE_SECONDS

from speechpool.speech.azure import engine, synthesizer

__all__ = ["asks_soon", "patient"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection and the list of voices have all the time that they need."""
    monkeypatch.setattr(synthesizer, "_ASK_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(engine, "OPEN_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def asks_soon(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a connection asks soon why it is not open."""
    monkeypatch.setattr(synthesizer, "_ASK_SECONDS", 0.2)
