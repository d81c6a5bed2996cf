"""Whatever happens in whatever order: what is planned follows from how things are, and from nothing else."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from tests.unit.control.fleets import OPERATOR, VOICE, World, a_pod, applied, rejected, speech_pool

from speechpool.settings.wire import Applying, NewSettings, State
from speechpool_operator.conditions import differs, status_of
from speechpool_operator.names import INJECT_LABEL, INJECTED_LABEL
from speechpool_operator.reconcile import REST_SECONDS, facts_of, wanted
from speechpool_operator.selection import NOBODY, choose, selects

NAMESPACES = st.sampled_from(["calls", OPERATOR])
NAMES = st.sampled_from(["a", "b", "c"])
APPS = st.sampled_from(["x", "y"])
SELECTORS = st.sampled_from(
    [
        {"matchLabels": {"app": "x"}},
        {"matchLabels": {"app": "y"}},
        {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
    ]
)
LABELS = st.sampled_from([{INJECTED_LABEL: "true"}, {INJECT_LABEL: "true"}, {}])
SPECS = st.fixed_dictionaries(
    {
        "selector": SELECTORS,
        "priority": st.integers(0, 1),
        "scope": st.sampled_from(["Namespace", "Namespace", "Cluster"]),
        "warmSize": st.sampled_from([1, 2, 3, -1]),
    }
)
PODS = st.fixed_dictionaries(
    {"app": APPS, "labels": LABELS, "pool": st.sampled_from([None, None, "a", "c"]), "gone": st.booleans()}
)
WORDS = st.sampled_from(["applied", "rejected", "applying", "cannot serve"])


def word(kind, message):
    """What a sidecar says of a message."""
    match kind:
        case "applied":
            return applied(message)
        case "rejected":
            return rejected(message, "no")
        case "applying":
            return State(state=Applying.APPLYING, offered=message.revision)
    return applied(message, warm=0, ready=False)


class Anything(RuleBasedStateMachine):
    """Everything that happens to a fleet, and beside it how things are in the end."""

    late = Bundle("late")

    def __init__(self):
        super().__init__()
        self.world = World()
        self.pools, self.pods, self.streams, self.states, self.were_connected = {}, {}, {}, {}, set()
        self.generation = 0
        self.newest = {}
        self.selectors = {}

    @initialize(target=late, specs=st.tuples(SPECS, SPECS, SPECS), pods=st.tuples(PODS, PODS, PODS))
    def have_some(self, specs, pods):
        """Two objects beside the pods and one of the platform, and sidecars that are connected."""
        places = [("calls", "a"), ("calls", "b"), (OPERATOR, "c")]
        written = [self.write_pool(*place, spec, False) for place, spec in zip(places, specs, strict=True)]
        for name, pod in zip("abc", pods, strict=True):
            self.write_pod("calls", name, {**pod, "gone": False})
            self.connect("calls", name)
        return multiple(*written)

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(target=late, namespace=NAMESPACES, name=NAMES, spec=SPECS, made_again=st.booleans())
    def write_pool(self, namespace, name, spec, made_again):
        """An object is written; now and then it is another one of the same name."""
        self.generation += 1
        before = self.pools.get((namespace, name))
        uid = f"uid-{self.generation}" if made_again or not before else before.uid
        created = f"2026-01-{self.generation % 3 + 1:02}T00:00:00Z" if not before or made_again else before.created
        pool = speech_pool(name, namespace, uid=uid, generation=self.generation, created=created, **spec)
        self.selectors[uid] = spec["selector"]
        self.pools[pool.key] = pool
        self.world.fleet.put_pool(pool)
        return pool

    @rule(target=late, namespace=NAMESPACES, name=NAMES, warm_size=st.sampled_from([1, 2, 3, -1]))
    def change_the_settings(self, namespace, name, warm_size):
        """An object is for the same pods as before, with other settings."""
        before = self.pools.get((namespace, name)) or speech_pool(name, namespace)
        self.generation += 1
        pool = speech_pool(
            name,
            namespace,
            uid=before.uid,
            generation=self.generation,
            created=before.created,
            selector=self.selectors.get(before.uid, VOICE),
            priority=before.spec.priority,
            scope=str(before.spec.scope),
            warmSize=warm_size,
        )
        self.pools[pool.key] = pool
        self.world.fleet.put_pool(pool)
        return pool

    @rule(pool=late)
    def tell_of_a_pool_late(self, pool):
        """The watch tells once more of what was written once."""
        if pool.key in self.pools:
            self.world.fleet.put_pool(pool)

    @rule(namespace=NAMESPACES, name=NAMES)
    def delete_pool(self, namespace, name):
        pool = self.pools.pop((namespace, name), None)
        self.world.fleet.drop_pool(namespace, name, pool.uid if pool else "")

    @rule(namespace=NAMESPACES, name=NAMES)
    def miss_that_a_pool_is_deleted(self, namespace, name):
        self.pools.pop((namespace, name), None)
        self.world.fleet.keep_pools(self.pools.values())

    @rule(namespace=NAMESPACES, name=NAMES, pod=PODS)
    def write_pod(self, namespace, name, pod):
        written = a_pod(
            name, namespace, labels={"app": pod["app"], **pod["labels"]}, pool=pod["pool"], gone=pod["gone"]
        )
        self.pods[written.uid] = written
        self.world.fleet.put_pod(written)

    @rule(namespace=NAMESPACES, name=NAMES, listed=st.booleans())
    def delete_pod(self, namespace, name, listed):
        uid = f"pod-{namespace}-{name}"
        for known in (self.pods, self.streams, self.states):
            known.pop(uid, None)
        self.were_connected.discard(uid)
        if listed:
            self.world.fleet.keep_pods(self.pods.values())
        else:
            self.world.fleet.drop_pod(uid)

    @rule(namespace=NAMESPACES, name=NAMES)
    def connect(self, namespace, name):
        uid = f"pod-{namespace}-{name}"
        if uid in self.pods:
            self.streams[uid] = self.world.connect(self.pods[uid])
            self.states.pop(uid, None)
            self.were_connected.add(uid)
            self.newest.pop(uid, None)

    @rule(namespace=NAMESPACES, name=NAMES, kind=WORDS)
    def say(self, namespace, name, kind):
        uid = f"pod-{namespace}-{name}"
        message = self.world.sent.get(uid)
        if uid in self.streams and isinstance(message, NewSettings):
            self.states[uid] = word(kind, message)
            self.world.say(self.pods[uid], self.states[uid])

    @rule(namespace=NAMESPACES, name=NAMES)
    def disconnect(self, namespace, name):
        uid = f"pod-{namespace}-{name}"
        if self.streams.pop(uid, None):
            self.states.pop(uid, None)
            self.world.leave(self.pods[uid])

    @rule()
    def plan(self):
        self.planned()
        again = self.world.plan()
        assert (again.messages, again.statuses, again.closing) == ({}, {}, ())
        self.compare_with_what_was_planned()

    @rule()
    def plan_again_when_all_have_rested(self):
        """What is put off because its object has just had a status is not forgotten."""
        for entry in self.world.fleet.entries.values():
            entry.looked_at = self.world.now
        assert self.planned(rested=False).statuses == {}
        self.world.now += REST_SECONDS
        self.world.fleet.excuse()  # silence is proved elsewhere
        self.planned(rested=False)
        self.compare_with_what_was_planned()

    def planned(self, **how):
        made = self.world.plan(**how)
        for uid, (cell, message) in made.messages.items():
            assert self.streams[uid] is cell
            self.note_sent(uid, message)
        return made

    def note_sent(self, uid, message):
        """On one stream the generations of one object never go back."""
        if isinstance(message, NewSettings):
            revision = message.revision
            before = self.newest.get(uid)
            assert before is None or before.uid != revision.uid or before.generation < revision.generation
            self.newest[uid] = revision

    # --- what must hold ----------------------------------------------------------------------------------------------

    def compare_with_what_was_planned(self):
        fleet = self.world.fleet
        for uid in self.streams:
            message = wanted(fleet, fleet.members[uid])
            assert message is None or self.world.sent[uid] == message
        for key, entry in fleet.entries.items():
            status = status_of(facts_of(fleet, entry), previous=self.world.status[key], now="never")
            assert not differs(status, self.world.status[key])

    @invariant()
    def each_pod_follows_what_is_to_be_chosen_among_all(self):
        for uid, member in self.world.fleet.members.items():
            pod = self.pods[uid]
            counts = not pod.terminating and (pod.wants_sidecar or uid in self.were_connected)
            selecting = [pool for pool in self.pools.values() if selects(pool, pod, OPERATOR)]
            named = self.pools.get((pod.namespace, pod.pool))
            assert member.choice == (choose(pod, selecting, named) if counts else NOBODY)

    def teardown(self):
        """A fleet that learns how things are now, in any order, knows the same."""
        fresh = World()
        for uid, pod in reversed(self.pods.items()):
            fresh.fleet.put_pod(pod)
            if uid in self.were_connected:
                fresh.connect(pod)
                if uid not in self.streams:
                    fresh.leave(pod)
        for pool in sorted(self.pools.values(), key=lambda one: one.name, reverse=True):
            fresh.fleet.put_pool(pool)
        for uid, state in self.states.items():
            fresh.say(self.pods[uid], state)
        assert self.known(fresh.fleet) == self.known(self.world.fleet)

    def known(self, fleet):
        """What follows from a fleet, but for which of several pods is named as one of them."""
        messages = {uid: wanted(fleet, member) for uid, member in fleet.members.items()}
        facts = {
            key: replace(facts_of(fleet, entry), refusal=None, silent_pod="", missing_pod="")
            for key, entry in fleet.entries.items()
        }
        return messages, facts


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
