"""The Azure engine as a whole, with the real SDK against the emulator."""

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvloop
from tests.integration.azure_patience import asks_soon, patient
from tests.integration.azure_speaking import said
from tests.waiting import until

from speechpool.errors import (
    AuthenticationFailed,
    EngineUnavailable,
    InvalidInput,
    SettingsError,
    SpeechError,
    Throttled,
)
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.azure import create_engine
from speechpool.speech.azure.engine import AzureEngine
from speechpool.speech.engine import AudioChunk, RecognitionProfile, SynthesisProfile, Utterance
from speechpool_azure_emulator import Fault, running_emulator

__all__ = ["asks_soon", "patient"]

PCM24 = AudioFormat(Codec.PCM, 24_000)
SPEAKS = SynthesisProfile(format=PCM24)
LISTENS = RecognitionProfile(format=AudioFormat(Codec.PCM, 16_000), languages=("en-US",))
KEY, OTHER = "a" * 32, "b" * 32
LIMIT_SECONDS = 30.0


def options(url: str, **more: Any) -> dict[str, Any]:
    return {"key": KEY, "endpoint": url, "connectTimeoutSeconds": LIMIT_SECONDS, **more}


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[AzureEngine]:
    engine = create_engine(given)
    assert isinstance(engine, AzureEngine)
    try:
        await engine.open()
        yield engine
    finally:
        await engine.close()


async def until_made(engine: AzureEngine) -> Any:
    """A client, as soon as one can be made again."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            try:
                return await engine.create_synthesizer(SPEAKS)
            except SpeechError:
                await asyncio.sleep(0.02)


async def refusal(engine: AzureEngine) -> SpeechError:
    with pytest.raises(SpeechError) as refused:
        await engine.create_synthesizer(SPEAKS)
    assert KEY not in str(refused.value)
    return refused.value


def value(engine: AzureEngine, name: str, **labels: str) -> float:
    found = [one for one in engine.measurements() if one.name == name and labels.items() <= one.labels.items()]
    return sum(one.value for one in found)


# --- clients and voices --------------------------------------------------------------------------------------------


async def test_it_opens_makes_clients_of_both_kinds_and_leaves_nothing_behind() -> None:
    before = {*threading.enumerate()}  # whatever tests of other modules left
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            speaks = await engine.create_synthesizer(SPEAKS)
            listens = await engine.create_recognizer(LISTENS)

            assert speaks.is_ready
            assert listens.is_ready
            assert len(await said(speaks, engine)) > 1000
            assert value(engine, "connects_total", work="synthesis") == 1
            assert value(engine, "connects_total", work="recognition") == 1
            assert value(engine, "clients") == 2
            assert value(engine, "endpoint_usable") == 2
            assert engine.problem is None
            await speaks.close()
            await listens.close()
        await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    await until(lambda: not [one for one in {*threading.enumerate()} - before if one.name.startswith("speechpool-")])
    assert value(engine, "disposals") == value(engine, "stuck_disposals") == value(engine, "sdk_calls") == 0


@pytest.mark.usefixtures("asks_soon")
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_works_on_either_loop(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        with running_emulator(keys={"one": KEY}) as emulator:
            async with opened(options(emulator.url)) as engine:
                client = await engine.create_synthesizer(SPEAKS)
                assert len(await said(client, engine)) > 1000
                await client.close()
                assert isinstance(await _wrongly(emulator.url), AuthenticationFailed)

    async def _wrongly(url: str) -> SpeechError:
        async with opened(options(url, key=OTHER)) as engine:
            return await refusal(engine)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def test_it_makes_every_format_that_a_pool_may_have() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            for audio_format in OUTPUT_FORMATS.values():
                client = await engine.create_synthesizer(SynthesisProfile(format=audio_format))
                assert await said(client, engine)
                await client.close()


async def test_a_profile_with_text_streaming_takes_text_piece_by_piece() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            client: Any = await engine.create_synthesizer(SynthesisProfile(format=PCM24, text_streaming=True))
            speaking = client.speak_pieces(Utterance(text="", voice=engine.resolve_voice("alloy")))
            for piece in ("hello ", "there, ", "world."):
                await speaking.write(piece)
            await speaking.finish()

            audio = b"".join([event.data async for event in speaking if isinstance(event, AudioChunk)])

            assert len(audio) > 1000
            assert emulator.utterances[-1].connection.path == "/cognitiveservices/websocket/v2"
            await client.close()


async def test_other_formats_are_refused_by_name() -> None:
    with running_emulator() as emulator:
        async with opened(options(emulator.url)) as engine:
            with pytest.raises(SettingsError, match="outputFormat must be one of Raw8Khz"):
                await engine.create_synthesizer(SynthesisProfile(format=AudioFormat(Codec.FLAC, 24_000)))
            with pytest.raises(SettingsError, match="recognises PCM"):
                await engine.create_recognizer(
                    RecognitionProfile(format=AudioFormat(Codec.PCM, 11_025), languages=("en-US",))
                )


async def test_voices_are_known_once_it_is_open() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url, language="de-DE", voices={"boss": "de-DE-ConradNeural"})) as engine:
            assert "de-DE-KatjaNeural" in {voice.name for voice in engine.voices}
            assert engine.resolve_voice("alloy").startswith("de-DE-")
            assert engine.resolve_voice("boss") == "de-DE-ConradNeural"
            with pytest.raises(InvalidInput, match="de-DE-KatjaNeural") as refused:
                engine.resolve_voice("de-DE-KatjeNeural")
            assert refused.value.code == "voice_not_found"


async def test_before_it_is_open_no_client_is_made() -> None:
    engine = create_engine(options("ws://127.0.0.1:9"))

    with pytest.raises(EngineUnavailable, match="not open"):
        await engine.create_synthesizer(SPEAKS)
    await engine.close()


# --- what is wrong is told -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("asks_soon")
async def test_a_wrong_key_is_told_when_it_opens_and_names_the_setting() -> None:
    with running_emulator(keys={"one": OTHER}) as emulator:
        async with opened(options(emulator.url)) as engine:
            assert engine.problem is not None
            assert "refused AZURE_SPEECH_KEY (status 401)" in engine.problem
            assert KEY not in engine.problem

            assert isinstance(await refusal(engine), AuthenticationFailed)


@pytest.mark.usefixtures("asks_soon")
async def test_it_recovers_by_itself_when_the_key_is_accepted() -> None:
    with running_emulator(keys={"one": OTHER}) as emulator:
        async with opened(options(emulator.url)) as engine:
            emulator.credentials.accept(keys={"one": KEY})

            client = await until_made(engine)

            assert client.is_ready
            await until(lambda: engine.voices)
            await client.close()


async def test_an_endpoint_that_needs_a_key_says_so_where_none_is_set() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened({"endpoint": emulator.url}) as engine:
            assert "wants a credential and none is set" in (engine.problem or "")


async def test_a_container_needs_no_key() -> None:
    with running_emulator() as emulator:
        async with opened({"endpoint": emulator.url}) as engine:
            client = await engine.create_synthesizer(SPEAKS)

            assert emulator.connections[-1].credential == "none"
            await client.close()


@pytest.mark.usefixtures("asks_soon")
async def test_opening_does_not_wait_for_a_service_that_is_away() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        emulator.lose_network()
        async with opened(options(emulator.url)) as engine:
            assert engine.problem is None, "nobody has tried yet"
            assert not engine.voices
            assert engine.resolve_voice("en-US-AnyNeural") == "en-US-AnyNeural"
            for _ in range(2):
                assert isinstance(await refusal(engine), EngineUnavailable)
            assert "cannot be reached" in (engine.problem or "")

            emulator.restore_network()

            await (await until_made(engine)).close()
            await until(lambda: engine.voices)
            assert engine.problem is None


REFUSALS = [
    (401, AuthenticationFailed, "AZURE_SPEECH_KEY"),
    (403, AuthenticationFailed, "AZURE_SPEECH_KEY"),
    (404, EngineUnavailable, "no speech service at ws://"),
    (429, Throttled, "fewer requests"),
    (500, EngineUnavailable, "out of order (status 500)"),
    (503, EngineUnavailable, "out of order (status 503)"),
]


@pytest.mark.usefixtures("asks_soon")
@pytest.mark.parametrize(("status", "error", "says"), REFUSALS)
async def test_a_refused_connection_is_silent_and_its_reason_is_found(
    status: int, error: type[SpeechError], says: str
) -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            emulator.faults.set(Fault(at="upgrade", action="refuse", status=status))

            refused = await refusal(engine)  # EngineTimeout at the deadline

            assert isinstance(refused, error)
            assert says in str(refused)


async def test_an_upgrade_that_is_never_answered_ends_at_the_deadline() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url, connectTimeoutSeconds=0.5)) as engine:
            emulator.faults.set(Fault(at="upgrade", action="ignore"))

            refused = await refusal(engine)

            assert "0.5" in str(refused)


@pytest.mark.usefixtures("asks_soon")
async def test_many_clients_that_wait_in_vain_ask_for_the_reason_once() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url, connectTimeoutSeconds=1.0)) as engine:
            await until(lambda: engine.voices)
            asked = emulator.counts.voice_lists
            emulator.faults.set(Fault(at="upgrade", action="ignore"))

            await asyncio.gather(*(refusal(engine) for _ in range(8)))

            assert emulator.counts.voice_lists - asked == 1


@pytest.mark.usefixtures("asks_soon")
async def test_while_an_endpoint_is_left_alone_it_is_not_asked_at_all() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            emulator.faults.set(Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=60))
            emulator.faults.add(Fault(at="voices", action="refuse", status=429, retry_after_seconds=60))
            first = await refusal(engine)
            upgrades, lists = emulator.counts.upgrades, emulator.counts.voice_lists

            later = [await refusal(engine) for _ in range(20)]

            assert isinstance(first, Throttled)
            assert all(isinstance(each, Throttled) and each.retry_after_seconds > 30 for each in later)
            assert (emulator.counts.upgrades, emulator.counts.voice_lists) == (upgrades, lists)
            assert value(engine, "throttled_total") == 1
            assert value(engine, "endpoint_usable", work="synthesis") == 0
            assert value(engine, "endpoint_usable", work="recognition") == 1, "its quota is another one"


@contextmanager
def answering(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that is no speech service."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hello(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "5")
    request.end_headers()
    request.wfile.write(b"hello")


@pytest.mark.usefixtures("asks_soon")
async def test_a_server_that_speaks_no_websocket_is_told_apart() -> None:
    with answering(hello) as url:
        async with opened(options(url)) as engine:
            assert "speaks no WebSocket" in str(await refusal(engine))


@pytest.mark.usefixtures("asks_soon")
@pytest.mark.parametrize(
    ("url", "says"),
    [("ws://127.0.0.1:9", "the connection is refused"), ("wss://nowhere.invalid", "its name cannot be resolved")],
)
async def test_what_cannot_be_reached_says_why(url: str, says: str) -> None:
    async with opened(options(url)) as engine:
        assert says in str(await refusal(engine))


# --- several endpoints ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_regions(first_weight: int = 1, second_weight: int = 1) -> AsyncIterator[tuple[Any, Any, AzureEngine]]:
    with running_emulator(keys={"one": KEY}) as first, running_emulator(keys={"one": KEY}) as second:
        endpoints = [
            {"endpoint": first.url, "weight": first_weight},
            {"endpoint": second.url, "weight": second_weight},
        ]
        async with opened({"key": KEY, "endpoints": endpoints, "connectTimeoutSeconds": LIMIT_SECONDS}) as engine:
            yield first, second, engine


async def test_clients_are_spread_by_weight() -> None:
    async with two_regions(3, 1) as (first, second, engine):
        clients = [await engine.create_synthesizer(SPEAKS) for _ in range(4)]

        assert (first.counts.upgrades_ok, second.counts.upgrades_ok) == (3, 1)
        await asyncio.gather(*(client.close() for client in clients))


@pytest.mark.usefixtures("asks_soon")
async def test_when_a_region_is_throttled_its_idle_clients_go_and_the_next_come_from_another() -> None:
    async with two_regions(1, 0) as (first, second, engine):
        idle = await engine.create_synthesizer(SPEAKS)
        lost: list[bool] = []
        idle.on_lost(lambda: lost.append(True))
        first.faults.set(Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=60))

        client = await engine.create_synthesizer(SPEAKS)

        assert value(engine, "throttled_total") == 1
        assert lost == [True]
        assert not idle.is_ready
        assert client.is_ready
        assert client.endpoint in second.url
        assert engine.problem is None
        assert await said(client, engine)
        await client.close()
        await idle.close()


@pytest.mark.usefixtures("asks_soon")
async def test_when_a_region_is_back_it_gets_its_share_again() -> None:
    async with two_regions(1, 0) as (first, second, engine):
        first.faults.set(Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=1))
        away = await engine.create_synthesizer(SPEAKS)
        assert away.endpoint in second.url
        first.faults.clear()

        async with asyncio.timeout(LIMIT_SECONDS):
            while not first.counts.upgrades_ok:
                await (await engine.create_synthesizer(SPEAKS)).close()

        await away.close()


@pytest.mark.usefixtures("asks_soon")
async def test_when_all_regions_are_down_the_problem_names_each() -> None:
    async with two_regions() as (first, second, engine):
        for emulator in (first, second):
            emulator.lose_network()
        errors = [await refusal(engine) for _ in range(3)]

        assert isinstance(errors[-1], EngineUnavailable)
        for emulator in (first, second):
            assert emulator.url.removeprefix("ws://") in (engine.problem or "")


async def test_an_endpoint_for_one_service_is_not_asked_for_the_other() -> None:
    with running_emulator() as emulator:
        endpoints = [{"endpoint": emulator.url, "serves": "synthesis"}]
        async with opened({"endpoints": endpoints}) as engine:
            await (await engine.create_synthesizer(SPEAKS)).close()
            with pytest.raises(SettingsError, match="none serves recognition"):
                await engine.create_recognizer(LISTENS)


# --- the end -------------------------------------------------------------------------------------------------------


async def test_closing_is_bounded_while_connections_hang() -> None:
    with running_emulator(keys={"one": KEY}) as emulator:
        engine = create_engine(options(emulator.url, connectTimeoutSeconds=60))
        await engine.open()
        emulator.faults.set(Fault(at="upgrade", action="ignore"))
        waiting = asyncio.create_task(engine.create_synthesizer(SPEAKS))
        await emulator.until(lambda: emulator.counts.upgrades > 0, seconds=LIMIT_SECONDS)

        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(LIMIT_SECONDS):  # of the sixty that the connection might take
            await engine.close()


async def test_a_creation_that_is_cancelled_leaves_no_connection() -> None:
    with running_emulator(upgrade_seconds=0.2, keys={"one": KEY}) as emulator:
        async with opened(options(emulator.url)) as engine:
            for delay_seconds in (0.0, 0.01, 0.1, 0.19):
                waiting = asyncio.create_task(engine.create_synthesizer(SPEAKS))
                await asyncio.sleep(delay_seconds)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

            client = await engine.create_synthesizer(SPEAKS)

            await emulator.until(lambda: emulator.counts.open_sockets == 1, seconds=LIMIT_SECONDS)
            assert value(engine, "endpoint_usable") == 2
            await client.close()
