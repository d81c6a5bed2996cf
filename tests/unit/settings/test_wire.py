"""The messages between a sidecar and its operator."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.settings import wire
from speechpool.settings.wire import (
    Applying,
    Bye,
    Heartbeat,
    Hello,
    NewSettings,
    NoSettings,
    PoolState,
    Revision,
    State,
    WireError,
)

REVISION = Revision(uid="6f0c", generation=7, hash="ab" * 32)
SETTINGS = NewSettings(name="calls/voice", revision=REVISION, spec={"warmSize": 3, "pools": None})
POOLS = {"tts": PoolState(warm=2, wanted=3, ready=True), "stt": PoolState(warm=0, wanted=1, ready=False)}

FROM_SIDECAR = [
    Hello(version="0.1.0"),
    Hello(version="", applied=REVISION),
    State(state=Applying.APPLIED),
    State(
        state=Applying.REJECTED,
        offered=REVISION,
        applied=REVISION,
        error="warmSize must be …",
        applied_at="2026-11-23T23:27:36.000Z",
        pools=POOLS,
        sessions=3,
        busy=0,
    ),
]
FROM_OPERATOR = [
    SETTINGS,
    NoSettings(),
    NoSettings(reason="no SpeechPool selects this pod"),
    Heartbeat(),
    Heartbeat(hash="ab", interval_seconds=4.5),
    Bye(reason="the token expires", retry_after_seconds=2.0),
]


def text(message, **changes):
    """A message with other fields; ... takes one away."""
    fields = json.loads(wire.encode(message)) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


@pytest.mark.parametrize("message", FROM_SIDECAR)
def test_what_a_sidecar_writes_an_operator_reads(message):
    assert wire.from_sidecar(wire.encode(message)) == message


@pytest.mark.parametrize("message", FROM_OPERATOR)
def test_what_an_operator_writes_a_sidecar_reads(message):
    assert wire.from_operator(wire.encode(message)) == message


@pytest.mark.parametrize("message", FROM_SIDECAR)
def test_fields_of_a_newer_sidecar_are_ignored(message):
    assert wire.from_sidecar(text(message, colour="red", more={"deep": [1]})) == message


@pytest.mark.parametrize("message", FROM_OPERATOR)
def test_fields_of_a_newer_operator_are_ignored(message):
    assert wire.from_operator(text(message, colour="red", more={"deep": [1]})) == message


@pytest.mark.parametrize("read", [wire.from_sidecar, wire.from_operator])
def test_types_of_a_newer_peer_are_ignored(read):
    assert read('{"type": "telepathy", "strength": 7}') is None


def test_what_goes_the_wrong_way_is_unknown():
    assert wire.from_sidecar(wire.encode(SETTINGS)) is None
    assert wire.from_operator(wire.encode(Hello(version="1"))) is None


@pytest.mark.parametrize("read", [wire.from_sidecar, wire.from_operator])
@pytest.mark.parametrize(
    "broken",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"type": null}',
        '{"type": 7}',
        '{"type": "hello"',
        '{"type": "heartbeat", "hash": NaN}',
        '{"type": "heartbeat", "interval_seconds": 1e999}',
        "[" * 60_000,
        '{"type": ' + "9" * 5_000 + "}",
        '{"type": "\\ud800"}',
    ],
)
def test_what_is_no_message_is_an_error_that_shows_none_of_it(read, broken):
    with pytest.raises(WireError) as caught:
        read(broken)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("message", "changes", "field"),
    [
        (SETTINGS, {"generation": 0}, "generation"),
        (SETTINGS, {"generation": 2**63}, "generation"),
        (SETTINGS, {"generation": True}, "generation"),
        (SETTINGS, {"generation": "7"}, "generation"),
        (SETTINGS, {"generation": 7.0}, "generation"),
        (SETTINGS, {"uid": ...}, "uid"),
        (SETTINGS, {"uid": ""}, "uid"),
        (SETTINGS, {"uid": "x" * 129}, "uid"),
        (SETTINGS, {"uid": "a\nb"}, "uid"),
        (SETTINGS, {"hash": "\ud800"}, "hash"),
        (SETTINGS, {"hash": None}, "hash"),
        (SETTINGS, {"name": "x" * 318}, "name"),
        (SETTINGS, {"spec": []}, "spec"),
        (SETTINGS, {"spec": ...}, "spec"),
        (NoSettings(), {"reason": 7}, "reason"),
        (Heartbeat(), {"interval_seconds": 0}, "interval_seconds"),
        (Heartbeat(), {"interval_seconds": 61}, "interval_seconds"),
        (Heartbeat(), {"interval_seconds": True}, "interval_seconds"),
        (Heartbeat(), {"hash": 7}, "hash"),
        (Bye(), {"retry_after_seconds": -1}, "retry_after_seconds"),
        (Bye(), {"retry_after_seconds": 1e9}, "retry_after_seconds"),
    ],
)
def test_a_wrong_field_of_an_operator_is_named(message, changes, field):
    with pytest.raises(WireError, match=f"^{field} "):
        wire.from_operator(text(message, **changes))


@pytest.mark.parametrize(
    ("message", "changes", "field"),
    [
        (Hello(version="1"), {"protocol": 0}, "protocol"),
        (Hello(version="1"), {"protocol": ...}, "protocol"),
        (Hello(version="1"), {"version": "x" * 65}, "version"),
        (Hello(version="1"), {"applied": 7}, "applied"),
        (Hello(version="1"), {"applied": {"uid": "a", "hash": "b"}}, "applied.generation"),
        (FROM_SIDECAR[3], {"state": "asleep"}, "state"),
        (FROM_SIDECAR[3], {"sessions": -1}, "sessions"),
        (FROM_SIDECAR[3], {"busy": True}, "busy"),
        (FROM_SIDECAR[3], {"pools": []}, "pools"),
        (FROM_SIDECAR[3], {"pools": {"tts": {"warm": [1], "wanted": 1, "ready": True}}}, "pools.tts.warm"),
        (FROM_SIDECAR[3], {"pools": {"tts": {"warm": 1, "wanted": 1.0, "ready": True}}}, "pools.tts.wanted"),
        (FROM_SIDECAR[3], {"applied": {"uid": "u", "generation": {}, "hash": "h"}}, "applied.generation"),
        (FROM_SIDECAR[3], {"pools": {"tts": 3}}, "pools"),
        (FROM_SIDECAR[3], {"pools": {"x" * 64: {}}}, "pools"),
        (FROM_SIDECAR[3], {"pools": {str(n): {} for n in range(65)}}, "pools"),
        (FROM_SIDECAR[3], {"pools": {"tts": {"warm": -1, "wanted": 1, "ready": True}}}, "pools.tts.warm"),
        (FROM_SIDECAR[3], {"pools": {"tts": {"warm": 1, "wanted": 1, "ready": 1}}}, "pools.tts.ready"),
        (FROM_SIDECAR[3], {"applied_at": "x" * 41}, "applied_at"),
    ],
)
def test_a_wrong_field_of_a_sidecar_is_named(message, changes, field):
    with pytest.raises(WireError, match=f"^{field} "):
        wire.from_sidecar(text(message, **changes))


def test_a_message_that_is_too_large_is_neither_written_nor_read():
    large = NewSettings(name="a/b", revision=REVISION, spec={"lexicon": "x" * wire.MAX_OPERATOR_MESSAGE_BYTES})
    with pytest.raises(WireError, match=r"at most 1048576 bytes"):
        wire.encode(large)
    with pytest.raises(WireError, match=r"at most 65536 bytes"):
        wire.from_sidecar(" " * (wire.MAX_SIDECAR_MESSAGE_BYTES + 1))


def test_the_largest_state_of_a_sidecar_fits():
    pools = {f"{n:063}": PoolState(warm=1000, wanted=1000, ready=False) for n in range(16)}
    state = State(state=Applying.REJECTED, offered=REVISION, applied=REVISION, error="ü" * 1024, pools=pools)
    assert wire.from_sidecar(wire.encode(state)) == state


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, "\ud800"])
def test_what_json_cannot_say_is_not_written(value):
    with pytest.raises(WireError):
        wire.encode(NewSettings(name="a/b", revision=REVISION, spec={"x": value}))


def test_a_reason_is_one_line_and_bounded():
    assert wire.bounded("a\nb\x1bc") == "a b c"
    assert wire.bounded("x" * 1024) == "x" * 1024
    assert wire.bounded("x" * 5000) == "x" * 1023 + "…"
    assert wire.from_operator(text(NoSettings(), reason="x" * 5000)) == NoSettings(reason="x" * 1023 + "…")


def test_the_hash_is_of_what_is_set():
    assert wire.spec_hash({"warmSize": 3, "maxSize": 4}) == wire.spec_hash({"maxSize": 4.0, "warmSize": 3})
    assert wire.spec_hash({"pools": [{"name": "a", "maxSize": None}]}) == wire.spec_hash({"pools": [{"name": "a"}]})
    different = [{}, {"warmSize": 3}, {"warmSize": 4}, {"warmSize": "3"}, {"pools": [1, 2]}, {"pools": [2, 1]}]
    assert len({wire.spec_hash(one) for one in different}) == len(different)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["type", "uid", "generation", "hash", "name", "spec", "reason", "applied", "pools", "state"])
TYPES = st.sampled_from(["hello", "state", "settings", "none", "heartbeat", "bye"])


@given(st.dictionaries(NAMES, JSON, max_size=8), TYPES)
def test_whatever_comes_is_a_message_unknown_or_a_wire_error(fields, kind):
    for read in (wire.from_sidecar, wire.from_operator):
        try:
            message = read(json.dumps(fields | {"type": kind}))
        except WireError:
            continue
        assert message is None or read(wire.encode(message)) == message
