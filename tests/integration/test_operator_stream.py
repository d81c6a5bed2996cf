"""The sidecar as a process, and a server that plays its operator: real TLS, real WebSockets, real pools."""

import signal
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.integration.played_operator import PlayedOperator, operator, settings
from tests.integration.sidecar import ONE_VOICE, PATIENCE_SECONDS, Sidecar, eventually, running_sidecar

from speechpool.settings.wire import Applying, Hello, NoSettings

__all__ = ["operator"]

TTS = {"pools": [{"name": "tts", "kind": "TextToSpeech"}]}


def following(operator: PlayedOperator, directory: Path, **options: Any) -> Any:
    """A sidecar that follows it, with one voice unless the operator says otherwise."""
    return running_sidecar(
        directory,
        "--telemetry-address",
        "127.0.0.1:0",
        **{"config": ONE_VOICE, "env": operator.env, **options},
    )


def operator_source(sidecar: Sidecar) -> dict[str, Any]:
    sources = sidecar.client.get_json("/v1/config")["sources"]
    return next(one for one in sources if one["source"] == "operator")


def warm_wanted(sidecar: Sidecar) -> dict[str, int]:
    return {one["name"]: one["warm_pool_target"] for one in sidecar.client.get_json("/v1/pools")["data"]}


def metric(sidecar: Sidecar, name: str) -> float:
    with urllib.request.urlopen(f"http://{sidecar.listening('telemetryAddress')}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[-1])


class TestSettings:
    def test_what_an_object_sets_is_applied_told_and_shown(self, operator: PlayedOperator, tmp_path: Path) -> None:
        first = settings(1, warmSize=2, **TTS)
        operator.greeting = first
        with following(operator, tmp_path) as sidecar:
            state = operator.wait_for_state(first)
            shown = sidecar.client.get_json("/v1/config")

            assert state.applied == first.revision
            assert state.applied_at.endswith("Z")
            assert state.pools["tts"].wanted == 2
            assert operator.heard[0] == Hello(version="0.1.0", applied=None)
            assert shown["settings"]["pools"][0]["warmSize"] == 2
            assert shown["provenance"]["pools[tts].warmSize"] == {
                "source": "operator",
                "name": "warmSize",
                "object": "calls/voice",
                "uid": "uid-1",
                "generation": 1,
            }
            source = operator_source(sidecar)
            assert (source["present"], source["ok"], source["hash"]) == (True, True, first.revision.hash)
            assert source["connection"]["connected"] is True
            assert metric(sidecar, "speechpool_operator_connected") == 1
            assert metric(sidecar, "speechpool_operator_last_contact_seconds") > 1e9
            assert metric(sidecar, 'speechpool_config_generation{source="operator"}') == 1

    def test_open_sessions_and_calls_under_way_are_told(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.heartbeat_seconds = 0.1
        with following(operator, tmp_path) as sidecar:
            operator.wait_until(lambda: [one for one in operator.states if (one.sessions, one.busy) == (0, 0)])
            with sidecar.client.speak("This is said for a while. " * 40, session_id="call", response_format="pcm"):
                operator.wait_until(lambda: operator.states[-1].busy == 1)
                assert operator.states[-1].sessions == 1
            operator.wait_until(lambda: operator.states[-1].busy == 0)
            assert operator.states[-1].sessions == 1

    def test_an_edit_and_a_deletion_reach_the_pools(self, operator: PlayedOperator, tmp_path: Path) -> None:
        with following(operator, tmp_path) as sidecar:
            edits = [settings(number, warmSize=size, **TTS) for number, size in enumerate((2, 3, 1), 1)]
            for edit in edits:
                operator.send(edit)
                operator.wait_for_state(edit)
                assert warm_wanted(sidecar)["tts"] == edit.spec["warmSize"]

            operator.send(NoSettings(reason="no SpeechPool selects this pod"))
            operator.wait_for_state(None)

            assert warm_wanted(sidecar) == {"tts": ONE_VOICE["pools"][0]["warmSize"]}
            assert operator_source(sidecar)["present"] is False
            assert operator.states[-1].applied is None

    def test_an_object_that_was_made_again_counts_from_one(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.greeting = settings(9, uid="old", warmSize=2, **TTS)
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)
            again = settings(1, uid="new", warmSize=3, **TTS)
            operator.send(again)
            operator.wait_for_state(again)

            assert warm_wanted(sidecar)["tts"] == 3

    def test_an_older_generation_is_ignored(self, operator: PlayedOperator, tmp_path: Path) -> None:
        newer = settings(7, warmSize=2, **TTS)
        operator.greeting = newer
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(newer)
            operator.say(settings(6, warmSize=5, **TTS))
            sidecar.wait_for_log("older settings ignored")

            assert warm_wanted(sidecar)["tts"] == 2
            operator.wait_for_state(newer)

    def test_what_is_refused_is_told_with_the_reason_and_the_last_good_stays(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        good, wrong = settings(1, warmSize=2, **TTS), settings(2, warmSize=2000, maxColour=1, **TTS)
        relation = settings(3, warmSize=5, maxSize=4, **TTS)
        mended = settings(4, warmSize=3, **TTS)
        operator.greeting = good
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(good)
            for bad, facts in ((wrong, ("warmSize", "2000", "maxColour")), (relation, ("warmSize (5)", "maxSize (4)"))):
                operator.send(bad)
                state = operator.wait_for_state(bad, "rejected")
                assert state.applied == good.revision
                assert all(fact in state.error for fact in facts)
                assert warm_wanted(sidecar)["tts"] == 2
                assert operator_source(sidecar)["ok"] is False
            assert metric(sidecar, "speechpool_operator_nacks_total") == 2

            operator.send(mended)
            operator.wait_for_state(mended)
            assert warm_wanted(sidecar)["tts"] == 3
            with sidecar.client.speak("Hello.") as speech:
                assert speech.read()

    def test_what_another_source_made_good_is_told_as_applied(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.greeting = settings(1, warmSize=5)
        with following(operator, tmp_path, config={**ONE_VOICE, "maxSize": 4}) as sidecar:
            operator.wait_for_state(operator.greeting, "rejected")
            sidecar.write_config({"pools": [{"name": "tts", "kind": "TextToSpeech"}], "maxSize": 8})

            assert operator.wait_for_state(operator.greeting).applied == operator.greeting.revision


class TestAbsence:
    def test_it_starts_and_serves_without_an_operator(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.stop()
        with following(operator, tmp_path) as sidecar:
            sidecar.wait_for_log("operator not connected")

            source = operator_source(sidecar)
            assert source["present"] is False
            assert source["connection"]["connected"] is False
            assert source["connection"]["problem"]
            assert metric(sidecar, "speechpool_operator_connected") == 0
            with sidecar.client.speak("Hello.") as speech:
                assert speech.read()

    def test_it_finds_the_operator_again(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)
            operator.stop()
            sidecar.wait_for_log("operator not connected")
            assert warm_wanted(sidecar)["tts"] == 2

            operator.greeting = settings(2, warmSize=3, **TTS)
            operator.start()
            operator.wait_for_state(operator.greeting)

            assert warm_wanted(sidecar)["tts"] == 3
            assert operator.hellos[-1].applied == settings(1, warmSize=2, **TTS).revision
            assert metric(sidecar, "speechpool_operator_reconnects_total") >= 1

    def test_the_last_good_settings_outlive_the_sidecar(self, operator: PlayedOperator, tmp_path: Path) -> None:
        good = settings(4, warmSize=2, **TTS)
        operator.greeting = good
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(good)
            operator.send(settings(5, warmSize=2000))
            operator.wait_for_state(operator.greeting, "rejected")
            eventually((tmp_path / "state" / "operator-settings.json").exists)
        operator.stop()

        with following(operator, tmp_path) as sidecar:
            assert warm_wanted(sidecar)["tts"] == 2
            assert operator_source(sidecar)["generation"] == 4
            operator.greeting = good
            operator.start()
            assert operator.wait_until(lambda: operator.hellos[1:])[-1].applied == good.revision

    def test_without_an_object_there_is_no_last_good(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.greeting = settings(4, warmSize=2, **TTS)
        kept = tmp_path / "state" / "operator-settings.json"
        with following(operator, tmp_path):
            operator.wait_for_state(operator.greeting)
            eventually(kept.exists)
            operator.send(NoSettings())
            operator.wait_for_state(None)

            assert eventually(lambda: not kept.exists())

    def test_a_damaged_last_good_is_ignored(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.stop()
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "operator-settings.json").write_text("\x00" * 100)
        with following(operator, tmp_path) as sidecar:
            sidecar.wait_for_log("last good settings ignored")

            assert warm_wanted(sidecar) == {"tts": 1}

    def test_a_state_directory_that_cannot_be_written_is_told_and_harms_nobody(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        (tmp_path / "file").write_text("")
        env = operator.env | {"SPEECHPOOL_STATE_DIR": str(tmp_path / "file" / "state")}
        with following(operator, tmp_path, env=env) as sidecar:
            operator.wait_for_state(operator.greeting)

            sidecar.wait_for_log("last good settings not kept")


class TestTrust:
    def test_another_authority_is_refused_until_its_certificate_is_in_the_file(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        right = operator.ca_file.read_bytes()
        trustme.CA().cert_pem.write_to_path(str(operator.ca_file))
        with following(operator, tmp_path) as sidecar:
            told = sidecar.wait_for_log("operator not connected")
            assert "certificate is not trusted" in told["reason"]
            assert operator.connected == operator.refused == 0

            operator.ca_file.write_bytes(right)
            operator.wait_for_state(operator.greeting)

    def test_a_certificate_for_another_host_is_refused(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.stop()
        operator.start(("another.host",))
        with following(operator, tmp_path) as sidecar:
            told = sidecar.wait_for_log("operator not connected")

            assert "not valid for 'localhost'" in told["reason"]
            assert operator.connected == operator.refused == 0

    def test_a_token_that_expired_is_replaced_by_the_one_in_the_file(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        operator.token = "the-next-token"
        with following(operator, tmp_path) as sidecar:
            told = sidecar.wait_for_log("operator not connected")
            assert "401" in told["reason"]

            operator.token_file.write_text("the-next-token")
            operator.wait_for_state(operator.greeting)

        assert "token-of-a-pod" not in sidecar.stderr_text
        assert "the-next-token" not in sidecar.stderr_text

    def test_a_file_without_a_token_is_told_and_not_shown(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.token_file.write_text("two words")
        with following(operator, tmp_path, ready=False) as sidecar:
            told = sidecar.wait_for_log("operator not connected")

            assert "operatorTokenFile" in told["reason"]
            assert "two words" not in sidecar.stderr_text
            assert operator.connected == operator.refused == 0


class TestStandstill:
    @pytest.mark.parametrize("is_frozen", [False, True])
    def test_the_end_does_not_wait_for_the_operator(
        self, operator: PlayedOperator, tmp_path: Path, is_frozen: bool
    ) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)
            if is_frozen:
                operator.freeze()
            sidecar.signal(signal.SIGTERM)

            assert sidecar.wait() == 0
            assert [record["message"] for record in sidecar.logs[-2:]] == ["sidecar stopping", "sidecar stopped"]

    def test_the_end_does_not_wait_for_an_operator_that_never_answered(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        operator.freeze()
        with following(operator, tmp_path) as sidecar:
            assert sidecar.client.not_ready_reason() is None
            assert sidecar.stop() == 0

    def test_a_frozen_operator_is_noticed_and_found_again(self, operator: PlayedOperator, tmp_path: Path) -> None:
        operator.heartbeat_seconds = 0.2
        operator.greeting = settings(1, warmSize=2, **TTS)
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)
            operator.wait_until(lambda: len(operator.states) > 2)  # it has heard how often there are heartbeats
            operator.freeze()
            told = sidecar.wait_for_log("operator not connected")
            assert "silent for 0.6 s" in told["reason"]
            eventually(lambda: metric(sidecar, "speechpool_operator_connected") == 0)
            with sidecar.client.speak("Hello.") as speech:
                assert speech.read()

            operator.greeting = settings(2, warmSize=3, **TTS)
            operator.thaw()
            operator.wait_for_state(operator.greeting)

    def test_a_frozen_sidecar_has_the_newest_settings_when_it_goes_on(
        self, operator: PlayedOperator, tmp_path: Path
    ) -> None:
        operator.greeting = settings(1, warmSize=2, **TTS)
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)
            sidecar.signal(signal.SIGSTOP)
            for generation in range(2, 30):
                operator.send(settings(generation, warmSize=1 + generation % 3, **TTS))
            sidecar.signal(signal.SIGCONT)
            operator.wait_for_state(settings(29, warmSize=3, **TTS))

            assert warm_wanted(sidecar)["tts"] == 3


class TestLoad:
    def test_no_utterance_is_cut_while_the_settings_change(self, operator: PlayedOperator, tmp_path: Path) -> None:
        """Twenty changes of sizes, intervals and ages under three speakers."""
        operator.greeting = settings(1, warmSize=2, **TTS)
        text = "The settings change while this is said, and nobody hears it."
        failures: list[Exception] = []
        lengths: set[int] = set()
        stop = threading.Event()
        with following(operator, tmp_path) as sidecar:
            operator.wait_for_state(operator.greeting)

            def speak() -> None:
                try:
                    while not stop.is_set():
                        with sidecar.client.speak(text, response_format="pcm") as speech:
                            lengths.add(len(speech.read()))
                except Exception as error:  # noqa: BLE001 # whatever it is, the test fails with it
                    failures.append(error)

            speakers = [threading.Thread(target=speak) for _ in range(3)]
            for speaker in speakers:
                speaker.start()
            for generation in range(2, 22):
                change = settings(
                    generation,
                    warmSize=1 + generation % 4,
                    maxWarmSize=4 + generation % 3,
                    warmupIntervalSeconds=1 + generation % 5,
                    sessionMaxAgeSeconds=600 + generation,
                    **TTS,
                )
                operator.send(change)
                operator.wait_for_state(change)
            stop.set()
            for speaker in speakers:
                speaker.join(PATIENCE_SECONDS)

            assert failures == []
            assert min(lengths) > 0.98 * max(lengths)  # the engine's own pauses differ by milliseconds
            sidecar.settled()
            pool = sidecar.client.get_json("/v1/pools")["data"][0]
            assert pool["metrics"]["allocations_error"] == 0
            assert operator.states[-1].state is Applying.APPLIED
            assert operator.connected == 1
