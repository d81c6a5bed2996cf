"""Whether warm is warm, over the sidecar's own socket: on which connection an utterance rode, the emulator says."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_sidecar import TEXT, azure_sidecar, http, in_order, settings_file, speech_pool, talking
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar

from speechpool_azure_emulator import RunningEmulator, marks_in, running_emulator
from speechpool_azure_emulator.ledger import ConnectionRecord

FIRST, SECOND = "a" * 32, "b" * 32
WARM = 3
LONG = "One moment, please, while I look that up for you. " * 20


@dataclass
class Place:
    """A sidecar with its Azure, and the file of its key."""

    sidecar: Sidecar
    azure: RunningEmulator
    key: Path

    def configure(self, **tts: Any) -> None:
        """Change the pool of voices while it runs."""
        self.sidecar.apply_config(settings_file(speech_pool(warmSize=WARM, **tts), speech_pool("cold", warmSize=0)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("azure")
    key = directory / "key"
    key.write_text(FIRST)
    pools = (speech_pool(warmSize=WARM), speech_pool("cold", warmSize=0))
    with (
        running_emulator(upgrade_seconds=0.15, first_chunk_seconds=0.05, keys={"1": FIRST, "2": SECOND}) as azure,
        azure_sidecar(directory, azure.url, *pools, env={"AZURE_SPEECH_KEY_FILE": str(key)}) as sidecar,
    ):
        yield Place(sidecar, azure, key)


@pytest.fixture(autouse=True)
def rested(place: Place) -> None:
    """Each test begins with every client idle."""
    in_order(place.sidecar)


def served(place: Place, **fields: Any) -> tuple[str, str]:
    """The tier that the header tells, and what its connection was when it was asked for."""
    with http(place.sidecar) as client:
        asked_at = time.monotonic()
        reply = client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", **fields})
    last = place.azure.utterances[-1]
    assert marks_in(reply.content) == {last.mark}
    return reply.headers["x-speechpool-tier"], state_at(last.connection, asked_at)


def connects(place: Place) -> int:
    """Connections that clients opened; whoever asks why one is not open yet opens another, under our own name."""
    return sum(each.headers["User-Agent"] != "speechpool" for each in list(place.azure.connections))


def state_at(connection: ConnectionRecord, moment: float) -> str:
    if connection.opened_at < moment:
        return "open"
    return "opening" if connection.asked_at < moment else "none"


def test_cold_says_so(place: Place) -> None:
    assert served(place, pool="cold") == ("cold", "none")


def test_one_caller_after_another_makes_no_new_connection(place: Place) -> None:
    assert served(place) == ("warm", "open")  # a client in its place is made while it is in use, once for all
    in_order(place.sidecar)
    before = connects(place)

    assert {served(place) for _ in range(10)} == {("warm", "open")}

    assert connects(place) == before


async def test_warm_callers_at_once_have_a_connection_each(place: Place) -> None:
    asked_at = time.monotonic()
    async with talking(place.sidecar) as one, talking(place.sidecar) as two, talking(place.sidecar) as three:
        for talk in (one, two, three):
            await talk.send("speak", input=TEXT)
        ends = [(await talk.utterance())[0][-1] for talk in (one, two, three)]

    rode = [utterance.connection for utterance in list(place.azure.utterances)[-WARM:]]
    assert {(end["type"], end["tier"], end["warm_miss"], end["connect_ms"]) for end in ends} == {
        ("completed", "warm", False, 0.0)
    }
    assert all(connection.opened_at < asked_at for connection in rode)
    assert len({connection.number for connection in rode}) == WARM


def test_a_session_keeps_its_connection(place: Place) -> None:
    before = connects(place)
    assert served(place, session_id="caller") == ("warm", "open")

    assert {served(place, session_id="caller") for _ in range(3)} == {("dedicated", "open")}

    rode = {utterance.connection.number for utterance in list(place.azure.utterances)[-4:]}
    assert len(rode) == 1
    place.sidecar.client.delete_session("caller")
    in_order(place.sidecar)
    assert connects(place) <= before + 1  # of the one that took the session's place in stock


async def test_after_a_barge_in_the_connection_is_the_same(place: Place) -> None:
    place.azure.configure(pace=1.0)
    async with talking(place.sidecar) as talk:
        await talk.send("config", session_id="barge")
        await talk.send("speak", input=LONG)
        await talk.event("first_audio")
        interrupted = place.azure.utterances[-1].connection
        await talk.send("cancel")
        await talk.event("canceled")
        place.azure.configure(pace=0)
        asked_at = time.monotonic()
        await talk.send("speak", input=TEXT)
        events, audio = await talk.utterance()
        last = place.azure.utterances[-1]
    place.sidecar.client.delete_session("barge")

    assert (events[-1]["tier"], events[-1]["warm_miss"]) == ("dedicated", False)
    assert last.connection is interrupted
    assert last.connection.opened_at < asked_at
    assert marks_in(audio) == {last.mark}


def test_generations_of_clients_pass_and_no_request_pays_for_it(place: Place) -> None:
    upgrades = place.azure.counts.upgrades
    ended = {each.number for each in place.azure.connections if not each.is_open}
    place.configure(maxLifetimeSeconds=1)

    seen = []
    while place.azure.counts.upgrades < upgrades + 3 * WARM:
        seen.append(served(place))

    # one that opened while the request was on its way may serve it; none was opened for it
    assert set(seen) <= {("warm", "open"), ("warm", "opening")}
    recycled = [each for each in place.azure.connections if not each.is_open and each.number not in ended]
    assert {each.closed_by for each in recycled} == {"client"}
    place.configure()


def test_after_a_new_key_every_connection_is_new_and_open_before_it_is_needed(place: Place) -> None:
    place.key.write_text(SECOND)
    place.azure.wait_for(lambda: open_with(place, "key:2") >= WARM and not open_with(place, "key:1"), seconds=30)
    in_order(place.sidecar)

    assert served(place) == ("warm", "open")
    assert place.azure.utterances[-1].connection.credential == "key:2"


def open_with(place: Place, credential: str) -> int:
    return sum(each.credential == credential and each.is_open for each in place.azure.connections)


def test_a_connection_that_was_lost_while_idle_is_replaced_before_anybody_asks(place: Place) -> None:
    upgrades = place.azure.counts.upgrades
    place.azure.restart()
    place.azure.wait_for(lambda: place.azure.counts.upgrades >= upgrades + WARM, seconds=PATIENCE_SECONDS)
    in_order(place.sidecar)

    assert served(place) == ("warm", "open")
