"""When the endpoints are asked for their voices."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from tests.virtual import VIRTUAL, elapsed, tasks_left

from speechpool.errors import AuthenticationFailed, EngineUnavailable, SpeechError
from speechpool.speech.azure.credentials import FixedCredential
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.places import place_of
from speechpool.speech.azure.site import Site
from speechpool.speech.azure.voice_lists import MAX_RETRY_SECONDS, REFRESH_SECONDS, VoiceLists
from speechpool.speech.engine import Voice

pytestmark = VIRTUAL

KATJA = Voice(name="de-DE-KatjaNeural", language="de-DE", gender="female")
RYAN = Voice(name="en-GB-RyanNeural", language="en-GB", gender="male")


class Asked:
    """An endpoint's probe: answers what it is told to."""

    def __init__(self, answer: Sequence[Voice] | SpeechError, seconds: float = 0.0) -> None:
        self.answer = answer
        self.seconds = seconds
        self.times = 0

    async def voices(self) -> tuple[Voice, ...]:
        self.times += 1
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, SpeechError):
            raise self.answer
        return tuple(self.answer)


async def never(_: Endpoint) -> SpeechError:
    raise AssertionError


def site(probe: Asked, region: str = "westeurope") -> Site:
    place, credentials = place_of(region), FixedCredential("AZURE_SPEECH_KEY", "a" * 32)
    clock = asyncio.get_running_loop().time
    endpoints = {
        work: Endpoint(place, work, credentials, clock=clock, rng=random.Random(7), explain=never) for work in Work
    }
    probes: Any = dict.fromkeys(Work, probe)
    return Site(place=place, credentials=credentials, probes=probes, endpoints=endpoints)


class Lists:
    def __init__(self, *sites: Site) -> None:
        self.told: list[list[str]] = []
        self.lists = VoiceLists(sites, self.hear, random.Random(7))

    def hear(self, lists: Sequence[Sequence[Voice]]) -> None:
        self.told.append([voice.name for voices in lists for voice in voices])


async def test_the_voices_of_all_endpoints_are_there_when_it_opened() -> None:
    rig = Lists(site(Asked([KATJA])), site(Asked([RYAN]), "northeurope"))

    await rig.lists.open(3.0)

    assert sorted(rig.told[-1]) == [KATJA.name, RYAN.name]
    await rig.lists.close()
    assert not tasks_left()


async def test_opening_waits_no_longer_than_it_is_told_to() -> None:
    rig = Lists(site(Asked([KATJA], seconds=20.0)))
    begun = asyncio.get_running_loop().time()

    await rig.lists.open(3.0)

    assert elapsed(begun) == 3.0
    assert not rig.told
    await asyncio.sleep(18.0)
    assert rig.told == [[KATJA.name]]
    await rig.lists.close()


async def test_it_asks_again_until_it_knows_and_then_once_a_day() -> None:
    probe = Asked(EngineUnavailable("down"))
    rig = Lists(site(probe))
    await rig.lists.open(3.0)
    await asyncio.sleep(3600.0)
    assert 60 <= probe.times <= 140, f"about one in {MAX_RETRY_SECONDS} s, with jitter"

    probe.answer = [KATJA]
    await asyncio.sleep(MAX_RETRY_SECONDS)
    assert rig.told == [[KATJA.name]]
    probe.times = 0
    await asyncio.sleep(10 * REFRESH_SECONDS)

    assert 10 <= probe.times <= 20
    assert rig.told == [[KATJA.name]], "the same list again is no news"
    await rig.lists.close()


async def test_a_refused_credential_leaves_the_endpoint_alone_for_both_services() -> None:
    probe = Asked(AuthenticationFailed("AZURE_SPEECH_KEY is refused"))
    one = site(probe)
    rig = Lists(one)

    await rig.lists.open(3.0)
    assert not any(endpoint.is_usable for endpoint in one.endpoints.values())
    await asyncio.sleep(3600.0)
    assert probe.times == 1, "a client finds out first that it works again"

    probe.answer = [KATJA]
    for endpoint in one.endpoints.values():
        endpoint.opened(0.1)
    await asyncio.sleep(MAX_RETRY_SECONDS)

    assert rig.told == [[KATJA.name]]
    await rig.lists.close()
