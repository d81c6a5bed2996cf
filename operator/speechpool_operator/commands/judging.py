"""Whether what `speechpool check` found is right: from facts to lines. Pure."""

from collections.abc import Iterator
from datetime import datetime

from speechpool_operator.commands.facts import Facts, Known, Unknown
from speechpool_operator.commands.judging_injection import injection
from speechpool_operator.commands.judging_kubernetes import has_our_schema, kubernetes
from speechpool_operator.commands.judging_sidecars import pools, sidecars
from speechpool_operator.commands.verdicts import Line, failed, passed, skipped, warned
from speechpool_operator.names import GROUP, PLURAL
from speechpool_operator.workloads import Workload, component, workload

__all__ = ["judge"]

_INSTALLATION = "installation"


def judge(facts: Facts, version: str, now: datetime) -> list[Line]:
    """Every check.

    Args:
        facts: What was found.
        version: Of this command.
        now: In UTC.
    """
    look_at = f"the kubeconfig, its context (--context) and the way to {facts.server}"
    lines = list(kubernetes(facts.version, facts.server, look_at=look_at))
    if isinstance(facts.version, Unknown):
        return lines
    installation = list(_installation(facts, version))
    return [*lines, *installation, *injection(facts, now), *sidecars(facts), *pools(facts)]


def _installation(facts: Facts, version: str) -> Iterator[Line]:
    yield _definition(facts)
    yield from _operator(facts, version)
    for name in ("injector", "upgrader"):
        yield from _other(facts, name)
    yield _leader(facts)


def _definition(facts: Facts) -> Line:
    text = "the CustomResourceDefinition of SpeechPools is installed"
    if isinstance(facts.definition, Unknown):
        return skipped(_INSTALLATION, text, facts.definition.why)
    found = facts.definition.value
    if found is None:
        return failed(_INSTALLATION, text, "install the chart: helm install speechpool charts/speechpool")
    conditions = {one["type"]: one["status"] for one in (found.get("status") or {}).get("conditions") or ()}
    if conditions.get("Established") != "True":
        return failed(_INSTALLATION, text, f"it is not served; look at: kubectl describe crd {PLURAL}.{GROUP}")
    if not has_our_schema(found):
        advice = "its schema is of another version: upgrade the chart, and this command if it is the older one"
        return warned(_INSTALLATION, "the CustomResourceDefinition is of this command's version", advice)
    return passed(_INSTALLATION, f"{text}, and of this command's version")


def _operator(facts: Facts, version: str) -> Iterator[Line]:
    text = "the operator is available"
    if isinstance(facts.deployments, Unknown):
        yield skipped(_INSTALLATION, text, facts.deployments.why)
        return
    found = component(facts.deployments.value, "operator")
    if not found:
        advice = "install the chart, or name where it is with --operator-namespace"
        yield failed(_INSTALLATION, f"{text}: there is no Deployment with its labels", advice)
    for one in map(workload, found):
        yield _available(text, one)
        yield _version(one, version)
    if len(found) > 1:
        where = ", ".join(f"{one.namespace}/{one.name}" for one in map(workload, found))
        yield warned(_INSTALLATION, f"there is one operator: {where}", "see that no two watch the same namespaces")


def _other(facts: Facts, name: str) -> Iterator[Line]:
    if isinstance(facts.deployments, Known):
        for one in map(workload, component(facts.deployments.value, name)):
            yield _available(f"the {name} is available", one)


def _available(text: str, one: Workload) -> Line:
    text = f"{text}: {one.namespace}/{one.name}, {one.available} of {one.wanted} replicas"
    kubectl = f"kubectl -n {one.namespace}"
    if one.available >= one.wanted > 0:
        return passed(_INSTALLATION, text)
    if one.wanted == 0:
        return failed(_INSTALLATION, text, f"scale it up: {kubectl} scale deployment/{one.name} --replicas=1")
    problem = one.problem or "its pods are not ready"
    advice = f"{problem}\nlook at: {kubectl} describe pods -l {one.selector}"
    return warned(_INSTALLATION, text, advice) if one.available else failed(_INSTALLATION, text, advice)


def _version(one: Workload, version: str) -> Line:
    text = f"the operator is of this command's version: {one.version or 'unknown'}"
    if one.version == version:
        return passed(_INSTALLATION, text)
    return warned(_INSTALLATION, text, f"this command is {version}: upgrade the older of the two")


def _leader(facts: Facts) -> Line:
    text = "one operator leads, and has seen every object and pod"
    if isinstance(facts.overview, Unknown):
        return failed(_INSTALLATION, text, f"{facts.overview.why}\nits log says more")
    if not facts.overview.value.known:
        return warned(_INSTALLATION, text, "it has not listed them yet; where that stays so, its log says why")
    return passed(_INSTALLATION, text)
