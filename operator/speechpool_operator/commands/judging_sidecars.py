"""Whether the sidecars are connected and run what the SpeechPools say. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from speechpool_operator.commands.facts import Facts, Json, Unknown
from speechpool_operator.commands.verdicts import Line, failed, passed, skipped, warned
from speechpool_operator.names import Condition, Status
from speechpool_operator.sidecars import Overview, Sidecar

__all__ = ["pools", "sidecars"]

_SIDECARS, _POOLS = "sidecars", "speechpools"
_MOST_NAMES = 5
_COMPLAINTS = (Condition.DEGRADED, Condition.STALE, Condition.CONFLICTED)


def sidecars(facts: Facts) -> Iterator[Line]:
    """Those that the operator knows."""
    if isinstance(facts.overview, Unknown):
        yield skipped(_SIDECARS, "every sidecar is connected", "the operator did not answer")
        return
    overview = facts.overview.value
    yield _connected(overview.sidecars)
    yield _of_one_version(overview)
    yield from _upgrades(facts)


def _connected(known: Sequence[Sidecar]) -> Line:
    late = [one for one in known if one.missing or one.silent]
    connected = sum(one.connected and not one.silent for one in known)
    coming = sum(not one.connected and not one.missing and not one.silent for one in known)
    text = f"every sidecar is connected: {connected} of {len(known)}" + (
        f", {coming} not started yet" if coming else ""
    )
    if not late:
        return passed(_SIDECARS, text)
    advice = f"not heard of for too long: {_some(late)}\ntheir log says why: kubectl logs POD -c speechpool"
    return warned(_SIDECARS, text, advice)


def _of_one_version(overview: Overview) -> Line:
    other = [one for one in overview.sidecars if one.version and one.version != overview.version]
    text = f"every sidecar is of the operator's version, {overview.version or 'unknown'}"
    if not other or not overview.version:
        return passed(_SIDECARS, text)
    versions = ", ".join(sorted({one.version for one in other}))
    advice = f"of version {versions}: {_some(other)}\nthey change when their pods are made anew, or by the upgrader"
    return warned(_SIDECARS, text, advice)


def _upgrades(facts: Facts) -> Iterator[Line]:
    text = "upgrades of running sidecars go on"
    if isinstance(facts.upgrades, Unknown):
        yield skipped(_SIDECARS, text, facts.upgrades.why)
    elif facts.upgrades.value is not None:
        stopped, hindered = (facts.upgrades.value.get(name) for name in ("stopped", "hindered"))
        counts = facts.upgrades.value.get("sidecars") or {}
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        text = f"{text}: {shown or 'no sidecars'}"
        advice = f"{stopped}\nmend it, then: kubectl rollout restart deployment of the upgrader"
        if stopped:
            yield failed(_SIDECARS, text, advice)
        else:
            yield warned(_SIDECARS, text, str(hindered)) if hindered else passed(_SIDECARS, text)


def _some(known: Sequence[Sidecar]) -> str:
    rest = len(known) - _MOST_NAMES
    names = ", ".join(f"{one.namespace}/{one.pod}" for one in known[:_MOST_NAMES])
    return names + (f" and {rest} more" if rest > 0 else "")


def pools(facts: Facts) -> Iterator[Line]:
    """The SpeechPools, as the operator last wrote their statuses."""
    if isinstance(facts.pools, Unknown):
        yield skipped(_POOLS, "every SpeechPool is accepted and synced", facts.pools.why)
        return
    complaints = [line for one in facts.pools.value for line in _pool(one)]
    yield from complaints
    if not complaints:
        yield passed(_POOLS, f"every SpeechPool is accepted and synced: {len(facts.pools.value)}")


def _pool(pool: Json) -> Iterator[Line]:
    metadata, status = pool["metadata"], pool.get("status") or {}
    name = f"{metadata['namespace']}/{metadata['name']}"
    conditions: dict[str, Mapping[str, str]] = {one["type"]: one for one in status.get("conditions") or ()}
    if status.get("observedGeneration") != metadata.get("generation"):
        advice = "the operator has not looked at its newest change: see above whether it is available"
        yield warned(_POOLS, f"{name} is up to date", advice)
    accepted = conditions.get(Condition.ACCEPTED, {})
    if accepted.get("status") == Status.FALSE:
        edit = f"edit it: kubectl -n {metadata['namespace']} edit speechpool {metadata['name']}"
        yield failed(_POOLS, f"{name} is accepted", f"{accepted.get('message', '')}\n{edit}")
    for each in _COMPLAINTS:
        found = conditions.get(each, {})
        if found.get("status") == Status.TRUE:
            yield warned(_POOLS, f"{name} is not {each}", f"{found.get('reason', '')}: {found.get('message', '')}")
