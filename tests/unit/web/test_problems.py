"""The table from errors to HTTP."""

import logging

import pytest
from aiohttp import web

from speechpool import errors
from speechpool.web.problems import HttpError, problem_of, problem_response

TABLE = [
    (errors.InvalidInput("m", param="voice", code="voice_not_found"), 400, "invalid_request_error", None),
    (errors.InputTooLarge("m", param="file"), 413, "invalid_request_error", None),
    (errors.NotFound("m"), 404, "not_found_error", None),
    (errors.SessionBusy("m"), 409, "conflict_error", None),
    (errors.SessionReleased("m"), 409, "conflict_error", None),
    (errors.QuotaExceeded("m", retry_after_seconds=2.5), 429, "rate_limit_error", 2.5),
    (errors.PoolFull("m"), 429, "rate_limit_error", 1.0),
    (errors.Throttled("m", retry_after_seconds=7), 429, "rate_limit_error", 7),
    (errors.PoolTimeout("m"), 503, "server_error", 1.0),
    (errors.PoolClosed("m"), 503, "server_error", 1.0),
    (errors.PoolNotReady("m"), 503, "server_error", 1.0),
    (errors.EngineUnavailable("m"), 503, "server_error", 1.0),
    (errors.WorkerDied("m"), 503, "server_error", 1.0),
    (errors.EngineFailed("m"), 502, "server_error", 1.0),
    (errors.EngineTimeout("m"), 504, "server_error", 1.0),
    (errors.AuthenticationFailed("m"), 502, "server_error", None),
    (HttpError(401, "m", code="invalid_token"), 401, "authentication_error", None),
    (HttpError(403, "m", code="host_not_allowed"), 403, "permission_error", None),
    (RuntimeError("a text that someone said"), 500, "server_error", None),
]


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry"), TABLE, ids=lambda value: type(value).__name__ if value else ""
)
def test_every_error_has_its_status_type_and_advice(error: Exception, status: int, kind: str, retry: float | None):
    problem = problem_of(error, request_id="req_1")
    assert (problem.status, problem.type, problem.retry_after_seconds) == (status, kind, retry)
    assert problem.code


def test_every_error_of_the_project_is_in_the_table():
    """A new class would silently become a 500."""
    roots = {errors.SpeechPoolError, errors.PoolError, errors.SpeechError, errors.RequestError}
    of_commands = {errors.SettingsError, errors.UsageError, errors.SocketInUse}
    of_clients = {errors.SidecarRefused, errors.SidecarUnreachable, errors.SpeechBrokenOff}
    classes = {getattr(errors, name) for name in errors.__all__} - roots - of_commands - of_clients
    shown = {type(error) for error, *_ in TABLE}
    assert classes <= shown


def test_retryable_says_when_and_the_rest_says_never():
    again = problem_of(errors.Throttled("m", retry_after_seconds=1.2), request_id="r").retry_headers
    never = problem_of(errors.SessionBusy("m"), request_id="r").retry_headers
    assert again == {"retry-after": "2", "retry-after-ms": "1200"}
    assert never == {"x-should-retry": "false"}


def test_an_unknown_error_tells_neither_client_nor_log_what_it_says(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    problem = problem_of(RuntimeError("a text that someone said"), request_id="req_7")
    assert "someone" not in problem.message
    (record,) = caplog.records
    assert "someone" not in str(vars(record))
    assert (record.error_class, record.request_id) == ("RuntimeError", "req_7")


def test_clients_mistakes_are_not_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    problem_of(errors.InvalidInput("m"), request_id="r")
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "close_code"),
    [
        (errors.InvalidInput("m"), 1008),
        (errors.InputTooLarge("m"), 1009),
        (errors.EngineFailed("m"), 1011),
        (errors.PoolFull("m"), 1013),
        (errors.PoolTimeout("m"), 1013),
    ],
)
def test_every_problem_has_a_websocket_close_code(error: Exception, close_code: int):
    assert problem_of(error, request_id="r").close_code == close_code


def test_a_method_that_is_not_served_names_those_that_are():
    response = problem_response(problem_of(web.HTTPMethodNotAllowed("PATCH", {"GET", "PUT"}), request_id="r"))
    assert response.status == 405
    assert response.headers["allow"] == "GET, PUT"
