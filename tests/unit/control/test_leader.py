"""The election among operators, in virtual time: who leads, who gives up, and that two never lead at once."""

import asyncio
import contextlib
import copy
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.virtual import VIRTUAL, elapsed, new_virtual_loop, run

from speechpool.errors import SettingsError
from speechpool_operator.kube import KubeError, KubeUnavailable
from speechpool_operator.leader import Leader, LeaseLost, Record, Timing, is_free, renewed

TIMING = Timing()
NAME = "speechpool-operator"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/system/leases/{NAME}"


class Leases:
    """One Lease, kept as the API server keeps it: of two who write the same version one is refused."""

    def __init__(self):
        self.lease = None
        self.version = itertools.count(1)
        self.writes = 0

    @property
    def holder(self):
        return self.lease["spec"]["holderIdentity"] if self.lease else None

    def put(self, body):
        self.writes += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(next(self.version))
        return copy.deepcopy(self.lease)


class Client:
    """One candidate's way to the Leases; it can be cut, be slow, or lose answers."""

    def __init__(self, leases):
        self.leases = leases
        self.is_cut = False
        self.loses_answers = False
        self.seconds = 0.01

    async def _answer(self, act):
        if self.is_cut:
            await asyncio.sleep(5)  # one attempt of the real one
            raise KubeUnavailable("no answer")
        await asyncio.sleep(self.seconds)
        found = act()
        if self.loses_answers:
            await asyncio.sleep(15)
            raise KubeUnavailable("no answer")
        return found

    async def get(self, path):
        assert path == PATH

        def act():
            if self.leases.lease is None:
                raise KubeError(404, "NotFound", "")
            return copy.deepcopy(self.leases.lease)

        return await self._answer(act)

    async def create(self, path, body):
        assert path == PATH.rpartition("/")[0]

        def act():
            if self.leases.lease is not None:
                raise KubeError(409, "AlreadyExists", "")
            return self.leases.put(body)

        return await self._answer(act)

    async def replace(self, path, body):
        assert path == PATH

        def act():
            if self.leases.lease is None:
                raise KubeError(404, "NotFound", "")
            if body["metadata"]["resourceVersion"] != self.leases.lease["metadata"]["resourceVersion"]:
                raise KubeError(409, "Conflict", "")
            return self.leases.put(body)

        return await self._answer(act)


class Candidate:
    """An operator that takes part; its wall clock may be wrong."""

    def __init__(self, leases, identity, *, skew_seconds=0.0):
        self.client = Client(leases)
        clock = asyncio.get_running_loop().time
        self.leader = Leader(
            self.client,
            namespace="system",
            name=NAME,
            identity=identity,
            wall=lambda: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=clock() + skew_seconds),
        )
        self.task = asyncio.ensure_future(self.leader.run())

    async def stop(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LeaseLost):
            await self.task

    async def until_lost(self):
        with pytest.raises(LeaseLost):
            await self.task


async def kill(candidate):
    """End it without a word."""
    candidate.client.is_cut = True
    await candidate.stop()


async def leader_and_standby() -> tuple[Leases, Candidate, Candidate]:
    """Two candidates for one Lease, of whom the first leads."""
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    second = Candidate(leases, "second")
    return leases, first, second


@VIRTUAL
async def test_one_of_two_leads_and_goes_on():
    leases, first, second = await leader_and_standby()
    await asyncio.sleep(600)
    assert (first.leader.is_leading, second.leader.is_leading, second.leader.holder) == (True, False, "first")
    assert leases.writes == pytest.approx(600 / 2.2, rel=0.05)
    await first.stop()
    await second.stop()


@VIRTUAL
async def test_who_stops_gives_the_lease_back_and_the_next_leads_within_two_attempts():
    leases, first, second = await leader_and_standby()
    await asyncio.sleep(60)
    began = asyncio.get_running_loop().time()
    await first.stop()
    assert not first.leader.is_leading
    await second.leader.until_leading()
    assert elapsed(began) < 2 * 2.4
    assert leases.lease["spec"]["leaseTransitions"] == 1
    await second.stop()
    assert leases.holder == ""


@VIRTUAL
async def test_of_one_that_was_killed_the_lease_is_taken_when_it_has_ended():
    _, first, second = await leader_and_standby()
    await asyncio.sleep(60)
    began = asyncio.get_running_loop().time()
    await kill(first)
    await second.leader.until_leading()
    # it was renewed at most one pause before, which the other saw at most one pause later
    assert TIMING.lease - 2.5 <= elapsed(began) <= TIMING.lease + 2 * 2.5
    await second.stop()


@VIRTUAL
async def test_one_that_comes_back_under_its_name_leads_at_once():
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    await kill(first)
    began = asyncio.get_running_loop().time()
    again = Candidate(leases, "first")
    await again.leader.until_leading()
    assert elapsed(began) < 0.1
    assert leases.lease["spec"]["leaseTransitions"] == 0
    await again.stop()


@VIRTUAL
async def test_a_leader_without_the_api_server_gives_up_before_another_may_lead():
    _, first, second = await leader_and_standby()
    await asyncio.sleep(60)
    first.client.is_cut = True
    await asyncio.sleep(TIMING.renew)
    assert not first.leader.is_leading
    assert not second.leader.is_leading
    await first.until_lost()
    await second.leader.until_leading()
    await second.stop()


@VIRTUAL
async def test_a_short_failure_costs_nothing():
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    for _ in range(50):
        first.client.is_cut = True
        await asyncio.sleep(1)
        first.client.is_cut = False
        for _ in range(20):
            assert first.leader.is_leading
            await asyncio.sleep(0.5)
    await first.stop()


@VIRTUAL
async def test_one_who_was_frozen_does_not_lead_when_it_wakes(monkeypatch):
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    clock = asyncio.get_running_loop().time
    assert first.leader.is_leading
    monkeypatch.setattr(first.leader, "_clock", lambda: clock() + 3600)  # its process slept for an hour
    assert not first.leader.is_leading
    await first.until_lost()


@VIRTUAL
async def test_who_finds_another_in_its_place_ends():
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    leases.put({**leases.lease, "spec": {**leases.lease["spec"], "holderIdentity": "other", "renewTime": "now"}})
    await first.until_lost()
    assert leases.holder == "other"


@VIRTUAL
async def test_a_lease_that_was_deleted_is_made_again():
    leases = Leases()
    first = Candidate(leases, "first")
    await first.leader.until_leading()
    leases.lease = None
    await asyncio.sleep(8)
    assert (leases.holder, first.leader.is_leading) == ("first", True)
    await first.stop()


@VIRTUAL
async def test_clocks_that_are_hours_apart_make_no_difference():
    leases = Leases()
    first = Candidate(leases, "first", skew_seconds=-7200)
    await first.leader.until_leading()
    second = Candidate(leases, "second", skew_seconds=7200)
    await asyncio.sleep(300)
    assert (first.leader.is_leading, second.leader.is_leading) == (True, False)
    await kill(first)
    await second.leader.until_leading()
    await second.stop()


@VIRTUAL
async def test_an_answer_that_was_lost_is_found_again():
    """The Lease was written and the answer did not come: the next look says so."""
    leases = Leases()
    first = Candidate(leases, "first")
    first.client.loses_answers = True
    await asyncio.sleep(5)
    first.client.loses_answers = False
    async with asyncio.timeout(30):
        await first.leader.until_leading()
    await first.stop()


EVENTS = st.lists(
    st.tuples(st.sampled_from(["cut", "mend", "slow", "quick", "kill"]), st.integers(0, 2), st.floats(0.1, 30)),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_two_never_lead_at_once(events):
    """Whatever happens to three candidates, and the one that is left in the end leads."""

    async def act(candidates, what, number):
        candidate = candidates[number]
        if what == "kill":
            await kill(candidate)
        candidate.client.is_cut = {"cut": True, "mend": False}.get(what, candidate.client.is_cut)
        candidate.client.seconds = {"slow": 4.0, "quick": 0.01}.get(what, candidate.client.seconds)

    async def watch(candidates):
        while True:
            assert sum(one.leader.is_leading for one in candidates) <= 1
            await asyncio.sleep(0.2)

    async def story():
        leases = Leases()
        candidates = [Candidate(leases, name) for name in ("a", "b", "c")]
        watching = asyncio.ensure_future(watch(candidates))
        for what, number, seconds in events:
            await act(candidates, what, number)
            await asyncio.sleep(seconds)
        last = Candidate(leases, "last")
        for one in candidates:
            await kill(one)
        async with asyncio.timeout(60):
            await last.leader.until_leading()
        await last.stop()
        assert not watching.done(), watching.exception()
        watching.cancel()
        await asyncio.wait([watching])

    run(story(), new_virtual_loop())


@pytest.mark.parametrize(
    ("record", "seconds", "free"),
    [
        (Record(), 0, True),
        (Record(holder="me", seconds=15, renewed="t"), 0, True),
        (Record(holder="other", seconds=15, renewed="t"), 14.9, False),
        (Record(holder="other", seconds=15, renewed="t"), 15.1, True),
        (Record(holder="other", seconds=0, renewed=""), 0.1, True),
    ],
)
def test_a_lease_is_free_when_nobody_has_it_or_its_holder_let_it_end(record, seconds, free):
    assert is_free(record, "me", seconds) is free


def test_a_renewal_keeps_since_when_and_a_takeover_counts():
    first = renewed(Record(), "a", 15, "1")
    again = renewed(first, "a", 15, "2")
    taken = renewed(again, "b", 15, "3")
    assert (first.acquired, first.transitions) == ("1", 0)
    assert (again.acquired, again.renewed, again.transitions) == ("1", "2", 0)
    assert (taken.acquired, taken.holder, taken.transitions) == ("3", "b", 1)


@pytest.mark.parametrize("values", [{"renew": 15.0}, {"retry": 9.0}, {"retry": 0.0}, {"lease": 9.0}])
def test_times_that_could_let_two_lead_are_refused(values):
    with pytest.raises(SettingsError, match="timing must be"):
        Timing(**values)
