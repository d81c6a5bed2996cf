"""The whole service while Azure's credentials, regions and network change: nobody who speaks notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_patience import asks_soon, patient
from tests.integration.services import listening, running_service, speaking
from tests.waiting import until

from speechpool.service.events import AudioBytes, SpeechSummary
from speechpool.service.requests import SpeakRequest
from speechpool.service.service import SpeechService
from speechpool_azure_emulator import Fault, running_emulator

__all__ = ["asks_soon", "patient"]

FIRST, SECOND = "a" * 32, "b" * 32
LIMIT_SECONDS = 60.0


@asynccontextmanager
async def serving(options: dict[str, Any], *, wait: bool = True) -> AsyncIterator[SpeechService]:
    async with running_service("azure", options, speaking(3), listening(1), ready=wait) as service:
        yield service


async def said(service: SpeechService) -> tuple[int, SpeechSummary]:
    """How much audio came, and how it was served."""
    async with service.speak(SpeakRequest(text="hello there", response_format="pcm")) as stream:
        events = [event async for event in stream]
    (summary,) = [event for event in events if isinstance(event, SpeechSummary)]
    return sum(len(event.data) for event in events if isinstance(event, AudioBytes)), summary


class Callers:
    """Who speaks all the time, one after another."""

    def __init__(self, service: SpeechService) -> None:
        self.service = service
        self.served: list[SpeechSummary] = []
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        while True:
            size, summary = await said(self.service)
            assert size > 1000
            self.served.append(summary)

    async def end(self) -> None:
        self.task.cancel()
        [result] = await asyncio.gather(self.task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError), result


async def test_a_rotated_key_replaces_every_client_and_fails_nobody(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(FIRST)
    with running_emulator(upgrade_seconds=0.1, keys={"first": FIRST, "second": SECOND}) as emulator:
        async with serving({"keyFile": str(path), "endpoint": emulator.url}) as service:
            callers = Callers(service)
            await until(lambda: len(callers.served) > 5)

            path.write_text(SECOND)
            await until(lambda: _open_with(emulator, "key:second") >= 4 and not _open_with(emulator, "key:first"))
            seen = len(callers.served)
            await until(lambda: len(callers.served) > seen + 5)
            await callers.end()

            assert {summary.tier for summary in callers.served} == {"warm"}
            assert service.readiness().ready


def _open_with(emulator: Any, credential: str) -> int:
    return sum(each.credential == credential and each.closed_at is None for each in emulator.connections)


@pytest.mark.usefixtures("asks_soon")
async def test_a_wrong_key_is_not_ready_with_the_reason_and_a_right_one_serves_at_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECOND)
    with running_emulator(keys={"first": FIRST}) as emulator:
        async with serving({"keyFile": str(path), "endpoint": emulator.url}, wait=False) as service:
            await until(lambda: "refused AZURE_SPEECH_KEY_FILE" in str(service.readiness().as_dict()))
            assert SECOND not in str(service.readiness().as_dict())

            path.write_text(FIRST)
            await until(lambda: service.engine.problem is None)
            size, _ = await said(service)

            assert size > 1000
            await until(lambda: service.readiness().ready)


@pytest.mark.usefixtures("asks_soon")
async def test_when_a_region_ends_the_next_one_serves() -> None:
    with running_emulator(keys={"one": FIRST}) as west, running_emulator(keys={"one": FIRST}) as north:
        endpoints = [{"endpoint": west.url}, {"endpoint": north.url, "weight": 0}]
        async with serving({"key": FIRST, "endpoints": endpoints}) as service:
            assert north.counts.upgrades == 0

            west.lose_network()
            await until(lambda: service.readiness().ready and north.counts.open_sockets >= 4)
            size, _ = await said(service)

            assert size > 1000
            assert north.counts.utterances_complete == 1


@pytest.mark.usefixtures("asks_soon")
async def test_throttling_is_no_storm() -> None:
    with running_emulator(keys={"one": FIRST}) as emulator:
        async with serving({"key": FIRST, "endpoint": emulator.url}) as service:
            upgrades, lists = emulator.counts.upgrades, emulator.counts.voice_lists
            emulator.faults.set(Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=30))
            emulator.faults.add(Fault(at="idle", action="close", code=1001, times=4))
            await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)

            errors = [await _failure(service) for _ in range(20)]

            assert {type(error).__name__ for error in errors} <= {"Throttled", "EngineUnavailable"}
            # Each pool refills at most 4 at once; what was begun before the first refusal came back is all there is.
            assert emulator.counts.upgrades - upgrades <= 20
            assert emulator.counts.voice_lists - lists <= 4


async def _failure(service: SpeechService) -> BaseException | None:
    try:
        await said(service)
    except Exception as error:  # noqa: BLE001 - its class is asserted
        return error
    return None
