"""Whose sidecar is upgraded, and when nobody's is: in a small world with a kubelet and a clock of its own."""

import dataclasses
import random
from collections import Counter
from itertools import pairwise
from typing import Final

import pytest

from speechpool_operator.sidecars import Sidecar
from speechpool_operator.upgrade.planner import Limits, Planner, Standing
from speechpool_operator.upgrade.pods import SidecarPod, read_sidecar_pod, repository

OLD, NEW = "speechpool/sidecar:1", "speechpool/sidecar:2"


class World:
    """Pods, what the operator knows of them, and a kubelet that takes some seconds to bring a sidecar back."""

    def __init__(self, *, limits: Limits | None = None, takes_seconds: float = 4.0) -> None:
        self.now = 0.0
        self.takes_seconds = takes_seconds
        self.limits = limits or Limits(per_minute=60.0, back_seconds=30.0)
        self.planner = Planner(NEW, self.limits)
        self.pods: dict[str, SidecarPod] = {}
        self.sidecars: dict[str, Sidecar] = {}
        self.upgraded: list[tuple[float, str]] = []
        self.coming: dict[str, float] = {}
        self.never: set[str] = set()

    def add(
        self, name: str, *, owner: str = "", image: str = OLD, sessions: int | None = 0, busy: int | None = 0
    ) -> None:
        self.pods[name] = SidecarPod(
            namespace="calls",
            name=name,
            uid=name,
            owner=owner or name,
            index=0,
            image=image,
            container=f"{name}-1",
            is_started=True,
            is_running=True,
        )
        self.sidecars[name] = Sidecar(
            namespace="calls", pod=name, uid=name, connected=True, ready=True, sessions=sessions, busy=busy
        )

    def change(self, name: str, **changes: object) -> None:
        self.pods[name] = dataclasses.replace(self.pods[name], **changes)

    def say(self, name: str, **changes: object) -> None:
        self.sidecars[name] = dataclasses.replace(self.sidecars[name], **changes)

    def restart_upgrader(self) -> None:
        self.planner = Planner(NEW, self.limits)

    def look(self):
        """One round: what the planner decides is done at once."""
        for name in [name for name, at in self.coming.items() if at <= self.now and name not in self.never]:
            del self.coming[name]
            restarts = self.pods[name].restarts
            self.change(name, container=f"{name}-{restarts + 1}", is_started=True, is_broken=False)
            self.say(name, connected=True, ready=True)
        plan = self.planner.plan(list(self.pods.values()), self.sidecars.values(), self.now)
        for pod in plan.upgrade:
            self.upgraded.append((self.now, pod.name))
            restarts = pod.restarts + 1
            self.change(pod.name, image=NEW, container="", is_started=False, restarts=restarts)
            self.say(pod.name, connected=False, ready=False)
            self.coming[pod.name] = self.now + self.takes_seconds
        return plan

    def run(self, seconds: float):
        """Rounds, a second apart; the last plan."""
        end = self.now + seconds
        while True:
            plan = self.look()
            if self.now >= end:
                return plan
            self.now += 1.0

    def standing(self, name: str) -> Standing:
        return self.look().standings[name]

    @property
    def order(self) -> list[str]:
        return [name for _, name in self.upgraded]


class TestWhoIsUpgraded:
    def test_all_are_in_the_end(self) -> None:
        world = World()
        for number in range(7):
            world.add(f"voice-{number}", owner="rs")

        counts = world.run(60).counts

        assert counts == {Standing.CURRENT: 7}
        assert world.order == [f"voice-{number}" for number in range(7)]

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"sessions": 1}, Standing.BUSY),
            ({"busy": 1}, Standing.BUSY),
            ({"sessions": None}, Standing.BUSY),
            ({"busy": None}, Standing.BUSY),
            ({"connected": False}, Standing.NOT_WELL),
            ({"silent": True}, Standing.NOT_WELL),
            ({"ready": False}, Standing.NOT_WELL),
        ],
        ids=str,
    )
    def test_never_one_with_sessions_or_one_that_is_not_well(self, changes: dict, expected: Standing) -> None:
        world = World()
        world.add("voice")
        world.say("voice", **changes)

        assert world.run(300).standings == {"voice": expected}
        assert world.upgraded == []

    def test_one_that_the_operator_does_not_know_is_left(self) -> None:
        world = World()
        world.add("voice")
        world.sidecars.clear()

        assert world.standing("voice") is Standing.NOT_WELL

    def test_its_turn_comes_when_its_sessions_ended(self) -> None:
        world = World()
        world.add("voice", sessions=2)
        world.run(10)
        world.say("voice", sessions=0)
        world.run(10)

        assert world.upgraded == [(10.0, "voice")]

    @pytest.mark.parametrize(
        "changes", [{"is_running": False}, {"is_started": False}, {"is_terminating": True}], ids=str
    )
    def test_never_one_whose_pod_does_not_run(self, changes: dict) -> None:
        world = World()
        world.add("voice")
        world.change("voice", **changes)
        world.run(300)

        assert world.upgraded == []

    def test_an_image_of_another_repository_is_somebody_elses(self) -> None:
        world = World()
        world.add("voice", image="registry.example/own/sidecar:1")

        assert world.standing("voice") is Standing.FOREIGN

    def test_an_older_image_comes_back_as_a_newer_one_goes(self) -> None:
        world = World()
        world.add("voice", image="speechpool/sidecar:3")
        world.run(10)

        assert world.order == ["voice"]

    def test_a_broken_sidecar_comes_first_and_needs_no_word_of_the_operator(self) -> None:
        world = World()
        world.add("a", owner="rs")
        world.add("z", owner="rs")
        world.change("z", is_started=False, is_broken=True, container="")
        world.say("z", connected=False, ready=False, sessions=None, busy=None)
        world.run(10)

        assert world.order == ["z", "a"]


class TestOneAtATime:
    def test_of_an_owner_one_is_away_at_most(self) -> None:
        world = World(limits=Limits(per_minute=600.0, at_once=50, back_seconds=60.0), takes_seconds=5.0)
        for owner in "abc":
            for number in range(4):
                world.add(f"{owner}-{number}", owner=owner)
        while world.run(1).counts[Standing.CURRENT] < 12:
            away = Counter(world.pods[name].owner for name in world.coming)
            assert all(count <= 1 for count in away.values())
            assert world.now < 600

        assert len(world.upgraded) == 12

    def test_while_another_of_its_owner_is_not_well_none_is(self) -> None:
        world = World()
        world.add("a", owner="rs")
        world.add("b", owner="rs")
        world.say("b", ready=False)

        assert world.run(60).standings == {"a": Standing.OWNER, "b": Standing.NOT_WELL}
        assert world.upgraded == []

    def test_a_new_pod_of_the_owner_that_is_still_starting_counts_too(self) -> None:
        world = World()
        world.add("a", owner="rs")
        world.add("b", owner="rs", image=NEW)
        world.change("b", is_running=False, is_started=False)
        world.say("b", connected=False, ready=False)

        assert world.run(60).standings["a"] is Standing.OWNER

    def test_the_first_goes_alone_however_many_may_be_away(self) -> None:
        world = World(limits=Limits(per_minute=600.0, at_once=3, back_seconds=60.0), takes_seconds=5.0)
        for number in range(6):
            world.add(f"voice-{number}")
        world.run(30)

        times = [at for at, _ in world.upgraded]
        assert times[0] == 0.0
        assert times[1] >= 5.0
        assert len(times) == 6

    def test_the_rate_is_kept(self) -> None:
        world = World(limits=Limits(per_minute=6.0, at_once=10, back_seconds=60.0), takes_seconds=1.0)
        for number in range(10):
            world.add(f"voice-{number}")
        world.run(200)

        times = [at for at, _ in world.upgraded]
        assert len(times) == 10
        assert all(later - earlier >= 10.0 for earlier, later in pairwise(times))


class TestTheFirstFailure:
    def test_it_stops_everything(self) -> None:
        world = World()
        for name in "abc":
            world.add(name)
        world.never.add("a")

        plan = world.run(300)

        assert world.order == ["a"]
        assert [pod.name for pod in plan.failed] == ["a"]
        assert world.planner.stopped == "calls/a is not warm 30 s after its upgrade"

    def test_a_later_one_too(self) -> None:
        world = World()
        for name in "abc":
            world.add(name)
        world.never.add("b")
        world.run(300)

        assert world.order == ["a", "b"]

    def test_who_comes_back_late_does_not_start_it_again(self) -> None:
        world = World(takes_seconds=40.0)
        world.add("a")
        world.add("b")
        plan = world.run(300)

        assert world.order == ["a"]
        assert plan.standings["a"] is Standing.CURRENT
        assert world.planner.stopped

    def test_a_container_that_is_still_the_old_one_is_not_back(self) -> None:
        """The kubelet takes a moment to see the change; until then all looks well."""
        world = World()
        world.add("a")
        world.look()
        world.change("a", container="a-1", is_started=True)
        world.say("a", connected=True, ready=True)

        assert world.standing("a") is Standing.UPGRADING

    def test_one_that_is_there_and_not_warm_has_failed(self) -> None:
        world = World()
        world.add("a")
        world.look()
        world.run(4)
        world.say("a", ready=False)
        world.planner = Planner(NEW, world.limits)
        world.run(40)

        assert "calls/a" in world.planner.stopped

    def test_a_pod_that_is_deleted_meanwhile_is_no_failure(self) -> None:
        world = World()
        world.add("a")
        world.add("b")
        world.never.add("a")
        world.look()
        del world.pods["a"]
        world.run(100)

        assert world.order == ["a", "b"]
        assert not world.planner.stopped

    def test_a_change_that_was_refused_is_tried_again(self) -> None:
        world = World()
        world.add("a")
        (pod,) = world.planner.plan(list(world.pods.values()), world.sidecars.values(), 0.0).upgrade
        world.planner.refused(pod)
        world.now = 5.0
        world.look()

        assert world.order == ["a"]

    def test_one_that_is_refused_does_not_hold_up_the_others(self) -> None:
        world = World()
        world.add("a")
        world.add("b")
        (pod,) = world.planner.plan(list(world.pods.values()), world.sidecars.values(), 0.0).upgrade
        world.planner.refused(pod)
        world.now = 5.0
        world.look()

        assert world.order == ["b"]


class TestARestartOfTheUpgrader:
    def test_it_goes_on_where_it_was(self) -> None:
        world = World()
        for number in range(6):
            world.add(f"voice-{number}", owner="rs")
        while world.run(1).counts[Standing.CURRENT] < 6:
            world.restart_upgrader()
            assert world.now < 600

        assert sorted(world.order) == [f"voice-{number}" for number in range(6)]

    def test_who_was_away_is_waited_for_and_can_fail_still(self) -> None:
        world = World()
        world.add("a")
        world.add("b")
        world.never.add("a")
        world.look()
        world.restart_upgrader()
        world.run(300)

        assert world.order == ["a"]
        assert "calls/a" in world.planner.stopped

    def test_a_new_pod_with_bad_credentials_is_not_the_upgraders_failure(self) -> None:
        world = World()
        world.add("a")
        world.add("other", image=NEW)
        world.say("other", ready=False)
        world.run(300)

        assert world.order == ["a"]
        assert not world.planner.stopped

    def test_nor_is_a_later_one_that_crashed_by_itself(self) -> None:
        world = World()
        world.add("a", sessions=1)
        world.look()
        world.add("other", image=NEW)
        world.change("other", restarts=3)
        world.say("other", ready=False)
        world.run(300)
        world.say("a", sessions=0)
        world.run(10)

        assert world.order == ["a"]
        assert not world.planner.stopped

    def test_a_change_whose_answer_was_lost_can_fail_too(self) -> None:
        world = World()
        world.add("a")
        world.add("b", sessions=1)
        (pod,) = world.look().upgrade
        world.planner.refused(pod)  # no answer came; the image was changed all the same
        world.never.add("a")
        world.run(60)

        assert "calls/a" in world.planner.stopped


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_no_session_is_cut_and_no_owner_loses_two(seed: int) -> None:
    chance = random.Random(seed)
    world = World(limits=Limits(per_minute=120.0, at_once=4, back_seconds=20.0), takes_seconds=chance.uniform(1, 10))
    for number in range(12):
        world.add(f"p{number}", owner=f"o{number % 4}", sessions=chance.randrange(2))
    for _ in range(120):
        name = f"p{chance.randrange(12)}"
        if name not in world.coming:
            world.say(name, sessions=chance.randrange(2), busy=chance.randrange(2), ready=chance.random() > 0.1)
        before = dict(world.sidecars)
        plan = world.look()
        world.now += 1.0

        assert all((before[pod.uid].sessions, before[pod.uid].busy) == (0, 0) for pod in plan.upgrade)
        assert len(world.coming) <= 4
        assert all(count == 1 for count in Counter(world.pods[one].owner for one in world.coming).values())


POD: Final = {
    "metadata": {
        "namespace": "calls",
        "name": "voice",
        "uid": "u",
        "ownerReferences": [{"uid": "other"}, {"uid": "rs", "controller": True}],
    },
    "spec": {
        "initContainers": [{"name": "mesh"}, {"name": "speechpool", "image": OLD, "restartPolicy": "Always"}],
    },
    "status": {
        "phase": "Running",
        "initContainerStatuses": [
            {"name": "mesh"},
            {
                "name": "speechpool",
                "containerID": "containerd://1",
                "started": True,
                "restartCount": 2,
                "state": {"running": {}},
            },
        ],
    },
}


class TestReading:
    def test_everything_is_read(self) -> None:
        assert read_sidecar_pod(POD) == SidecarPod(
            namespace="calls",
            name="voice",
            uid="u",
            owner="rs",
            index=1,
            image=OLD,
            container="containerd://1",
            restarts=2,
            is_started=True,
            is_running=True,
        )

    @pytest.mark.parametrize(
        "containers",
        [[], [{"name": "speechpool", "image": OLD}], [{"name": "other", "image": OLD, "restartPolicy": "Always"}]],
        ids=["none", "an ordinary init container", "another's"],
    )
    def test_a_pod_without_our_sidecar_is_none(self, containers: list) -> None:
        assert read_sidecar_pod(POD | {"spec": {"initContainers": containers}}) is None

    @pytest.mark.parametrize(
        ("reason", "is_broken"),
        [
            ("ImagePullBackOff", True),
            ("CrashLoopBackOff", True),
            ("PodInitializing", False),
            ("ContainerCreating", False),
        ],
    )
    def test_one_that_cannot_start_is_broken(self, reason: str, is_broken: bool) -> None:
        waiting = {"name": "speechpool", "state": {"waiting": {"reason": reason}}}
        status = {"phase": "Running", "initContainerStatuses": [waiting]}

        read = read_sidecar_pod(POD | {"status": status})

        assert read
        assert (read.is_broken, read.is_started, read.container) == (is_broken, False, "")

    @pytest.mark.parametrize(("phase", "is_broken"), [("Running", True), ("Succeeded", False)])
    def test_one_that_has_ended_beside_a_running_application_is_broken(self, phase: str, is_broken: bool) -> None:
        ended = {"name": "speechpool", "containerID": "a", "state": {"terminated": {"exitCode": 0}}}

        read = read_sidecar_pod(POD | {"status": {"phase": phase, "initContainerStatuses": [ended]}})

        assert read
        assert (read.is_broken, read.is_started, read.container) == (is_broken, False, "")

    def test_a_pod_without_a_status_or_an_owner(self) -> None:
        bare = {"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "spec": POD["spec"]}

        read = read_sidecar_pod(bare)

        assert read
        assert (read.owner, read.is_running) == ("u", False)

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            ("speechpool/sidecar", "speechpool/sidecar"),
            ("speechpool/sidecar:1", "speechpool/sidecar"),
            ("host:5000/speechpool/sidecar", "host:5000/speechpool/sidecar"),
            ("host:5000/speechpool/sidecar:1@sha256:00", "host:5000/speechpool/sidecar"),
        ],
    )
    def test_the_repository_of_an_image(self, image: str, expected: str) -> None:
        assert repository(image) == expected
