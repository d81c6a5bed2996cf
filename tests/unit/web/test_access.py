"""Who may use the TCP listener."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from speechpool.web.access import TcpAccess, allow_origin
from speechpool.web.problems import HttpError

ACCESS = TcpAccess(token="correct-horse-battery", allowed_origins=("http://app.example",))
GOOD = {"Host": "127.0.0.1:8080", "Authorization": "Bearer correct-horse-battery"}


def refused(headers: dict[str, str], path: str = "/v1/models", method: str = "GET") -> tuple[int, str] | None:
    try:
        ACCESS.check(make_mocked_request(method, path, headers))
    except HttpError as error:
        return error.status, error.code or ""
    return None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080", "127.0.0.2"])
def test_loopback_hosts_with_the_token_may(host: str):
    assert refused({**GOOD, "Host": host}) is None


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1", "localhost.evil", "["])
def test_a_name_that_was_rebound_to_loopback_may_not(host: str):
    assert refused({**GOOD, "Host": host}) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic correct-horse-battery", "correct-horse-battery", "Bearer \u00e9"],
)
def test_without_the_token_nobody_may(authorization: str):
    assert refused({**GOOD, "Authorization": authorization}) == (401, "invalid_token")


def test_bearer_is_read_in_any_case():
    assert refused({**GOOD, "Authorization": "bearer correct-horse-battery"}) is None


@pytest.mark.parametrize("origin", ["http://app.example", "http://127.0.0.1:8080"])
def test_an_allowed_page_and_our_own_may(origin: str):
    assert refused({**GOOD, "Origin": origin}) is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://app.example"])
def test_another_page_may_not_even_with_the_token(origin: str):
    assert refused({**GOOD, "Origin": origin}) == (403, "origin_not_allowed")


def test_docs_open_without_the_token_but_not_under_another_name():
    assert refused({"Host": "localhost:1"}, "/docs") is None
    assert refused({"Host": "evil.example"}, "/docs") == (403, "host_not_allowed")


def test_the_token_is_not_in_the_repr():
    assert "horse" not in repr(ACCESS)


def test_only_an_allowed_page_may_read_the_reply():
    allowed, other = web.Response(), web.Response()
    allow_origin(ACCESS, make_mocked_request("GET", "/", {**GOOD, "Origin": "http://app.example"}), allowed)
    allow_origin(ACCESS, make_mocked_request("GET", "/", {**GOOD, "Origin": "http://evil.example"}), other)
    assert allowed.headers["Access-Control-Allow-Origin"] == "http://app.example"
    assert "Access-Control-Allow-Origin" not in other.headers
