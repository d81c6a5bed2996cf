"""The settings in force while the sidecar runs: what changes, what stays, and what is told about it."""

import asyncio
import json
import logging

import pytest
from tests.virtual import run, tasks_left

from speechpool.config import ConfigStore
from speechpool.config.store import Outcome
from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.settings import Layer, Origin, Source, read_tree, settings_error


def file(tree, **facts):
    layer = read_tree(tree)
    return Layer(source=Source.FILE, values=layer.values, pools=layer.pools, **facts)


def operator(tree):
    return read_tree(tree, source=Source.OPERATOR)


def env(**values):
    return Layer(source=Source.ENVIRONMENT, values=values)


class Applier:
    """Stands for the running sidecar: notes what it gets; may be slow, or refuse."""

    def __init__(self):
        self.applied = []
        self.refusal = None
        self.gate = None
        self.began = asyncio.Event()

    async def __call__(self, old, new):
        self.began.set()
        if self.gate:
            await self.gate.wait()
        if self.refusal:
            raise self.refusal
        self.applied.append((old, new))


def bound(*layers):
    store, applier = ConfigStore(layers), Applier()
    store.bind(applier)
    return store, applier


def warm_size(store):
    return store.current.pools[0].warm_pool_size


def paths(changes):
    return [one.path for one in changes]


async def test_a_change_is_applied():
    store, applier = bound(env(max_size=9))
    before = store.current
    update = await store.update(file({"warmSize": 5}))
    assert update.outcome is Outcome.APPLIED
    assert paths(update.changes) == ["pools[tts].warmSize", "pools[stt].warmSize"]
    assert applier.applied == [(before, store.current)]
    assert warm_size(store) == 5
    assert (store.generation, update.generation) == (2, 2)


async def test_what_is_the_same_is_not_applied():
    store, applier = bound(env(warm_pool_size=5))
    before = store.hash
    update = await store.update(file({"warmSize": 5}))
    assert update.outcome is Outcome.UNCHANGED
    assert applier.applied == []
    assert (store.generation, store.hash) == (1, before)


async def test_the_same_value_from_a_stronger_source_changes_its_provenance():
    store, _ = bound(env(warm_pool_size=5))
    await store.update(file({"warmSize": 5}))
    assert store.resolved.provenance["pools[tts].warmSize"] == Origin(Source.FILE, "warmSize")


async def test_the_hash_is_that_of_the_settings():
    store, _ = bound()
    hashes = [store.hash]
    for tree in ({"warmSize": 5}, {"warmSize": 6}, {"warmSize": 5}):
        await store.update(file(tree))
        hashes.append(store.hash)
    assert hashes[1] == hashes[3]
    assert len(set(hashes)) == 3


async def test_a_source_that_is_removed_shows_what_is_below():
    store, _ = bound(env(warm_pool_size=2), file({"warmSize": 5}))
    await store.remove(Source.FILE)
    assert warm_size(store) == 2
    assert store.states[Source.FILE].present is False


async def test_what_does_not_fit_to_the_other_sources_changes_nothing():
    store, applier = bound(env(max_size=4))
    update = await store.update(file({"warmSize": 5, "logLevel": "debug"}))
    assert update.outcome is Outcome.REJECTED
    assert "warmSize (5) must be at most SPEECH_POOL_MAX_SIZE (4)" in update.problems[0]
    assert applier.applied == []
    assert store.current.log_level == "info"
    assert store.generation == 1


@pytest.mark.parametrize("refusal", [SettingsError("tts: no"), EngineUnavailable("no engine")])
async def test_what_the_sidecar_refuses_changes_nothing_and_is_told(refusal):
    store, applier = bound(file({"warmSize": 5}, location="/s.yaml", digest="aa"))
    applier.refusal = refusal
    before = store.resolved
    update = await store.update(file({"warmSize": 6}, location="/s.yaml", digest="bb"))
    assert update.outcome is Outcome.REJECTED
    assert update.problems == (str(refusal),)
    assert store.resolved is before
    state = store.states[Source.FILE]
    assert (state.ok, state.problems, state.digest, state.rejected_total) == (False, (str(refusal),), "aa", 1)


async def test_an_unforeseen_failure_is_not_hidden():
    store, applier = bound()
    applier.refusal = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        await store.update(file({"warmSize": 6}))
    assert store.generation == 1


async def test_after_a_refusal_the_next_good_content_is_applied():
    store, _ = bound(env(max_size=4))
    await store.update(file({"warmSize": 5}))
    await store.update(file({"warmSize": 4}))
    assert warm_size(store) == 4
    assert store.states[Source.FILE].ok
    assert store.states[Source.FILE].rejected_total == 1


async def test_a_refused_content_is_tried_again_when_another_source_changes():
    store, applier = bound(operator({"maxSize": 4}))
    await store.update(file({"warmSize": 5}))
    await store.update(operator({"maxSize": 8}))
    assert warm_size(store) == 5
    assert store.states[Source.FILE].ok
    assert len(applier.applied) == 2


async def test_a_second_try_that_fails_alike_is_not_counted_again():
    store, _ = bound(operator({"maxSize": 4}))
    await store.update(file({"warmSize": 5}))
    state = store.states[Source.FILE]
    await store.update(operator({"maxSize": 4, "maxWaiting": 3}))
    assert store.states[Source.FILE] == state


async def test_a_refused_content_is_forgotten_when_a_newer_one_cannot_be_read():
    store, _ = bound(operator({"maxSize": 4}))
    await store.update(file({"warmSize": 5}))
    store.refuse(Source.FILE, settings_error(["/s.yaml: not valid YAML."]))
    await store.update(operator({"maxSize": 8}))
    assert warm_size(store) == 3
    assert store.states[Source.FILE].problems == ("/s.yaml: not valid YAML.",)


# --- what needs a restart ------------------------------------------------------------------------------------------


async def test_what_needs_a_restart_is_pending_and_the_rest_is_applied():
    store, _ = bound()
    update = await store.update(file({"socket": "/new", "warmSize": 5}))
    assert update.outcome is Outcome.APPLIED
    assert paths(update.pending_restart) == paths(store.pending_restart) == ["socket"]
    assert store.current.socket is None
    assert warm_size(store) == 5


async def test_a_pending_value_keeps_the_provenance_of_the_running_one():
    store, _ = bound(env(socket="/old"))
    await store.update(file({"socket": "/new"}))
    assert store.resolved.provenance["socket"] == Origin(Source.ENVIRONMENT, "SPEECHPOOL_SOCKET")
    assert store.describe()["pendingRestart"] == [{"path": "socket", "running": "/old", "wanted": "/new"}]


async def test_what_is_pending_goes_when_it_is_taken_back():
    store, _ = bound()
    await store.update(file({"socket": "/new"}))
    await store.update(file({}))
    assert store.pending_restart == ()


async def test_what_is_pending_stays_through_changes_of_others():
    store, _ = bound()
    await store.update(file({"socket": "/new"}))
    update = await store.update(operator({"warmSize": 5}))
    assert paths(update.pending_restart) == ["socket"]
    assert store.current.socket is None


# --- one after the other -------------------------------------------------------------------------------------------


async def test_updates_are_applied_one_after_the_other():
    store, applier = bound()
    applier.gate = asyncio.Event()
    first = asyncio.create_task(store.update(file({"warmSize": 5})))
    await applier.began.wait()
    second = asyncio.create_task(store.update(operator({"maxWaiting": 5})))
    await asyncio.sleep(0)
    assert applier.applied == []
    applier.gate.set()
    assert [(await one).outcome for one in (first, second)] == [Outcome.APPLIED, Outcome.APPLIED]
    assert applier.applied[0][1] == applier.applied[1][0]


async def test_of_updates_that_wait_only_the_latest_is_applied():
    store, applier = bound()
    applier.gate = asyncio.Event()
    updates = [asyncio.create_task(store.update(file({"warmSize": 4})))]
    await applier.began.wait()
    updates += [asyncio.create_task(store.update(file({"warmSize": size}))) for size in range(5, 15)]
    await asyncio.sleep(0)
    applier.gate.set()
    outcomes = [(await one).outcome for one in updates]
    assert outcomes == [Outcome.APPLIED, *[Outcome.SUPERSEDED] * 9, Outcome.APPLIED]
    assert [new.pools[0].warm_pool_size for _, new in applier.applied] == [4, 14]


async def test_a_cancelled_update_is_applied_to_its_end():
    store, applier = bound()
    applier.gate = asyncio.Event()
    update = asyncio.create_task(store.update(file({"warmSize": 5})))
    await applier.began.wait()
    update.cancel()
    await asyncio.sleep(0)
    assert not update.done()
    applier.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await update
    assert warm_size(store) == 5
    assert len(applier.applied) == 1
    assert not tasks_left()


async def test_a_cancelled_update_that_is_refused_is_told_as_refused():
    store, applier = bound()
    applier.gate, applier.refusal = asyncio.Event(), SettingsError("no")
    update = asyncio.create_task(store.update(file({"warmSize": 5})))
    await applier.began.wait()
    update.cancel()
    await asyncio.sleep(0)
    applier.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await update
    assert store.states[Source.FILE].problems == ("no",)


async def test_an_update_that_is_cancelled_while_it_waits_does_not_happen():
    store, applier = bound()
    applier.gate = asyncio.Event()
    first = asyncio.create_task(store.update(file({"warmSize": 5})))
    await applier.began.wait()
    second = asyncio.create_task(store.update(operator({"warmSize": 9})))
    await asyncio.sleep(0)
    second.cancel()
    applier.gate.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert warm_size(store) == 5


def test_a_slow_application_holds_up_nothing_but_the_next():
    async def main():
        store = ConfigStore([])

        async def apply(old, new):
            await asyncio.sleep(30)

        store.bind(apply)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.update(file({"warmSize": 5})))
            await asyncio.sleep(1)
            assert warm_size(store) == 3
            assert store.describe()["generation"] == 1
        assert warm_size(store) == 5

    run(main())


# --- what is told --------------------------------------------------------------------------------------------------


async def test_the_description_is_json_and_whole():
    store, _ = bound(env(warm_pool_size=2))
    await store.update(file({"maxSize": 9}, location="/s.yaml", digest="aa", generation=7))
    described = json.loads(json.dumps(store.describe()))
    assert described["settings"]["pools"][0]["warmSize"] == 2
    assert described["provenance"]["pools[tts].maxSize"] == {"source": "file", "name": "maxSize"}
    assert described["provenance"]["engine"] == {"source": "default", "name": None}
    environment, from_file = described["sources"]
    assert environment["source"] == "environment"
    assert (from_file["location"], from_file["hash"], from_file["generation"]) == ("/s.yaml", "aa", 7)
    assert from_file["since"].endswith("Z")
    assert described["pendingRestart"] == described["warnings"] == []


async def test_an_unreadable_content_is_described_and_the_last_good_stays():
    store, _ = bound(file({"warmSize": 5}, location="/s.yaml"))
    store.refuse(Source.FILE, settings_error(["/s.yaml: not valid YAML."]), location="/s.yaml")
    (state,) = store.describe()["sources"]
    assert (state["ok"], state["present"], state["rejectedTotal"]) == (False, True, 1)
    assert state["problems"] == ["/s.yaml: not valid YAML."]
    assert warm_size(store) == 5


async def test_since_moves_only_when_the_state_does():
    store, _ = bound(file({"warmSize": 5}))
    since = store.states[Source.FILE].since
    await store.update(file({"warmSize": 6}))
    assert store.states[Source.FILE].since == since
    store.refuse(Source.FILE, settings_error(["x"]))
    refused = store.states[Source.FILE].since
    assert refused > since
    store.refuse(Source.FILE, settings_error(["x"]))
    assert store.states[Source.FILE].since == refused


async def test_each_update_is_told_to_the_metrics():
    store, told = ConfigStore([env(max_size=4)]), []
    store.bind(Applier(), lambda update: told.append((update.source, update.outcome)))
    await store.update(file({"warmSize": 5}))
    await store.update(file({"warmSize": 4}))
    store.refuse(Source.FILE, settings_error(["x"]))
    assert told == [
        (Source.FILE, Outcome.REJECTED),
        (Source.FILE, Outcome.APPLIED),
        (Source.FILE, Outcome.REJECTED),
    ]


async def test_what_happens_is_logged_once(caplog):
    caplog.set_level(logging.INFO, "speechpool.config.store")
    store, _ = bound()
    for _ in range(2):
        await store.update(file({"warmSize": 4, "socket": "/new"}))
    store.refuse(Source.FILE, settings_error(["x"]))
    applied, refused = caplog.records
    assert (applied.message, applied.source, applied.generation) == ("settings applied", "file", 2)
    assert applied.changes == ["pools[tts].warmSize", "pools[stt].warmSize"]
    assert applied.pending_restart == ["socket"]
    assert (refused.message, refused.levelname, refused.problems) == ("settings refused", "WARNING", ["x"])
