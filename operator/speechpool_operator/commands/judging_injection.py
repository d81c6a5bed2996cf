"""Whether pods that ask for a sidecar get one. Pure."""

import ssl
from base64 import b64decode
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from speechpool_operator.commands.facts import Facts, Json, Known, Unknown
from speechpool_operator.commands.verdicts import Line, failed, passed, skipped, warned
from speechpool_operator.names import NOT_INJECTED_ANNOTATION, SIDECAR_CONTAINER

__all__ = ["NEAR_END", "injection"]

NEAR_END = timedelta(days=14)
"""A certificate that ends sooner should have been renewed; a guess: they are, with a third of their life left."""

_INJECTION = "injection"
_MOST_NAMES = 5


def injection(facts: Facts, now: datetime) -> Iterator[Line]:
    """How sidecars come into pods, and whether one would now."""
    if isinstance(facts.webhooks, Unknown):
        yield skipped(_INJECTION, "the webhook's configuration is right", facts.webhooks.why)
    else:
        for one in facts.webhooks.value:
            yield from _webhook(one, now)
    mode = _mode(facts)
    yield passed(_INJECTION, f"sidecars come {mode}")
    yield _trial(facts, is_expected=mode != _BY_HAND)
    yield _namespaces(facts)
    yield _bare(facts)


_BY_HAND = "by hand or by `speechpool inject`: no webhook and no admission policy is installed"


def _mode(facts: Facts) -> str:
    if isinstance(facts.webhooks, Known) and facts.webhooks.value:
        return "by the webhook"
    if isinstance(facts.policies, Known) and facts.policies.value:
        return "by the API server's admission policy"
    unknown = isinstance(facts.webhooks, Unknown) or isinstance(facts.policies, Unknown)
    return "by what this user may not look at" if unknown else _BY_HAND


# --- the webhook ---------------------------------------------------------------------------------------------------


def _webhook(configuration: Json, now: datetime) -> Iterator[Line]:
    name = configuration["metadata"]["name"]
    entries: Sequence[Json] = configuration.get("webhooks") or ()
    if not all(one.get("failurePolicy") == "Ignore" for one in entries):
        advice = "with Fail no such pod starts while the injector is down; the chart's default is Ignore"
        yield warned(_INJECTION, f"{name}: failurePolicy is Ignore", advice)
    else:
        yield passed(_INJECTION, f"{name}: failurePolicy is Ignore")
    yield _certificates(name, entries, now)


def _certificates(name: str, entries: Sequence[Json], now: datetime) -> Line:
    text = f"{name}: the API server can check the injector's certificate"
    log = "the injector writes caBundle, or cert-manager does: their logs say why not"
    bundles = {str((one.get("clientConfig") or {}).get("caBundle") or "") for one in entries}
    if "" in bundles:
        return failed(_INJECTION, text, f"caBundle is empty\n{log}")
    try:
        end = min(map(_end, bundles))
    except (ValueError, OSError):  # ssl.SSLError is an OSError
        return failed(_INJECTION, text, f"caBundle is no certificate\n{log}")
    if end < now:
        return failed(_INJECTION, text, f"caBundle ended on {end:%Y-%m-%d}\n{log}")
    if end < now + NEAR_END:
        return warned(_INJECTION, f"{text}, until {end:%Y-%m-%d}", f"it should have been renewed by now\n{log}")
    return passed(_INJECTION, f"{text}, until {end:%Y-%m-%d}")


def _end(bundle: str) -> datetime:
    """When all certificates of a bundle have ended: one that is good is enough, and old ones stay for a while.

    Raises:
        ValueError: There is none.
        OSError: Likewise.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=b64decode(bundle, validate=True).decode("ascii"))
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    return datetime.fromtimestamp(max(ends)).astimezone()


# --- pods ----------------------------------------------------------------------------------------------------------


def _trial(facts: Facts, *, is_expected: bool) -> Line:
    text = "a pod that asks for a sidecar now would get one (tried without making it)"
    if not is_expected:
        return skipped(_INJECTION, text, "nothing is installed that would add it")
    if isinstance(facts.trial, Unknown):
        if facts.trial.is_denied:
            return skipped(
                _INJECTION, text, f"{facts.trial.why}\nname a namespace where you may make pods: -n NAMESPACE"
            )
        return failed(_INJECTION, text, f"{facts.trial.why}\nthe namespace's rules (Pod Security, quota) refuse it")
    pod = facts.trial.value
    where = pod["metadata"].get("namespace", "")
    names = [one.get("name") for one in pod["spec"].get("initContainers") or ()]
    if SIDECAR_CONTAINER in names:
        return passed(_INJECTION, f"{text}: in namespace {where}")
    reason = (pod["metadata"].get("annotations") or {}).get(NOT_INJECTED_ANNOTATION, "")
    advice = f"the reason is {reason}" if reason else "the injector did not answer, or does not look at this namespace"
    return failed(_INJECTION, f"{text}: in namespace {where}", f"{advice}\nits log and its metrics say more")


def _namespaces(facts: Facts) -> Line:
    if isinstance(facts.namespaces, Unknown):
        return skipped(_INJECTION, "namespaces that ask for sidecars", facts.namespaces.why)
    names = sorted(one["metadata"]["name"] for one in facts.namespaces.value)
    return passed(_INJECTION, f"namespaces that ask for sidecars: {_some(names) or 'none; pods do, each by its label'}")


def _bare(facts: Facts) -> Line:
    text = "every pod that asks for a sidecar has one"
    if isinstance(facts.bare, Unknown):
        return skipped(_INJECTION, text, facts.bare.why)
    if not facts.bare.value:
        return passed(_INJECTION, text)
    names = sorted(map(_bare_name, facts.bare.value))
    advice = f"without: {_some(names)}\nmade while the injector was not there, they get one when they are made anew: "
    return warned(_INJECTION, text, f"{advice}kubectl rollout restart")


def _bare_name(pod: Json) -> str:
    metadata = pod["metadata"]
    reason = (metadata.get("annotations") or {}).get(NOT_INJECTED_ANNOTATION)
    return f"{metadata['namespace']}/{metadata['name']}" + (f" ({reason})" if reason else "")


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
