"""The options of the Azure engine."""

from typing import Any

import pytest

from speechpool.errors import SettingsError
from speechpool.speech.azure.endpoint_options import EndpointOptions
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.proxies import Proxy

KEY = "0123456789abcdef"
RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
REGION = {"key": KEY, "region": "westeurope"}


def parse(options: dict[str, Any], **environ: str) -> AzureOptions:
    return AzureOptions.parse(options, environ)


def refused(options: dict[str, Any], **environ: str) -> str:
    with pytest.raises(SettingsError) as error:
        parse(options, **environ)
    assert KEY not in str(error.value)
    return str(error.value)


def only(options: AzureOptions) -> EndpointOptions:
    (endpoint,) = options.endpoints
    return endpoint


def test_a_key_and_a_region_are_enough() -> None:
    endpoint = only(parse(REGION))

    assert endpoint.place.region == "westeurope"
    assert endpoint.credential.key == KEY
    assert endpoint.credential.setting == "AZURE_SPEECH_KEY"
    assert endpoint.works == frozenset(Work)


def test_an_endpoint_stands_in_place_of_the_region() -> None:
    endpoint = only(parse({**REGION, "endpoint": "https://mine.cognitiveservices.azure.com/"}))

    assert endpoint.place.name == "mine.cognitiveservices.azure.com"


def test_a_container_needs_no_credential() -> None:
    endpoint = only(parse({"endpoint": "ws://speech:5000"}))

    assert endpoint.credential.is_none
    assert endpoint.place.is_container


def test_the_paths_of_an_endpoint_can_be_said() -> None:
    assert only(parse({"endpoint": "wss://speech.example", "paths": "container"})).place.is_container
    assert not only(parse({"endpoint": "ws://speech.example", "paths": "resource"})).place.is_container
    assert only(parse({"endpoint": "ws://speech.example", "paths": "auto"})).place.is_container


@pytest.mark.parametrize(
    ("given", "field", "setting"),
    [
        ({"keyFile": "/run/secrets/key"}, "key_file", "AZURE_SPEECH_KEY_FILE"),
        ({"resourceId": RESOURCE}, "resource_id", "AZURE_SPEECH_RESOURCE_ID"),
    ],
)
def test_other_credentials_are_named_by_their_variable(given: dict[str, str], field: str, setting: str) -> None:
    credential = only(parse({"region": "westeurope", **given})).credential

    assert getattr(credential, field) == next(iter(given.values()))
    assert credential.setting == setting


def test_several_endpoints_have_weights_and_credentials_of_their_own() -> None:
    options = parse(
        {
            "key": KEY,
            "endpoints": [
                {"region": "westeurope", "weight": 3},
                {"region": "northeurope", "weight": 0, "keyEnv": "KEY_NORTH"},
                {"endpoint": "ws://tts:5000", "serves": "synthesis", "keyFile": "/keys/tts"},
            ],
        },
        KEY_NORTH="f" * 32,
    )

    assert [(each.place.name, each.weight) for each in options.endpoints] == [
        ("westeurope", 3),
        ("northeurope", 0),
        ("tts:5000", 1),
    ]
    assert [each.credential.setting for each in options.endpoints] == [
        "AZURE_SPEECH_KEY",
        "KEY_NORTH",
        "engines.azure.endpoints[2].keyFile",
    ]
    assert options.endpoints[1].credential.key == "f" * 32
    assert options.endpoints[2].works == {Work.SYNTHESIS}


def test_a_list_of_endpoints_stands_in_place_of_the_region() -> None:
    assert only(parse({**REGION, "endpoints": [{"region": "eastus"}]})).place.name == "eastus"


def test_every_other_option_is_read() -> None:
    options = parse(
        {
            **REGION,
            "voices": {"receptionist": "en-US-AvaNeural"},
            "language": "de-DE",
            "connectTimeoutSeconds": 2,
            "keepConnection": "Disabled",
            "sdkFirstChunkTimeoutSeconds": 3.5,
            "sdkRetries": 2,
            "stopTimeoutSeconds": 4,
            "sdkThreads": 32,
            "recognitionFrameMs": 40,
            "recognitionAnswerSeconds": 7,
            "recognitionSilentSeconds": 50,
            "recognitionEndSeconds": 8,
            "commitSeconds": 1.5,
            "inlineCommit": "Disabled",
            "maxBufferedSeconds": 12,
            "proxy": "http://user@proxy:3128",
            "proxyPasswordEnv": "PROXY_PASSWORD",
            "properties": {"SPEECH-Something": "1"},
        },
        PROXY_PASSWORD="hunter2",
    )

    assert options.voices == {"receptionist": "en-US-AvaNeural"}
    assert options.language == "de-DE"
    assert options.connect_timeout_seconds == 2.0
    assert options.keep_connection is False
    assert options.sdk_first_chunk_timeout_seconds == 3.5
    assert options.sdk_retries == 2
    assert options.stop_timeout_seconds == 4
    assert options.sdk_threads == 32
    assert options.recognition_frame_ms == 40
    assert options.recognition_answer_seconds == 7.0
    assert options.recognition_silent_seconds == 50.0
    assert options.recognition_end_seconds == 8.0
    assert options.commit_seconds == 1.5
    assert options.inline_commit is False
    assert options.max_buffered_seconds == 12.0
    assert options.proxy == Proxy(host="proxy", port=3128, username="user", password="hunter2")
    assert options.properties == {"SPEECH-Something": "1"}


def test_null_means_not_set() -> None:
    assert parse({**REGION, "connectTimeoutSeconds": None}) == parse(REGION)


def test_secrets_are_not_in_the_repr() -> None:
    options = parse({**REGION, "proxy": "http://user@proxy:3128", "proxyPasswordEnv": "P"}, P="hunter2")

    assert KEY not in repr(options)
    assert "hunter2" not in repr(options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "set AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT"),
        ({"region": "westeurope"}, "region westeurope needs a credential: set AZURE_SPEECH_KEY"),
        ({"key": KEY, "region": "West Europe"}, "AZURE_SPEECH_REGION) must be the name of an Azure region"),
        ({"key": KEY, "region": "https://x.example"}, "AZURE_SPEECH_REGION) must be the name of a region"),
        ({"key": KEY, "endpoint": "westeurope"}, "AZURE_SPEECH_ENDPOINT) must be a URL"),
        ({"key": KEY, "endpoint": "wss://host?a=b"}, "without a query"),
        ({"key": KEY, "endpoint": "wss://host", "paths": "odd"}, "paths must be one of auto, resource, container"),
        ({**REGION, "keyFile": "/a"}, "AZURE_SPEECH_KEY and AZURE_SPEECH_KEY_FILE are set, and only one can hold"),
        ({"region": "westeurope", "keyFile": "relative"}, "AZURE_SPEECH_KEY_FILE must be an absolute path"),
        ({"region": "westeurope", "resourceId": "mine"}, "AZURE_SPEECH_RESOURCE_ID must be a resource id"),
        ({**REGION, "connectTimeoutSeconds": 0}, "connectTimeoutSeconds must be a number from 0.1 to 60; got 0"),
        ({**REGION, "connectTimeoutSeconds": float("nan")}, "connectTimeoutSeconds must be a number from 0.1 to 60"),
        ({**REGION, "sdkThreads": True}, "sdkThreads must be a whole number from 4 to 1024; got True"),
        ({**REGION, "keepConnection": "maybe"}, "keepConnection must be Enabled or Disabled; got 'maybe'"),
        ({**REGION, "voices": ["a"]}, "voices must be a mapping"),
        ({**REGION, "language": "german!"}, "language must be a language tag such as en-US"),
        ({**REGION, "regoin": "x"}, "engines.azure.regoin is unknown; known are"),
        ({**REGION, "proxy": "http://user:secret@proxy:3128"}, "proxy must be http://host:port"),
        ({**REGION, "proxy": "proxy"}, "proxy must be http://host:port"),
        ({**REGION, "proxy": "http://proxy:1", "proxyPasswordEnv": "NONE"}, "names 'NONE', which is not set"),
        ({**REGION, "proxyPasswordEnv": "P"}, "proxyPasswordEnv is set without"),
        ({"endpoints": []}, "endpoints must be a list of 1 to 16 mappings"),
        ({"endpoints": ["x"]}, r"endpoints[0] must be a mapping"),
        ({"endpoints": [{}]}, "endpoints[0] must have either region or endpoint"),
        ({"key": KEY, "endpoints": [{"region": "a1", "endpoint": "ws://a"}]}, "must have either region or endpoint"),
        ({"endpoints": [{"region": "eastus"}]}, "endpoints[0]: region eastus needs a credential"),
        ({"key": KEY, "endpoints": [{"region": "eastus", "weight": -1}]}, "endpoints[0].weight must be a whole number"),
        ({"key": KEY, "endpoints": [{"region": "eastus", "weight": 0}]}, "at least one needs a weight above 0"),
        ({"key": KEY, "endpoints": [{"region": "eastus"}] * 2}, "one is there twice"),
        ({"key": KEY, "endpoints": [{"region": "eastus", "serves": "tea"}]}, "serves must be one of both, synthesis"),
        ({"endpoints": [{"region": "eastus", "keyEnv": "NONE"}]}, "keyEnv must name a variable that holds a key"),
        ({"key": KEY, "endpoints": [{"region": "eastus", "wieght": 1}]}, "endpoints[0].wieght is unknown"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name_and_bounds(options: dict[str, Any], says: str) -> None:
    message = refused(options)

    assert says in message
    assert "secret" not in message


def test_all_that_is_wrong_is_told_at_once() -> None:
    message = refused({**REGION, "sdkThreads": 1, "sdkRetries": 9, "odd": 1})

    assert len(message.splitlines()) == 3
