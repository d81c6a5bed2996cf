"""Which SpeechPool a pod's sidecar follows, and which others would have liked to have it. Pure.

First the annotation `POOL_ANNOTATION`: it names an object of the pod's namespace, and a name that is not there selects
nothing. To fall back on a selector would run the pod with settings that its owner has turned down; as with a Kubernetes
storage or ingress class that does not exist, nothing is chosen until it does.

Else the selectors: of the objects of the pod's namespace that match, the one with the highest priority, then the
oldest, then the first by name. Last, in the same order, the platform's defaults: objects of scope Cluster in the
operator's own namespace whose selector matches the pod, whatever its namespace.

An object whose spec has problems is chosen as any other: its sidecars then keep what they run. A mistake in one object
never hands its pods to another one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from speechpool_operator.names import Reason
from speechpool_operator.objects import Key, Pod, SpeechPool

__all__ = ["NOBODY", "Choice", "choose", "is_ignored", "rank", "selects"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a pod.

    Args:
        winner: The object that the sidecar follows, or None.
        nobody: Without a winner, why: NoMatch or NamedPoolNotFound; None where nothing is chosen for the pod at all.
        losers: Objects that match too, each with what decided against it. An object loses to nobody where nobody won,
            and a default loses only to another default or to the annotation.
    """

    winner: Key | None = None
    nobody: Reason | None = None
    losers: tuple[tuple[Key, Reason], ...] = ()


NOBODY = Choice()
"""The choice for a pod for which nothing is to be chosen: one that terminates, or has no sidecar and wants none."""


def is_ignored(pool: SpeechPool, operator_namespace: str) -> bool:
    """Whether the object asks for scope Cluster where that is not honoured."""
    return pool.is_default and pool.namespace != operator_namespace


def selects(pool: SpeechPool, pod: Pod, operator_namespace: str) -> bool:
    """Whether the object's scope and selector are meant for the pod."""
    reaches = pool.namespace == (operator_namespace if pool.is_default else pod.namespace)
    return reaches and pool.spec.selector.matches(pod.labels)


def rank(pool: SpeechPool) -> tuple[bool, int, str, str]:
    """The place of an object among those that select one pod: the smallest wins, and no two are equal."""
    return pool.is_default, -pool.spec.priority, pool.created, pool.name


def choose(pod: Pod, selecting: Iterable[SpeechPool], named: SpeechPool | None = None) -> Choice:
    """Choose the object that the pod's sidecar follows.

    Args:
        pod: The pod.
        selecting: The objects that select it, in any order.
        named: The object that its annotation names; None where it has none, or names one that is not there.
    """
    ordered = sorted(selecting, key=rank)
    if pod.pool:
        return _named_choice(named, ordered)
    if not ordered:
        return Choice(nobody=Reason.NO_MATCH)
    winner = ordered[0]
    rivals = (one for one in ordered[1:] if one.is_default == winner.is_default)
    return Choice(winner.key, losers=tuple((one.key, _cause(winner, one)) for one in rivals))


def _named_choice(named: SpeechPool | None, selecting: Iterable[SpeechPool]) -> Choice:
    if named is None:
        return Choice(nobody=Reason.NAMED_POOL_NOT_FOUND)
    others = (one for one in selecting if one.key != named.key)
    return Choice(named.key, losers=tuple((one.key, Reason.NAMED_BY_POD) for one in others))


def _cause(winner: SpeechPool, loser: SpeechPool) -> Reason:
    if winner.spec.priority != loser.spec.priority:
        return Reason.HIGHER_PRIORITY
    return Reason.OLDER if winner.created != loser.created else Reason.FIRST_BY_NAME
