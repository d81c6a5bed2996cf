"""The schema of a SpeechPool's status, which the operator writes."""

from typing import Any, Final

__all__ = ["COUNTS", "MAX_CONDITIONS", "MAX_ERROR_CHARACTERS", "MAX_MESSAGE_CHARACTERS", "status_schema"]

MAX_CONDITIONS: Final = 16
MAX_MESSAGE_CHARACTERS: Final = 32_768
"""Longest message of a condition (metav1.Condition)."""

MAX_ERROR_CHARACTERS: Final = 4096
"""Longest message of the last error; a guess: all problems of one object in a few sentences each."""

COUNTS: Final = {
    "matched": "Pods with a sidecar that this object selects and that no other object has won.",
    "missing": "Pods that this object selects and that ask for a sidecar but have none: restart them.",
    "connected": "Matched sidecars that are connected to the operator.",
    "synced": "Connected sidecars that run this generation of the object.",
    "failed": "Connected sidecars that refused this generation; they keep what they ran before.",
}
"""The counts of sidecars, each with its description."""

_COUNT: Final = {"type": "integer", "format": "int32", "minimum": 0}


def status_schema() -> dict[str, Any]:
    """The schema of `status`."""
    return {
        "type": "object",
        "description": "What the operator sees of the sidecars that this object is for.",
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation of the object that this status is about.",
            },
            "conditions": _conditions_schema(),
            **{name: {**_COUNT, "description": text} for name, text in COUNTS.items()},
            "warm": _warm_schema(),
            "lastError": _last_error_schema(),
        },
    }


def _conditions_schema() -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": MAX_CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "description": "Accepted, Synced and Ready always; Conflicted, Degraded and Stale while they are true.",
        "items": {
            "type": "object",
            "description": "One condition.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": _condition_schemas(),
        },
    }


def _condition_schemas() -> dict[str, Any]:
    """Of a condition's fields, with the bounds of metav1.Condition."""
    return {
        "type": {
            "type": "string",
            "minLength": 1,
            "maxLength": 316,
            "pattern": "^[A-Za-z][A-Za-z0-9]*$",
            "description": "What the condition is about.",
        },
        "status": {
            "type": "string",
            "enum": ["True", "False", "Unknown"],
            "description": "Whether it holds.",
        },
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "description": "The generation of the object that the condition is about.",
        },
        "lastTransitionTime": _time_schema("When the status last changed."),
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            "description": "Why, in one word for programs.",
        },
        "message": {
            "type": "string",
            "maxLength": MAX_MESSAGE_CHARACTERS,
            "description": "Why, and what to do, for people.",
        },
    }


def _warm_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Warm clients of all connected sidecars together; renewed every 10 seconds at most.",
        "required": ["now", "wanted"],
        "properties": {
            "now": {**_COUNT, "description": "Those of the wanted clients that are warm: never more than wanted."},
            "wanted": {**_COUNT, "description": "Clients that should be warm."},
        },
    }


def _last_error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "The last refusal of a sidecar.",
        "required": ["message", "pod", "time"],
        "properties": {
            "message": {
                "type": "string",
                "maxLength": MAX_ERROR_CHARACTERS,
                "description": "What the sidecar said.",
            },
            "pod": {
                "type": "string",
                "maxLength": MAX_NAMESPACED_NAME,
                "description": "The sidecar's pod; with its namespace where that is another than the object's.",
            },
            "time": _time_schema("When it said so."),
        },
    }


MAX_NAMESPACED_NAME: Final = 63 + 1 + 253
"""A namespace, a slash and a pod's name."""


def _time_schema(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "description": description}
