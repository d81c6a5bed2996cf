"""The schema of a SpeechPool's spec, made from the settings model: types, bounds, descriptions and rules.

A field that is absent is "not set here", so no field has a default that the API server would fill in.
"""

from typing import Any, Final

from speechpool.settings import POOL_KNOBS, PROCESS_KNOBS, Effect, Knob, PoolKind
from speechpool.settings.layers import POOL_NAME
from speechpool.settings.process import MAX_POOLS
from speechpool_operator.schema_rules import pool_rules, rules_of, spec_rules, text_rule
from speechpool_operator.schema_selector import selector_schema
from speechpool_operator.schema_values import value_schema

__all__ = [
    "FALLBACK_KNOBS",
    "LIVE_PROCESS_KNOBS",
    "MAX_PRIORITY",
    "NOT_SETTINGS",
    "Schema",
    "bounds_of",
    "knob_description",
    "spec_schema",
]

Schema = dict[str, Any]
"""A part of an OpenAPI v3 schema, as apiextensions.k8s.io/v1 takes it."""

NOT_SETTINGS: Final = ("selector", "priority", "scope")
"""The fields of a spec that say whom it is for; all others are settings."""

MAX_PRIORITY: Final = 1_000_000
"""Largest priority, and with a minus sign the smallest: room for any scheme of numbering; a guess."""

FALLBACK_KNOBS: Final[tuple[Knob, ...]] = tuple(one for one in POOL_KNOBS if one.fallback and one.is_live)
"""Settings of a pool that stand outside `pools` too and hold for every pool there."""

LIVE_PROCESS_KNOBS: Final[tuple[Knob, ...]] = tuple(one for one in PROCESS_KNOBS if one.in_file and one.is_live)
"""Settings of the whole sidecar that it takes while it runs."""

_EFFECTS: Final = {
    Effect.LIVE: "A change holds at once.",
    Effect.REPLACE: "A change holds at once for new clients: a new pool is made, then the old one drains.",
    Effect.RESTART: "A change holds from the sidecar's next start.",
}


def spec_schema() -> Schema:
    """The schema of `spec`."""
    settings = {one.key: _knob_schema(one) for one in (*FALLBACK_KNOBS, *LIVE_PROCESS_KNOBS)}
    return {
        "type": "object",
        "description": "Which sidecars this is for, and what they are to run with. A setting that is absent is not set "
        "here: the sidecar's own file, environment and defaults hold for it.",
        "required": ["selector"],
        "properties": {
            "selector": selector_schema(),
            "priority": _priority_schema(),
            "scope": _scope_schema(),
            **settings,
            "pools": _pools_schema(),
        },
        "x-kubernetes-validations": rules_of(spec_rules(FALLBACK_KNOBS, LIVE_PROCESS_KNOBS)),
    }


def knob_description(knob: Knob, *, for_every_pool: bool = False) -> str:
    """What a knob is, for `kubectl explain`: meaning, values, unit, default, and what a change does."""
    where = f" {knob.only} pools only." if knob.only else ""
    every = " Holds for each pool that does not say otherwise." if for_every_pool else ""
    variable = f" In a sidecar's environment: {knob.env}." if knob.env else ""
    return (
        f"{knob.doc}{where}{every} Values: {bounds_of(knob)}. Default: {knob.default_text()}. {_EFFECTS[knob.effect]}"
        + variable
    )


def bounds_of(knob: Knob) -> str:
    """What values a knob may have, with their unit."""
    return knob.kind.expected.replace(" (in the environment: true or false)", "") + (
        f"; in {knob.unit}" if knob.unit else ""
    )


def _knob_schema(knob: Knob) -> Schema:
    every = knob in FALLBACK_KNOBS
    return {"description": knob_description(knob, for_every_pool=every), **value_schema(knob.kind)}


def _priority_schema() -> Schema:
    return {
        "type": "integer",
        "format": "int32",
        "minimum": -MAX_PRIORITY,
        "maximum": MAX_PRIORITY,
        "description": "Which of several SpeechPools for the same pod holds: the one with the highest priority, then "
        "the oldest, then the first by name. The losers get the condition Conflicted. "
        f"Values: a whole number from {-MAX_PRIORITY} to {MAX_PRIORITY}. Default: 0. A change holds at once.",
    }


def _scope_schema() -> Schema:
    return {
        "type": "string",
        "enum": ["Namespace", "Cluster"],
        "description": "Whose pods are selected: those of the object's own namespace, or, as the platform's default, "
        "those of every namespace that no other SpeechPool selects. Cluster is honoured in the operator's own "
        "namespace only. Values: Namespace or Cluster. Default: Namespace. A change holds at once.",
    }


def _pools_schema() -> Schema:
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_POOLS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "description": "The pools that a sidecar has, each with a name of its own. "
        f"Values: 1 to {MAX_POOLS} pools. Default: one of each kind, tts and stt. A change holds at once.",
        "items": _pool_schema(),
    }


def _pool_schema() -> Schema:
    return {
        "type": "object",
        "description": "One pool: its name, its kind, and its own values of the settings of pools.",
        "required": ["name", "kind"],
        "properties": {
            "name": _pool_name_schema(),
            "kind": _pool_kind_schema(),
            **{one.key: _own_schema(one) for one in POOL_KNOBS},
        },
        "x-kubernetes-validations": rules_of(pool_rules(POOL_KNOBS)),
    }


def _own_schema(knob: Knob) -> Schema:
    """A knob in an element of `pools`; what stands outside too is described there at length."""
    if not knob.fallback:
        return _knob_schema(knob)
    where = f" {knob.only} pools only." if knob.only else ""
    described = f"{knob.doc}{where} Values: {bounds_of(knob)}. Default: spec.{knob.key}. {_EFFECTS[knob.effect]}"
    return {"description": described, **value_schema(knob.kind)}


def _pool_name_schema() -> Schema:
    rule = text_rule(POOL_NAME, "must be 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends, as voice-out")
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "description": "The pool's name, unlike every other pool's. "
        "Values: 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends. "
        "Under another name it is another pool.",
        "x-kubernetes-validations": rules_of([rule]),
    }


def _pool_kind_schema() -> Schema:
    return {
        "type": "string",
        "enum": [str(one) for one in PoolKind],
        "description": f"What the pool's clients do. Values: {' or '.join(PoolKind)}. {_EFFECTS[Effect.REPLACE]}",
    }
