"""What can go wrong around an operator goes wrong, and who speaks never notices: all of it comes back by itself."""

import signal
import time

import pytest
from tests.e2e.crowd import Mint
from tests.e2e.sidecars import sidecar_of, waited
from tests.e2e.stormy import WITH_METRICS, contact_of, generation_of, operator_source, rig
from tests.e2e.strangers import counters
from tests.integration.sidecar import eventually

RESTARTS = "speechpool_operator_watch_restarts_total"
PUSHES = "speechpool_operator_pushes_total"
OURS = ("speechpools", "pods_with_a_sidecar", "pods_that_ask_for_one")


@pytest.fixture(scope="module")
def whole_rig(stormy_api, tmp_path_factory):
    with rig(stormy_api, tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture
def storm(whole_rig):
    """The rig, which is as well after the test as before."""
    yield whole_rig
    whole_rig.is_well()


def begun_anew(storm, before, *names):
    """Wait until these watches were begun anew."""
    now = lambda: counters(storm.operator, RESTARTS)  # noqa: E731 -- one expression
    waited(lambda: all(now()[name] > before[name] for name in names), now)


def joins(storm, name, app="voice"):
    """A sidecar more, which follows the operator as soon as it can."""
    storm.calls.pod(name, app=app)
    return storm.crowd.join(name, storm.api.token(storm.calls.name, name))


def leaves(storm, name):
    """Take it and its pod away."""
    storm.crowd.leave(name)
    storm.api.delete(f"{storm.calls.pods}/{name}", grace_seconds=0)


def test_watches_that_expire_are_listed_anew_without_a_word_to_those_who_have_it_all(storm):
    """410: what was deleted meanwhile is seen to be gone, and nothing is sent twice."""
    storm.calls.apply("other", 1, app="other", pools=[{"name": "tts", "kind": "TextToSpeech"}])
    lonely = joins(storm, "lonely", app="other")
    waited(lambda: lonely.generation == 1, lambda: lonely.facts)
    pushes, restarts = counters(storm.operator, PUSHES)[""], counters(storm.operator, RESTARTS)
    storm.gateway.silence()
    storm.calls.delete("other")
    storm.gateway.end_watches()
    begun_anew(storm, restarts, *OURS)
    waited(lambda: lonely.generation == 0, lambda: lonely.facts)
    assert counters(storm.operator, PUSHES)[""] == pushes + 1
    leaves(storm, "lonely")


def test_an_api_server_that_has_too_much_to_do_is_asked_later(storm):
    for asked, times in (("GET .*speechpools", 3), ("GET .*/pods", 3), ("PATCH .*/status", 2), ("tokenreviews", 2)):
        storm.gateway.fail((429, {"retry-after": "1"}), times, asked)
    storm.gateway.end_watches()
    late = joins(storm, "late")
    storm.is_well()
    assert late.generation
    waited(lambda: not storm.gateway.owes, lambda: storm.gateway.owes)
    leaves(storm, "late")


def test_watches_that_died_without_a_word_are_noticed_and_begun_anew(storm):
    restarts = counters(storm.operator, RESTARTS)
    storm.gateway.silence()
    generation = storm.edit()
    storm.crowd.all_run(generation)
    begun_anew(storm, restarts, *OURS, "speechpools_by_kopf")
    storm.operator.wait_for_log("kopf fell silent")


def test_a_frozen_api_server_is_told_of_and_missed_by_nobody_who_is_connected(storm):
    storm.calls.pod("new")
    token, reconnects = storm.api.token(storm.calls.name, "new"), storm.crowd.reconnects
    storm.api.apiserver.send(signal.SIGSTOP)
    try:
        new = storm.crowd.join("new", token)
        told = lambda: storm.operator.get("/healthz")  # noqa: E731 -- one expression
        waited(lambda: told()[0] == 503 and all(f"watch {name}: not true" in told()[1] for name in OURS), told)
        assert storm.operator.get("/livez")[0] == 200
        assert not new.stream.connected
        others = [one for one in storm.crowd.members.values() if one is not new]
        assert all(one.stream.connected for one in others)
        assert sum(one.facts["reconnectsTotal"] for one in others) == reconnects
        storm.callers.check()
    finally:
        storm.api.apiserver.send(signal.SIGCONT)
    storm.is_well()
    leaves(storm, "new")


@pytest.mark.parametrize("name", ["apiserver", "etcd"])
def test_a_killed_part_of_the_api_is_waited_for(storm, name):
    storm.calls.pod("new")
    token, part = storm.api.token(storm.calls.name, "new"), getattr(storm.api, name)
    part.end(signal.SIGKILL)
    new = storm.crowd.join("new", token)
    waited(lambda: new.facts["reconnectsTotal"] > 0, lambda: new.facts)
    assert not new.stream.connected
    part.start()
    storm.api.wait_ready()
    storm.is_well()
    leaves(storm, "new")


def test_a_stream_ends_with_its_token_and_comes_back_with_the_next_one(storm):
    storm.calls.pod("short")
    lasting = storm.api.token(storm.calls.name, "short")
    ending = Mint(storm.api, lasting).token(exp=int(time.time()) + 3)
    used = lambda: [token for token in storm.gateway.reviewed if token in (ending, lasting)]  # noqa: E731 -- one expression
    short = storm.crowd.join("short", ending)
    waited(lambda: short.generation > 0, lambda: short.facts)
    assert set(used()) == {ending}
    storm.crowd.give_token("short", lasting)
    storm.operator.wait_for_log("sidecar gone", pod="short", reason="TokenExpired")
    waited(lambda: used()[-1] == lasting and short.stream.connected, lambda: (len(used()), short.facts))
    storm.is_well()
    assert used()[-1] == lasting
    leaves(storm, "short")


def test_a_frozen_operator_is_missed_in_the_sidecars_and_blames_nobody_when_it_wakes(storm):
    storm.operator.signal(signal.SIGSTOP)
    try:
        eventually(lambda: not any(one.stream.connected for one in storm.crowd.members.values()))
        last_heard_at = is_missed(storm.sidecar)
        generation = storm.edit()
        storm.callers.check()
    finally:
        storm.operator.signal(signal.SIGCONT)
    is_heard(storm.sidecar, last_heard_at)

    def all_are_there():
        status = storm.calls.status("voice")
        assert not any(one["type"] == "Stale" for one in status["conditions"]), status
        return status["observedGeneration"] == generation and status["synced"] == len(storm.crowd.members) + 1

    waited(all_are_there, lambda: storm.calls.status("voice"))


def is_missed(sidecar):
    """A real sidecar tells people and Prometheus that its operator is away, and since when; that time."""
    waited(lambda: not contact_of(sidecar)[0], lambda: (contact_of(sidecar), operator_source(sidecar)))
    source, (_, last_heard_at) = operator_source(sidecar), contact_of(sidecar)
    assert not source["connection"]["connected"]
    assert source["ok"]
    assert 0 < last_heard_at < time.time()
    return last_heard_at


def is_heard(sidecar, after):
    """And that it is back, and says something."""
    waited(lambda: contact_of(sidecar) > (True, after), lambda: (contact_of(sidecar), operator_source(sidecar)))
    assert operator_source(sidecar)["connection"]["connected"]


def test_without_an_operator_a_sidecar_starts_with_what_it_had_and_follows_the_next_one(storm):
    storm.calls.pod("again")
    place = storm.directory / "again"
    with sidecar_of(storm.calls, "again", storm.operator, place) as sidecar:
        generation = storm.edit()
        waited(lambda: generation_of(sidecar) == generation, lambda: operator_source(sidecar))
        eventually(lambda: f'generation\\":{generation},' in (place / "state" / "operator-settings.json").read_text())
    storm.operator.kill()
    last_heard_at = is_missed(storm.sidecar)
    with sidecar_of(storm.calls, "again", storm.operator, place, **WITH_METRICS) as sidecar:
        assert generation_of(sidecar) == generation
        assert contact_of(sidecar) == (False, 0)
        assert sidecar.client.get_json("/v1/pools/tts")["warm_pool_target"] == 1 + storm.size % 2
        storm.calls.delete("voice")  # and another one of the name is made, whose generations begin anew
        storm.calls.apply("voice", 1, pools=[{"name": "tts", "kind": "TextToSpeech"}])
        storm.start_operator()
        waited(lambda: generation_of(sidecar) == 1, lambda: operator_source(sidecar))
        is_heard(storm.sidecar, last_heard_at)
    storm.api.delete(f"{storm.calls.pods}/again", grace_seconds=0)
