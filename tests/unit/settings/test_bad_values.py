"""Every wrong value is refused with its name as its user wrote it, the value, the bounds, and what to do."""

import math

import pytest

from speechpool.errors import SettingsError
from speechpool.settings import POOL_KNOBS, PROCESS_KNOBS, Source, from_dict, read_texts, read_tree

LONG = "x" * 5000


def tts(**values):
    return {"pools": [{"name": "tts", "kind": "TextToSpeech", **values}]}


def stt(**values):
    return {"pools": [{"name": "stt", "kind": "SpeechToText", **values}]}


FILES = [
    # whole files
    ([], ["settings must be a mapping", "[]"]),
    ("warmSize", ["settings must be a mapping", "'warmSize'"]),
    (3, ["settings must be a mapping", "3"]),
    ({1: 2}, ["1 is not the name of a setting"]),
    ({True: 2}, ["true is not the name of a setting"]),
    ({(1, 2): 2}, ["(1, 2) is not the name of a setting"]),
    # names
    ({"warmsize": 3}, ["warmsize is not a setting", "Did you mean warmSize?"]),
    ({"warm_size": 3}, ["warm_size is not a setting", "Did you mean warmSize?"]),
    ({"SPEECH_POOL_WARM_SIZE": 3}, ["SPEECH_POOL_WARM_SIZE is not a setting", "Did you mean warmSize?"]),
    ({"maxSizes": 3}, ["maxSizes is not a setting", "Did you mean maxSize?"]),
    ({"pool": []}, ["pool is not a setting", "Did you mean pools?"]),
    ({"zzzzzz": 3}, ["zzzzzz is not a setting. Correct the name or remove it."]),
    ({"line\nend": 3}, [r"'line\nend' is not a setting"]),
    ({LONG: 3}, ["'xxxx", "… is not a setting"]),
    ({"outputFormat": "Raw24Khz16BitMonoPcm"}, ["outputFormat is a setting of one pool", "element of pools"]),
    ({"languages": ["en-US"]}, ["languages is a setting of one pool"]),
    ({"listenToken": "0123456789abcdef"}, ["listenToken cannot be set here", "SPEECHPOOL_LISTEN_TOKEN"]),
    ({"azureSpeechKey": "0123456789abcdef"}, ["azureSpeechKey cannot be set here", "AZURE_SPEECH_KEY"]),
    ({"configFile": "/x.yaml"}, ["configFile cannot be set here", "SPEECHPOOL_CONFIG"]),
    # whole numbers
    ({"warmSize": "3"}, ["warmSize must be a whole number from 0 to 1000; got '3'", "default: 3"]),
    ({"warmSize": True}, ["warmSize must be a whole number from 0 to 1000; got true"]),
    ({"warmSize": 3.0}, ["warmSize must be a whole number", "3.0"]),
    ({"warmSize": -1}, ["warmSize must be a whole number from 0 to 1000; got -1"]),
    ({"warmSize": 1001}, ["from 0 to 1000; got 1001"]),
    ({"warmSize": math.nan}, ["warmSize must be a whole number", "nan"]),
    ({"warmSize": [3]}, ["warmSize must be a whole number", "[3]"]),
    ({"warmSize": {"tts": 3}}, ["warmSize must be a whole number", "a mapping"]),
    ({"maxSize": 0}, ["maxSize must be a whole number from 1 to 1000; got 0"]),
    ({"maxWarmSize": False}, ["maxWarmSize", "0 for off; got false"]),
    ({"maxWarmSize": -5}, ["maxWarmSize", "from 1 to 1000, or 0 for off; got -5"]),
    ({"maxWaiting": 0}, ["maxWaiting", "from 1 to 10000; got 0"]),
    ({"maxUploadBytes": 1}, ["maxUploadBytes", "from 1024 to 1073741824; got 1"]),
    ({"codecWorkers": 10**30}, ["codecWorkers", "from 1 to 32; got 1000000"]),
    # numbers
    ({"warmupIntervalSeconds": 0}, ["warmupIntervalSeconds must be a number from 0.1 to 86400; got 0"]),
    ({"warmupIntervalSeconds": -30}, ["warmupIntervalSeconds", "got -30"]),
    ({"warmupIntervalSeconds": math.nan}, ["warmupIntervalSeconds", "got nan"]),
    ({"warmupIntervalSeconds": math.inf}, ["warmupIntervalSeconds", "got inf"]),
    ({"warmupIntervalSeconds": True}, ["warmupIntervalSeconds", "got true"]),
    ({"warmupIntervalSeconds": "30s"}, ["warmupIntervalSeconds", "got '30s'"]),
    ({"sessionMaxAgeSeconds": 10**9}, ["sessionMaxAgeSeconds", "from 1 to 604800; got 1000000000"]),
    ({"maxIdleSeconds": 0.5}, ["maxIdleSeconds", "from 1 to 604800, or 0 for off; got 0.5"]),
    ({"acquireTimeoutSeconds": 601}, ["acquireTimeoutSeconds", "0.01 to 600; got 601"]),
    # words
    ({"sessionAwareness": True}, ["sessionAwareness must be Enabled or Disabled", "got true"]),
    ({"sessionAwareness": "enabled"}, ["sessionAwareness", "'enabled'"]),
    ({"sessionAwareness": ["Enabled"]}, ["sessionAwareness", "['Enabled']"]),
    ({"logLevel": "verbose"}, ["logLevel must be one of debug, info, warning, error; got 'verbose'"]),
    ({"logLevel": 10}, ["logLevel", "got 10"]),
    ({"logFormat": "xml"}, ["logFormat must be one of auto, json, text; got 'xml'"]),
    ({"eventLoop": "trio"}, ["eventLoop", "auto, uvloop, asyncio", "'trio'"]),
    # texts
    ({"engine": "Azure Speech"}, ["engine must be an engine's name", "'Azure Speech'"]),
    ({"engine": ""}, ["engine must be an engine's name", "got ''"]),
    ({"defaultVoice": "a\x00b"}, ["defaultVoice", "no control characters", r"'a\x00b'"]),
    ({"defaultVoice": LONG}, ["defaultVoice", "1 to 128", "…"]),
    ({"defaultLanguage": "english"}, ["defaultLanguage", "a language tag, as en-US", "'english'"]),
    # places
    ({"socket": "/" + "s" * 107}, ["socket must be a path of 1 to 107 bytes"]),
    ({"socket": "/a\x00b"}, ["socket must be a path"]),
    ({"socket": 5}, ["socket must be a path", "got 5"]),
    ({"socketMode": 660}, ["socketMode must be an octal mode from 0600 to 0777", "got 660"]),
    ({"socketMode": "0888"}, ["socketMode", "'0888'"]),
    ({"socketMode": "0460"}, ["socketMode", "the owner read and write", "'0460'"]),
    ({"socketMode": "01777"}, ["socketMode", "'01777'"]),
    ({"socketMode": "rw-rw----"}, ["socketMode", "'rw-rw----'"]),
    ({"socketGroup": "my group"}, ["socketGroup", "a group's name", "'my group'"]),
    ({"socketGroup": -1}, ["socketGroup", "0 to 4294967294", "-1"]),
    ({"socketGroup": 2**32}, ["socketGroup", "0 to 4294967294"]),
    ({"socketGroup": True}, ["socketGroup", "true"]),
    ({"listen": "0.0.0.0:80"}, ["listen must be a loopback address", "'0.0.0.0:80'"]),
    ({"listen": "example.org:80"}, ["listen must be a loopback address", "'example.org:80'"]),
    ({"listen": "[::2]:80"}, ["listen must be a loopback address", "'[::2]:80'"]),
    ({"listen": 8080}, ["listen must be a loopback address", "got 8080"]),
    ({"listen": "127.0.0.1"}, ["listen", "127.0.0.1:8080", "'127.0.0.1'"]),
    ({"listen": "127.0.0.1:65536"}, ["listen", "port 0 to 65535"]),
    ({"telemetryAddress": "::1:9090"}, ["telemetryAddress must be host:port", "'::1:9090'"]),
    ({"telemetryAddress": "256.0.0.1:9090"}, ["telemetryAddress", "'256.0.0.1:9090'"]),
    ({"telemetryAddress": "ho st:1"}, ["telemetryAddress", "'ho st:1'"]),
    ({"telemetryAddress": ":9090"}, ["telemetryAddress must be host:port", "':9090'"]),
    ({"listenAllowedOrigins": "http://a"}, ["listenAllowedOrigins must be a list", "'http://a'"]),
    ({"listenAllowedOrigins": ["http://a/path"]}, ["listenAllowedOrigins", "web origins", "http://a/path"]),
    ({"listenAllowedOrigins": ["http://a", "HTTP://a".lower()]}, ["listenAllowedOrigins", "there twice"]),
    # engines
    ({"engines": []}, ["engines must be a mapping", "[]"]),
    ({"engines": {"local": 3}}, ["engines must be a mapping"]),
    ({"engines": {"azure": {"key": "s3cret"}}}, ["engines", "key looks like a key or a token", "environment"]),
    ({"engines": {"x": {"nested": {"apiToken": "s3cret"}}}}, ["apiToken looks like a key or a token"]),
    ({"engines": {"local": {"rate": math.inf}}}, ["engines", "finite numbers"]),
    ({"engines": {"local": {5: 1}}}, ["engines", "must be text"]),
    # pools
    ({"pools": {}}, ["pools must be a list of 1 to 16 pools", "a mapping"]),
    ({"pools": []}, ["pools must be a list of 1 to 16 pools", "a list of 0"]),
    ({"pools": [{"name": f"p{i}", "kind": "TextToSpeech"} for i in range(17)]}, ["pools", "1 to 16", "a list of 17"]),
    ({"pools": ["tts"]}, ["pools[0] must be a mapping with name and kind", "'tts'"]),
    ({"pools": [{"kind": "TextToSpeech"}]}, ["pools[0].name must be 1 to 63", "got nothing"]),
    ({"pools": [{"name": "tts"}]}, ["pools[0].kind must be TextToSpeech or SpeechToText", "got nothing"]),
    ({"pools": [{"name": "tts", "kind": "tts"}]}, ["pools[0].kind", "'tts'"]),
    ({"pools": [{"name": "Voice Out", "kind": "TextToSpeech"}]}, ["pools[0].name", "'Voice Out'"]),
    ({"pools": [{"name": "-a", "kind": "TextToSpeech"}]}, ["pools[0].name", "letter or digit at both ends"]),
    ({"pools": [{"name": 5, "kind": "TextToSpeech"}]}, ["pools[0].name", "got 5"]),
    (
        {"pools": [{"name": "a", "kind": "TextToSpeech"}, {"name": "a", "kind": "SpeechToText"}]},
        ["pools[1].name must differ", "'a'", "pools[0].name", "another name"],
    ),
    (
        {"pools": [{"name": "a", "kind": "TextToSpeech"}, {"name": "b", "kind": "SpeechToText", "warmSize": -1}]},
        ["pools[1].warmSize must be a whole number from 0 to 1000; got -1"],
    ),
    (tts(languages=["en-US"]), ["pools[0].languages is a setting of SpeechToText pools", "TextToSpeech pool"]),
    (tts(languageMode="Detect"), ["pools[0].languageMode is a setting of SpeechToText pools"]),
    (stt(outputFormat="Raw24Khz16BitMonoPcm"), ["pools[0].outputFormat is a setting of TextToSpeech pools"]),
    (stt(maxCharactersPerMinute=5), ["pools[0].maxCharactersPerMinute is a setting of TextToSpeech pools"]),
    (tts(outputFormat="Raw24Khz"), ["pools[0].outputFormat must be one of Raw8Khz16BitMonoPcm", "'Raw24Khz'"]),
    (tts(logLevel="info"), ["pools[0].logLevel is a setting of the whole sidecar"]),
    (tts(warm_size=1), ["pools[0].warm_size is not a setting", "Did you mean warmSize?"]),
    (stt(languages="en-US"), ["pools[0].languages must be a list of 1 to 10", "'en-US'"]),
    (stt(languages=[]), ["pools[0].languages", "[]"]),
    (stt(languages=["en-US", "en-US"]), ["pools[0].languages", "there twice"]),
    (stt(languages=["en_US"]), ["pools[0].languages", "['en_US']"]),
    (stt(languages=[True]), ["pools[0].languages", "[True]"]),
    (stt(languages=[f"aa-{i:03}" for i in range(11)]), ["pools[0].languages", "1 to 10"]),
    # relations
    ({"warmSize": 100}, ["warmSize (100) must be at most maxSize (64, the default) in pool tts", "raise the second"]),
    ({"warmSize": 5, "maxWarmSize": 4}, ["warmSize (5) must be at most maxWarmSize (4)"]),
    ({"maxWarmSize": 65}, ["maxWarmSize (65) must be at most maxSize (64, the default)"]),
    (tts(warmSize=9, maxSize=8), ["pools[0].warmSize (9) must be at most pools[0].maxSize (8) in pool tts"]),
    (stt(languages=["en-US", "de-DE"]), ["pools[0].languages (en-US, de-DE) has 2", "Set languageMode: Detect"]),
    (stt(languageMode="Detect"), ["languages (en-US, the default) has one", "Detect takes 2 to 10"]),
    ({"listen": "127.0.0.1:80"}, ["listen (127.0.0.1:80) needs a bearer token", "SPEECHPOOL_LISTEN_TOKEN"]),
    (
        {"listen": "127.0.0.1:80", "telemetryAddress": "127.0.0.1:80", "listenTokenFile": "/t"},
        ["telemetryAddress (127.0.0.1:80) must differ from listen", "another port"],
    ),
    ({"maxUploadBytes": 2048, "maxUploadTotalBytes": 1024}, ["maxUploadBytes (2048) must be at most"]),
    ({"uploadTimeoutSeconds": 5}, ["uploadStallSeconds (10, the default) must be at most uploadTimeoutSeconds (5)"]),
    ({"utteranceTimeoutSeconds": 5, "chunkGapTimeoutSeconds": 1}, ["firstChunkTimeoutSeconds (10, the default)"]),
    ({"utteranceTimeoutSeconds": 5, "firstChunkTimeoutSeconds": 1}, ["chunkGapTimeoutSeconds (10, the default)"]),
]


@pytest.mark.parametrize(("tree", "parts"), FILES)
def test_a_wrong_file_is_refused_with_name_value_bounds_and_remedy(tree, parts):
    with pytest.raises(SettingsError) as refused:
        from_dict(tree)
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize(("tree", "parts"), FILES)
def test_every_problem_is_one_short_line_that_ends_as_a_sentence(tree, parts):
    with pytest.raises(SettingsError) as refused:
        from_dict(tree)
    for problem in refused.value.problems:
        assert "\n" not in problem
        assert len(problem) < 500
        assert problem.endswith(".")


TEXTS = [
    ("SPEECH_POOL_WARM_SIZE", "warm_pool_size", ["abc", "3.5", "1e2", "0x3", "-1", "1001", "³", "9" * 5000, "true"]),
    ("SPEECH_POOL_WARM_MAX", "warm_pool_max", ["-1", "1001", "none"]),
    ("SPEECH_POOL_WARMUP_INTERVAL", "warmup_interval_sec", ["0", "-30", "nan", "inf", "30s", "1e400", "1_000", "true"]),
    ("SPEECH_POOL_SESSION_MAX_AGE", "session_max_age_sec", ["0", "604801", "an hour"]),
    ("SPEECH_POOL_SESSION_AWARENESS", "session_awareness", ["2", "maybe", "tru", "-"]),
    ("SPEECHPOOL_SOCKET_MODE", "socket_mode", ["rw", "0999", "9", "0o660", "-660"]),
    ("SPEECHPOOL_LISTEN", "listen", ["*:80", "0.0.0.0:80", "localhost", "127.0.0.1:http", "[::1:80"]),
    ("SPEECHPOOL_OPERATOR", "operator", ["operator", "operator:0", "operator:65536", "https://operator:8443", ":8443"]),
    ("SPEECHPOOL_ENGINE", "engine", ["Azure", "a b", "-x"]),
    ("SPEECHPOOL_LOG_LEVEL", "log_level", ["trace", "10"]),
    ("AZURE_SPEECH_REGION", "azure_speech_region", ["West Europe", "x"]),
    ("AZURE_SPEECH_ENDPOINT", "azure_speech_endpoint", ["westeurope", "https://host/?a=b", "ftp://host"]),
    ("SPEECHPOOL_LISTEN_ALLOWED_ORIGINS", "listen_allowed_origins", ["localhost", "http://a,http://a", "http://a,"]),
]


@pytest.mark.parametrize(("variable", "name", "text"), [(v, n, t) for v, n, texts in TEXTS for t in texts])
def test_a_wrong_variable_is_refused_by_its_own_name(variable, name, text):
    with pytest.raises(SettingsError) as refused:
        read_texts({name: text}, source=Source.ENVIRONMENT, label=lambda knob: knob.env)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{variable} must be ")
    assert repr(text)[:60] in problem
    assert "Correct it, or leave it out" in problem


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        from_dict({"warmSize": -1, "nope": 1, "logLevel": "x", "pools": [{"name": "A", "kind": "B", "maxSize": 0}]})
    assert len(refused.value.problems) == 6
    assert str(refused.value).startswith("6 settings are wrong:\n- ")


def test_the_operator_may_not_set_what_needs_a_restart():
    with pytest.raises(SettingsError, match="socket holds from the start of a sidecar only"):
        read_tree({"socket": "/x"}, source=Source.OPERATOR)


def test_the_operator_may_set_every_live_setting():
    live = {one.key: one.kind.to_value(one.default) for one in PROCESS_KNOBS if one.is_live}
    live |= {one.key: one.kind.to_value(one.default) for one in POOL_KNOBS if one.fallback}
    assert len(read_tree(live, source=Source.OPERATOR).values) == len(live)


@pytest.mark.parametrize("value", [None])
def test_null_is_not_set_here(value):
    assert from_dict({"warmSize": value, "pools": None}) == from_dict({})
