"""The pool's documented examples, as written; only the import prefix is ours."""

import asyncio
import importlib
import logging
import os
import time

import pytest
from tests.unit.pools.world import World
from tests.virtual import VIRTUAL

from speechpool.pools import AllocationTier, OnDemandResourcePool, WarmableResourcePool

pytestmark = VIRTUAL

COLD, DEDICATED, WARM = AllocationTier.COLD, AllocationTier.DEDICATED, AllocationTier.WARM


class Span:
    """Stands where a tracing span would."""

    def __init__(self):
        self.ended = False

    def end(self):
        self.ended = True


class SpeechSynthesizer:
    """A client with the session state that the documents name."""

    def __init__(self):
        self.call_connection_id = None
        self._session_span = None
        self.spoken = []

    def begin_call(self, call_connection_id, span):
        self.call_connection_id = call_connection_id
        self._session_span = span
        self._prepared_voices = {"en-US-JennyNeural"}

    @property
    def state(self):
        return self.call_connection_id, self._session_span, hasattr(self, "_prepared_voices")

    def synthesize_to_pcm(self, text, voice, sample_rate):
        self.spoken.append((text, voice, sample_rate))

    def clear_session_state(self) -> None:
        self.call_connection_id = None
        if self._session_span:
            self._session_span.end()
        self._session_span = None
        if hasattr(self, "_prepared_voices"):
            delattr(self, "_prepared_voices")


async def create_tts_client():
    await asyncio.sleep(0.2)
    return SpeechSynthesizer()


async def warmup_voice(synth: SpeechSynthesizer) -> bool:
    try:
        synth.synthesize_to_pcm(text="warmup", voice="en-US-JennyNeural", sample_rate=24000)
    except OSError:
        return False
    return True


def documented_pool():
    return WarmableResourcePool(
        factory=create_tts_client,
        name="tts_pool",
        warm_pool_size=3,
        enable_background_warmup=True,
        warmup_interval_sec=30.0,
        session_awareness=True,
        session_max_age_sec=1800.0,
        warm_fn=warmup_voice,
    )


@pytest.fixture
def debug_lines(caplog):
    """The messages of the pools so far."""
    caplog.set_level(logging.DEBUG, logger="speechpool.pools")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]


async def test_the_documented_pool_warms_every_client_and_serves_the_three_tiers():
    pool = documented_pool()
    await pool.prepare()
    tiers = [(await pool.acquire_for_session(f"call-{number}"))[1] for number in range(3)]
    synth, cold = await pool.acquire_for_session("call-3")
    again, dedicated = await pool.acquire_for_session("call-3")

    assert (*tiers, cold, dedicated) == (WARM, WARM, WARM, COLD, DEDICATED)
    assert again is synth
    assert synth.spoken == [("warmup", "en-US-JennyNeural", 24000)]
    await pool.shutdown()


async def test_the_lightweight_pool_serves_sessions_without_prepare():
    pool = OnDemandResourcePool(factory=create_tts_client, name="tts_pool", session_awareness=True)
    synth, first = await pool.acquire_for_session("call-1")
    again, second = await pool.acquire_for_session("call-1")

    assert again is synth
    assert (first, second) == (COLD, DEDICATED)
    assert isinstance(await pool.acquire(timeout=2.0), SpeechSynthesizer)
    await pool.prepare()
    assert pool.snapshot()["ready"]
    await pool.shutdown()


async def test_the_documented_initialization(monkeypatch):
    monkeypatch.setenv("SPEECH_POOL_WARM_SIZE", "5")

    async def create_tts_pool() -> WarmableResourcePool:
        async def tts_factory():
            return SpeechSynthesizer()

        pool = WarmableResourcePool(
            factory=tts_factory,
            name="tts_pool",
            warm_pool_size=int(os.getenv("SPEECH_POOL_WARM_SIZE", "3")),
            enable_background_warmup=True,
            session_awareness=True,
            warm_fn=warmup_voice,
        )
        await pool.prepare()
        return pool

    pool = await create_tts_pool()

    assert pool.snapshot()["warm_pool_size"] == 5
    await pool.shutdown()


async def test_acquiring_and_releasing():
    pool = documented_pool()
    await pool.prepare()
    synth, tier = await pool.acquire_for_session("call-1")
    other = await pool.acquire(timeout=2.0)
    await pool.release_for_session("call-1", synth)
    await pool.release(other)

    assert tier is WARM
    assert pool.snapshot()["active_sessions"] == 0
    assert await pool.acquire() is other
    await pool.shutdown()


async def test_the_temporary_resource_pattern():
    pool = documented_pool()
    await pool.prepare()
    span = Span()
    temp_synth = None
    try:
        temp_synth = await pool.acquire(timeout=2.0)
        temp_synth.begin_call("call-1", span)
    finally:
        if temp_synth:
            released = await pool.release_for_session(None, temp_synth)

    assert released
    assert span.ended
    assert temp_synth.state == (None, None, False)
    await pool.shutdown()


@pytest.mark.parametrize("how", ["release", "release_for_session"])
async def test_session_state_is_cleared_before_the_next_caller(how):
    pool = documented_pool()
    await pool.prepare()
    span = Span()
    if how == "release":
        synth = await pool.acquire()
        synth.begin_call("call-1", span)
        await pool.release(synth)
    else:
        synth, _ = await pool.acquire_for_session("call-1")
        synth.begin_call("call-1", span)
        await pool.release_for_session("call-1")
    states = [(await pool.acquire_for_session(f"call-{number}"))[0].state for number in range(2, 6)]

    assert span.ended
    assert synth.state == (None, None, False)
    assert states == [(None, None, False)] * 4
    await pool.shutdown()


async def test_the_snapshot_has_every_documented_key():
    pool = documented_pool()
    await pool.prepare()
    await pool.acquire_for_session("call-1")
    status = pool.snapshot()

    documented = {
        "name": "tts_pool",
        "ready": True,
        "warm_pool_size": 2,
        "warm_pool_target": 3,
        "session_awareness": True,
        "active_sessions": 1,
        "background_warmup": True,
    }
    assert {key: status[key] for key in documented} == documented
    metrics = {
        "allocations_total": 1,
        "allocations_dedicated": 0,
        "allocations_warm": 1,
        "allocations_cold": 0,
        "active_sessions": 1,
        "warm_pool_size": 2,
        "warmup_failures": 0,
    }
    assert {key: status["metrics"][key] for key in metrics} == metrics
    assert isinstance(status["metrics"]["warmup_cycles"], int)
    assert abs(status["metrics"]["timestamp"] - time.time()) < 3600
    await pool.shutdown()


async def test_warmup_cycles_grow_as_the_pool_is_tended():
    pool = documented_pool()
    await pool.prepare()
    before = pool.snapshot()["metrics"]["warmup_cycles"]
    await asyncio.sleep(10 * 30.0)

    assert pool.snapshot()["metrics"]["warmup_cycles"] >= before + 10
    await pool.shutdown()


async def test_the_documented_debug_lines(debug_lines):
    pool = documented_pool()
    await pool.prepare()

    assert debug_lines() == [
        "[tts_pool] Pre-warming 3 resources...",
        "[tts_pool] Started background warmup (interval=30.0s)",
        "[tts_pool] Pool ready (warm_size=3, session_awareness=True)",
    ]
    await pool.shutdown()


async def test_the_documented_debug_lines_of_a_session(debug_lines):
    pool = documented_pool()
    await pool.prepare()
    before = len(debug_lines())
    await pool.acquire_for_session("abc12345-6789")
    await pool.acquire_for_session("abc12345-6789")
    for _ in range(3):
        await pool.acquire()
    await pool.release_for_session("abc12345-6789")

    assert debug_lines()[before:] == [
        "[tts_pool] Acquired WARM resource",
        "[tts_pool] Acquired DEDICATED resource for session abc12345...",
        "[tts_pool] Acquired WARM resource",
        "[tts_pool] Acquired WARM resource",
        "[tts_pool] Acquired COLD resource",
        "[tts_pool] Released session resource for abc12345...",
    ]
    await pool.shutdown()


async def test_the_documented_debug_line_of_the_sweep(debug_lines):
    pool = documented_pool()
    await pool.prepare()
    await pool.acquire_for_session("call-1")
    await pool.acquire_for_session("call-2")
    await asyncio.sleep(2 * 1800)

    assert "[tts_pool] Cleaned up 2 stale sessions" in debug_lines()
    await pool.shutdown()


async def test_the_documented_health_check():
    pools = {"tts": documented_pool(), "stt": OnDemandResourcePool(factory=create_tts_client, name="stt_pool")}
    rates = {}
    for name, pool in pools.items():
        await pool.prepare()
        await pool.acquire()
        metrics = pool.snapshot()["metrics"]
        rates[name] = metrics["allocations_cold"] / max(1, metrics["allocations_total"])
        assert metrics["warmup_failures"] == 0

    assert rates == {"tts": 0.0, "stt": 1.0}
    for pool in pools.values():
        await pool.shutdown()


async def test_disconnect_handlers_release_whether_or_not_a_client_was_acquired():
    pool = documented_pool()
    await pool.prepare()
    await pool.acquire_for_session("call-1")

    assert await pool.release_for_session("call-1") is True
    assert await pool.release_for_session("call-1") is False
    assert await pool.release_for_session("never-acquired") is False
    await pool.shutdown()


async def test_a_foreign_object_is_released_without_an_error():
    world = World()
    async with world.pool(warm_pool_size=1) as pool:
        await pool.release(SpeechSynthesizer())
        await pool.release(None)

        assert await pool.acquire() is world.made[0]


async def test_a_failing_warm_up_still_yields_a_usable_client():
    world = World(warm_result=OSError("no voice"))
    async with world.pool(warm_pool_size=1, warm_fn=world.warm) as pool:
        client = await pool.acquire()

        assert client is world.made[0]
        assert pool.snapshot()["metrics"]["warmup_failures"] >= 1


async def test_without_background_warmup_nothing_is_refilled():
    world = World()
    async with world.pool(warm_pool_size=2, enable_background_warmup=False) as pool:
        await pool.acquire()
        await asyncio.sleep(3600)

        assert pool.snapshot()["warm_pool_size"] == 1
        assert len(world.made) == 2


@pytest.mark.parametrize("session_id", [None, ""])
async def test_no_session_id_means_no_caching(session_id):
    async with World().pool(session_awareness=True) as pool:
        first, tier = await pool.acquire_for_session(session_id)
        second, _ = await pool.acquire_for_session(session_id)

        assert first is not second
        assert tier is COLD
        assert pool.snapshot()["active_sessions"] == 0
        assert await pool.release_for_session(session_id, first) is True


async def test_without_awareness_a_session_is_an_anonymous_acquire():
    async with World().pool(warm_pool_size=1) as pool:
        client, tier = await pool.acquire_for_session("call-1")
        other, _ = await pool.acquire_for_session("call-1")

        assert other is not client
        assert tier is WARM
        assert await pool.release_for_session("call-1") is False
        await pool.release_for_session("call-1", client)
        assert await pool.acquire() is client


async def test_the_factory_may_be_synchronous_and_arguments_are_keywords():
    pool = WarmableResourcePool(factory=SpeechSynthesizer, name="tts_pool", warm_pool_size=2)
    await pool.prepare()

    assert isinstance(await pool.acquire(), SpeechSynthesizer)
    await pool.shutdown()
    with pytest.raises(TypeError):
        WarmableResourcePool(SpeechSynthesizer, "tts_pool")


def test_the_tiers_have_the_documented_values():
    assert [tier.value for tier in AllocationTier] == ["dedicated", "warm", "cold"]


def test_the_documented_file_names_can_be_imported():
    assert importlib.import_module("speechpool.pools.warmable_pool").WarmableResourcePool is WarmableResourcePool
    assert importlib.import_module("speechpool.pools.on_demand_pool").OnDemandResourcePool is OnDemandResourcePool
