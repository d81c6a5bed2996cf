"""Credentials that change while clients are alive, with the real SDK against the emulator."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_patience import patient
from tests.integration.azure_speaking import said
from tests.waiting import until

from speechpool.errors import AuthenticationFailed
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.engine import AzureEngine
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.engine import RecognitionProfile, SynthesisProfile
from speechpool_azure_emulator import Fault, running_emulator

__all__ = ["patient"]

SPEAKS = SynthesisProfile(format=AudioFormat(Codec.PCM, 24_000))
LISTENS = RecognitionProfile(format=AudioFormat(Codec.PCM, 16_000), languages=("en-US",))
FIRST, SECOND = "a" * 32, "b" * 32
RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
LIMIT_SECONDS = 30.0


@dataclass
class Token:
    token: str
    expires_on: int


class Entra:
    """azure-identity's credential, as far as it is used: gives what it is told to."""

    def __init__(self, token: str, life_seconds: float = 3600.0) -> None:
        self.token = token
        self.life_seconds = life_seconds
        self.error: Exception | None = None
        self.scopes: list[str] = []
        self.threads: set[str] = set()

    def get_token(self, *scopes: str) -> Token:
        self.scopes.extend(scopes)
        self.threads.add(threading.current_thread().name)
        if self.error:
            raise self.error
        return Token(self.token, int(time.time() + self.life_seconds))

    def close(self) -> None:
        """Nothing to let go of."""


@asynccontextmanager
async def opened(options: dict[str, Any], make: Callable[[], Any] | None = None) -> AsyncIterator[AzureEngine]:
    parsed = AzureOptions.parse({"connectTimeoutSeconds": LIMIT_SECONDS, **options}, {})
    engine = AzureEngine(parsed, **({"make_token": make} if make else {}))
    try:
        await engine.open()
        yield engine
    finally:
        await engine.close()


def stale(engine: AzureEngine) -> list[str]:
    reasons: list[str] = []
    engine.on_stale(reasons.append)
    return reasons


# --- a mounted key -------------------------------------------------------------------------------------------------


def mount(folder: Path, key: str, version: int) -> str:
    """The key as the kubelet mounts a Secret: each version in a folder of its own, behind one link that is swapped."""
    (folder / f"..{version}").mkdir(parents=True)
    (folder / f"..{version}" / "key").write_text(key)
    (folder / "..next").symlink_to(f"..{version}")
    (folder / "..next").rename(folder / "..data")
    if not (folder / "key").exists():
        (folder / "key").symlink_to("..data/key")
    return str(folder / "key")


async def test_a_swapped_secret_makes_clients_stale_and_new_ones_show_the_new_key(tmp_path: Path) -> None:
    path = mount(tmp_path, FIRST, 1)
    with running_emulator(keys={"first": FIRST, "second": SECOND}) as emulator:
        async with opened({"keyFile": path, "endpoint": emulator.url}) as engine:
            reasons = stale(engine)
            old = await engine.create_synthesizer(SPEAKS)
            assert emulator.connections[-1].credential == "key:first"

            mount(tmp_path, SECOND, 2)
            await until(lambda: reasons)
            new = await engine.create_synthesizer(SPEAKS)

            assert reasons == ["credentials"]
            assert emulator.connections[-1].credential == "key:second"
            assert await said(old, engine), "the old connection serves until it is replaced"
            assert await said(new, engine)
            await asyncio.gather(old.close(), new.close())


async def test_a_content_that_is_no_key_changes_nothing(tmp_path: Path) -> None:
    path = mount(tmp_path, FIRST, 1)
    with running_emulator(keys={"first": FIRST}) as emulator:
        async with opened({"keyFile": path, "endpoint": emulator.url}) as engine:
            reasons = stale(engine)
            (tmp_path / "..1" / "key").write_text("not a key, but some sentence")

            await until(
                lambda: any(one.name.startswith("credential_refresh") and one.value for one in engine.measurements())
            )
            client = await engine.create_synthesizer(SPEAKS)

            assert engine.problem is None
            assert not reasons
            await client.close()


async def test_a_secret_that_comes_after_the_start_is_used_at_once(tmp_path: Path) -> None:
    with running_emulator(keys={"first": FIRST}) as emulator:
        async with opened({"keyFile": str(tmp_path / "key"), "endpoint": emulator.url}) as engine:
            assert "AZURE_SPEECH_KEY_FILE" in (engine.problem or "")
            with pytest.raises(AuthenticationFailed, match="no such file"):
                await engine.create_synthesizer(SPEAKS)
            assert emulator.counts.upgrades == 0

            mount(tmp_path, FIRST, 1)
            await until(lambda: engine.problem is None)

            client = await engine.create_synthesizer(SPEAKS)
            await until(lambda: engine.voices)
            await client.close()


async def test_a_wrong_key_is_replaced_by_a_right_one_without_waiting_for_a_back_off(tmp_path: Path) -> None:
    path = mount(tmp_path, SECOND, 1)
    with running_emulator(keys={"first": FIRST}) as emulator:
        async with opened({"keyFile": path, "endpoint": emulator.url}) as engine:
            assert "refused AZURE_SPEECH_KEY_FILE" in (engine.problem or "")

            mount(tmp_path, FIRST, 2)
            await until(lambda: engine.problem is None)

            client = await engine.create_synthesizer(SPEAKS)
            assert client.is_ready
            await client.close()


# --- Microsoft Entra ID --------------------------------------------------------------------------------------------


async def test_a_token_is_shown_with_the_resource_and_asked_for_off_the_loop() -> None:
    entra = Entra("first")
    with running_emulator(tokens={"first": f"aad#{RESOURCE}#first"}) as emulator:
        async with opened({"resourceId": RESOURCE, "endpoint": emulator.url}, lambda: entra) as engine:
            speaks = await engine.create_synthesizer(SPEAKS)
            listens = await engine.create_recognizer(LISTENS)

            assert [each.credential for each in emulator.connections] == ["token:first"] * 2
            assert entra.scopes == ["https://cognitiveservices.azure.com/.default"]
            assert threading.main_thread().name not in entra.threads
            assert await said(speaks, engine)
            expiry = next(one for one in engine.measurements() if one.name == "credential_expires_in_seconds")
            assert 3500 < expiry.value <= 3600
            await asyncio.gather(speaks.close(), listens.close())


async def test_a_renewed_token_is_shown_by_a_client_that_was_there_when_it_connects_again() -> None:
    entra = Entra("first", life_seconds=20.0)  # so short that it is renewed again and again
    tokens = {name: f"aad#{RESOURCE}#{name}" for name in ("first", "second")}
    with running_emulator(tokens=tokens) as emulator:
        options = {"resourceId": RESOURCE, "endpoint": emulator.url, "sdkRetries": 1}
        async with opened(options, lambda: entra) as engine:
            reasons = stale(engine)
            client = await engine.create_synthesizer(SPEAKS)
            entra.token, entra.life_seconds = "second", 3600.0
            emulator.credentials.accept(tokens={"second": tokens["second"]})
            source = next(iter(engine._sources()))
            assert await source.renew()  # type: ignore[attr-defined] # as its own timer does
            emulator.faults.set(Fault(at="request", action="close", code=1011, times=1))

            assert await said(client, engine)

            assert emulator.connections[-1].credential == "token:second"
            assert not reasons, "a renewed token replaces no client"
            await client.close()


async def test_while_entra_gives_no_token_the_problem_says_so_and_no_connection_is_tried() -> None:
    entra = Entra("first")
    entra.error = RuntimeError("AADSTS700016: the application was not found")
    with running_emulator(tokens={"first": f"aad#{RESOURCE}#first"}) as emulator:
        async with opened({"resourceId": RESOURCE, "endpoint": emulator.url}, lambda: entra) as engine:
            assert "AZURE_SPEECH_RESOURCE_ID" in (engine.problem or "")
            assert "AADSTS700016" in (engine.problem or "")
            with pytest.raises(AuthenticationFailed):
                await engine.create_synthesizer(SPEAKS)
            assert emulator.counts.upgrades == 0

            entra.error = None
            await until(lambda: engine.problem is None)
            await (await engine.create_synthesizer(SPEAKS)).close()
