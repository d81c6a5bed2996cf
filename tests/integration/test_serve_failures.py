"""What becomes of the sidecar when a part of it fails; in this process, where a part can be made to fail."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.fakes import FakeEngine
from tests.integration.sidecar import PATIENCE_SECONDS

import speechpool.cli.sidecar
from speechpool.cli.sidecar import run_sidecar
from speechpool.client import SidecarClient
from speechpool.config import ConfigStore, FileWatcher, load
from speechpool.errors import EngineUnavailable, SettingsError


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine(create_seconds=0.0)
    monkeypatch.setattr(speechpool.cli.sidecar, "load_engine", lambda *_: engine)
    return engine


@pytest.fixture(autouse=True)
def _level_as_before() -> Iterator[None]:
    ours = logging.getLogger("speechpool")
    before = ours.level
    yield
    ours.setLevel(before)


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    file = tmp_path / "settings.yaml"
    file.write_text("warmSize: 1\n")
    return load({"SPEECHPOOL_SOCKET": str(tmp_path / "sp.sock"), "SPEECHPOOL_CONFIG": str(file)})


async def test_a_task_that_fails_ends_the_process_with_a_code_and_nothing_left(
    engine: FakeEngine,
    store: ConfigStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_: FileWatcher) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(FileWatcher, "run", fail)

    code = await asyncio.wait_for(run_sidecar(store), PATIENCE_SECONDS)

    assert code == 1
    assert "sidecar failed" in caplog.messages
    assert not (tmp_path / "sp.sock").exists()
    engine.check(all_closed=True)


async def test_an_engine_that_cannot_start_is_told_and_tried_again(
    engine: FakeEngine, store: ConfigStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "speechpool")
    engine.open_error = EngineUnavailable("the model is not there yet")
    client = SidecarClient(store.current.socket)
    sidecar = asyncio.create_task(run_sidecar(store))

    await logged(caplog, "engine not open")
    reason = await asyncio.to_thread(client.not_ready_reason)
    engine.open_error = None
    await logged(caplog, "sidecar ready")

    assert reason == "engine: the model is not there yet"
    assert await asyncio.to_thread(client.not_ready_reason) is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(sidecar, PATIENCE_SECONDS) == 0
    engine.check(all_closed=True)


async def test_an_engine_that_does_not_fit_the_settings_is_refused_and_leaves_nothing(
    engine: FakeEngine, store: ConfigStore, tmp_path: Path
) -> None:
    engine.languages = frozenset({"de-DE"})

    with pytest.raises(SettingsError, match="en-US"):
        await asyncio.wait_for(run_sidecar(store), PATIENCE_SECONDS)

    assert not (tmp_path / "sp.sock").exists()


async def logged(caplog: pytest.LogCaptureFixture, message: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while message not in caplog.messages:  # noqa: ASYNC110 # a log has no event to wait for
            await asyncio.sleep(0.01)
