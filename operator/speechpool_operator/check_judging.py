"""Whether what `speechpool-operator check` found is right: from facts to lines. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from speechpool_operator.check_facts import Facts
from speechpool_operator.commands.facts import Json, Known, Unknown
from speechpool_operator.commands.judging_kubernetes import KUBERNETES, has_our_schema, kubernetes
from speechpool_operator.commands.verdicts import Line, failed, passed, skipped, warned
from speechpool_operator.names import GROUP, PLURAL, Condition, Status

__all__ = ["judge"]

_RIGHTS, _SERVING, _OBJECTS = "rights", "what sidecars connect to", "speechpools"
_MOST_NAMES: Final = 5

SOON_DAYS: Final = 7
"""A certificate that ends sooner should have been renewed: product-made ones have a month left then."""


def judge(facts: Facts, now: datetime) -> list[Line]:
    """Every check.

    Args:
        facts: What was found.
        now: In UTC.
    """
    look_at = f"the way to {facts.server}: a NetworkPolicy, the ServiceAccount's files"
    lines = list(kubernetes(facts.version, facts.server, look_at=look_at))
    if isinstance(facts.version, Unknown):
        return lines
    return [*lines, _definition(facts), *_rights(facts), *_serving(facts, now), *_objects(facts)]


def _definition(facts: Facts) -> Line:
    text = "SpeechPools are served"
    if isinstance(facts.is_served, Unknown):
        return skipped(KUBERNETES, text, facts.is_served.why)
    if not facts.is_served.value:
        return failed(KUBERNETES, text, "install the CustomResourceDefinition: kubectl apply -f crds/")
    if isinstance(facts.definition, Unknown):
        return passed(KUBERNETES, f"{text} (this user may not see whether they are of this program's version)")
    if facts.definition.value is None or not has_our_schema(facts.definition.value):
        advice = "upgrade the chart, or the operator if it is the older one: it works with what both know"
        return warned(KUBERNETES, f"{text}, and are of this program's version", advice)
    return passed(KUBERNETES, f"{text}, and are of this program's version")


# --- rights --------------------------------------------------------------------------------------------------------


def _rights(facts: Facts) -> Iterator[Line]:
    who = facts.user.value if isinstance(facts.user, Known) else "this user"
    unknown = next(
        (one for one in (*facts.needed.values(), *facts.forbidden.values()) if isinstance(one, Unknown)), None
    )
    if unknown:
        yield skipped(_RIGHTS, f"{who} may what the operator needs", unknown.why)
        return
    missing = [str(right) for right, found in facts.needed.items() if found == Known(value=False)]
    text = f"{who} may what the operator needs: {len(facts.needed) - len(missing)} of {len(facts.needed)} rights"
    if missing:
        yield failed(_RIGHTS, text, "missing:\n" + "\n".join(missing) + "\nlook at its roles and their bindings")
    else:
        yield passed(_RIGHTS, text)
    yield _secrets(facts, who)
    yield _reviews(facts)


def _secrets(facts: Facts, who: str) -> Line:
    text = f"{who} may read no Secret"
    if not who.startswith("system:serviceaccount:"):
        return skipped(_RIGHTS, text, "this is not the operator's ServiceAccount: run it in the operator's pod")
    granted = [str(right) for right, found in facts.forbidden.items() if found == Known(value=True)]
    if not granted:
        return passed(_RIGHTS, text)
    return warned(_RIGHTS, text, "it has more than it needs:\n" + "\n".join(granted) + "\ntake it away")


def _reviews(facts: Facts) -> Line:
    text = "the API server judges tokens (TokenReview)"
    if isinstance(facts.reviews, Unknown):
        advice = f"{facts.reviews.why}\nwithout it no sidecar can prove who it is"
        return failed(_RIGHTS, text, advice)
    if facts.reviews.value.get("authenticated"):
        return failed(_RIGHTS, text, "it believed what is no token: look at its authentication")
    return passed(_RIGHTS, text)


# --- what sidecars connect to ----------------------------------------------------------------------------------------


def _serving(facts: Facts, now: datetime) -> Iterator[Line]:
    yield _certificate(facts, now)
    yield _leader(facts)
    yield _service(facts)


def _certificate(facts: Facts, now: datetime) -> Line:
    text = f"the certificate is good for {facts.target.host}"
    if isinstance(facts.certificate, Unknown):
        return skipped(_SERVING, text, f"{facts.certificate.why}\nrun it in the operator's pod, or name the files")
    found = facts.certificate.value
    ends = datetime.fromtimestamp(found.not_after, UTC)
    text += f", until {ends:%Y-%m-%d %H:%M} UTC"
    if found.problem:
        return failed(_SERVING, text, f"sidecars do not believe it: {found.problem}")
    days = (ends - now).total_seconds() / 86_400
    if days < SOON_DAYS:
        advice = f"it ends in {days:.1f} days: see why it is not renewed (the injector's log, or cert-manager's)"
        return warned(_SERVING, text, advice)
    return passed(_SERVING, text)


def _leader(facts: Facts) -> Line:
    text = "one operator leads"
    if not facts.target.lease:
        return skipped(_SERVING, text, "there is no election: one replica needs none")
    if isinstance(facts.is_renewed, Unknown):
        return skipped(_SERVING, text, facts.is_renewed.why)
    where = f"the Lease {facts.target.namespace}/{facts.target.lease}"
    if facts.is_renewed.value is None:
        return failed(_SERVING, text, f"{where} is not there: no operator runs, or none may make it")
    if not facts.is_renewed.value:
        return failed(_SERVING, text, f"nobody renews {where}: no operator runs, or none reaches the API server")
    return passed(_SERVING, f"{text}: {facts.is_renewed.value}")


def _service(facts: Facts) -> Line:
    dial = facts.target.dial
    text = f"sidecars reach it{f' at {dial}' if dial else ''}"
    if isinstance(facts.dialled, Unknown):
        return skipped(_SERVING, text, facts.dialled.why)
    if facts.dialled.value:
        advice = f"{facts.dialled.value}\nlook at the Service and its endpoints: only the one that leads is ready"
        return failed(_SERVING, text, advice)
    return passed(_SERVING, text)


# --- objects -------------------------------------------------------------------------------------------------------


def _objects(facts: Facts) -> Iterator[Line]:
    if isinstance(facts.pools, Unknown):
        yield skipped(_OBJECTS, "every SpeechPool is accepted", facts.pools.why)
        return
    pools = facts.pools.value
    describe = f"see: kubectl describe {PLURAL}.{GROUP}"
    yield _none_of(pools, [one for one in pools if _is_refused(one)], "every SpeechPool is accepted", describe)
    late = [one for one in pools if _status(one).get("observedGeneration") != one["metadata"].get("generation")]
    yield _none_of(pools, late, "every SpeechPool was looked at in its newest form", "the operator's log says more")
    bare = [one for one in pools if _status(one).get("missing")]
    advice = "see which: speechpool status --cluster, or the pods' events"
    yield _none_of(pools, bare, "no SpeechPool misses a sidecar", advice)


def _none_of(pools: Sequence[Json], wrong: Sequence[Json], text: str, advice: str) -> Line:
    text += f": {len(pools) - len(wrong)} of {len(pools)}"
    if not wrong:
        return passed(_OBJECTS, text)
    names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in wrong]
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return warned(_OBJECTS, text, f"not so: {', '.join(names[:_MOST_NAMES])}{rest}\n{advice}")


def _status(pool: Json) -> Json:
    return pool.get("status") or {}


def _is_refused(pool: Json) -> bool:
    conditions = _status(pool).get("conditions") or ()
    return any(one["type"] == Condition.ACCEPTED and one["status"] == Status.FALSE for one in conditions)
