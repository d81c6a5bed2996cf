"""The operator's log: one line a record, kopf's records in the same form, and never a token."""

import io
import json
import logging

import pytest

from speechpool.errors import SettingsError
from speechpool_operator.kube import KubeUnavailable
from speechpool_operator.logs import configure_logging, set_level

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJhdWQiOlsic3BlZWNocG9vbCJdfQ.c2lnbmF0dXJl"


@pytest.fixture
def configured():
    """Configures the log for one test; gives what was written."""
    root, names = logging.getLogger(), ["", "speechpool_operator", "kopf"]
    handlers, levels = root.handlers, {name: logging.getLogger(name).level for name in names}
    stream = io.StringIO()

    def configure(level="info", log_format="json"):
        configure_logging(level, log_format, stream)
        return stream

    yield configure
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def records(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_with_its_fields(configured):
    stream = configured()
    logging.getLogger("speechpool_operator.leader").info("leading", extra={"lease": "a\nb", "seconds": 1.5})
    [one] = records(stream)
    assert one.pop("time").endswith("Z")
    assert one == {
        "level": "info",
        "logger": "speechpool_operator.leader",
        "message": "leading",
        "lease": "a\nb",
        "seconds": 1.5,
    }


def test_no_field_poses_as_the_level_or_the_message(configured):
    stream = configured()
    logging.getLogger("speechpool_operator").error("failed", extra={"level": "debug", "time": "then"})
    assert records(stream)[0]["level"] == "error"


def test_kopfs_sentences_are_a_field_of_one_constant_message(configured):
    stream = configured("debug")
    log = logging.getLogger("kopf.objects")
    log.info("Handler 'on_event' succeeded.")
    log.warning("Watching %s failed", "speechpools", extra={"k8s_ref": {"uid": "u"}, "settings": object()})
    [one] = records(stream)
    assert (one["message"], one["detail"], one["level"]) == (
        "kopf complained",
        "Watching speechpools failed",
        "warning",
    )
    assert "k8s_ref" not in one


def test_libraries_are_heard_from_warning_on(configured):
    stream = configured("debug")
    for name in ("aiohttp.access", "asyncio", "kopf._core"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert [one["level"] for one in records(stream)] == ["warning"] * 3


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("place", ["message", "field", "error", "kopf"])
def test_a_token_is_never_written(configured, log_format, place):
    stream = configured("debug", log_format)
    log = logging.getLogger("kopf.reactor" if place == "kopf" else "speechpool_operator")
    extra = {"headers": {"authorization": f"Bearer {TOKEN}"}, "short": "Bearer abcdefghij"}
    error = KubeUnavailable(f"POST /x: {TOKEN}" if place == "error" else "gone")
    log.error(f"sent {TOKEN}" if place in ("message", "kopf") else "sent", extra=extra, exc_info=error)
    written = stream.getvalue()
    assert "[token]" in written
    for part in (*TOKEN.split("."), "abcdefghij"):
        assert part not in written


def test_only_our_own_errors_are_told_in_their_words(configured):
    stream = configured()
    error = SettingsError("listen must be host:port")
    error.__cause__ = ValueError("what a user wrote")
    logging.getLogger("speechpool_operator").error("not started", exc_info=error)
    assert records(stream)[0]["error"] == "SettingsError: listen must be host:port <- ValueError"


def test_text_is_one_line_for_people(configured):
    stream = configured(log_format="text")
    logging.getLogger("speechpool_operator").warning("watch failed", extra={"path": "/api/v1/pods", "reason": "a b\n"})
    assert stream.getvalue().split(" ", 1)[1] == 'warning watch failed path=/api/v1/pods reason="a b\\n"\n'


def test_the_level_changes_at_once(configured):
    stream = configured("warning")
    log = logging.getLogger("speechpool_operator.fleet")
    log.info("unheard")
    set_level("debug")
    log.debug("heard")
    assert [one["message"] for one in records(stream)] == ["heard"]


def test_a_log_that_cannot_be_written_stops_nobody(configured):
    configured().close()
    logging.getLogger("speechpool_operator").error("nobody reads this")
