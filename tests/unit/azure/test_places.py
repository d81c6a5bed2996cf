"""Where a speech service is, told by a region's name or a URL."""

import pytest

from speechpool.errors import SettingsError
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.places import Place, place_of

TTS, STT = Work.SYNTHESIS, Work.RECOGNITION


def test_a_public_region_is_left_to_the_sdk() -> None:
    place = place_of("westeurope")

    assert place.name == "westeurope"
    assert place.sdk_arguments(TTS) == place.sdk_arguments(STT) == {"region": "westeurope"}
    assert place.voices_url() == "https://westeurope.tts.speech.microsoft.com/cognitiveservices/voices/list"


def test_text_streaming_has_an_address_of_its_own_in_a_region() -> None:
    url = "wss://westeurope.tts.speech.microsoft.com/cognitiveservices/websocket/v2"

    assert place_of("westeurope").sdk_arguments(TTS, version="v2") == {"endpoint": url}


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("usgovvirginia", "azure.us"),
        ("usgovarizona", "azure.us"),
        ("chinaeast2", "azure.cn"),
        ("chinanorth3", "azure.cn"),
    ],
)
def test_a_sovereign_region_is_reached_at_its_own_hosts(region: str, domain: str) -> None:
    place = place_of(region)

    assert place.sdk_arguments(TTS) == {"host": f"wss://{region}.tts.speech.{domain}"}
    assert place.sdk_arguments(STT) == {"host": f"wss://{region}.stt.speech.{domain}"}
    assert place.voices_url() == f"https://{region}.tts.speech.{domain}/cognitiveservices/voices/list"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://westeurope.api.cognitive.microsoft.com/", "westeurope"),
        ("https://westeurope.api.cognitive.microsoft.com/sts/v1.0/issueToken", "westeurope"),
        ("wss://eastus.tts.speech.microsoft.com/cognitiveservices/websocket/v1", "eastus"),
        ("https://EastUS.stt.speech.microsoft.com", "eastus"),
        ("https://usgovvirginia.api.cognitive.microsoft.us", "usgovvirginia"),
        ("https://chinaeast2.api.cognitive.azure.cn/", "chinaeast2"),
    ],
)
def test_an_address_that_the_portal_shows_for_a_region_is_that_region(url: str, region: str) -> None:
    assert place_of(url) == place_of(region)


@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize("path", ["", "/", "/tts/cognitiveservices/websocket/v1", "/stt/speech/universal/v2"])
def test_a_custom_domain_serves_both_ways_whatever_path_is_given(scheme: str, path: str) -> None:
    place = place_of(f"{scheme}://my-resource.cognitiveservices.azure.com{path}")

    assert place.name == "my-resource.cognitiveservices.azure.com"
    assert place.sdk_arguments(TTS) == {"endpoint": "wss://my-resource.cognitiveservices.azure.com"}
    assert place.sdk_arguments(STT) == {"endpoint": "wss://my-resource.cognitiveservices.azure.com"}
    assert place.sdk_arguments(TTS, version="v2") == {
        "endpoint": "wss://my-resource.cognitiveservices.azure.com/tts/cognitiveservices/websocket/v2"
    }
    assert place.voices_url() == "https://my-resource.cognitiveservices.azure.com/tts/cognitiveservices/voices/list"


@pytest.mark.parametrize(
    "url", ["ws://10.0.0.7:5000", "http://10.0.0.7:5000/", "http://10.0.0.7:5000/cognitiveservices/v1"]
)
def test_an_address_without_tls_is_a_container(url: str) -> None:
    place = place_of(url)

    assert place == Place(name="10.0.0.7:5000", url="ws://10.0.0.7:5000", is_container=True)
    assert place.sdk_arguments(TTS) == place.sdk_arguments(STT) == {"host": "ws://10.0.0.7:5000"}
    assert place.upgrade_url(STT) == "ws://10.0.0.7:5000/speech/recognition/conversation/cognitiveservices/v1"
    assert place.voices_url() == "http://10.0.0.7:5000/cognitiveservices/voices/list"


def test_a_container_behind_tls_is_told_by_its_path_or_the_setting() -> None:
    by_path = place_of("wss://speech.example/cognitiveservices/websocket/v1")
    by_setting = place_of("https://speech.example", container=True)

    assert by_path == by_setting
    assert by_setting.sdk_arguments(TTS) == {"host": "wss://speech.example"}


def test_a_resource_without_tls_is_told_by_its_path_or_the_setting() -> None:
    by_path = place_of("ws://gateway:8080/stt/speech/universal/v2")
    by_setting = place_of("http://gateway:8080", container=False)

    assert by_path == by_setting
    assert by_setting.sdk_arguments(STT) == {"endpoint": "ws://gateway:8080"}


def test_a_path_before_the_services_own_is_kept() -> None:
    place = place_of("https://gateway.example/speech/tts/cognitiveservices/websocket/v1")

    assert place.sdk_arguments(TTS) == {"endpoint": "wss://gateway.example/speech/tts/cognitiveservices/websocket/v1"}
    assert place.sdk_arguments(STT) == {"endpoint": "wss://gateway.example/speech/stt/speech/universal/v2"}


def test_an_ipv6_address_keeps_its_brackets() -> None:
    assert place_of("ws://[::1]:5000").sdk_arguments(TTS) == {"host": "ws://[::1]:5000"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("West Europe", "name of an Azure region"),
        ("", "name of an Azure region"),
        ("ftp://host", "must be a URL"),
        ("wss://", "must be a URL"),
        ("wss://host:70000", "no URL"),
        ("wss://host:abc", "no URL"),
        ("wss://ho st", "without spaces"),
        ("wss://host/?x=1", "without a query"),
        ("wss://" + "a" * 600, "at most 512"),
    ],
)
def test_what_is_no_place_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        place_of(text)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="without a user or password") as refused:
        place_of("wss://user:hunter2@host")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "cloud"),
    [
        ("westeurope", "microsoft.com"),
        ("usgovvirginia", "azure.us"),
        ("chinaeast2", "azure.cn"),
        ("https://mine.cognitiveservices.azure.com", "microsoft.com"),
        ("https://mine.cognitiveservices.azure.us", "azure.us"),
        ("https://mine.cognitiveservices.azure.cn", "azure.cn"),
        ("ws://container:5000", "microsoft.com"),
    ],
)
def test_every_place_belongs_to_a_cloud(text: str, cloud: str) -> None:
    assert place_of(text).cloud == cloud
