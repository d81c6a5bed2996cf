"""How sources are merged."""

import dataclasses

import pytest

from speechpool.errors import SettingsError
from speechpool.settings import (
    Layer,
    Origin,
    PoolEntry,
    PoolKind,
    Settings,
    Source,
    default_pool,
    read_tree,
    resolve,
)

TTS, STT = PoolKind.TEXT_TO_SPEECH, PoolKind.SPEECH_TO_TEXT


def env(**values):
    return Layer(source=Source.ENVIRONMENT, values=values)


def file(tree):
    return read_tree(tree, source=Source.FILE)


def operator(tree):
    return read_tree(tree, source=Source.OPERATOR)


def flags(**values):
    return Layer(source=Source.FLAG, values=values)


def sizes(*layers):
    return {pool.name: pool.warm_pool_size for pool in resolve(layers).settings.pools}


def test_without_sources_the_defaults_hold():
    assert resolve([]).settings == Settings()


def test_the_defaults_are_three_warm_tts_clients_and_one_warm_stt_client():
    assert sizes() == {"tts": 3, "stt": 1}


def test_a_warm_size_from_the_environment_sets_both_pools():
    assert sizes(env(warm_pool_size=5)) == {"tts": 5, "stt": 5}


def test_the_stronger_source_wins():
    layers = [flags(log_level="error"), env(log_level="debug"), file({"logLevel": "warning"})]
    assert resolve(layers).settings.log_level == "error"
    assert resolve(layers[1:]).settings.log_level == "warning"


def test_what_a_source_leaves_out_shows_through():
    resolved = resolve([env(max_size=9), file({"warmSize": 4}), operator({"maxWaiting": 7})])
    pool = resolved.settings.pools[0]
    assert (pool.max_size, pool.warm_pool_size, pool.max_waiting) == (9, 4, 7)


def test_a_pools_own_value_wins_inside_its_source():
    tree = {
        "warmSize": 4,
        "pools": [{"name": "a", "kind": "TextToSpeech", "warmSize": 6}, {"name": "b", "kind": "TextToSpeech"}],
    }
    assert sizes(env(warm_pool_size=9), file(tree)) == {"a": 6, "b": 4}


def test_a_stronger_sources_common_value_wins_over_a_weaker_ones_own():
    tree = {"pools": [{"name": "tts", "kind": "TextToSpeech", "warmSize": 6}]}
    assert sizes(file(tree), operator({"warmSize": 2})) == {"tts": 2}


def test_the_strongest_list_says_which_pools_there_are():
    weak = {"pools": [{"name": "a", "kind": "TextToSpeech"}, {"name": "b", "kind": "SpeechToText"}]}
    assert sizes(file(weak), operator({"pools": [{"name": "c", "kind": "SpeechToText"}]})) == {"c": 1}


def test_a_weaker_sources_own_value_shows_through_for_the_same_pool():
    weak = {"pools": [{"name": "a", "kind": "TextToSpeech", "warmSize": 6}]}
    assert sizes(file(weak), operator({"pools": [{"name": "a", "kind": "TextToSpeech"}]})) == {"a": 6}


def test_a_weaker_sources_own_value_does_not_show_through_for_a_pool_of_another_kind():
    weak = {"pools": [{"name": "a", "kind": "TextToSpeech", "warmSize": 6}]}
    assert sizes(file(weak), operator({"pools": [{"name": "a", "kind": "SpeechToText"}]})) == {"a": 1}


def test_provenance_names_each_value_as_its_source_does():
    tree = {"maxSize": 9, "pools": [{"name": "tts", "kind": "TextToSpeech", "maxWaiting": 6}]}
    provenance = resolve([env(warm_pool_size=5), file(tree), flags(log_level="error")]).provenance
    assert provenance["pools[tts].warmSize"] == Origin(Source.ENVIRONMENT, "SPEECH_POOL_WARM_SIZE")
    assert provenance["pools[tts].maxSize"] == Origin(Source.FILE, "maxSize")
    assert provenance["pools[tts].maxWaiting"] == Origin(Source.FILE, "pools[0].maxWaiting")
    assert provenance["pools"] == Origin(Source.FILE, "pools")
    assert provenance["logLevel"] == Origin(Source.FLAG, "--log-level")
    assert provenance["socket"] == Origin(Source.DEFAULT)


def test_every_value_has_a_provenance():
    resolved = resolve([])
    tree = resolved.settings.to_dict()
    paths = {key for key in tree if key != "pools"} | {
        f"pools[{pool['name']}].{key}" for pool in tree["pools"] for key in pool if key not in ("name", "kind")
    }
    assert paths <= set(resolved.provenance)


def test_a_pool_without_languages_has_the_default_language():
    resolved = resolve([env(default_language="de-DE")])
    assert resolved.settings.pools_of(STT)[0].languages == ("de-DE",)
    assert resolved.provenance["pools[stt].languages"] == Origin(Source.ENVIRONMENT, "SPEECHPOOL_DEFAULT_LANGUAGE")


def test_a_relation_is_checked_over_sources_and_names_both_as_written():
    with pytest.raises(SettingsError) as refused:
        resolve([env(max_size=4), flags(warm_pool_size=5)])
    first, second = refused.value.problems
    assert "--warm-size (5) must be at most SPEECH_POOL_MAX_SIZE (4) in pool tts" in first
    assert "in pool stt" in second


KEY = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("values", "engine"),
    [
        ({}, "local"),
        ({"azure_speech_key": KEY}, "local"),
        ({"azure_speech_region": "westeurope"}, "local"),
        ({"azure_speech_key": KEY, "azure_speech_region": "westeurope"}, "azure"),
        ({"azure_speech_key": KEY, "azure_speech_endpoint": "https://x.example"}, "azure"),
        ({"azure_speech_key": KEY, "azure_speech_region": "westeurope", "engine": "local"}, "local"),
    ],
)
def test_the_engine_is_azure_where_its_credentials_are_set(values, engine):
    assert resolve([env(**values)]).settings.engine == engine


def test_the_azure_engine_gets_its_credentials():
    settings = resolve(
        [env(azure_speech_key=KEY, azure_speech_region="westeurope"), file({"engines": {"azure": {"a": 1}}})]
    )
    assert settings.settings.engine_options() == {"a": 1, "key": KEY, "region": "westeurope", "language": "en-US"}


def test_the_azure_engines_language_is_the_default_one_unless_it_has_its_own():
    places = {"azure_speech_endpoint": "ws://c:5000", "default_language": "de-DE"}
    assert resolve([env(**places)]).settings.engine_options()["language"] == "de-DE"
    own = file({"engines": {"azure": {"language": "fr-FR"}}})
    assert resolve([env(**places), own]).settings.engine_options()["language"] == "fr-FR"


def test_the_files_own_section_wins_over_the_environment():
    layers = [
        env(azure_speech_key=KEY, azure_speech_region="westeurope"),
        file({"engines": {"azure": {"region": "eastus"}}}),
    ]
    assert resolve(layers).settings.engine_options()["region"] == "eastus"


def test_every_kind_of_credential_reaches_the_azure_engine():
    layer = env(azure_speech_key_file="/k", azure_speech_resource_id="/s", azure_speech_region="eastus")
    assert resolve([layer]).settings.engine_options() == {
        "language": "en-US",
        "keyFile": "/k",
        "resourceId": "/s",
        "region": "eastus",
    }


@pytest.mark.parametrize(
    ("layers", "engine"),
    [
        ([env(azure_speech_key=KEY, azure_speech_region="eastus")], "azure"),
        ([env(azure_speech_key_file="/k", azure_speech_region="eastus")], "azure"),
        ([env(azure_speech_resource_id="/s", azure_speech_region="eastus")], "azure"),
        ([env(azure_speech_endpoint="ws://container:5000")], "azure"),
        ([file({"engines": {"azure": {"endpoints": [{"endpoint": "ws://c:5000"}]}}})], "azure"),
        ([file({"engines": {"azure": {"region": "eastus", "keyFile": "/k"}}})], "azure"),
        ([file({"engines": {"azure": {"endpoint": "ws://c:5000"}}})], "azure"),
        ([file({"engines": {"azure": {"region": "eastus"}}})], "local"),
        ([env(azure_speech_region="eastus")], "local"),
        ([env(azure_speech_key=KEY)], "local"),
        ([env(azure_speech_endpoint="ws://container:5000", engine="local")], "local"),
        ([], "local"),
    ],
)
def test_azure_is_the_engine_where_its_place_and_what_it_needs_there_are_set(layers, engine):
    assert resolve(layers).settings.engine == engine


def test_an_engine_has_defaults_of_its_own_which_say_so():
    resolved = resolve([env(azure_speech_endpoint="ws://container:5000")])
    tts, stt = resolved.settings.pools
    assert (tts.max_lifetime_sec, tts.max_idle_sec) == (480.0, None)
    assert (stt.max_lifetime_sec, stt.max_idle_sec) == (None, 240.0)
    assert resolved.provenance["pools[tts].maxLifetimeSeconds"] == Origin(Source.DEFAULT, "engine azure")
    assert resolved.provenance["pools[tts].warmSize"] == Origin(Source.DEFAULT)


def test_what_is_set_wins_over_an_engines_default():
    tts, stt = resolve(
        [env(azure_speech_endpoint="ws://c:5000", max_lifetime_sec=None, max_idle_sec=60.0)]
    ).settings.pools
    assert (tts.max_lifetime_sec, tts.max_idle_sec) == (None, 60.0)
    assert (stt.max_lifetime_sec, stt.max_idle_sec) == (None, 60.0)


def test_another_engine_does_not_get_them():
    layers = [env(azure_speech_key=KEY, azure_speech_region="westeurope", engine="local")]
    assert resolve(layers).settings.engine_options() == {}


def test_a_token_and_a_token_file_cannot_both_hold():
    with pytest.raises(SettingsError, match=r"SPEECHPOOL_LISTEN_TOKEN and listenTokenFile \(/t\) are both set"):
        resolve([env(listen_token=KEY), file({"listenTokenFile": "/t"})])


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().engine = "azure"


def test_the_keywords_of_a_pool_are_those_of_the_pool_class():
    words = default_pool(TTS, "tts").keywords()
    assert words["warm_pool_size"] == 3
    assert words["recycle_sessions"] is True
    assert not {"output_format", "languages", "max_characters_per_minute", "name", "kind"} & set(words)


def test_pools_entries_do_not_share_their_values():
    assert PoolEntry(name="a", kind=TTS).values is not PoolEntry(name="b", kind=TTS).values
