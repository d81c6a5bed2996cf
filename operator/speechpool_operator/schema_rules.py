"""Rules of a SpeechPool in CEL: what a schema's bounds cannot say, each with a message that says what to do.

Two settings are related only where both are present in the object: what is absent comes from elsewhere, and the sidecar
checks the whole. Messages with values in them need Kubernetes 1.30, the first that takes `format` in a new definition.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from speechpool.settings import POOL_ORDERS, PROCESS_ORDERS, Knob, LanguageMode
from speechpool.settings.kinds import Integer

__all__ = ["Rule", "pool_rules", "rules_of", "spec_rules", "text_rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of `x-kubernetes-validations`.

    Args:
        rule: True of what is allowed.
        message: What is wrong and what to do, after the field's path.
        field: The field that is named, below the one that has the rule; empty for that one.
        expression: Makes a message with the values in it; `message` is used where it fails.
    """

    rule: str
    message: str
    field: str = ""
    expression: str = ""

    def written(self) -> dict[str, str]:
        """The rule as a schema has it."""
        made = {"rule": self.rule, "message": self.message}
        if self.expression:
            made["messageExpression"] = self.expression
        if self.field:
            made["fieldPath"] = f".{self.field}"
        return made


def rules_of(rules: Iterable[Rule]) -> list[dict[str, str]]:
    """Rules as a schema has them."""
    return [one.written() for one in rules]


def text_rule(pattern: str, message: str) -> Rule:
    """The rule that the whole text matches a regular expression of Python's that RE2 has too."""
    return Rule(f"self.matches(r'^({without_surrogates(pattern)})$')", message)


def without_surrogates(pattern: str) -> str:
    """The pattern for RE2, which knows no lone surrogates; no text in UTF-8 has them."""
    return pattern.replace(r"\ud800-\udfff", "")


def pool_rules(knobs: Sequence[Knob]) -> Iterator[Rule]:
    """The rules of an element of `pools`."""
    by_name = {one.name: one for one in knobs}
    for one in knobs:
        if one.only:
            yield _kind_rule(one)
    for small, large in POOL_ORDERS:
        yield _order(by_name[small], by_name[large])
    yield Rule(
        f"!has(self.languageMode) || self.languageMode != '{LanguageMode.SINGLE}' || !has(self.languages) || "
        "size(self.languages) == 1",
        "must be one language with languageMode Single: set languageMode: Detect, or leave one",
        field="languages",
    )
    yield Rule(
        f"!has(self.languageMode) || self.languageMode != '{LanguageMode.DETECT}' || !has(self.languages) || "
        "size(self.languages) >= 2",
        "must be 2 to 10 languages with languageMode Detect: add one, or set languageMode: Single",
        field="languages",
    )


def spec_rules(fallbacks: Sequence[Knob], process: Sequence[Knob]) -> Iterator[Rule]:
    """The rules of the spec: the values outside `pools`, and those with the pools' own."""
    by_name = {one.name: one for one in (*fallbacks, *process)}
    for small, large in (*POOL_ORDERS, *PROCESS_ORDERS):
        yield _order(by_name[small], by_name[large])
    for small, large in POOL_ORDERS:
        yield from _across(by_name[small], by_name[large])


def _kind_rule(knob: Knob) -> Rule:
    return Rule(
        f"self.kind == '{knob.only}' || !has(self.{knob.key})",
        f"is a setting of {knob.only} pools: remove it, or set kind: {knob.only}",
        field=knob.key,
    )


def _order(small: Knob, large: Knob) -> Rule:
    """Of two values side by side the first is at most the second."""
    return Rule(
        f"!has(self.{small.key}) || !has(self.{large.key}) || {_fits(small, 'self', large, 'self')}",
        f"must be at most {large.key}: lower it, or raise {large.key}",
        field=small.key,
        expression=f"'must be at most {large.key} (%s), got %s: lower it, or raise {large.key}'"
        f".format([self.{large.key}, self.{small.key}])",
    )


def _across(small: Knob, large: Knob) -> Iterator[Rule]:
    """A pool's own value and one that holds for every pool, either way round."""
    yield Rule(
        f"!has(self.{large.key}) || !has(self.pools) || self.pools.all(pool, !has(pool.{small.key}) || "
        f"has(pool.{large.key}) || {_fits(small, 'pool', large, 'self')})",
        f"has a pool whose {small.key} is above spec.{large.key}: lower the first or raise the second",
        field="pools",
        expression=f"'has the pool %s, whose {small.key} must be at most spec.{large.key} (%s): lower the first or "
        "raise the second'"
        f".format([self.pools.filter(pool, has(pool.{small.key}) && !has(pool.{large.key}) && "
        f"!({_fits(small, 'pool', large, 'self')}))[0].name, self.{large.key}])",
    )
    yield Rule(
        f"!has(self.{small.key}) || !has(self.pools) || self.pools.all(pool, has(pool.{small.key}) || "
        f"!has(pool.{large.key}) || {_fits(small, 'self', large, 'pool')})",
        f"has a pool whose {large.key} is below spec.{small.key}: raise the first or lower the second",
        field="pools",
        expression=f"'has the pool %s, whose {large.key} must be at least spec.{small.key} (%s): raise the first or "
        "lower the second'"
        f".format([self.pools.filter(pool, !has(pool.{small.key}) && has(pool.{large.key}) && "
        f"!({_fits(small, 'self', large, 'pool')}))[0].name, self.{small.key}])",
    )


def _fits(small: Knob, small_of: str, large: Knob, large_of: str) -> str:
    """Whether two values that are there are in order; one that is off is in order with any, and 0 is least of all."""
    off = isinstance(large.kind, Integer) and large.kind.off
    either = f"{large_of}.{large.key} == 0 || " if off else ""
    return f"{either}{small_of}.{small.key} <= {large_of}.{large.key}"
