"""What the service makes of what its engine tells: stale clients, trouble, numbers."""

import asyncio

import pytest
from tests.fakes import FakeEngine
from tests.unit.service.world import SENTENCE, ask, collect, listening, make_settings, said, serving, speaking
from tests.virtual import VIRTUAL, settle

from speechpool.errors import AuthenticationFailed, EngineUnavailable
from speechpool.service.requests import RecognizeRequest
from speechpool.service.service import SpeechService
from speechpool.speech.engine import Measurement

pytestmark = VIRTUAL


def tell_stale(engine: FakeEngine) -> None:
    for callback in engine.stale_callbacks:
        callback("credentials")


def metric(service: SpeechService, line: str) -> float | None:
    """The value of one line of /metrics."""
    told = service.metrics.render()[0].decode().splitlines()
    return next((float(each.rpartition(" ")[2]) for each in told if each.startswith(f"{line} ")), None)


def reasons(service: SpeechService) -> list[tuple[str, str]]:
    return [(reason.component, reason.reason) for reason in service.readiness().reasons]


# --- rotation ---


async def test_stale_clients_are_replaced_and_no_call_is_cold_or_fails_meanwhile() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with serving(engine) as service:
        old = list(engine.clients)
        tell_stale(engine)
        tiers = set()
        for _ in range(40):
            async with service.speak(ask()) as stream:
                assert (await collect(stream))[-1].outcome == "completed"
                tiers.add(stream.tier)
            await asyncio.sleep(0.05)
        assert tiers == {"warm"}
        assert all(client.closes == 1 for client in old)
        assert metric(service, 'speechpool_renewals_total{reason="credentials"}') == 1
        assert service.pool("tts")["warm_pool_size"] >= 2


async def test_a_replacement_comes_before_each_old_client_goes() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with serving(engine) as service:
        tell_stale(engine)
        for _ in range(30):
            await asyncio.sleep(0.1)
            assert service.pool("tts")["warm_pool_size"] >= 2
            assert service.pool("stt")["warm_pool_size"] >= 1


async def test_an_utterance_under_way_goes_on_and_its_client_is_closed_afterwards() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        async with service.speak(ask(SENTENCE * 20)) as stream:
            await anext(stream)
            client = engine.busy_clients[0]
            tell_stale(engine)
            await asyncio.sleep(5)
            assert client.closes == 0
            assert (await collect(stream))[-1].outcome == "completed"
        await settle()
        assert client.closes == 1


async def test_a_sessions_own_client_is_replaced_at_its_next_use() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await said(service, ask(session_id="call-1"))
        tell_stale(engine)
        await asyncio.sleep(5)
        first = engine.clients[engine.said[0][0] - 1]
        assert first.closes == 0
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "warm"
            await collect(stream)
        await settle()
        assert first.closes == 1
        async with service.speak(ask(session_id="call-1")) as stream:
            assert stream.tier == "dedicated"


async def test_clients_that_become_stale_again_meanwhile_are_replaced_again() -> None:
    engine = FakeEngine(create_seconds=1.0)
    async with serving(engine) as service:
        tell_stale(engine)
        await asyncio.sleep(1.5)
        second = [client for client in engine.clients if not client.closes]
        tell_stale(engine)
        await asyncio.sleep(5)
        assert all(client.closes == 1 for client in second)
        assert service.readiness().ready


async def test_stale_before_the_engine_is_open_only_hastens_the_next_attempt() -> None:
    engine = FakeEngine(open_error=AuthenticationFailed("the key is refused"))  # type: ignore[arg-type] # any error
    async with SpeechService(engine, make_settings()) as service:
        await asyncio.sleep(300)  # attempts are 30 s apart by now
        with pytest.raises(AuthenticationFailed, match="refused"):
            service.speak(ask())
        assert reasons(service) == [("engine", "AuthenticationFailed")]
        engine.open_error = None
        tell_stale(engine)
        await asyncio.sleep(1)
        assert service.readiness().ready
        assert await said(service, ask())


# --- trouble ---


async def test_trouble_of_the_engine_is_the_reason_only_while_clients_are_missing() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.problem_text = "the region cannot be reached"
        assert service.readiness().ready
        assert await said(service, ask())
        engine.create_error = EngineUnavailable("no connection")
        for client in list(engine.synthesizers):
            client.die()
        await asyncio.sleep(5)
        assert reasons(service) == [("engine", "EngineProblem"), ("tts", "NotWarm")]
        assert service.readiness().reasons[0].message == "the region cannot be reached"
        engine.create_error = engine.problem_text = None
        await asyncio.sleep(60)
        assert service.readiness().ready


# --- numbers ---


async def test_the_engines_numbers_are_exported_as_they_are_now() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        engine.measured = [
            Measurement(name="native_threads", documentation="Threads", value=12),
            Measurement(
                name="throttled_total", documentation="t", value=3, is_counter=True, labels={"endpoint": "westeurope"}
            ),
            Measurement(
                name="throttled_total", documentation="t", value=4, is_counter=True, labels={"endpoint": "eastus"}
            ),
        ]
        assert metric(service, "speechpool_engine_native_threads") == 12
        assert metric(service, 'speechpool_engine_throttled_total{endpoint="westeurope"}') == 3
        assert metric(service, 'speechpool_engine_throttled_total{endpoint="eastus"}') == 4
        engine.measured = []
        assert metric(service, "speechpool_engine_native_threads") is None


async def test_a_sessions_first_use_is_one_allocation() -> None:
    async with serving(FakeEngine(), speaking(), listening()) as service:
        for _ in range(3):
            await said(service, ask(session_id="call-1"))
        async with service.recognize(RecognizeRequest(session_id="call-1")):
            pass
        tts, stt = (service.pool(name)["metrics"] for name in ("tts", "stt"))
        assert (tts["allocations_warm"], tts["allocations_dedicated"], tts["allocations_total"]) == (1, 2, 3)
        assert (stt["allocations_warm"], stt["allocations_dedicated"], stt["allocations_total"]) == (1, 0, 1)
