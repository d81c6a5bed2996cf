"""The messages between a sidecar and its operator: what they say, how they are written, how they are read. Pure.

The sidecar dials a WebSocket over TLS at `PATH`, with the subprotocol `SUBPROTOCOL` and `Authorization: Bearer
<token>`. Every message is one text frame that holds one JSON object, whose `type` says which of these it is:

    sidecar → operator   hello, first and once; state, when it changes and in answer to each heartbeat
    operator → sidecar   settings or none, first and at each change; heartbeat, regularly; bye, before it closes

Both sides ignore fields and types that they do not know, so that either may be one release ahead. A known type whose
known fields are not what they must be is a `WireError`: its receiver closes the connection.

`settings` always carries the whole, never a difference, and only the newest counts: an operator that has a newer one
sends no older, and a sidecar skips what came while it applied another. `generation` counts the changes of one object,
`uid` tells two objects of one name apart, `hash` tells two contents apart: one side makes it (`spec_hash`), and the
other only compares it.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from speechpool.settings.wire_fields import MAX_REASON_CHARACTERS, Fields, WireError, bounded, plain, write_json

__all__ = [
    "DEFAULT_HEARTBEAT_SECONDS",
    "MAX_HEARTBEAT_SECONDS",
    "MAX_OPERATOR_MESSAGE_BYTES",
    "MAX_REASON_CHARACTERS",
    "MAX_SIDECAR_MESSAGE_BYTES",
    "MIN_HEARTBEAT_SECONDS",
    "MISSED_HEARTBEATS",
    "PATH",
    "PROTOCOL",
    "SUBPROTOCOL",
    "Applying",
    "Bye",
    "FromOperator",
    "FromSidecar",
    "Heartbeat",
    "Hello",
    "NewSettings",
    "NoSettings",
    "PoolState",
    "Revision",
    "State",
    "WireError",
    "bounded",
    "encode",
    "from_operator",
    "from_sidecar",
    "spec_hash",
]

PROTOCOL = 1
"""The version of the messages; one more when an older peer could misunderstand them."""

SUBPROTOCOL = "speechpool.v1"
PATH = "/v1/stream"

MAX_SIDECAR_MESSAGE_BYTES = 64 * 1024
"""Largest message of a sidecar: sixteen pools and a reason take less than a tenth of it."""

MAX_OPERATOR_MESSAGE_BYTES = 1024 * 1024
"""Largest message of an operator: as large as a settings file may be, because a lexicon may need it."""

DEFAULT_HEARTBEAT_SECONDS = 10.0
"""Between two heartbeats, until one says otherwise."""

MIN_HEARTBEAT_SECONDS = 0.1
MAX_HEARTBEAT_SECONDS = 60.0

MISSED_HEARTBEATS = 3
"""So many intervals without a message mean that the peer is gone."""

_MAX_GENERATION = 2**63 - 1  # metadata.generation is an int64
_MAX_POOLS = 64  # more than a sidecar has, so that it may once have more
_MAX_COUNT = 1_000_000
_MAX_RETRY_SECONDS = 86_400.0


class Applying(StrEnum):
    """What became of the newest settings."""

    APPLIED = "applied"
    """They are in force."""
    REJECTED = "rejected"
    """They were refused, as a whole; what was in force stays."""
    APPLYING = "applying"
    """They are being applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One content of one object.

    Args:
        uid: Of the object.
        generation: Of its spec; >= 1.
        hash: Of what a sidecar gets of it.
    """

    uid: str
    generation: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool.

    Args:
        warm: Clients that are warm and idle.
        wanted: As many are kept.
        ready: Whether the pool serves as it should.
    """

    warm: int
    wanted: int
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """`hello`, the sidecar's first message.

    Args:
        protocol: The newest version that it speaks.
        version: Of its program, for people.
        applied: The operator's settings that are in force, None without.
    """

    protocol: int = PROTOCOL
    version: str
    applied: Revision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`state`: what became of the settings, and how the pools are.

    Args:
        state: What became of `offered`.
        offered: The newest settings that came from the operator; None where they were `none`.
        applied: Those in force; None where the operator sets nothing.
        error: Why `offered` was rejected; else empty.
        applied_at: When `applied` was, RFC 3339 in UTC; empty where it is None.
        pools: By name.
        sessions: Sessions that are open; None from a sidecar that does not say.
        busy: Calls in progress, as clients that are leased; None from a sidecar that does not say.
    """

    state: Applying
    offered: Revision | None = None
    applied: Revision | None = None
    error: str = ""
    applied_at: str = ""
    pools: Mapping[str, PoolState] = field(default_factory=dict)
    sessions: int | None = None
    busy: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSettings:
    """`settings`: what the operator's object sets, as a whole.

    Args:
        name: The object's, as namespace/name.
        revision: Which content of which object; written as uid, generation and hash beside the others.
        spec: The object's settings by the names of a settings file; without what says whom they are for.
    """

    name: str
    revision: Revision
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    """`none`: no object is meant for this sidecar, and what one set before is no longer in force.

    Args:
        reason: Why, for people.
    """

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`heartbeat`: the operator lives.

    Args:
        hash: Of the newest settings that it sent; None where that was `none`.
        interval_seconds: Until the next one; from `MIN_HEARTBEAT_SECONDS` to `MAX_HEARTBEAT_SECONDS`.
    """

    hash: str | None = None
    interval_seconds: float = DEFAULT_HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """`bye`: the operator closes the connection now.

    Args:
        reason: Why, for people.
        retry_after_seconds: No new connection before that; >= 0.
    """

    reason: str = ""
    retry_after_seconds: float = 0.0


FromSidecar = Hello | State
FromOperator = NewSettings | NoSettings | Heartbeat | Bye

_APPLYING: dict[str, Applying] = {one.value: one for one in Applying}

_TYPES: dict[type, str] = {
    Hello: "hello",
    State: "state",
    NewSettings: "settings",
    NoSettings: "none",
    Heartbeat: "heartbeat",
    Bye: "bye",
}


def spec_hash(spec: Mapping[str, Any]) -> str:
    """The hash of what an object sets: equal where the settings are, 64 hexadecimal digits.

    The order of names, names without a value (null) and 30 or 30.0 make no difference.

    Raises:
        WireError: The spec is not made of JSON types.
    """
    return hashlib.sha256(write_json(_normalised(spec)).encode()).hexdigest()


def encode(message: FromSidecar | FromOperator) -> str:
    """A message as text.

    Raises:
        WireError: It is larger than its receiver takes, or not made of JSON types.
    """
    fields = plain(message)
    if isinstance(message, NewSettings):
        fields |= plain(fields.pop("revision"))
    text = write_json({"type": _TYPES[type(message)], **fields})
    limit = MAX_SIDECAR_MESSAGE_BYTES if isinstance(message, FromSidecar) else MAX_OPERATOR_MESSAGE_BYTES
    if (size := len(text.encode())) > limit:
        raise WireError(f"a {_TYPES[type(message)]} message must be at most {limit} bytes; it has {size}")
    return text


def from_sidecar(text: str) -> FromSidecar | None:
    """Read a message of a sidecar; None where its type is not known.

    Raises:
        WireError: It is not what it must be.
    """
    fields = Fields.of_text(text, MAX_SIDECAR_MESSAGE_BYTES)
    match fields.text("type", 1, 64):
        case "hello":
            return Hello(
                protocol=fields.integer("protocol", 1, 1_000_000),
                version=fields.text("version", 0, 64, default=""),
                applied=fields.optional("applied", _told_revision),
            )
        case "state":
            return _state(fields)
    return None


def from_operator(text: str) -> FromOperator | None:
    """Read a message of an operator; None where its type is not known.

    Raises:
        WireError: It is not what it must be.
    """
    fields = Fields.of_text(text, MAX_OPERATOR_MESSAGE_BYTES)
    match fields.text("type", 1, 64):
        case "settings":
            return NewSettings(
                name=fields.text("name", 1, 317), revision=_revision(fields), spec=fields.mapping("spec")
            )
        case "none":
            return NoSettings(reason=fields.reason("reason"))
        case "heartbeat":
            return Heartbeat(
                hash=fields.optional_text("hash", 1, 128),
                interval_seconds=fields.number(
                    "interval_seconds", MIN_HEARTBEAT_SECONDS, MAX_HEARTBEAT_SECONDS, DEFAULT_HEARTBEAT_SECONDS
                ),
            )
        case "bye":
            return Bye(
                reason=fields.reason("reason"),
                retry_after_seconds=fields.number("retry_after_seconds", 0, _MAX_RETRY_SECONDS, 0.0),
            )
    return None


# --- the parts of messages ---------------------------------------------------------------------------------------
# Those that many messages have in common are made once: an operator hears each of them from every sidecar. What cannot
# be remembered (a list where a number must be) or is wrong is read again with its path, to be told.


def _revision(fields: Fields) -> Revision:
    return Revision(
        uid=fields.text("uid", 1, 128),
        generation=fields.integer("generation", 1, _MAX_GENERATION),
        hash=fields.text("hash", 1, 128),
    )


@functools.lru_cache(maxsize=1024, typed=True)
def _known_revision(uid: object, generation: object, content: object) -> Revision:
    return _revision(Fields({"uid": uid, "generation": generation, "hash": content}))


def _told_revision(values: dict[str, Any], path: str) -> Revision:
    try:
        return _known_revision(values.get("uid"), values.get("generation"), values.get("hash"))
    except (TypeError, WireError):
        return _revision(Fields(values, path))


def _pool(fields: Fields) -> PoolState:
    return PoolState(
        warm=fields.integer("warm", 0, _MAX_COUNT),
        wanted=fields.integer("wanted", 0, _MAX_COUNT),
        ready=fields.flag("ready"),
    )


@functools.lru_cache(maxsize=1024, typed=True)
def _known_pool(warm: object, wanted: object, ready: object) -> PoolState:
    return _pool(Fields({"warm": warm, "wanted": wanted, "ready": ready}))


def _pools(pools: dict[str, Any]) -> Iterator[tuple[str, PoolState]]:
    for name, one in pools.items():
        if not (isinstance(one, dict) and 1 <= len(name) <= 63 and name.isprintable() and len(pools) <= _MAX_POOLS):
            raise WireError(f"pools must be an object of at most {_MAX_POOLS} objects with names of 1 to 63 characters")
        try:
            yield name, _known_pool(one.get("warm"), one.get("wanted"), one.get("ready"))
        except (TypeError, WireError):
            yield name, _pool(Fields(one, f"pools.{name}."))


def _state(fields: Fields) -> State:
    word = fields.text("state", 1, 64)
    if word not in _APPLYING:
        raise WireError(f"state must be one of {', '.join(Applying)}")
    return State(
        state=_APPLYING[word],
        offered=fields.optional("offered", _told_revision),
        applied=fields.optional("applied", _told_revision),
        error=fields.reason("error"),
        applied_at=fields.text("applied_at", 0, 40, default=""),
        pools=dict(_pools(fields.mapping("pools"))),
        sessions=fields.optional_integer("sessions", 0, _MAX_COUNT),
        busy=fields.optional_integer("busy", 0, _MAX_COUNT),
    )


def _normalised(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _normalised(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_normalised(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
