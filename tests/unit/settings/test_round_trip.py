"""What is written is read back the same."""

import contextlib
import json

import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from tests.examples import examples

from speechpool.config.document import read_document
from speechpool.errors import SettingsError
from speechpool.formats import OUTPUT_FORMATS
from speechpool.settings import (
    POOL_KNOBS,
    PROCESS_KNOBS,
    Address,
    LanguageMode,
    LexiconEntry,
    PoolKind,
    PoolSettings,
    Settings,
    diff,
    from_dict,
)
from speechpool.settings.kinds import Choice, Integer, Number, Switch

LIMITS = limits(  # no clock in a test
    deadline=None, max_examples=examples(30), derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

TAGS = st.sampled_from(["en-US", "de-DE", "fr-FR", "zh-Hans-CN", "no"])
OPTIONS = st.dictionaries(
    st.sampled_from(["voice", "rate", "deep"]),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=3),
)
SPECIAL = {
    "engine": st.sampled_from(["local", "azure", "my-engine"]),
    "engines": st.dictionaries(st.sampled_from(["local", "azure"]), OPTIONS, max_size=2),
    "socket": st.none() | st.sampled_from(["/run/x.sock", "relative.sock", "/with space"]),
    "socket_mode": st.sampled_from([0o600, 0o660, 0o666, 0o777]),
    "socket_group": st.none() | st.sampled_from(["audio", "0", "1000"]),
    "listen": st.none(),
    "listen_token_file": st.none() | st.just("/run/token"),
    "listen_allowed_origins": st.lists(st.sampled_from(["http://a", "https://b:1"]), unique=True).map(tuple),
    "telemetry_address": st.none() | st.builds(Address, st.sampled_from(["::1", "0.0.0.0"]), st.integers(0, 65535)),
    "operator": st.none() | st.builds(Address, st.sampled_from(["operator.ns.svc", "::1"]), st.integers(1, 65535)),
    "operator_ca_file": st.just("/run/ca"),
    "operator_token_file": st.just("/run/token"),
    "state_directory": st.none() | st.just("/var/lib/speechpool"),
    "default_voice": st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=128),
    "default_language": TAGS,
    "lexicon": st.lists(
        st.builds(LexiconEntry, word=st.sampled_from(["SQL", "New York"]), alias=st.just("sequel"))
        | st.builds(LexiconEntry, word=st.sampled_from(["R&D", "é"]), ipa=st.just("e\u02d0")),
        max_size=3,
        unique_by=lambda entry: entry.word,
    ).map(tuple),
    "output_format": st.sampled_from(list(OUTPUT_FORMATS)),
    "languages": st.lists(TAGS, min_size=1, max_size=4, unique=True).map(tuple),
}


def values_of(knob):
    kind = knob.kind
    if knob.name in SPECIAL:
        return SPECIAL[knob.name]
    if isinstance(kind, Integer):
        numbers = st.integers(kind.minimum, kind.maximum)
    elif isinstance(kind, Number):
        numbers = st.floats(kind.minimum, kind.maximum, allow_nan=False)
    elif isinstance(kind, Switch):
        return st.booleans()
    else:
        assert isinstance(kind, Choice)
        return st.sampled_from([kind.make(word) for word in kind.words])
    return st.none() | numbers if kind.off else numbers


@st.composite
def pools(draw, name):
    kind = draw(st.sampled_from(PoolKind))
    values = {one.name: draw(values_of(one)) if one.applies_to(kind) else one.default for one in POOL_KNOBS}
    values["language_mode"] = LanguageMode.DETECT if len(values["languages"]) > 1 else LanguageMode.SINGLE
    values["max_size"] = max(values["max_size"], values["warm_pool_size"], values["warm_pool_max"] or 0)
    if values["warm_pool_max"] is not None:
        values["warm_pool_max"] = max(values["warm_pool_max"], values["warm_pool_size"])
    return PoolSettings(name=name, kind=kind, **values)


@st.composite
def every_settings(draw):
    values = {one.name: draw(values_of(one)) for one in PROCESS_KNOBS if one.in_file}
    values["max_upload_total_bytes"] = max(values["max_upload_total_bytes"], values["max_upload_bytes"])
    values["upload_timeout_seconds"] = max(values["upload_timeout_seconds"], values["upload_stall_seconds"])
    gaps = values["first_chunk_timeout_seconds"], values["chunk_gap_timeout_seconds"]
    values["utterance_timeout_seconds"] = max(values["utterance_timeout_seconds"], *gaps)
    names = draw(st.lists(st.sampled_from(["tts", "stt", "voice-out", "a1"]), min_size=1, max_size=3, unique=True))
    return Settings(**values, pools=tuple(draw(pools(name)) for name in names))


@LIMITS
@given(every_settings())
def test_what_is_written_is_read_back_the_same(one):
    assert from_dict(one.to_dict()) == one


@LIMITS
@given(every_settings())
def test_a_file_holds_all_of_it(one):
    text = yaml.safe_dump(one.to_dict(), allow_unicode=True)
    assert from_dict(read_document(text)) == one
    assert from_dict(read_document(json.dumps(one.to_dict()))) == one


@LIMITS
@given(every_settings(), every_settings())
def test_there_are_differences_exactly_between_different_settings(one, other):
    assert diff(one, one) == ()
    same_pools = {pool.name: pool for pool in one.pools} == {pool.name: pool for pool in other.pools}
    assert bool(diff(one, other)) == (one.to_dict() | {"pools": 0} != other.to_dict() | {"pools": 0} or not same_pools)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([one.key for one in PROCESS_KNOBS + POOL_KNOBS] + ["pools", "name", "kind"])


@limits(LIMITS, max_examples=examples(60))
@given(
    st.dictionaries(KEYS | st.text(max_size=8), JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=4)), max_size=6)
)
def test_any_tree_is_settings_or_a_settings_error(tree):
    with contextlib.suppress(SettingsError):
        read = from_dict(tree)
        assert from_dict(read.to_dict()) == read
