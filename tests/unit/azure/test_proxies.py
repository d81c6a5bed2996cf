"""The proxy that the environment names, and what is reached without it."""

import pytest

from speechpool.errors import SettingsError
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.proxies import Proxy, environment_proxy

AZURE = "wss://westeurope.tts.speech.microsoft.com/cognitiveservices/websocket/v1"
REGION = {"key": "a" * 32, "region": "westeurope"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, Proxy(host="p", port=3128, tls_only=True)),
        ({"https_proxy": "http://p:3128/"}, Proxy(host="p", port=3128, tls_only=True)),
        (
            {"HTTPS_PROXY": "http://me:p%40ss@p:3128"},
            Proxy(host="p", port=3128, username="me", password="p@ss", tls_only=True),
        ),
    ],
)
def test_the_environment_s_proxy(environ: dict[str, str], expected: Proxy | None) -> None:
    assert environment_proxy(environ) == expected
    assert AzureOptions.parse(REGION, environ).proxy == expected


def test_the_options_proxy_is_stronger() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
    found = AzureOptions.parse({**REGION, "proxy": "http://own:2"}, environ).proxy
    assert found == Proxy(host="own", port=2)
    assert found.serves(AZURE)


@pytest.mark.parametrize(
    "url", ["p:3128", "https://p:3128", "http://p", "http://p:0", "http://p:99999", "socks5://p:1"]
)
def test_a_wrong_one_is_told_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="HTTPS_PROXY must be http://host:port") as refused:
        AzureOptions.parse(REGION, {"HTTPS_PROXY": url.replace("//p", "//u:hunter2@p")})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("no_proxy", "url", "expected"),
    [
        ("", AZURE, True),
        ("example.org", AZURE, True),
        (".microsoft.com", AZURE, False),
        ("microsoft.com", AZURE, False),
        ("*.microsoft.com", AZURE, False),
        ("soft.com", AZURE, True),
        (" WestEurope.TTS.speech.microsoft.com , x", AZURE, False),
        ("*", AZURE, False),
        (".svc", "wss://speech.tools.svc/", False),
        ("10.0.0.0/8", "wss://10.2.3.4:443/", False),
        ("10.0.0.0/8", "wss://11.2.3.4:443/", True),
        ("10.2.3.4", "https://10.2.3.4/", False),
        ("fd00::/8", "https://[fd00::1]/", False),
        ("", "ws://speech.tools:5000/", False),
        ("", "http://speech.tools:5000/", False),
    ],
)
def test_what_is_reached_without_it(no_proxy: str, url: str, expected: bool) -> None:
    found = environment_proxy({"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy})
    assert found
    assert found.serves(url) is expected
