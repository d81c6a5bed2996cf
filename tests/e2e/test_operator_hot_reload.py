"""Settings that change all the time while people speak: nobody notices, and what is asked for is reached."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from tests.e2e.callers import calling
from tests.e2e.sidecars import Calls, sidecar_of, waited
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar

CHANGES = 200
IN_A_ROW = 10
"""Changes without a pause; then the newest is waited for, so that it is not the last one alone that is ever applied."""
FAILURES = ("_error", "_timeout", "_rejected", "_failed", "_foreign", "_second")
LAST = {"warmSize": 3, "warmupIntervalSeconds": 7.5, "sessionMaxAgeSeconds": 1234}


def change(number: int) -> dict[str, float]:
    """The settings after so many changes: each of the three is another than before, and clients expire in between."""
    if number == CHANGES:
        return LAST
    return {
        "warmSize": 1 + number % 4,
        "warmupIntervalSeconds": 0.5 + number % 7,
        "sessionMaxAgeSeconds": 1 + number % 3,
    }


def in_force(sidecar: Sidecar) -> tuple[int, dict[str, float]]:
    """The generation that a sidecar says it runs, and what it runs."""
    config = sidecar.client.get_json("/v1/config")
    [source] = [one for one in config["sources"] if one["source"] == "operator"]
    [pool] = config["settings"]["pools"]
    return int(source["generation"] or 0), {name: pool[name] for name in LAST}


class Watcher:
    """Asks a sidecar all the time what it runs."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._is_over = threading.Event()
        self.seen: list[tuple[int, dict[str, float]]] = []

    def run(self) -> None:
        while not self._is_over.wait(0.03):
            self.seen.append(in_force(self._sidecar))

    def stop(self) -> None:
        self._is_over.set()


@contextlib.contextmanager
def watching(sidecar: Sidecar) -> Iterator[Watcher]:
    watcher = Watcher(sidecar)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.stop()
        thread.join(PATIENCE_SECONDS)


def apply_all(calls: Calls, sidecar: Sidecar) -> dict[int, dict[str, float]]:
    """Make every change; what each generation sets."""
    path, made = f"{calls.path}/voice", {}
    for number in range(1, CHANGES + 1):
        answer: dict[str, Any] = calls.api.patch(path, {"spec": change(number)})
        made[int(answer["metadata"]["generation"])] = change(number)
        if number % IN_A_ROW == 0:
            newest = max(made)
            waited(lambda newest=newest: in_force(sidecar)[0] == newest, lambda: in_force(sidecar))
    return made


def test_two_hundred_changes_while_people_speak(pools_api, control_plane, tmp_path):
    calls = Calls(pools_api)
    calls.pod("a")
    calls.apply("voice", 2, pools=[{"name": "tts", "kind": "TextToSpeech"}], **change(0))
    with sidecar_of(calls, "a", control_plane, tmp_path / "a") as sidecar:
        waited(lambda: in_force(sidecar)[0] == 1, lambda: in_force(sidecar))
        with calling(sidecar, http=1, websocket=2) as callers, watching(sidecar) as watcher:
            set_by = {1: change(0)} | apply_all(calls, sidecar)
        assert in_force(sidecar) == (max(set_by), LAST)
        assert max(set_by) == CHANGES + 1
        told = [generation for generation, _ in watcher.seen]
        assert told == sorted(told)
        assert len(set(told)) > CHANGES / IN_A_ROW
        assert all(values == set_by[generation] for generation, values in watcher.seen)
        assert callers.heard["http"] + callers.heard["websocket"] > CHANGES / IN_A_ROW
        sidecar.settled()
        pool = sidecar.client.get_json("/v1/pools/tts")
        assert LAST["warmSize"] == pool["warm_pool_target"] <= pool["warm_pool_size"] <= pool["keep_size"]
        assert not any(count for name, count in pool["metrics"].items() if name.endswith(FAILURES))
        counts = {"matched": 1, "connected": 1, "synced": 1, "failed": 0, "observedGeneration": max(set_by)}
        calls.becomes("voice", Synced="True/AllSynced", Ready="True/AllWarm", counts=counts)
        calls.api.patch(f"{calls.path}/voice", {"spec": {"warmSize": 2}})
        size = lambda: sidecar.client.get_json("/v1/pools/tts")["warm_pool_size"]  # noqa: E731 -- one expression
        waited(lambda: size() == 2, size)  # with nobody there, not one more than that
