"""The object that a pod follows: the annotation, then priority, age and name, then the platform's default."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control.fleets import OPERATOR, VOICE, a_pod, speech_pool

from speechpool_operator.names import Reason
from speechpool_operator.selection import Choice, choose, is_ignored, rank, selects

OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def chosen(pod, pools):
    """The choice among all objects there are."""
    named = next((one for one in pools if one.key == (pod.namespace, pod.pool)), None)
    return choose(pod, [one for one in pools if selects(one, pod, OPERATOR)], named)


def default(name="base", namespace=OPERATOR, **spec):
    return speech_pool(name, namespace, scope="Cluster", **spec)


A, B = ("calls", "a"), ("calls", "b")

CASES = {
    "nothing there": (a_pod(), [], Choice(nobody=Reason.NO_MATCH)),
    "its selector matches": (a_pod(), [speech_pool("a")], Choice(A)),
    "its selector does not match": (a_pod(labels={"app": "x"}), [speech_pool("a")], Choice(nobody=Reason.NO_MATCH)),
    "another namespace's": (a_pod(), [speech_pool("a", "other")], Choice(nobody=Reason.NO_MATCH)),
    "priority": (
        a_pod(),
        [speech_pool("a", created=OLD), speech_pool("b", created=NEW, priority=1)],
        Choice(B, losers=((A, Reason.HIGHER_PRIORITY),)),
    ),
    "a negative priority is below none": (
        a_pod(),
        [speech_pool("a", priority=-1), speech_pool("b")],
        Choice(B, losers=((A, Reason.HIGHER_PRIORITY),)),
    ),
    "age": (
        a_pod(),
        [speech_pool("a", created=NEW), speech_pool("b", created=OLD)],
        Choice(B, losers=((A, Reason.OLDER),)),
    ),
    "name": (a_pod(), [speech_pool("b"), speech_pool("a")], Choice(A, losers=((B, Reason.FIRST_BY_NAME),))),
    "all losers, in their order": (
        a_pod(),
        [speech_pool("c", created=OLD, priority=2), speech_pool("a", created=NEW, priority=2), speech_pool("b")],
        Choice(("calls", "c"), losers=((A, Reason.OLDER), (B, Reason.HIGHER_PRIORITY))),
    ),
    "the annotation beats everything": (
        a_pod(pool="a"),
        [speech_pool("a", selector={"matchLabels": {"app": "x"}}), speech_pool("b", priority=9)],
        Choice(A, losers=((B, Reason.NAMED_BY_POD),)),
    ),
    "the annotation names the winner by selector too": (
        a_pod(pool="b"),
        [speech_pool("a"), speech_pool("b", priority=9)],
        Choice(B, losers=((A, Reason.NAMED_BY_POD),)),
    ),
    "a name that is not there selects nothing": (
        a_pod(pool="c"),
        [speech_pool("a"), default()],
        Choice(nobody=Reason.NAMED_POOL_NOT_FOUND),
    ),
    "a name is of the pod's namespace": (
        a_pod(pool="c"),
        [speech_pool("c", "other"), speech_pool("a")],
        Choice(nobody=Reason.NAMED_POOL_NOT_FOUND),
    ),
    "a name with a namespace is none": (
        a_pod(pool="other/c"),
        [speech_pool("c", "other")],
        Choice(nobody=Reason.NAMED_POOL_NOT_FOUND),
    ),
    "an empty annotation is none": (a_pod(pool=""), [speech_pool("a")], Choice(A)),
    "the default reaches every namespace": (a_pod(), [default()], Choice((OPERATOR, "base"))),
    "the default selects by its selector": (
        a_pod(),
        [default(selector={"matchLabels": {"app": "x"}})],
        Choice(nobody=Reason.NO_MATCH),
    ),
    "the default comes last, whatever its priority, and that is no conflict": (
        a_pod(),
        [default(priority=100, created=OLD), speech_pool("a", priority=-5, created=NEW)],
        Choice(A),
    ),
    "defaults compete with each other": (
        a_pod(),
        [default("x"), default("y", priority=1)],
        Choice((OPERATOR, "y"), losers=(((OPERATOR, "x"), Reason.HIGHER_PRIORITY),)),
    ),
    "the default comes last in its own namespace too": (
        a_pod(namespace=OPERATOR),
        [default(priority=100), speech_pool("own", OPERATOR)],
        Choice((OPERATOR, "own")),
    ),
    "an annotation beats the default": (
        a_pod(pool="a"),
        [speech_pool("a", selector={"matchLabels": {"app": "x"}}), default()],
        Choice(A, losers=(((OPERATOR, "base"), Reason.NAMED_BY_POD),)),
    ),
    "another namespace's default is ignored, there too": (
        a_pod(),
        [default(namespace="calls"), default(namespace="other")],
        Choice(nobody=Reason.NO_MATCH),
    ),
    "a pod may name what is ignored": (
        a_pod(pool="base"),
        [default(namespace="calls")],
        Choice(("calls", "base")),
    ),
    "an object with problems holds its place": (
        a_pod(),
        [speech_pool("a", priority=9, warmSize=-1), speech_pool("b")],
        Choice(A, losers=((B, Reason.HIGHER_PRIORITY),)),
    ),
    "a selector that cannot be read selects nothing": (
        a_pod(),
        [speech_pool("a", priority=9, selector={"matchLabels": {"app": 3}}), speech_pool("b")],
        Choice(B),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_choice(case):
    pod, pools, choice = CASES[case]
    assert {chosen(pod, order) for order in permutations(pools)} == {choice}


def expression(operator, *values, key="app"):
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        (VOICE, {"app": "voice", "more": "x"}, True),
        (VOICE, {"app": "Voice"}, False),
        ({"matchLabels": {"app": "voice", "tier": "a"}}, {"app": "voice"}, False),
        ({"matchLabels": {"app": ""}}, {"app": ""}, True),
        ({"matchLabels": {"app": ""}}, {}, False),
        (expression("In", "a", "b"), {"app": "b"}, True),
        (expression("In", "a", "b"), {"app": "c"}, False),
        (expression("In", "a", "b"), {}, False),
        (expression("NotIn", "a"), {"app": "b"}, True),
        (expression("NotIn", "a"), {"app": "a"}, False),
        (expression("NotIn", "a"), {}, True),
        (expression("Exists"), {"app": ""}, True),
        (expression("Exists"), {"other": "a"}, False),
        (expression("DoesNotExist"), {"app": ""}, False),
        (expression("DoesNotExist"), {"other": "a"}, True),
        ({**VOICE, **expression("Exists", key="tier")}, {"app": "voice"}, False),
        ({**VOICE, **expression("Exists", key="tier")}, {"app": "voice", "tier": "a"}, True),
        ({}, {"app": "voice"}, False),
    ],
)
def test_selectors_match_as_in_kubernetes(selector, labels, selected):
    assert selects(speech_pool(selector=selector), a_pod(labels=labels), OPERATOR) is selected


def test_scope_cluster_is_ignored_outside_of_the_operators_namespace():
    assert is_ignored(default(namespace="calls"), OPERATOR)
    assert not is_ignored(default(), OPERATOR)
    assert not is_ignored(speech_pool(), OPERATOR)


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=8)


@st.composite
def rivals(draw):
    """Objects that all select the pod."""
    return [
        speech_pool(
            name,
            OPERATOR,
            priority=draw(st.integers(-1, 1)),
            created=draw(st.sampled_from([OLD, NEW])),
            scope=draw(st.sampled_from(["Namespace", "Cluster"])),
        )
        for name in draw(NAMES)
    ]


@given(rivals(), st.randoms())
def test_precedence_is_a_total_order(pools, random):
    pod = a_pod(namespace=OPERATOR)
    shuffled = random.sample(pools, len(pools))
    assert chosen(pod, shuffled) == chosen(pod, pools)
    assert len({rank(one) for one in pools}) == len(pools)


@given(rivals())
def test_a_loser_would_win_without_the_winner(pools):
    pod = a_pod(namespace=OPERATOR)
    choice = chosen(pod, pools)
    rest = chosen(pod, [one for one in pools if one.key != choice.winner])
    if choice.losers:
        assert rest.winner == choice.losers[0][0]
