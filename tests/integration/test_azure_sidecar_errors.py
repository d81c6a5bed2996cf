"""What a caller of the sidecar is told of each thing that can go wrong with Azure, and that nothing is left of it."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import server as http_server
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.azure_sidecar import (
    KEY,
    TEXT,
    ask,
    azure_sidecar,
    footprint,
    http,
    in_order,
    settings_file,
    speech_pool,
    talking,
)
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, environment, eventually

from speechpool_azure_emulator import Fault, RunningEmulator, marks_in, running_emulator

LONG = TEXT * 10
WARM = 3
"""As many as may try one utterance: none of them waits for a connection to an endpoint that has just failed."""
RETRY_TEXT = "Throttled due to too many requests. Retry after 200 ms."
QUICK = {"firstChunkTimeoutSeconds": 5, "chunkGapTimeoutSeconds": 3}
POOL = speech_pool(warmSize=WARM)


@dataclass
class Place:
    """A sidecar with its Azure, and what it held before anything went wrong."""

    sidecar: Sidecar
    azure: RunningEmulator
    before: dict[str, int]

    def is_whole(self) -> bool:
        """Whether nothing is left over."""
        return all(now <= self.before[what] for what, now in footprint(self.sidecar).items())

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """What happens within has deadlines of seconds; all else has time however busy the machine is."""
        self.sidecar.apply_config(settings_file(POOL, **QUICK))
        yield
        self.sidecar.apply_config(settings_file(POOL))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        running_emulator(first_chunk_seconds=0.01) as azure,
        azure_sidecar(tmp_path_factory.mktemp("azure"), azure.url, POOL) as sidecar,
    ):
        for _ in range(2 * WARM):  # threads that stay once they were needed
            assert ask(sidecar).status_code == 200
        in_order(sidecar)
        yield Place(sidecar, azure, footprint(sidecar) | {"threads": footprint(sidecar)["threads"] + 5})


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    """The pool is whole again after each test, and the process holds no more than before."""
    shared.azure.reset_records()
    yield shared
    shared.azure.faults.clear()
    in_order(shared.sidecar)
    assert ask(shared.sidecar).status_code == 200  # two failures in a row would have the endpoint left alone
    eventually(shared.is_whole)


def told(reply: httpx.Response) -> tuple[int, str]:
    """Status and code; the text that was to be said is never part of an error."""
    assert TEXT not in reply.text
    assert KEY not in reply.text
    return reply.status_code, reply.json()["error"]["code"]


@pytest.fixture
def web_server() -> Iterator[Callable[[int], str]]:
    """Start a web server that answers everything with one status; returns its address."""
    with contextlib.ExitStack() as stack:
        yield lambda status: stack.enter_context(_answering(status))


@contextlib.contextmanager
def _answering(status: int) -> Iterator[str]:
    class Handler(http_server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class TestBeforeTheFirstByte:
    @pytest.mark.parametrize(
        "fault",
        [
            {"at": "request", "action": "freeze"},
            {"at": "request", "action": "reset"},
            {"at": "request", "action": "hang_up"},
            {"at": "request", "action": "close", "code": 1011},
            {"at": "turn_start", "action": "omit"},
        ],
        ids=str,
    )
    async def test_another_client_serves_and_nobody_notices(self, place: Place, fault: dict[str, Any]) -> None:
        place.azure.faults.set(Fault(**fault, times=1, kind="tts"))
        with place.impatient():
            async with talking(place.sidecar) as talk:
                await talk.send("speak", input=TEXT)
                events, audio = await talk.utterance()

        broken, served = place.azure.utterances
        assert (events[-1]["type"], events[-1]["attempts"], events[-1]["tier"]) == ("completed", 2, "warm")
        assert marks_in(audio) == {served.mark}
        assert broken.connection.number != served.connection.number

    @pytest.mark.parametrize(
        "fault",
        [
            {"code": 4429, "reason": RETRY_TEXT},
            {"code": 1007, "reason": RETRY_TEXT},
        ],
        ids=str,
    )
    def test_throttling_is_429_with_its_time_and_no_storm(self, place: Place, fault: dict[str, Any]) -> None:
        place.azure.faults.set(Fault(at="request", action="close", **fault))

        reply = ask(place.sidecar)

        assert told(reply) == (429, "engine_throttled")
        assert reply.headers["retry-after-ms"] == "200"
        assert place.azure.counts.utterances == 1

    def test_ssml_that_azure_refuses_is_400_with_its_reason_and_is_not_tried_again(self, place: Place) -> None:
        place.azure.faults.set(Fault(at="request", action="close", code=1007, reason="Ssml is invalid: bad break."))

        reply = ask(place.sidecar, "<speak>One <break time='x'/></speak>", input_type="ssml")

        assert told(reply) == (400, "engine_refused")
        assert "Ssml is invalid: bad break." in reply.json()["error"]["message"]
        assert reply.headers["x-should-retry"] == "false"
        assert place.azure.counts.utterances == 1

    def test_an_unknown_voice_is_400_and_does_not_go_to_azure(self, place: Place) -> None:
        reply = ask(place.sidecar, voice="en-US-NobodyNeural")

        assert told(reply) == (400, "voice_not_found")
        assert reply.json()["error"]["param"] == "voice"
        assert place.azure.counts.utterances == 0

    def test_a_voice_that_azure_does_not_know_is_400_too(self, place: Place) -> None:
        text = "<speak><voice name='en-US-NobodyNeural'>Hello.</voice></speak>"

        assert told(ask(place.sidecar, text, input_type="ssml")) == (400, "voice_not_found")

    def test_a_text_over_azures_limits_is_400_and_does_not_go_to_azure(self, place: Place) -> None:
        many = "<speak>" + "<voice name='en-US-AvaNeural'>a</voice>" * 51 + "</speak>"

        reply = ask(place.sidecar, many, input_type="ssml")

        assert told(reply) == (400, "input_too_long")
        assert "at most 50" in reply.json()["error"]["message"]
        assert place.azure.counts.utterances == 0

    def test_no_audio_at_all_is_no_success(self, place: Place) -> None:
        place.azure.faults.set(Fault(at="audio", action="omit", kind="tts"))

        assert told(ask(place.sidecar)) == (502, "engine_failed")


class TestInMidAudio:
    @pytest.mark.parametrize("action", ["close", "reset", "hang_up", "freeze"])
    def test_over_http_the_body_breaks_off(self, place: Place, action: str) -> None:
        place.azure.faults.set(Fault(at="audio", action=action, after_bytes=50_000, times=1))

        broken_off = pytest.raises(httpx.RemoteProtocolError, match="incomplete")
        with place.impatient(), http(place.sidecar) as client, broken_off:
            client.post("/v1/audio/speech", json={"input": LONG, "response_format": "pcm"})

        place.azure.wait_for(lambda: [each.state for each in place.azure.utterances] == ["broken"])

    @pytest.mark.parametrize("action", ["reset", "freeze"])
    async def test_over_the_websocket_an_error_says_so_and_the_next_is_whole(self, place: Place, action: str) -> None:
        place.azure.faults.set(Fault(at="audio", action=action, after_bytes=50_000, times=1))
        async with talking(place.sidecar) as talk:
            with place.impatient():
                await talk.send("speak", id="a", input=LONG)
                events, part = await talk.utterance()
            await talk.send("speak", id="b", input=TEXT)
            after, audio = await talk.utterance()

        assert events[-1]["type"] == "error"
        assert events[-1]["error"]["code"] in {"engine_failed", "engine_timeout"}
        assert events[-1]["audio_ms"] == round(len(part) / 48, 3)
        assert events[-1]["text"] == LONG[: events[-1]["characters"]]
        assert len(part) == 50_000
        assert after[-1]["type"] == "completed"
        assert marks_in(audio) == {place.azure.utterances[-1].mark}


class TestConnecting:
    def test_throttling_of_new_connections_is_429_with_its_time_and_no_storm(self, tmp_path: Path) -> None:
        with (
            running_emulator() as azure,
            azure_sidecar(tmp_path, azure.url, POOL, ready=False) as sidecar,
            http(sidecar) as client,
        ):
            azure.faults.set(Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=30))
            azure.faults.add(Fault(at="idle", action="close", code=1001))
            sidecar.listening("socket")
            eventually(lambda: "asks for fewer requests" in client.get("/readyz").text)
            replies = [ask(sidecar) for _ in range(10)]

        assert {told(reply) for reply in replies} == {(429, "engine_throttled")}
        assert all(0 < int(reply.headers["retry-after-ms"]) <= 40_000 for reply in replies)
        assert azure.counts.upgrades <= 4 * WARM

    def test_a_wrong_key_is_told_by_its_setting_and_a_right_one_serves(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text("b" * 32)
        with (
            running_emulator(keys={"right": KEY}) as azure,
            azure_sidecar(
                tmp_path,
                azure.url,
                speech_pool(warmSize=1),
                env={"AZURE_SPEECH_KEY_FILE": str(key)},
                ready=False,
            ) as sidecar,
            http(sidecar) as client,
        ):
            sidecar.listening("socket")
            eventually(lambda: "refused AZURE_SPEECH_KEY_FILE" in client.get("/readyz").text)
            assert client.get("/readyz").status_code == 503
            assert told(ask(sidecar)) == (502, "engine_authentication_failed")
            assert "b" * 32 not in sidecar.stderr_text

            key.write_text(KEY)
            eventually(lambda: client.get("/readyz").status_code == 200)
            assert ask(sidecar).status_code == 200

    @pytest.mark.parametrize(
        ("status", "message"), [(404, "has no speech service at"), (200, "speaks no WebSocket")], ids=str
    )
    def test_an_endpoint_that_speaks_no_websocket_is_told(
        self, tmp_path: Path, web_server: Callable[[int], str], status: int, message: str
    ) -> None:
        url = web_server(status)
        with (
            azure_sidecar(tmp_path, url, speech_pool(warmSize=1), ready=False) as sidecar,
            http(sidecar) as client,
        ):
            sidecar.listening("socket")
            eventually(lambda: message in client.get("/readyz").text)
            reply = ask(sidecar)

        assert told(reply) == (503, "engine_unavailable")
        assert message in reply.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("AZURE_SPEECH_REGION", "west europe"), ("AZURE_SPEECH_ENDPOINT", "ftp://x"), ("AZURE_SPEECH_KEY", "a b")],
    )
    def test_a_setting_that_cannot_be_right_ends_the_start_with_its_name(self, variable: str, value: str) -> None:
        given = {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_KEY": KEY, "AZURE_SPEECH_REGION": "westeurope"}
        done = subprocess.run(
            [sys.executable, "-m", "speechpool", "serve"],
            env=environment(**given | {variable: value}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

        assert done.returncode == 2
        assert variable in done.stderr
        assert KEY not in done.stderr
