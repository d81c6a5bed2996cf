"""The sidecar's stream in this process, and an operator that does what it must not."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.played_operator import PlayedOperator, operator, settings
from tests.integration.sidecar import PATIENCE_SECONDS
from tests.virtual import tasks_left
from tests.waiting import until

from speechpool.config import ConfigStore
from speechpool.config.operator_backoff import Backoff
from speechpool.config.operator_connection import Limits, Place
from speechpool.config.operator_source import Usage
from speechpool.config.operator_stream import OperatorStream
from speechpool.settings import Address
from speechpool.settings.wire import (
    MAX_OPERATOR_MESSAGE_BYTES,
    SUBPROTOCOL,
    Bye,
    Heartbeat,
    NoSettings,
    PoolState,
)

__all__ = ["operator"]

GOOD = settings(2, warmSize=2)


class Impatient(Backoff):
    """Notes how long connections lasted and what was asked for, and hardly waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def pause_seconds(self, *, lasted_seconds: float, retry_after_seconds: float = 0.0) -> float:
        self.asked.append(retry_after_seconds)
        return 0.01


class Follower:
    """A store that follows an operator."""

    def __init__(self, operator: PlayedOperator, *, limits: Limits | None = None, host: str = "localhost") -> None:
        self.store = ConfigStore([])
        self.backoff = Impatient()
        self.pools = {"tts": PoolState(warm=1, wanted=1, ready=True)}
        self.sessions = 0
        self.stream = OperatorStream(
            self.store,
            Place(
                address=Address(host, operator.port),
                ca_file=str(operator.ca_file),
                token_file=str(operator.token_file),
            ),
            usage=lambda: Usage(pools=dict(self.pools), sessions=self.sessions, busy=0),
            version="0.1.0",
            limits=limits,
            backoff=self.backoff,
        )
        self.updates = 0
        self.store.bind(self._apply, self.stream.on_update)

    async def _apply(self, old: object, new: object) -> None:
        self.updates += 1

    @property
    def warm_size(self) -> int:
        return self.store.current.pools[0].warm_pool_size

    async def until_problem(self, text: str) -> None:
        """Wait until the connection has this problem."""
        await until(lambda: text in (self.stream.describe()["problem"] or ""), self.stream.describe)


@contextlib.asynccontextmanager
async def following(operator: PlayedOperator, **options: object) -> AsyncIterator[Follower]:
    """A stream that runs."""
    follower = Follower(operator, **options)  # type: ignore[arg-type] # handed on
    running = asyncio.create_task(follower.stream.run())
    try:
        yield follower
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert tasks_left() == set()


async def applied(operator: PlayedOperator, follower: Follower) -> None:
    """Wait until the good settings are in force and were told."""
    await until(lambda: any(one.applied == GOOD.revision for one in operator.states[-1:]), follower.stream.describe)
    assert follower.warm_size == 2


MALFORMED = [
    "",
    "no json",
    "[]",
    '{"type": "settings"}',
    '{"type": "settings", "uid": "a", "name": "n", "generation": -1, "hash": "b", "spec": {}}',
    '{"type": "heartbeat", "interval_seconds": 1e9}',
    json.dumps({"type": "settings", "spec": "x" * (MAX_OPERATOR_MESSAGE_BYTES + 1)}),
    "[" * 100_000,
    b"\x00\xff",
]


@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_no_message_ends_the_connection_and_changes_nothing(
    operator: PlayedOperator, message: str | bytes
) -> None:
    operator.greeting = message
    async with following(operator) as follower:
        await follower.until_problem("it sent what is no message")
        assert follower.updates == 0
        assert len(follower.stream.describe()["problem"]) < 200

        operator.greeting = GOOD
        await applied(operator, follower)


async def test_messages_and_fields_of_a_newer_operator_are_ignored(operator: PlayedOperator) -> None:
    operator.greeting = '{"type": "telepathy", "strength": 7}'
    async with following(operator) as follower:
        await until(lambda: operator.states)
        revision = {"uid": "uid-1", "generation": 2, "hash": GOOD.revision.hash}
        operator.say(
            json.dumps({"type": "settings", "name": "calls/voice", "mood": [1], "spec": GOOD.spec, **revision})
        )
        await applied(operator, follower)
        assert operator.connected == 1


async def test_a_setting_that_only_a_newer_sidecar_has_is_refused_with_its_name(operator: PlayedOperator) -> None:
    operator.greeting = settings(1, telepathySeconds=3)
    async with following(operator):
        await until(lambda: operator.states and operator.states[-1].state == "rejected")
        assert "telepathySeconds is not a setting" in operator.states[-1].error


async def test_an_operator_of_another_protocol_is_told_apart(operator: PlayedOperator) -> None:
    operator.subprotocols = ("speechpool.v9",)
    async with following(operator) as follower:
        await follower.until_problem(f"it does not speak {SUBPROTOCOL}")
        operator.subprotocols = (SUBPROTOCOL, "speechpool.v9")
        operator.greeting = GOOD
        await applied(operator, follower)


@pytest.mark.parametrize(
    ("refusal", "problem", "retry_after_seconds"),
    [
        ((401, {}), "401: it does not know the token", 0),
        ((403, {}), "403: this pod may not", 0),
        ((404, {}), "404", 0),
        ((429, {"Retry-After": "7"}), "429", 7),
        ((503, {"Retry-After": "12"}), "503", 12),
        ((503, {"Retry-After": "Mon, 23 Nov 2026 23:59:00 GMT"}), "503", 0),
        ((200, {}), "200", 0),
        ((302, {"Location": "http://127.0.0.1:1/"}), "redirect", 0),
    ],
)
async def test_a_refusal_is_told_and_tried_again(
    operator: PlayedOperator, refusal: tuple[int, dict[str, str]], problem: str, retry_after_seconds: float
) -> None:
    operator.refusal = refusal
    async with following(operator) as follower:
        await follower.until_problem(problem)
        assert follower.backoff.asked[0] == retry_after_seconds

        operator.refusal = None
        operator.greeting = GOOD
        await applied(operator, follower)


async def test_a_good_bye_is_honoured(operator: PlayedOperator) -> None:
    operator.greeting = GOOD
    async with following(operator) as follower:
        await applied(operator, follower)
        operator.say(Bye(reason="the token expires", retry_after_seconds=3))
        await until(lambda: operator.connected == 2)
        assert follower.backoff.asked == [3]
        await applied(operator, follower)


async def test_a_host_that_accepts_and_says_nothing_is_given_up(operator: PlayedOperator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        operator.stop()
        operator.port = silent.getsockname()[1]
        async with following(operator, limits=Limits(connect_seconds=0.2), host="127.0.0.1") as follower:
            await follower.until_problem("it did not answer within 0.2 s")
            assert follower.stream.connected is False


async def test_an_operator_that_says_nothing_after_the_start_is_given_up(operator: PlayedOperator) -> None:
    operator.is_beating = False
    async with following(operator, limits=Limits(heartbeat_seconds=0.1)) as follower:
        await follower.until_problem("it was silent for 0.3 s")
        operator.is_beating = True
        operator.greeting = GOOD
        await applied(operator, follower)


async def test_a_host_name_that_nobody_knows_is_told(operator: PlayedOperator) -> None:
    async with following(operator, host="no-such-host.invalid") as follower:
        await follower.until_problem("its host name is not known")


async def test_an_operator_that_sent_settings_which_never_came_is_asked_anew(operator: PlayedOperator) -> None:
    operator.greeting = settings(1, warmSize=1)
    async with following(operator) as follower:
        await until(lambda: any(one.applied for one in operator.states[-1:]))
        operator.greeting = GOOD
        for _ in range(2):
            operator.say(Heartbeat(hash=GOOD.revision.hash))
        await applied(operator, follower)
        assert operator.connected == 2


async def test_one_heartbeat_that_overtook_its_settings_is_no_reason(operator: PlayedOperator) -> None:
    operator.is_beating = False
    operator.greeting = NoSettings()
    async with following(operator) as follower:
        await until(lambda: operator.states)
        operator.say(Heartbeat(hash=GOOD.revision.hash))
        operator.say(GOOD)
        operator.say(Heartbeat(hash=GOOD.revision.hash))
        await applied(operator, follower)
        assert operator.connected == 1


async def test_every_heartbeat_is_answered(operator: PlayedOperator) -> None:
    operator.is_beating = False
    async with following(operator, limits=Limits(look_seconds=PATIENCE_SECONDS)):
        await until(lambda: operator.states)
        for count in range(2, 6):
            operator.say(Heartbeat())
            await until(lambda count=count: len(operator.states) == count)


async def test_a_pool_that_is_not_warm_any_more_is_told_without_a_heartbeat(operator: PlayedOperator) -> None:
    operator.is_beating = False
    async with following(operator, limits=Limits(look_seconds=0.01)) as follower:
        await until(lambda: operator.states)
        for pool in (PoolState(warm=0, wanted=1, ready=True), PoolState(warm=3, wanted=3, ready=True)):
            follower.pools["tts"] = pool
            await until(lambda pool=pool: operator.states[-1].pools["tts"] == pool)


async def test_sessions_come_and_go_without_a_word_and_are_told_at_the_next_heartbeat(operator: PlayedOperator) -> None:
    operator.is_beating = False
    async with following(operator, limits=Limits(look_seconds=0.01)) as follower:
        await until(lambda: operator.states)
        follower.sessions = 3
        await asyncio.sleep(0.05)  # five looks
        assert len(operator.states) == 1
        operator.say(Heartbeat())
        await until(lambda: operator.states[-1].sessions == 3)


async def test_fifty_streams_in_one_process_have_a_change_each_once(operator: PlayedOperator, tmp_path: Path) -> None:
    operator.greeting = settings(1, warmSize=1)
    async with contextlib.AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(following_unchecked(operator)) for _ in range(50)]
        await until(lambda: all(follower.warm_size == 1 for follower in followers))
        await asyncio.to_thread(operator.send, GOOD)
        await until(lambda: all(follower.warm_size == 2 for follower in followers))
        assert {follower.updates for follower in followers} == {2}


@contextlib.asynccontextmanager
async def following_unchecked(operator: PlayedOperator) -> AsyncIterator[Follower]:
    """As `following()`, beside others."""
    follower = Follower(operator)
    running = asyncio.create_task(follower.stream.run())
    try:
        yield follower
    finally:
        running.cancel()
        await asyncio.wait({running})
